"""95 % intervals, most by bootstrap: how far a figure would move had other texts or prompts been drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.stats
import torch
from jaxtyping import Float
from torch import Tensor

Sample = Tensor | np.ndarray | Sequence[float]
"""One number per item: a tensor on any device, an array or a list."""

METHODS = ("percentile", "basic", "BCa")
LEVEL = 0.95
OVERFLOW = 1e100
"""From here on a figure, such as the perplexity of broken text, is written as "overflow"."""
NUMBERS_AT_ONCE = 4_000_000
"""How many resampled numbers are held at one time: 32 MB."""


@dataclass(frozen=True)
class Interval:
    """A figure and the 95 % interval around it, in the figure's own unit.

    All three are NaN where there is nothing to take the figure of: `UNDEFINED`.

    Example:
        >>> str(Interval(0.94, 0.921, 0.958))
        '0.94 [0.921, 0.958]'
    """

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if all(math.isnan(number) for number in (self.value, self.low, self.high)):
            return
        if not all(math.isfinite(number) for number in (self.value, self.low, self.high)):
            raise ValueError(f"An interval wants finite numbers, not {self.value}, {self.low}, {self.high}.")
        if self.low > self.high:
            raise ValueError(f"The interval's low end {self.low} lies above its high end {self.high}.")

    @property
    def bounds(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high

    @property
    def width(self) -> float:
        return self.high - self.low

    def excludes(self, value: float) -> bool:
        """Whether `value` lies outside the interval."""
        return value < self.low or value > self.high

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "undefined"
        value, low, high = map(_figure, (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"


def _figure(number: float) -> str:
    return f"{number:.3g}" if number < OVERFLOW else "overflow"


UNDEFINED = Interval(math.nan, math.nan, math.nan)


def share(part: float, whole: float) -> float:
    """`part / whole`; NaN of nothing.

    >>> share(1.0, 0.0)
    nan
    """
    return part / whole if whole else math.nan


def wilson(part: int, whole: int) -> Interval:
    """The share `part / whole` with its Wilson score interval, which 0 of n leaves room above.

    A bootstrap draws nothing but zeros from n zeros: it would call a share certain that n items cannot rule
    out. Source: Wilson 1927. Raises ValueError unless 0 ≤ part ≤ whole and whole > 0.

    Example:
        >>> str(wilson(0, 20))
        '0 [0, 0.161]'
    """
    if not 0 <= part <= whole or whole == 0:
        raise ValueError(f"A share wants some items, and no more parts than those: not {part} of {whole}.")
    found = scipy.stats.binomtest(part, whole).proportion_ci(LEVEL, method="wilson")
    # Rounding can leave an end on the wrong side of 0 or 1.
    return Interval(part / whole, min(found.low, part / whole), max(found.high, part / whole))


def bootstrap(
    values: Sample,
    statistic: Callable[..., Any] = np.mean,
    *,
    n: int = 1000,
    seed: int,
    method: str = "percentile",
) -> Interval:
    """A statistic of a sample with its bootstrap interval. The items of the sample are drawn again.

    Args:
        values: one finite number (or truth value) per item, at least two.
        statistic: reduces along `axis`, as `np.mean` and `np.median` do; called on many resamples at once.
        n: how many resamples.
        method: "percentile", "basic" or "BCa" (scipy.stats.bootstrap's).

    Without spread the interval has width 0; but of a share, truth values that are all alike, it is Wilson's.
    Raises ValueError for fewer than two values or for NaN.

    Example:
        >>> bootstrap([1.0, 1.0, 1.0], seed=0)
        Interval(value=1.0, low=1.0, high=1.0)
    """
    numbers = _numbers(values, "values")
    truths = _array(values).dtype == bool
    if truths and statistic is np.mean and len(numbers) > 1 and numbers.min() == numbers.max():
        return wilson(int(numbers.sum()), len(numbers))
    return bootstrap_groups([numbers], statistic, n=n, seed=seed, method=method)


def paired_bootstrap(
    a: Sample,
    b: Sample,
    statistic: Callable[..., Any] = np.mean,
    *,
    n: int = 1000,
    seed: int,
    method: str = "percentile",
) -> Interval:
    """A statistic of a − b for two conditions measured on the same items, which are drawn again as pairs.

    What varies from item to item and is common to both conditions cancels, so the interval is narrower than
    two separate ones would suggest. Raises ValueError if the two differ in length.
    """
    first, second = _numbers(a, "a"), _numbers(b, "b")
    if first.shape != second.shape:
        raise ValueError(
            f"A paired comparison wants the same items in both conditions, but a has {len(first)} "
            f"and b has {len(second)}."
        )
    return bootstrap(first - second, statistic, n=n, seed=seed, method=method)


def bootstrap_groups(
    groups: Sequence[Sample],
    statistic: Callable[..., Any],
    *,
    n: int = 1000,
    seed: int,
    method: str = "percentile",
) -> Interval:
    """A statistic `statistic(*groups, axis=-1)` of independent groups, each drawn again within itself.

    Used where a resample of the whole could miss a group, as for AUROC with few toxic texts.
    """
    samples = [_numbers(group, f"group {number}") for number, group in enumerate(groups)]
    _check(n, method)
    for sample in samples:
        if len(sample) < 2:
            raise ValueError(f"A bootstrap wants at least two values to draw from; there is {len(sample)}.")
    value = float(statistic(*samples, axis=-1))
    if all((sample == sample[0]).all() for sample in samples):
        return Interval(value, value, value)
    return _interval(tuple(samples), statistic, value, n, seed, method, vectorised=True)


def bootstrap_statistic(
    function: Callable[..., float],
    *arrays: Tensor | np.ndarray,
    n: int = 1000,
    seed: int,
    method: str = "percentile",
) -> Interval:
    """Any figure computed from several arrays over the same items, e.g. an accuracy from scores and labels.

    Args:
        function: takes as many numpy arrays as are given and returns one number. It is called n + 1 times.
        arrays: the items (texts, prompts) run along the first axis of each; other axes are kept whole.

    Raises ValueError if the arrays differ in length, or if the figure is undefined (NaN) on a resample.

    Example:
        >>> ratio = lambda after, before: after.sum() / before.sum()
        >>> bootstrap_statistic(ratio, np.ones(5), np.full(5, 2.0), seed=0)
        Interval(value=0.5, low=0.5, high=0.5)
    """
    _check(n, method)
    if not arrays:
        raise ValueError("bootstrap_statistic wants at least one array of items.")
    items = [_array(array) for array in arrays]
    lengths = {array.shape[0] if array.ndim else 0 for array in items}
    if len(lengths) != 1:
        shapes = ", ".join(str(array.shape) for array in items)
        raise ValueError(f"The arrays run over different numbers of items: {shapes}.")
    length = lengths.pop()
    if length < 2:
        raise ValueError(f"A bootstrap wants at least two items to draw from; there is {length}.")
    value = float(function(*items))
    if math.isnan(value):
        raise ValueError("The statistic is not a number (NaN) on the data itself; look at its inputs.")
    if all((array == array[:1]).all() for array in items):
        return Interval(value, value, value)

    def of_places(places: np.ndarray) -> float:
        return float(function(*(array[places] for array in items)))

    return _interval((np.arange(length),), of_places, value, n, seed, method, vectorised=False)


@lru_cache(maxsize=16)  # asked for again and again: as many prompts, as many draws, the same seed
def resampling_weights(items: int, *, n: int, seed: int) -> Float[Tensor, "resample item"]:
    """How much each item weighs in each of n resamples; rows sum to 1.

    For a figure that is built on means over items, one matrix product `weights @ values` gives the means of
    all resamples at once, for any number of neurons; `bootstrap_statistic` would copy the values n times.
    All who ask share the matrix: do not write into it.
    """
    if items < 2 or n < 1:
        raise ValueError(f"Resampling wants at least two items and one resample, not {items} and {n}.")
    counts = np.random.default_rng(seed).multinomial(items, np.full(items, 1 / items), size=n)
    return torch.from_numpy(counts).float() / items


def percentile_interval(value: float, resampled: Sample) -> Interval:
    """The interval around `value` from the figure on each resample, e.g. made with `resampling_weights`."""
    low, high = np.quantile(_numbers(resampled, "resampled figures"), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def band_over(intervals: Sequence[Interval]) -> Interval:
    """The mean of several draws of a control; it reaches over all of their 95 % intervals.

    Example:
        >>> str(band_over([Interval(0.1, 0.0, 0.2), Interval(0.3, 0.2, 0.5)]))
        '0.2 [0, 0.5]'
    """
    mean = sum(one.value for one in intervals) / len(intervals)
    return Interval(mean, min(one.low for one in intervals), max(one.high for one in intervals))


def _interval(
    data: tuple[np.ndarray, ...],
    statistic: Callable[..., Any],
    value: float,
    n: int,
    seed: int,
    method: str,
    vectorised: bool,
) -> Interval:
    result = scipy.stats.bootstrap(
        data,
        statistic,
        n_resamples=n,
        batch=max(1, NUMBERS_AT_ONCE // sum(len(part) for part in data)),
        vectorized=vectorised,
        axis=-1,
        confidence_level=LEVEL,
        method=method,
        random_state=np.random.default_rng(seed),
    )
    undefined = int(np.isnan(result.bootstrap_distribution).sum())
    if undefined:
        raise ValueError(
            f"The statistic is not a number (NaN) on {undefined} of {n} resamples: "
            "too few items, or none of one kind in some draws."
        )
    low, high = float(result.confidence_interval.low), float(result.confidence_interval.high)
    if math.isnan(low) or math.isnan(high):
        raise ValueError(f'The {method} interval is undefined for this sample; use method="percentile".')
    return Interval(value, low, high)


def _check(n: int, method: str) -> None:
    if n < 1:
        raise ValueError(f"A bootstrap wants at least one resample, not {n}.")
    if method not in METHODS:
        raise ValueError(f"Unknown bootstrap method {method!r}; there are {', '.join(METHODS)}.")


def _array(values: Sample) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _numbers(values: Sample, name: str) -> np.ndarray:
    numbers = _array(values).astype(np.float64)
    if numbers.ndim != 1:
        raise ValueError(f"{name} must be one number per item, not an array of shape {numbers.shape}.")
    broken = int((~np.isfinite(numbers)).sum())
    if broken:
        raise ValueError(f"{name}: {broken} of {len(numbers)} numbers are NaN or infinite; mend that first.")
    return numbers
