"""The figures an evaluation is made of (perplexity, fluency, F1, repetition), each with its interval."""

from __future__ import annotations

import contextlib
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from helpers.intervals import UNDEFINED, Interval, percentile_interval, resampling_weights, wilson
from helpers.language.generation import Continuations
from helpers.language.models import LanguageModel
from helpers.language.tokens import pad
from helpers.runtime import with_batch_halving

LARGEST_LOSS = 700.0
"""Nats per token from which on a perplexity overflows: e to that is nearly the largest float64 there is."""

LOGITS_BYTES = 1_000_000_000
"""What the logits of one batch may take: 4 windows of GPT-2's 1,024 tokens; 32 would take 6.6 GB."""


@dataclass(frozen=True, eq=False)
class Measure:
    """One figure, kept as what each item (prompt, window, passage) adds to it.

    Attributes:
        totals, weights: the figure is sum(totals) / sum(weights), so that items of more tokens weigh more.
        exponential: the figure is e to that: a perplexity, from summed losses in nats and counted tokens.
            From a mean loss of `LARGEST_LOSS` on it stands still, finite, and is written as "overflow".
        unit: what the number counts, for labels.
    """

    totals: Float[Tensor, " item"]
    weights: Float[Tensor, " item"]
    unit: str
    exponential: bool = False

    @property
    def per_item(self) -> Float[Tensor, " item"]:
        """The figure of each item by itself; NaN where it has no weight."""
        return self.finish(self.totals / self.weights)

    @property
    def value(self) -> float:
        return self.finish(self.totals.sum() / self.weights.sum()).item()

    def finish(self, ratio: Tensor) -> Tensor:
        return ratio.clamp_max(LARGEST_LOSS).exp() if self.exponential else ratio

    def resampled(self, draws: Float[Tensor, "resample item"]) -> Float[Tensor, " resample"]:
        """The figure on each of several resamples of the items."""
        return self.finish((draws @ self.totals) / (draws @ self.weights))

    def interval(self, *, n: int = 1000, seed: int) -> Interval:
        """The figure with its bootstrap 95 % interval over the items.

        Where every item stands at 0, or every one at 1, resampling moves nothing: the interval is Wilson's.
        """
        counted = self.totals[self.weights > 0] / self.weights[self.weights > 0]
        if not self.exponential and len(counted) and ((counted == 0).all() or (counted == 1).all()):
            return wilson(int(counted.sum()), len(counted))
        draws = resampling_weights(len(self.totals), n=n, seed=seed).double()
        return self._interval(self.value, self.resampled(draws))

    def change_to(self, after: Measure, *, n: int = 1000, seed: int) -> Interval:
        """How the figure changes from this condition to another on the same items, drawn again together.

        A perplexity's change is the ratio after / before, any other's the difference after - before.
        """
        if len(self.totals) != len(after.totals) or self.exponential != after.exponential:
            raise ValueError("Only the same measure of the same items can be compared.")
        draws = resampling_weights(len(self.totals), n=n, seed=seed).double()
        before_draws, after_draws = self.resampled(draws), after.resampled(draws)
        if self.exponential:
            return self._interval(after.value / self.value, after_draws / before_draws)
        return self._interval(after.value - self.value, after_draws - before_draws)

    def _interval(self, value: float, draws: Float[Tensor, " resample"]) -> Interval:
        """The interval over the resamples that have a figure; says so where some are of empty items alone."""
        empty = int(draws.isnan().sum())
        if empty:
            some = int((self.weights > 0).sum())
            warnings.warn(
                f"{self.unit}: only {some} of {len(self.weights)} items hold anything to measure, so that "
                f"{empty} of {len(draws)} resamples have no figure. The interval is of the others.",
                stacklevel=3,
            )
        if empty == len(draws) or math.isnan(value):
            return UNDEFINED
        return percentile_interval(value, draws[~draws.isnan()])


def mean_of(values: Float[Tensor, " item"] | Sequence[float], unit: str) -> Measure:
    """The plain mean over items as a measure."""
    values = torch.as_tensor(values, dtype=torch.float64).cpu()
    return Measure(values, torch.ones_like(values), unit)


def mean_of_written(scores: Float[Tensor, " text"], texts: Sequence[str], unit: str) -> Measure:
    """The mean score of the texts that are not empty: an empty one has a score that means nothing."""
    written = torch.tensor([bool(text.strip()) for text in texts], dtype=torch.float64)
    return Measure(scores.double().cpu() * written, written, unit)


def share_of_empty(texts: Sequence[str]) -> Measure:
    """Which share of some texts hold nothing but white space."""
    return mean_of([float(not text.strip()) for text in texts], "share of empty continuations")


def share_above(toxic: np.ndarray, clean: np.ndarray, axis: int = -1) -> np.ndarray:
    """The share of pairs in which the toxic one scores above the clean one; half of the ties count.

    It is Mann and Whitney's U over the number of pairs, and the area under the ROC curve.
    """
    first, second = toxic.shape[axis], clean.shape[axis]
    ranks = scipy.stats.rankdata(np.concatenate([toxic, clean], axis=axis), axis=axis)
    of_toxic = np.take(ranks, np.arange(first), axis=axis).sum(axis=axis)
    return np.asarray((of_toxic - first * (first + 1) / 2) / (first * second))


def perplexity(
    model: LanguageModel,
    tokens: Int[Tensor, " token"],
    *,
    window: int | None = None,
    batch_size: int,
) -> Measure:
    """Perplexity of running text, read in disjoint windows; the items are the windows.

    Each token but the first of its window is predicted once, and all count the same, also those of a shorter
    last window: e to the mean loss over tokens. (The published code takes the mean over a window's 1,023
    predictions but weighs it with 1,024.)

    Args:
        window: tokens per window. If None the model's context; half of a text that is shorter than two of
            those, since an interval wants two items.

    Raises:
        ValueError: fewer than two tokens, or a window that the model cannot read.
    """
    if window is None:
        window = max(2, min(model.context, -(-len(tokens) // 2)))
    if not 2 <= window <= model.context:
        raise ValueError(f"A window must have 2 to {model.context} tokens for {model.name}, not {window}.")
    windows = [part for part in tokens.cpu().split(window) if len(part) > 1]
    if not windows:
        raise ValueError("Perplexity wants at least two tokens of text.")
    losses = continuation_losses(model, windows, [1] * len(windows), batch_size=batch_size)
    predicted = torch.tensor([len(part) - 1.0 for part in windows], dtype=torch.float64)
    return Measure(losses, predicted, "perplexity", exponential=True)


def fluency(judge: LanguageModel, continuations: Continuations, *, batch_size: int) -> Measure:
    """The judge's perplexity of continuations given their prompts; the items are the prompts.

    The judge is the base model as it was before any intervention: hooks on it are lifted meanwhile, so it may
    be the very model whose text is judged. Text after an end-of-text token is left out, as it is from
    scoring; where nothing is left of any continuation, the figure is NaN.
    """
    lengths = continuations.mask.sum(dim=-1).tolist()
    rows = [
        torch.tensor([*prompt, *new[:length].tolist()])
        for prompt, new, length in zip(continuations.prompt_ids, continuations.ids, lengths, strict=True)
    ]
    starts = [len(prompt) for prompt in continuations.prompt_ids]
    with unhooked(judge):
        losses = continuation_losses(judge, rows, starts, batch_size=batch_size)
    judged = torch.tensor(lengths, dtype=torch.float64)
    return Measure(losses, judged, f"perplexity under {judge.name}", exponential=True)


@torch.no_grad()
def continuation_losses(
    model: LanguageModel, rows: Sequence[Int[Tensor, " _"]], starts: Sequence[int], *, batch_size: int
) -> Float[Tensor, " row"]:
    """Summed loss in nats (float64, on the CPU) of each row's tokens from its start on, given the rest.

    Fewer rows than `batch_size` are read at once where their logits would take more than `LOGITS_BYTES`.
    """
    widest = max(map(len, rows)) * model.vocab_size * 4  # float32
    batch_size = min(batch_size, max(1, LOGITS_BYTES // widest))
    order = sorted(range(len(rows)), key=lambda row: (-len(rows[row]), row))

    def run(size: int) -> Float[Tensor, " row"]:
        losses = torch.zeros(len(rows), dtype=torch.float64)
        for first in range(0, len(order), size):
            batch = order[first : first + size]
            tokens = pad([rows[row] for row in batch], model.tokenizer.eos_token_id)
            logits = model.logits(tokens.to(model.device))
            # Row by row: the loss of a whole batch at once would hold the logits a second time.
            for row, row_logits in zip(batch, logits, strict=True):
                predicted = row_logits[starts[row] - 1 : len(rows[row]) - 1]
                target = rows[row][starts[row] :].to(model.device)
                losses[row] = F.cross_entropy(predicted, target, reduction="none").double().sum()
        return losses

    losses = with_batch_halving(run, batch_size)
    if not losses.isfinite().all():
        raise FloatingPointError(
            f"{model.name} gave losses that are not finite: an intervention is too strong, "
            "or the weights hold NaN."
        )
    return losses


@contextlib.contextmanager
def unhooked(model: LanguageModel) -> Iterator[LanguageModel]:
    """Lifts every forward hook off a model and puts them back, in order, on exit.

    The registries of PyTorch are emptied in place, because the handles that remove hooks point to them.
    """
    registries = [
        registry
        for module in {*model.bridge.modules(), *model.bridge.original_model.modules()}
        for registry in (module._forward_hooks, module._forward_pre_hooks)
        if registry
    ]
    kept = [dict(registry) for registry in registries]
    for registry in registries:
        registry.clear()
    try:
        yield model
    finally:
        for registry, hooks in zip(registries, kept, strict=True):
            registry.update(hooks)


def overlap_f1(predicted: Sequence[int], gold: Sequence[int]) -> float:
    """F1 of two bags of token ids: the harmonic mean of the shares of each that is found in the other.

    Example:
        >>> overlap_f1([1, 1, 2], [1, 2, 3])
        0.6666666666666666
    """
    shared = sum((Counter(predicted) & Counter(gold)).values())
    return 2 * shared / (len(predicted) + len(gold)) if shared else 0.0


def repetition(text: str) -> float:
    """1 - distinct / all word bigrams of a text: 0 for no repetition. Fewer than two words cannot repeat.

    Words are runs of letters and digits in lower case, as in Yang et al. 2024 (who measure it on prompts from
    Wikipedia; here it is measured on the toxicity prompts' continuations).

    Example:
        >>> repetition("No, no. NO no!")
        0.6666666666666667
    """
    words = re.findall(r"\w+", text.lower())
    pairs = list(zip(words, words[1:], strict=False))
    return 1 - len(set(pairs)) / len(pairs) if pairs else 0.0
