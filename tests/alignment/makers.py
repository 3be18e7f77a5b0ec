"""Tiny pairs, probes and settings that the tests of alignment share."""

from __future__ import annotations

import torch

from helpers.language.texts import Pair, Prompt
from helpers.mechanism.probe import Probe
from helpers.profiles import DPO, PPLM
from tests.language.builders import SENTENCES

PPLM_SETTINGS = PPLM(iterations=4, new_tokens=5, step_size=1.0, kl_scale=0.01)
DPO_SETTINGS = DPO(
    learning_rate=5e-3, optimiser="adamw", batch=4, warmup_steps=0, max_steps=6, evaluate_every=2,
    max_prompt_tokens=24, max_new_tokens=24,
)  # fmt: skip


def a_probe(width: int = 32, *, layer: int = -1, pooling: str = "mean", seed: int = 1) -> Probe:
    """A probe in a random direction, its centre off the origin."""
    generator = torch.Generator().manual_seed(seed)
    weight, centre = torch.randn(2, width, generator=generator)
    return Probe(weight / 4, 0.3, layer, pooling, 1.0, centre, 1.0)


def some_prompts(n: int = 6) -> tuple[Prompt, ...]:
    """Prompts of unequal length."""
    return tuple(
        Prompt(f"p{number}", SENTENCES[number * 5][: 6 + 3 * number], "plain") for number in range(n)
    )


def some_pairs(n: int = 16) -> tuple[Pair, ...]:
    """Pairs with prompts and responses of unequal lengths."""
    return tuple(
        Pair(
            f"pair{number}",
            SENTENCES[number][: 6 + number % 5],
            SENTENCES[number][6 + number % 5 :],
            SENTENCES[63 - number][4 + number % 3 : 20 + number % 7],
        )
        for number in range(n)
    )


class LengthScorer:
    """Scores a text by its length: enough to have unequal scores that a test can predict."""

    name, unit = "length", "share of 40 characters"

    def score(self, texts):
        return torch.tensor([min(1.0, len(text) / 40) for text in texts])
