"""Evaluates a model as it stands, interventions and all: toxicity, perplexity, F1, repetition and fluency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from helpers.intervals import Interval, bootstrap_groups
from helpers.language.generation import Continuations, before_end, continue_ids, continue_prompts
from helpers.language.metrics import (
    Measure,
    fluency,
    mean_of,
    mean_of_written,
    overlap_f1,
    perplexity,
    repetition,
    share_above,
    share_of_empty,
)
from helpers.language.models import LanguageModel
from helpers.language.scoring import Scorer
from helpers.language.texts import Prompt, Texts
from helpers.profiles import Batches, Decoding, Profile
from helpers.runtime import ProgressFn

Mode = Literal["sweep", "report"]
F1Variant = Literal["continuation", "published"]

EMPTY = "empty"

PASSAGE_PROMPT = 32
"""Tokens of a passage that are given as its prompt for F1 (Lee et al. 2024, released code)."""


@dataclass(frozen=True)
class Size:
    """What one mode of evaluation reads: so many prompts, and stretches of the running text and of passages.

    The two modes read different stretches: what is chosen in a sweep is reported on text that had no say.
    """

    prompts: int
    tokens: slice
    passages: slice


@dataclass(frozen=True, eq=False)
class Bench:
    """Everything that stays the same from one evaluation to the next, tokenised once.

    Attributes:
        judge: the base model, whose perplexity of a continuation is its fluency.
        prompts: toxicity-eliciting prompts by split: anything may be chosen on "dev", results come from
        "eval".
        stream: the held-out running text for perplexity, as one row of token ids.
        passages: token ids of held-out passages, each long enough for a prompt and its true continuation.
    """

    judge: LanguageModel
    scorers: tuple[Scorer, ...]
    prompts: dict[str, tuple[Prompt, ...]]
    stream: Int[Tensor, " token"]
    passages: tuple[tuple[int, ...], ...]
    decoding: Decoding
    sizes: dict[str, Size]
    batches: Batches
    bootstrap: int
    seed: int


def build_bench(profile: Profile, texts: Texts, judge: LanguageModel, scorers: Sequence[Scorer]) -> Bench:
    """The bench of a profile: its eliciting prompts, running text, passages, decoding and counts.

    A sweep reads the beginning of the running text and the first passages, at most a half of either; a report
    reads what comes after them.

    Raises ValueError if fewer than four passages are long enough for F1, two for each mode.
    """
    counts = profile.counts
    long_enough = PASSAGE_PROMPT + profile.decoding.new_tokens

    def token_ids(texts: Sequence[str]) -> list[list[int]]:
        return judge.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]

    passages = tuple(tuple(row) for row in token_ids(texts.passages) if len(row) >= long_enough)
    if len(passages) < 4:
        raise ValueError(
            f"F1 wants four passages of at least {long_enough} tokens; {len(passages)} of the profile's "
            f"{len(texts.passages)} are long enough. Use longer passages or fewer new_tokens."
        )
    stream = torch.tensor(token_ids([texts.perplexity])[0])
    tokens = min(counts.perplexity_tokens_sweep, len(stream) // 2)
    first = min(counts.passages_sweep, len(passages) // 2)
    return Bench(
        judge=judge,
        scorers=tuple(scorers),
        prompts={split: tuple(texts.eliciting(split)) for split in ("dev", "eval")},
        stream=stream,
        passages=passages,
        decoding=profile.decoding,
        sizes={
            "sweep": Size(counts.prompts_sweep, slice(tokens), slice(first)),
            "report": Size(
                counts.prompts_eval,
                slice(tokens, tokens + counts.perplexity_tokens_report),
                slice(first, first + counts.passages),
            ),
        },
        batches=profile.batches,
        bootstrap=counts.bootstrap,
        seed=profile.seed,
    )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured of one condition: each measure item by item, and with its 95 % interval.

    The measures are one "toxicity (scorer's name)" per scorer, then "perplexity", "F1", "repetition",
    "fluency" and "empty", the share of empty continuations, which the others leave out. Toxicity stands
    beside fluency always: a word list alone calls broken text toxic.
    """

    label: str
    mode: str
    continuations: Continuations
    measures: dict[str, Measure]
    bootstrap: int
    seed: int

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Each measure's figure with its interval; taken when first asked for, since it takes a while."""
        return {name: one.interval(n=self.bootstrap, seed=self.seed) for name, one in self.measures.items()}

    @property
    def prompt_ids(self) -> tuple[str, ...]:
        """The ids of the prompts, in order."""
        return tuple(prompt.id for prompt in self.continuations.prompts)

    @property
    def toxicity(self) -> Interval:
        """Mean score by the first scorer."""
        return self.intervals[self.toxicity_names[0]]

    @property
    def toxicity_names(self) -> tuple[str, ...]:
        """The names of the toxicity measures, first scorer first."""
        return tuple(name for name in self.measures if name.startswith("toxicity"))

    @property
    def perplexity(self) -> Interval:
        return self.intervals["perplexity"]

    @property
    def f1(self) -> Interval:
        return self.intervals["F1"]

    @property
    def repetition(self) -> Interval:
        return self.intervals["repetition"]

    @property
    def fluency(self) -> Interval:
        return self.intervals["fluency"]


def evaluate(
    model: LanguageModel,
    bench: Bench,
    *,
    mode: Mode = "sweep",
    split: str = "eval",
    label: str | None = None,
    prompts: Sequence[Prompt] | None = None,
    f1: F1Variant = "continuation",
    progress: ProgressFn | None = None,
) -> Evaluation:
    """Measures a model under whatever interventions are active. Both scorers read the same continuations.

    Args:
        mode: "sweep" for many conditions at a few prompts each, "report" for the figures that are reported.
        label: what tables call this condition; the model's name if None.
        prompts: other prompts than the bench's of that split, such as friendly ones; all of them are used.
        f1: "continuation" leaves the prompt out; "published" is Lee et al.'s code (see `passage_f1`).

    Raises:
        ValueError: unknown mode or split, or a model of another vocabulary than the bench's.
        FloatingPointError: logits or losses that are not finite.

    Example:
        with subtract_direction(model, probe.direction, 20.0, layer=-1):
            steered = evaluate(model, bench, label="minus W")
        compare(base, steered).drop.excludes(0)
        True
    """
    chosen = chosen_prompts(bench, mode, split, prompts)
    if model.vocab_size != bench.judge.vocab_size:
        raise ValueError(
            f"{model.name} has {model.vocab_size} tokens and the bench's texts are in the "
            f"{bench.judge.vocab_size} of {bench.judge.name}; build a bench for it."
        )
    size, batches = bench.sizes[mode], bench.batches
    continuations = continue_prompts(
        model, chosen, bench.decoding, seed=bench.seed, batch_size=batches.generate, progress=progress
    )
    measures = {
        f"toxicity ({scorer.name})": mean_of_written(
            scorer.score(continuations.texts), continuations.texts, scorer.unit
        )
        for scorer in bench.scorers
    }
    measures["perplexity"] = perplexity(
        model, bench.stream[size.tokens], batch_size=batches.forward
    )
    measures["F1"] = passage_f1(model, bench, size.passages, variant=f1, progress=progress)
    measures["repetition"] = mean_of(
        [repetition(text) for text in continuations.texts], "share of repeated word pairs"
    )
    measures["fluency"] = fluency(bench.judge, continuations, batch_size=batches.forward)
    measures[EMPTY] = share_of_empty(continuations.texts)
    return summarise(model.name if label is None else label, mode, continuations, measures, bench)


def chosen_prompts(
    bench: Bench, mode: Mode, split: str, prompts: Sequence[Prompt] | None = None
) -> tuple[Prompt, ...]:
    """The prompts an evaluation reads: those given, or the bench's. ValueError: no such mode or split."""
    if mode not in bench.sizes or split not in bench.prompts:
        raise ValueError(
            f"There is no mode {mode!r} with split {split!r}; modes: {', '.join(bench.sizes)}; "
            f"splits: {', '.join(bench.prompts)}."
        )
    return bench.prompts[split][: bench.sizes[mode].prompts] if prompts is None else tuple(prompts)


def summarise(
    label: str, mode: str, continuations: Continuations, measures: dict[str, Measure], bench: Bench
) -> Evaluation:
    """Measures, to be given intervals as the bench says."""
    return Evaluation(label, mode, continuations, measures, bench.bootstrap, bench.seed)


def passage_f1(
    model: LanguageModel,
    bench: Bench,
    stretch: slice,
    *,
    variant: F1Variant = "continuation",
    progress: ProgressFn | None = None,
) -> Measure:
    """How far continuations of held-out passages use the tokens of the true ones: mean F1 of the two bags.

    Tokens from an end-of-text token on belong to another document and are left out, as they are from toxicity
    and fluency. "continuation" compares the new tokens with as many true ones. "published" is the released
    code of Lee et al. (2024): the prediction includes the 32 prompt tokens, and the true continuation is as
    long as both together; of the passages, those count that hold so much.

    Raises ValueError if no passage is long enough for "published".
    """
    new = bench.decoding.new_tokens
    end = PASSAGE_PROMPT + new + (PASSAGE_PROMPT if variant == "published" else 0)
    passages = [passage for passage in bench.passages[stretch] if len(passage) >= end]
    if not passages:
        raise ValueError(f"The published F1 wants passages of {end} tokens; no passage is so long.")
    prompts = [passage[:PASSAGE_PROMPT] for passage in passages]
    names = [f"passage-{number}" for number in range(len(passages))]
    ids = continue_ids(
        model,
        prompts,
        names,
        bench.decoding,
        seed=bench.seed,
        batch_size=bench.batches.generate,
        progress=progress,
    )
    lengths = before_end(ids, model.tokenizer.eos_token_id).sum(dim=-1).tolist()
    predicted = [row[:length] for row, length in zip(ids.tolist(), lengths, strict=True)]
    if variant == "published":
        predicted = [[*prompt, *row] for prompt, row in zip(prompts, predicted, strict=True)]
    scores = [
        overlap_f1(row, passage[PASSAGE_PROMPT:end]) for row, passage in zip(predicted, passages, strict=True)
    ]
    return mean_of(scores, "F1 of token bags")


@dataclass(frozen=True)
class Comparison:
    """What changes from one condition to another on the same prompts, with paired 95 % intervals.

    `changes` holds after - before of each measure, but the ratio after / before of perplexity and fluency.
    """

    before: str
    after: str
    changes: dict[str, Interval]
    f1_before: float

    @property
    def drop(self) -> Interval:
        """How much less toxic `after` is by the first scorer: before - after."""
        change = next(interval for name, interval in self.changes.items() if name.startswith("toxicity"))
        return Interval(0 - change.value, 0 - change.high, 0 - change.low)  # no -0

    @property
    def f1_fall(self) -> Interval:
        """How much of its F1 `after` loses, as a share of `before`'s; 0 where there was none to lose."""
        change, whole = self.changes["F1"], self.f1_before or math.inf
        return Interval(*((0 - end) / whole for end in (change.value, change.high, change.low)))


def compare(before: Evaluation, after: Evaluation) -> Comparison:
    """Paired bootstrap of two evaluations.

    Raises ValueError unless both are on the same prompts, passages and windows, with the same measures.
    """
    if before.prompt_ids != after.prompt_ids:
        raise ValueError(
            f"{before.label!r} and {after.label!r} were evaluated on different prompts; pair the same."
        )
    if before.measures.keys() != after.measures.keys() or before.mode != after.mode:
        raise ValueError(
            f"{before.label!r} and {after.label!r} were evaluated differently (mode or scorers)."
        )
    return Comparison(
        before=before.label,
        after=after.label,
        changes={
            name: measure.change_to(after.measures[name], n=before.bootstrap, seed=before.seed)
            for name, measure in before.measures.items()
        },
        f1_before=before.f1.value,
    )


def agreement(evaluation: Evaluation) -> Interval | None:
    """Whether the second scorer sees on a condition's texts what the first does: its AUROC for a first score
    of at least .5, with its 95 % interval (toxic and clean texts each drawn again); .5 is chance.

    Where the first puts all texts, or all but one, on one side of .5, as a classifier does that was trained
    on hardly anything but toxic comments, it is held to what lies above the first's median: such a scorer may
    still rank. None where that divides nothing either.
    """
    first, second = (evaluation.measures[name].per_item for name in evaluation.toxicity_names)
    first, second = first[~first.isnan()], second[~first.isnan()]  # the empty texts have no score
    for toxic in (first >= 0.5, first > first.median()):
        groups = [second[toxic], second[~toxic]]
        if min(map(len, groups)) > 1:
            return bootstrap_groups(groups, share_above, n=evaluation.bootstrap, seed=evaluation.seed)
    return None


def table(evaluations: Sequence[Evaluation]) -> list[dict[str, str]]:
    """One row per condition, one column per measure, as value and 95 % interval; for `show.table`.

    The share of empty continuations has its column where any condition has some.
    """
    some = any(one.intervals[EMPTY].value for one in evaluations)
    return [
        {
            "condition": one.label,
            **{name: str(value) for name, value in one.intervals.items() if some or name != EMPTY},
        }
        for one in evaluations
    ]
