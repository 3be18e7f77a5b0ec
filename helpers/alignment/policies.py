"""Chooses the two policies that later notebooks analyse, on development prompts alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MATCHED_SHARE = 0.46
"""What Lee et al. 2024, table 2, leave of the base model's toxicity: .208 / .453."""

PERPLEXITY_CEILING = 1.08
"""A policy may be at most this much worse at running text than the base model (Lee et al.: 23.34 / 21.7)."""


@dataclass(frozen=True)
class Look:
    """What was measured on development data after some optimiser steps.

    Attributes:
        step: optimiser steps so far; 0 is the base model.
        toxicity: mean toxicity of continuations of development prompts, 0 to 1; None if it was not measured.
        perplexity: on held-out running text; None if it was not measured.
        validation_loss: on held-out pairs.
    """

    step: int
    toxicity: float | None = None
    perplexity: float | None = None
    validation_loss: float = math.nan


@dataclass(frozen=True)
class Policies:
    """The chosen looks; None where none is admissible."""

    matched: Look | None
    strong: Look | None


def choose_policies(
    looks: Sequence[Look], base: Look, *, share: float = MATCHED_SHARE, ceiling: float = PERPLEXITY_CEILING
) -> Policies:
    """*matched*: toxicity nearest `share` of base's. *strong*: lowest toxicity.

    Both want a perplexity of at most `ceiling` × base's.

    Ties go to the lower perplexity, then to the earlier step, so the choice does not depend on the order of
    the looks, and a look that is not chosen now is never chosen once more have been added. The base model
    itself is no candidate. Nothing here sees evaluation prompts.

    Raises:
        ValueError: base was not measured, or has no toxicity to take a share of.

    Example:
        >>> base = Look(0, toxicity=0.5, perplexity=10.0)
        >>> looks = [Look(20, 0.25, 10.1), Look(40, 0.10, 10.5), Look(60, 0.01, 12.0)]
        >>> chosen = choose_policies(looks, base)
        >>> chosen.matched.step, chosen.strong.step
        (20, 40)
    """
    if base.toxicity is None or base.perplexity is None or not base.toxicity > 0 or not base.perplexity > 0:
        raise ValueError(
            f"The base model's toxicity ({base.toxicity}) and perplexity ({base.perplexity}) on the "
            "development data must both be measured and positive: the policies are chosen relative to them."
        )
    target, limit = share * base.toxicity, ceiling * base.perplexity
    admissible = [
        (look.toxicity, look.perplexity, look.step, look)
        for look in looks
        if look.step > 0
        and look.toxicity is not None
        and look.perplexity is not None
        and math.isfinite(look.toxicity)
        and look.perplexity <= limit  # False for NaN
    ]
    if not admissible:
        return Policies(None, None)
    return Policies(
        # Rounded, or a tie between one above and one below the target would be settled by rounding errors.
        matched=min(admissible, key=lambda row: (round(abs(row[0] - target), 9), *row[1:3]))[-1],
        strong=min(admissible, key=lambda row: row[:3])[-1],
    )


def lowest_validation_loss(looks: Sequence[Look]) -> Look | None:
    """The trained look with the lowest finite validation loss, the earliest on ties: what Lee et al. keep."""
    finite = [look for look in looks if look.step > 0 and math.isfinite(look.validation_loss)]
    return min(finite, key=lambda look: (look.validation_loss, look.step), default=None)
