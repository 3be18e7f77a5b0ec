"""Reads how strongly single MLP neurons fire, token by token and on average."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from helpers.language.models import LanguageModel
from helpers.language.tokens import Tokens
from helpers.mechanism.stream import Batch, Mean, Reducer, stream
from helpers.mechanism.vectors import Neuron


class ByPosition:
    """A reducer that keeps some columns of the activation at every real position, laid out as `mask`."""

    def __init__(self, columns: Sequence[int], mask: Bool[Tensor, "text pos"]) -> None:
        self.columns, self.mask = list(columns), mask.cpu()
        self.kept = torch.zeros(*mask.shape, len(columns))

    def read(self, activation: Tensor, batch: Batch) -> Float[Tensor, "token column"]:
        return activation[..., self.columns][batch.tokens.mask]

    def add(self, part: Tensor, batch: Batch) -> None:
        rows = torch.zeros_like(self.kept[batch.texts])
        rows[self.mask[batch.texts]] = part.cpu()
        self.kept[batch.texts] = rows

    def result(self) -> Float[Tensor, "text pos column"]:
        return self.kept


def neuron_activations(
    model: LanguageModel, tokens: Tokens, neurons: Sequence[Neuron], *, batch_size: int = 32
) -> Float[Tensor, "text pos neuron"]:
    """The activations m_i of some neurons (`mlp.hook_post`, after the GELU) by position; 0 on padding.

    A neuron adds m_i times its value vector to the residual stream. m_i may be slightly negative: GELU
    reaches down to −.17.

    Returns:
        On the CPU, neurons in the order given.

    Raises IndexError if the model has no such neuron.

    Example:
        tokens = model.tokenise(["You are such a"])
        neuron_activations(model, tokens, [Neuron.parse("L3.17")])[0, :, 0]
    """

    def reducer(indices: list[int]) -> Reducer:
        return ByPosition(indices, tokens.mask)

    return _over_layers(model, tokens, neurons, reducer, batch_size=batch_size)


def mean_activations(
    model: LanguageModel,
    tokens: Tokens,
    neurons: Sequence[Neuron],
    *,
    batch_size: int = 32,
    first: bool = False,
) -> Float[Tensor, " neuron"]:
    """The mean activation of some neurons over all real tokens of all texts.

    Args:
        first: whether the first token of each text counts too; it is unlike all others in GPT-2.
    """

    def reducer(indices: list[int]) -> Reducer:
        return Mean(lambda activation: activation[..., indices])

    counted = tokens.mask if first else None
    return _over_layers(model, tokens, neurons, reducer, counted=counted, batch_size=batch_size).float()


def _over_layers(
    model: LanguageModel,
    tokens: Tokens,
    neurons: Sequence[Neuron],
    reducer: Callable[[list[int]], Reducer],
    **settings,
) -> Float[Tensor, "*rest neuron"]:
    """One reducer per layer, given the indices of the layer's neurons; the results side by side again."""
    if not neurons:
        raise ValueError("There is nothing to read: name at least one neuron.")
    for neuron in neurons:
        model.value_vector(neuron)  # raises for a neuron that is not there
    layers = sorted({neuron.layer for neuron in neurons})
    order = [place for layer in layers for place, neuron in enumerate(neurons) if neuron.layer == layer]
    reducers = {
        f"blocks.{layer}.mlp.hook_post": reducer([each.index for each in neurons if each.layer == layer])
        for layer in layers
    }
    found = torch.cat(list(stream(model, tokens, reducers, **settings).values()), dim=-1)
    return found[..., torch.tensor(order).argsort()]
