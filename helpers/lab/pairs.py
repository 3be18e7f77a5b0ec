"""Preference pairs as notebooks 04 on share them: crafted once, then read from the cache."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from helpers.alignment.jsonl import read_pairs, without_repeated_prompts, write_pairs
from helpers.alignment.pairs import PairRules, Selection, craft, rejection_sampling, scored, select
from helpers.alignment.pplm import random_direction
from helpers.artifacts import Artifact, Declared
from helpers.lab.measures import Measures
from helpers.lab.workbench import Workbench
from helpers.language.metrics import Measure, continuation_losses
from helpers.language.models import load_hf
from helpers.language.sources import normal
from helpers.language.texts import ELICITING, Pair, Prompt, load_pairs
from helpers.profiles import Profile
from helpers.runtime import progress_report

Recipe = Literal["neutral", "hostile", "random direction", "rejection sampling", "imported"]
"""How pairs are made. The first two steer toward the probe, after prompts of one kind; the third is the
control of the first, along random directions; the fourth steers nothing and sorts samples after hostile
prompts by score. The last makes nothing: the profile names a file of pairs."""


def rules_of(at: Workbench, recipe: Recipe) -> PairRules:
    """What a pair must be to be kept: its rejected side must score so much higher than its chosen side.

    After hostile prompts the chosen side must be clean besides, or the pair would teach which of two insults
    is preferred. What somebody else made is taken as it is.
    """
    if recipe == "imported":
        return PairRules()
    least_gap, most_chosen = thresholds(at)
    hostile = recipe in ("hostile", "rejection sampling")
    return PairRules(least_gap=least_gap, most_chosen=most_chosen if hostile else None)


def thresholds(at: Workbench) -> tuple[float, float]:
    """`pair_filter`'s least gap and highest chosen score, as scores.

    Raises ValueError where a scale by quantile has nothing to go by, because the scores do not spread.
    """
    asked = at.profile.pair_filter
    if asked.scale == "score":
        return asked.least_gap, asked.most_chosen
    base = at.evaluate("base")
    measure = base.measures[base.toxicity_names[0]]
    scores = measure.totals[measure.weights > 0]
    middle = (1 - asked.least_gap) / 2
    places = torch.tensor([middle, 1 - middle, asked.most_chosen], dtype=torch.float64)
    low, high, most = scores.quantile(places).tolist()
    if not high > low:
        raise ValueError(
            f'pair_filter.scale = "quantile": the middle {asked.least_gap:.0%} of the scores that '
            f"{at.scorers[0].name!r} gives {len(scores)} continuations of the base model are all {low:.3g}. "
            'Raise pair_filter.least_gap, or set scale = "score".'
        )
    return high - low, most


SOURCES: tuple[Recipe, ...] = ("neutral", "hostile")
"""The recipes that policies may be trained on where the profile imports no pairs."""

SAMPLES = 6
"""Continuations per prompt in rejection sampling."""

ATTEMPTS = "attempts.jsonl"


def enough_of(profile: Profile) -> int:
    """How many pairs it takes to train: a batch of `dpo.batch` beside those held back for validation."""
    counts, batch = profile.counts, profile.dpo.batch
    return next(n for n in itertools.count(8) if n - held_back(n, counts.pairs_valid) >= batch)


def held_back(pairs: int, valid: int) -> int:
    """How many of so many pairs validate: `valid`, but at most an eighth."""
    return min(valid, pairs // 8)


@dataclass(frozen=True)
class Order:
    """What is asked of a recipe: these prompts, so many pairs, and which random direction."""

    recipe: Recipe
    prompts: tuple[Prompt, ...]
    wanted: int
    draw: int


def _common_key(at: Workbench, order: Order) -> dict[str, Any]:
    return {
        "model": at.profile.model,
        "recipe": order.recipe,
        "prompts": [[prompt.id, prompt.text] for prompt in order.prompts],
        "seed": at.profile.seed,
        "scorer": at.scorer_keys[0],
    }


def _steered_key(at: Workbench, measures: Measures, order: Order) -> Mapping[str, Any]:
    return {
        **_common_key(at, order), "draw": order.draw, "wanted": order.wanted, "pplm": at.profile.pplm,
        "rules": dataclasses.asdict(rules_of(at, order.recipe)), "probe": measures.probe_key(),
        "batch": at.profile.batches.craft,  # crafting stops after the batch in which enough are kept
    }  # fmt: skip


def _steer(folder: Path, at: Workbench, measures: Measures, order: Order) -> None:
    profile, attribute = at.profile, measures.fit_probe()
    if order.recipe == "random direction":
        attribute = random_direction(attribute, profile.seed + order.draw)
    hf, tokenizer = load_hf(profile.model)
    hf.to(at.device)  # type: ignore[arg-type]
    work = at.store.work_folder(STEERED.kind, STEERED.ingredients(at, measures, order))
    with progress_report(f"{order.recipe}: ") as report:
        made = craft(
            hf, tokenizer, order.prompts, attribute, profile.pplm, work, seed=profile.seed,
            batch_size=profile.batches.craft, scorer=at.scorers[0], rules=rules_of(at, order.recipe),
            wanted=order.wanted, enough=enough_of(profile) if order.recipe in SOURCES else 0, progress=report,
        )  # fmt: skip
    write_pairs(folder / ATTEMPTS, made.attempts)
    shutil.rmtree(work, ignore_errors=True)


STEERED = Declared("pairs-steered", 2, _steered_key, _steer)
"""Attempts at pairs by PPLM, scored; an interrupted run goes on from its last batch."""


def _sampled_key(at: Workbench, order: Order) -> Mapping[str, Any]:
    decoding = at.profile.decoding.model_copy(update={"method": "sample"})
    return {
        **_common_key(at, order), "decoding": decoding, "samples": SAMPLES, "threshold": thresholds(at)[1],
    }  # fmt: skip


def _sample(folder: Path, at: Workbench, order: Order) -> None:
    profile = at.profile
    decoding = profile.decoding.model_copy(update={"method": "sample"})
    with progress_report(f"{order.recipe}: ") as report:
        made = rejection_sampling(
            at.base, order.prompts, at.scorers[0], decoding, samples=SAMPLES, seed=profile.seed,
            batch_size=profile.batches.generate, threshold=thresholds(at)[1], progress=report,
        )  # fmt: skip
    write_pairs(folder / ATTEMPTS, made)


SAMPLED = Declared("pairs-sampled", 3, _sampled_key, _sample)
"""Pairs of a clean and a toxic sample after one prompt, scored."""


def _imported_key(at: Workbench, pairs: Sequence[Pair]) -> Mapping[str, Any]:
    texts = [[pair.prompt, pair.chosen, pair.rejected] for pair in pairs]
    return {"pairs": texts, "scorer": at.scorer_keys[0]}


def _score(folder: Path, at: Workbench, pairs: Sequence[Pair]) -> None:
    write_pairs(folder / ATTEMPTS, scored(pairs, at.scorers[0]))


IMPORTED = Declared("pairs-imported", 1, _imported_key, _score)
"""Pairs from the profile's file, scored."""


def _fluency_key(at: Workbench, prompts: Sequence[str], written: Sequence[str]) -> Mapping[str, Any]:
    return {"model": at.profile.model, "prompts": prompts, "written": written}


def _fluency(at: Workbench, prompts: Sequence[str], written: Sequence[str]) -> Artifact:
    def ids(texts: Sequence[str]) -> list[list[int]]:
        return at.base.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]

    before, new = ids(prompts), ids(written)
    # Text that is no language may have more tokens than were written: what the context cannot hold goes.
    new = [other[: at.base.context - len(one)] for one, other in zip(before, new, strict=True)]
    rows = [torch.tensor(one + other) for one, other in zip(before, new, strict=True)]
    starts = [len(row) for row in before]
    losses = continuation_losses(at.base, rows, starts, batch_size=at.profile.batches.forward)
    return Artifact({"losses": losses, "lengths": torch.tensor([len(row) for row in new]).double()})


FLUENCY = Declared("pair-fluency", 2, _fluency_key, _fluency)
"""The base model's loss of one side of pairs, and its tokens, pair by pair."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """The stage of notebook 04: pairs by recipe."""

    at: Workbench
    measures: Measures
    _crafted: dict[tuple[Recipe, int, int | None, int], Selection] = field(default_factory=dict, repr=False)

    @property
    def sources(self) -> tuple[Recipe, ...]:
        """What policies may be trained on: both kinds of prompts, or the profile's own pairs alone."""
        return SOURCES if self.at.profile.data.pairs is None else ("imported",)

    def prompts(self, recipe: Recipe) -> tuple[Prompt, ...]:
        """The prompts a recipe starts from, cut to their last tokens where they are too long.

        None of them is a development or evaluation prompt. Raises ValueError where the profile has none of
        that kind.
        """
        given = self.at.texts.pair_prompts
        hostile = recipe in ("hostile", "rejection sampling")
        chosen = tuple(prompt for prompt in given if (prompt.group in ELICITING) == hostile)
        if not chosen:
            raise ValueError(
                f"The profile's pair prompts hold none for the recipe {recipe!r}; they are of the kinds "
                f"{', '.join(sorted({prompt.group for prompt in given}))}."
            )
        return self._cut(chosen)

    def _cut(self, chosen: Sequence[Prompt]) -> tuple[Prompt, ...]:
        """Prompts, those that are too long to steer and train on without their beginning."""
        pplm, tokenizer = self.at.profile.pplm, self.at.base.tokenizer
        room = self.at.base.context - pplm.new_tokens - pplm.horizon
        limit = min(room, self.at.profile.dpo.max_prompt_tokens)
        rows = tokenizer([p.text for p in chosen], add_special_tokens=False, verbose=False)["input_ids"]
        return tuple(
            prompt
            if len(row) <= limit
            else dataclasses.replace(prompt, text=str(tokenizer.decode(row[-limit:])))
            for prompt, row in zip(chosen, rows, strict=True)
        )

    def craft(
        self, recipe: Recipe, *, wanted: int | None = None, attempts: int | None = None, draw: int = 0
    ) -> Selection:
        """Pairs made by a recipe, with every attempt that was dropped and why. Interrupted, it goes on.

        Args:
            wanted: stop once so many are kept; None takes the profile's `counts.pairs`.
            attempts: use the first so many prompts only.
            draw: which random direction, for that recipe.
        """
        wanted = wanted or self.at.profile.counts.pairs
        asked = (recipe, wanted, attempts, draw)
        if asked not in self._crafted:
            # Every policy asks again, and finding what is in the store reads all prompts and pairs.
            self._crafted[asked] = self._select(recipe, wanted, attempts, draw)
        return self._crafted[asked]

    def _select(self, recipe: Recipe, wanted: int, attempts: int | None, draw: int) -> Selection:
        at = self.at
        if recipe == "imported":
            folder = IMPORTED.folder(at.store, at, self._published())
        else:
            order = Order(recipe, self.prompts(recipe)[:attempts], wanted, draw)
            if recipe == "rejection sampling":
                folder = SAMPLED.folder(at.store, at, order)
            else:
                folder = STEERED.folder(at.store, at, self.measures, order)
        made = read_pairs(folder / ATTEMPTS) if (folder / ATTEMPTS).stat().st_size else ()
        return select(made, None, rules_of(at, recipe), wanted=wanted)

    def craft_control(self, pairs: Sequence[Pair], *, draw: int = 0) -> Selection:
        """The same prompts and chosen sides with rejected sides that were steered along a random direction.

        No score decides which are kept: what training on them does, it does without knowing toxic from clean.
        """
        prompts = self._cut([Prompt(pair.id, pair.prompt, "") for pair in pairs])
        order = Order("random direction", prompts, len(pairs), draw)
        folder = STEERED.folder(self.at.store, self.at, self.measures, order)
        steered = {pair.id: pair.rejected for pair in read_pairs(folder / ATTEMPTS)}
        swapped = [
            dataclasses.replace(pair, rejected=steered[pair.id], scores=None)
            for pair in pairs
            if pair.id in steered  # the rest were not needed: enough random pushes passed the filter
        ]
        return select(swapped, None, PairRules())

    def _published(self) -> tuple[Pair, ...]:
        """The pairs of the profile's file.

        Raises ValueError if there is no such file, or if a prompt is one that results are measured on.
        """
        if self.at.profile.data.pairs is None:
            raise ValueError("The profile names no file of pairs; set data.pairs to import some.")
        pairs, texts = without_repeated_prompts(load_pairs(self.at.profile.data.pairs)), self.at.texts
        measured_on = {normal(prompt.text) for prompt in (*texts.prompts_dev, *texts.prompts_eval)}
        shared = [pair.id for pair in pairs if normal(pair.prompt) in measured_on]
        if shared:
            raise ValueError(
                f"{len(shared)} imported pairs (the first: {shared[0]!r}) have a development or evaluation "
                "prompt: training would see its test. Take them out of the file."
            )
        return tuple(pairs)

    def measure_fluency(self, pairs: Sequence[Pair], side: Literal["chosen", "rejected"]) -> Measure:
        """The base model's perplexity of one side of pairs, given their prompts; the items are the pairs."""
        prompts, written = [pair.prompt for pair in pairs], [getattr(pair, side) for pair in pairs]
        found = FLUENCY.load(self.at.store, self.at, prompts, written).tensors
        unit = f"perplexity under {self.at.base.name}"
        return Measure(found["losses"], found["lengths"], unit, exponential=True)
