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
    """Which neurons are lowered (−1) and which raised (+1), as published.

    TP and AN are multiplied by 1 − α: of TP that lowers what they write along the probe, of AN (a negative
    mean times an anti-aligned vector) too. AP and TN by 1 + α.

    Args:
        means: base's mean activations.
        cosine: of value vectors with the probe.
        fraction: of each group: of TP and AN the nearest to the probe's axis, of AP and TN the farthest.
    """
    toxic, positive = cosine > 0, means > 0
    quadrants = {
        "TP": (toxic & positive, -1), "AN": (~toxic & ~positive & (cosine < 0), -1),
        "AP": ((cosine < 0) & positive, 1), "TN": (toxic & ~positive, 1),
    }  # fmt: skip
    found = {sign: torch.zeros_like(toxic) for sign in (-1, 1)}
    for inside, sign in quadrants.values():
        size = cosine.abs() if sign < 0 else -cosine.abs()
        places = inside.flatten().nonzero().flatten()
        best = size.flatten()[places].sort(descending=True, stable=True).indices
        found[sign].view(-1)[places[best[: round(fraction * len(places))]]] = True
    return found


def edited_factors(
    means: Float[Tensor, "layer neuron"],
    cosine: Float[Tensor, "layer neuron"],
    *,
    alpha: float,
    fraction: float,
    signs_seed: int | None = None,
) -> Float[Tensor, "layer neuron"]:
    """By what each neuron's activation is multiplied; NaN where it is left alone.

    Args:
        signs_seed: the same neurons, but a coin says for each whether it is lowered or raised.
    """
    chosen = edited_neurons(means, cosine, fraction)
    factors = torch.full(means.shape, torch.nan, dtype=torch.float64)
    for sign, inside in chosen.items():
        factors[inside] = 1 + sign * alpha
    if signs_seed is not None:
        coins = torch.rand(means.shape, generator=generator(signs_seed, "signs")) < 0.5
        factors = torch.where(factors.isnan(), factors, torch.where(coins, 1 - alpha, 1 + alpha))
    return factors


def edited_means(
    means: Float[Tensor, "layer neuron"], cosine: Float[Tensor, "layer neuron"], **how
) -> tuple[list[Neuron], Float[Tensor, " neuron"]]:
    """The neurons and the constants that their activations are overwritten by. See `edited_factors`."""
    factors = edited_factors(means, cosine, **how)
    chosen = ~factors.isnan()
    return neurons_of(chosen), (factors * means)[chosen].float()


def edited_scales(
    means: Float[Tensor, "layer neuron"], cosine: Float[Tensor, "layer neuron"], **how
) -> tuple[list[Neuron], Float[Tensor, " neuron"]]:
    """The neurons and the factors that their activations are multiplied by. See `edited_factors`."""
    factors = edited_factors(means, cosine, **how)
    chosen = ~factors.isnan()
    return neurons_of(chosen), factors[chosen].float()
