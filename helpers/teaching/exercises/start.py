"""Exercises of notebook 00: reading a padded batch, and a share with an interval."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from helpers.teaching.exercises.checks import Answer, Exercise, Inputs, Mistake
from helpers.teaching.exercises.draws import normal, right_padding


def _logits(generator: Generator) -> Inputs:
    token = int(torch.randint(9, (1,), generator=generator))
    return 3 * normal(generator, 4, 6, 9), right_padding(generator, texts=4, longest=6, shortest=2), token


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
        Mistake(
            lambda logits, mask, token: _after_last(logits, mask, token).log(),
            "these are log-probabilities. Undo the logarithm, or take a softmax without one.",
        ),
        Mistake(
            lambda logits, mask, token: torch.stack(
                [row[: last + 1].softmax(dim=-1)[:, token].mean() for row, last in _rows(logits, mask)]
            ),
            "this is the mean over all positions of a text. Only what follows its last token was asked for.",
        ),
        Mistake(
            lambda logits, mask, token: torch.stack(
                [row[min(last + 1, len(row) - 1)].softmax(dim=-1)[token] for row, last in _rows(logits, mask)]
            ),
            "this is one position too late: counted from 0, a text of n tokens does not end at n.",
        ),
    ),
    passed="the probability is read after each text's last real token.",
)


def _scores(generator: Generator) -> Inputs:
    """Few scores, most of them small: the interval of their mean is lopsided, as it is for rare events."""
    spread = (torch.arange(12) + torch.rand(12, generator=generator)) / 12
    return spread**10, 20_000, 7


def _means(scores: Tensor, draws: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scores[torch.randint(len(scores), (draws, len(scores)), generator=generator)].mean(dim=1)


def _interval(
    scores: Tensor, draws: int, seed: int, levels: tuple[float, float] = (0.025, 0.975)
) -> tuple[float, float, float]:
    low, high = _means(scores, draws, seed).quantile(torch.tensor(levels, dtype=scores.dtype))
    return float(scores.mean()), float(low), float(high)


def _formula(scores: Tensor, draws: int, seed: int) -> tuple[float, float, float]:
    mean, error = float(scores.mean()), float(scores.std()) / len(scores) ** 0.5
    return mean, mean - 1.96 * error, mean + 1.96 * error


def _near(one: Tensor, other: Tensor) -> bool:
    """Equal means, ends that differ by at most a fourteenth of the interval: draws are random."""
    if one.shape != other.shape:
        return False
    return bool((one[0] - other[0]).abs() < 1e-5) and _about(one, other)


def _about(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    slack = max(float(other.max() - other.min()) / 14, 1e-6)
    return bool(((one - other).abs() <= slack).all())


def _without_last(scores: Tensor, draws: int, seed: int) -> tuple[float, float, float]:
    _, low, high = _interval(scores[:-1], draws, seed)
    return float(scores.mean()), low, high


def _all_resampled(scores: Tensor, draws: int, seed: int) -> tuple[float, float, float]:
    _, low, high = _interval(scores, draws, seed)
    return float(_means(scores, draws, seed).mean()), low, high


def _mirrored(scores: Tensor, draws: int, seed: int) -> tuple[float, float, float]:
    mean, low, high = _interval(scores, draws, seed)
    return mean, 2 * mean - high, 2 * mean - low


def _from_resamples(answer: Answer, inputs: Inputs) -> str | None:
    """Few draws give other ends than many, and one seed others than the next."""
    scores, _, seed = inputs
    many, few, other = (
        tuple(map(float, answer(scores.clone(), draws, at)))[1:]
        for draws, at in ((400, seed), (40, seed), (40, seed + 1))
    )
    if many == few:
        return "`draws` makes no difference. It is the number of resamples."
    if few == other:
        return "`seed` makes no difference: another seed should draw other resamples. Which generator draws?"
    return None


def _exact_ends(answer: Answer, inputs: Inputs) -> str | None:
    """On scores of 0 and 1 the ends are counts, the same ones for nearly every seed."""
    # Of 34 scores 13 are 1: a resample has at most 7 with p = .0228, at least 19 with p = .0276. With
    # 100,000 draws that lies five standard errors from the level .025, and as far from .02 and .03.
    scores, draws, seed = (torch.arange(34) < 13).float(), 100_000, 11
    counts = [34 * float(end) for end in answer(scores.clone(), draws, seed)]
    if any(abs(count - round(count)) > 1e-3 for count in counts):
        return "resamples are of another size than the scores given. Draw as many as there are."
    if [round(count) for count in counts] != [13, 8, 19]:
        return "the ends are near, but not those of 95 %. Which share of the means lies below, which above?"
    return None


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
        Mistake(
            lambda scores, draws, seed: _interval(scores, draws, seed, levels=(0.0, 0.95)),
            "all 5 % were left out above. Half of them belong below.",
        ),
        Mistake(
            _without_last,
            "the last score is never drawn. The upper bound of a random index is itself excluded.",
        ),
        Mistake(
            _mirrored,
            "the quantiles were mirrored about the mean: that is another bootstrap. Return them as they are.",
        ),
        Mistake(
            lambda scores, draws, seed: [_interval(scores, draws, seed)[place] for place in (1, 0, 2)],
            "the order is mean, lower end, upper end.",
        ),
        Mistake(
            lambda scores, draws, seed: _interval(scores, draws, seed)[1:],
            "the mean is missing: three numbers are wanted, mean, lower end, upper end.",
        ),
        Mistake(
            _all_resampled,
            "the first number is the mean of the resamples' means. The mean wanted is that of the scores.",
            agree=_about,
        ),
    ),
    passed="the interval is that of the mean, and the same seed gives the same interval.",
    agree=_near,
    demands=(_from_resamples, _exact_ends),
)
