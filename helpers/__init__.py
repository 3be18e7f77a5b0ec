"""What the notebooks import: start at `helpers.lab`."""

import os

# Read by OpenMP once, when PyTorch is loaded. Its threads would spin while they wait for each other; where
# another program takes one of their cores, each short step then lasts many times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
