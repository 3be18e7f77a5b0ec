"""Activation editing without tuning: which neurons are lowered or raised, and to what (Yang et al. 2024)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from helpers.mechanism.attribution import neurons_of
from helpers.mechanism.vectors import Neuron
from helpers.runtime import generator

Way = Literal["constant", "live scaling"]
"""Base's mean times 1 ∓ α at every token, as published; or what the neuron has at a token times 1 ∓ α."""


def edited_neurons(
    means: Float[Tensor, "layer neuron"], cosine: Float[Tensor, "layer neuron"], fraction: float
) -> dict[int, Bool[Tensor, "layer neuron"]]:
    """Which neurons' means are brought nearer to 0 (−1), and which farther from it (+1).

    TP and AN are multiplied by 1 − α: they write along the probe on average (AN by a negative mean times an
    anti-aligned vector), and then less so. AP and TN, which write against it, by 1 + α. Groups are whole
    quadrants here: no tuning has said which of their neurons fall. As published, but that the released code
    leaves out GPT-2's fifth of highest mean activation besides.

    Args:
        means: base's mean activations.
        cosine: of value vectors with the probe.
        fraction: of each group: of TP and AN the nearest to the probe's axis, of AP and TN the farthest.
    """
    toxic, anti, positive, negative = cosine > 0, cosine < 0, means > 0, means < 0
    quadrants = ((toxic & positive, -1), (anti & negative, -1), (anti & positive, 1), (toxic & negative, 1))
    found = {sign: torch.zeros_like(toxic) for sign in (-1, 1)}
    for inside, sign in quadrants:
        places = inside.flatten().nonzero().flatten()
        nearness = -sign * cosine.abs().flatten()[places]
        first = nearness.sort(descending=True, stable=True).indices[: round(fraction * len(places))]
        found[sign].view(-1)[places[first]] = True
    return found


def edit_values(
    way: Way,
    means: Float[Tensor, "layer neuron"],
    cosine: Float[Tensor, "layer neuron"],
    *,
    alpha: float,
    fraction: float,
    signs_seed: int | None = None,
) -> tuple[list[Neuron], Float[Tensor, " edited"]]:
    """The neurons that are edited, and the constant (or, for live scaling, the factor) of each.

    Args:
        signs_seed: the same neurons, but a coin says for each whether it is lowered or raised.

    Example:
        neurons, values = edit_values("constant", means, cosine, alpha=0.5, fraction=0.55)
        with patch_constant(base, neurons, values):
            evaluate(base, bench)
    """
    chosen = edited_neurons(means, cosine, fraction)
    raised = chosen[1]
    if signs_seed is not None:
        raised = torch.rand(means.shape, generator=generator(signs_seed, "signs")) < 0.5
    factors = torch.where(raised, 1 + alpha, 1 - alpha).to(means)
    inside = chosen[-1] | chosen[1]
    return neurons_of(inside), (factors if way == "live scaling" else factors * means)[inside].float()
