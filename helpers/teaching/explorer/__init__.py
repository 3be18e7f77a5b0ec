"""The neuron explorer: any neuron of base beside aligned, seen, tried and edited."""

from helpers.teaching.explorer.state import Edit, Refused, State
from helpers.teaching.explorer.widget import NeuronExplorer

__all__ = ["Edit", "NeuronExplorer", "Refused", "State"]
