"""Reads how strongly single MLP neurons fire, token by token and on average."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from helpers.language.models import LanguageModel, Tokens
from helpers.mechanism.forward import run_to_layer
from helpers.mechanism.vectors import Neuron


def neuron_activations(
    model: LanguageModel, tokens: Tokens, neurons: Sequence[Neuron]
) -> Float[Tensor, "batch pos neuron"]:
    """The activations m_i of some neurons (`mlp.hook_post`, after the GELU) by position; 0 on padding.

    A neuron adds m_i times its value vector to the residual stream. m_i may be slightly negative: GELU
    reaches down to −.17.

    Returns:
        On the model's device, neurons in the order given; one batch, so hand in as much as fits in memory.

    Raises IndexError if the model has no such neuron.

    Example:
        >>> tokens = model.tokenise(["You are such a"])                                      # doctest: +SKIP
        >>> neuron_activations(model, tokens, [Neuron.parse("L3.17")])[0, :, 0]              # doctest: +SKIP
    """
    if not neurons:
        raise ValueError("neuron_activations wants at least one neuron.")
    for neuron in neurons:
        model.value_vector(neuron)  # raises for a neuron that is not there
    by_layer: dict[int, list[int]] = {}
    for place, neuron in enumerate(neurons):
        by_layer.setdefault(neuron.layer, []).append(place)
    found = torch.zeros(*tokens.ids.shape, len(neurons), device=model.device)

    def reader(places: list[int]) -> Callable[..., None]:
        indices = [neurons[place].index for place in places]

        def read(activation: Tensor, hook: object) -> None:
            found[..., places] = activation[..., indices]

        return read

    hooks = [(f"blocks.{layer}.mlp.hook_post", reader(places)) for layer, places in by_layer.items()]
    run_to_layer(model, tokens, max(by_layer), hooks)
    return found * tokens.mask[..., None].to(model.device)


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
    total = torch.zeros(len(neurons), dtype=torch.float64)
    counted = 0
    for start in range(0, len(tokens), batch_size):
        batch = tokens[start : start + batch_size]
        wanted = batch.mask.clone()
        if not first:
            wanted &= batch.mask.cumsum(dim=1) > 1
        activations = neuron_activations(model, batch, neurons)
        total += activations[wanted.to(activations.device)].double().sum(dim=0).cpu()
        counted += int(wanted.sum())
    if counted == 0:
        raise ValueError("There is no token to average over: the texts have one token each.")
    return (total / counted).float()
