"""Exercises of notebook 00: reading a padded batch, and a share with an interval."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from helpers.teaching.exercises.checks import Exercise, Inputs, Mistake
from helpers.teaching.exercises.draws import normal, right_padding


def _logits(generator: Generator) -> Inputs:
    return 3 * normal(generator, 4, 6, 9), right_padding(generator, texts=4, longest=6, shortest=2), 5


def _rows(logits: Tensor, mask: Tensor) -> Iterator[tuple[Tensor, int]]:
    """Each text's logits and the position of its last real token."""
    yield from ((row, int(length) - 1) for row, length in zip(logits, mask.sum(dim=1), strict=True))


def _after_last(logits: Tensor, mask: Tensor, token: int) -> Tensor:
    return torch.stack([row[last].softmax(dim=-1)[token] for row, last in _rows(logits, mask)])


check_next_token_probability = Exercise(
    name="next_token_probability",
    inputs=_logits,
    right=_after_last,
    mistakes=(
        Mistake(
            lambda logits, mask, token: logits[:, -1].softmax(dim=-1)[:, token],
            "this reads the last column, which is padding in the shorter texts. Find each row's "
            "last real token.",
        ),
        Mistake(
            lambda logits, mask, token: torch.stack([row[last, token] for row, last in _rows(logits, mask)]),
            "these are logits. A softmax over the vocabulary turns them into probabilities.",
        ),
        Mistake(
            lambda logits, mask, token: torch.stack(
                [row[last - 1].softmax(dim=-1)[token] for row, last in _rows(logits, mask)]
            ),
            "this is one position too early: what follows the last real token is predicted at that token.",
        ),
        Mistake(
            lambda logits, mask, token: torch.stack(
                [row[last, token] for row, last in _rows(logits.softmax(dim=1), mask)]
            ),
            "the softmax runs over positions. It belongs over the vocabulary, the last axis.",
        ),
    ),
    passed="the probability is read after each text's last real token.",
)


def _scores(generator: Generator) -> Inputs:
    """Few scores, most of them small: the interval of their mean is lopsided, as it is for rare events."""
    spread = (torch.arange(12) + torch.rand(12, generator=generator)) / 12
    return spread**10, 20_000, 7


def _interval(
    scores: Tensor, draws: int, seed: int, levels: tuple[float, float] = (0.025, 0.975)
) -> tuple[float, float, float]:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(scores), (draws, len(scores)), generator=generator)
    low, high = scores[rows].mean(dim=1).quantile(torch.tensor(levels, dtype=scores.dtype))
    return float(scores.mean()), float(low), float(high)


def _formula(scores: Tensor, draws: int, seed: int) -> tuple[float, float, float]:
    mean, error = float(scores.mean()), float(scores.std()) / len(scores) ** 0.5
    return mean, mean - 1.96 * error, mean + 1.96 * error


def _near(one: Tensor, other: Tensor) -> bool:
    """Equal means, ends that differ by at most a fourteenth of the interval: draws are random."""
    if one.shape != other.shape:
        return False
    slack = max(float(other[2] - other[1]) / 14, 1e-6)
    return bool((one[0] - other[0]).abs() < 1e-5) and bool(((one - other).abs() <= slack).all())


check_bootstrap_mean = Exercise(
    name="bootstrap_mean",
    inputs=_scores,
    right=_interval,
    mistakes=(
        Mistake(
            lambda scores, draws, seed: (scores.mean(), scores.quantile(0.025), scores.quantile(0.975)),
            "these ends are the spread of the scores. Take the quantiles of the resampled means.",
        ),
        Mistake(
            lambda scores, draws, seed: (scores.mean(),) * 3,
            "the interval has no width. Draw with replacement: otherwise every resample has the same mean.",
        ),
        Mistake(
            _formula,
            "this is the formula for many scores, mean ± 1.96 standard errors, alike to both sides. These "
            "are few and lopsided: draw resamples and take quantiles of their means.",
        ),
        Mistake(
            lambda scores, draws, seed: _interval(scores, draws, seed, levels=(0.159, 0.841)),
            "this is one standard error to either side. A 95 % interval runs from the 2.5 % to "
            "the 97.5 % quantile.",
        ),
        Mistake(
            lambda scores, draws, seed: _interval(scores, draws, seed, levels=(0.05, 0.95)),
            "this is a 90 % interval. 95 % leaves 2.5 % on either side.",
        ),
    ),
    passed="the interval is that of the mean, and the same seed gives the same interval.",
    agree=_near,
)
