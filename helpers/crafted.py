"""What notebooks 04 on share: preference pairs, made once, then read from the cache."""

from __future__ import annotations

import dataclasses
import shutil
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch

from helpers.alignment.jsonl import read_pairs, without_repeated_prompts, write_pairs
from helpers.alignment.pairs import PairRules, Selection, craft, rejection_sampling, scored, select
from helpers.alignment.pplm import random_direction
from helpers.artifacts import fingerprint
from helpers.findings import Findings
from helpers.language.metrics import Measure, continuation_losses
from helpers.language.models import load_hf
from helpers.language.scoring import Scorer
from helpers.language.sources import normal
from helpers.language.texts import ELICITING, Pair, Prompt, load_pairs
from helpers.runtime import progress_report

Recipe = Literal["neutral", "hostile", "random direction", "rejection sampling", "imported"]
"""How pairs are made. The first two steer toward the probe, after prompts of one kind; the third is the
control of the first, along random directions; the fourth steers nothing and sorts samples after hostile
prompts by score. The last makes nothing: the profile names a file of pairs."""

RULES: Mapping[str, PairRules] = {
    "neutral": PairRules(least_gap=0.5),
    "hostile": PairRules(least_gap=0.5, most_chosen=0.5),
    "random direction": PairRules(least_gap=0.5),
    "rejection sampling": PairRules(least_gap=0.5, most_chosen=0.5),
    "imported": PairRules(),
}
"""A rejected side must score at least this much more than its chosen side; after hostile prompts the chosen
side must be clean besides, or the pair would teach which of two insults is preferred. What somebody else
made is taken as it is."""

SAMPLES = 6
"""Continuations per prompt in rejection sampling."""


class Crafted(Findings):
    """The part of a lab that makes pairs."""

    @property
    @abstractmethod
    def scorers(self) -> tuple[Scorer, Scorer]:
        """The first and the second toxicity scorer."""

    @property
    def pair_sources(self) -> tuple[Recipe, ...]:
        """What policies may be trained on: both kinds of prompts, or the profile's own pairs alone."""
        return ("neutral", "hostile") if self.profile.data.pairs is None else ("imported",)

    def pair_prompts(self, recipe: Recipe) -> tuple[Prompt, ...]:
        """The prompts a recipe starts from, cut to their last tokens where they are too long.

        None of them is a development or evaluation prompt. Raises ValueError where the profile has none of
        that kind.
        """
        hostile = recipe in ("hostile", "rejection sampling")
        eliciting = self.texts.eliciting("pair")
        others = tuple(p for p in self.texts.pair_prompts if p.group not in ELICITING)
        chosen = eliciting if hostile else others
        if not chosen:
            raise ValueError(
                f"The profile's pair prompts hold none for the recipe {recipe!r}; they are of the kinds "
                f"{', '.join(sorted({p.group for p in self.texts.pair_prompts}))}."
            )
        pplm, tokenizer = self.profile.pplm, self.base.tokenizer
        room = self.base.context - pplm.new_tokens - pplm.horizon
        limit = min(room, self.profile.dpo.max_prompt_tokens)
        rows = tokenizer([p.text for p in chosen], add_special_tokens=False, verbose=False)["input_ids"]
        cut = [str(tokenizer.decode(row[-limit:])) if len(row) > limit else None for row in rows]
        return tuple(
            prompt if text is None else dataclasses.replace(prompt, text=text)
            for prompt, text in zip(chosen, cut, strict=True)
        )

    def crafted(
        self, recipe: Recipe, *, wanted: int | None = None, attempts: int | None = None, draw: int = 0
    ) -> Selection:
        """Pairs made by a recipe, with every attempt that was dropped and why. Interrupted, it goes on.

        Args:
            wanted: stop once so many are kept; None takes the profile's `counts.pairs`.
            attempts: use the first so many prompts only.
            draw: which random direction, for that recipe.
        """
        if recipe == "imported":
            return self._imported(wanted)
        profile, rules = self.profile, RULES[recipe]
        prompts = self.pair_prompts(recipe)[:attempts]
        wanted = wanted or profile.counts.pairs
        ingredients = {
            "model": profile.model, "prompts": [[p.id, p.text] for p in prompts], "recipe": recipe,
            "draw": draw, "rules": dataclasses.asdict(rules), "wanted": wanted, "seed": profile.seed,
            "pplm": profile.pplm, "decoding": profile.decoding, "scorer": profile.scorers[0],
            "probe": [self.probe.weight, self.probe.bias],
        }  # fmt: skip
        work = self._work("pairs", ingredients)

        def build(folder: Path) -> None:
            with progress_report(f"{recipe}: ") as report:
                if recipe == "rejection sampling":
                    sampled = profile.decoding.model_copy(update={"method": "sample"})
                    made: Sequence[Pair] = rejection_sampling(
                        self.base, prompts, self.scorers[0], sampled, samples=SAMPLES,
                        seed=profile.seed, batch_size=profile.batches.generate, progress=report,
                    )  # fmt: skip
                else:
                    attribute = self.probe
                    if recipe == "random direction":
                        attribute = random_direction(self.probe, profile.seed + draw)
                    hf, tokenizer = load_hf(profile.model)
                    hf.to(self.base.device)  # type: ignore[arg-type]
                    made = craft(
                        hf, tokenizer, prompts, attribute, profile.pplm, work,
                        seed=profile.seed, batch_size=profile.batches.craft, scorer=self.scorers[0],
                        rules=rules, wanted=wanted, progress=report,
                    ).attempts  # fmt: skip
            write_pairs(folder / "attempts.jsonl", made)
            shutil.rmtree(work, ignore_errors=True)

        folder = self.store.folder("pairs", ingredients, build)
        return select(read_pairs(folder / "attempts.jsonl"), None, rules, wanted=wanted)

    def _imported(self, wanted: int | None) -> Selection:
        """The pairs of the profile's file, scored once.

        Raises ValueError if there is no such file, or if a prompt is one that results are measured on.
        """
        profile, rules = self.profile, RULES["imported"]
        if profile.data.pairs is None:
            raise ValueError("The profile names no file of pairs; set data.pairs to import some.")
        pairs = without_repeated_prompts(load_pairs(profile.data.pairs))
        measured_on = {normal(p.text) for p in (*self.texts.prompts_dev, *self.texts.prompts_eval)}
        shared = [pair.id for pair in pairs if normal(pair.prompt) in measured_on]
        if shared:
            raise ValueError(
                f"{len(shared)} imported pairs (the first: {shared[0]!r}) have a development or evaluation "
                "prompt: training would see its test. Take them out of the file."
            )
        texts = [[pair.prompt, pair.chosen, pair.rejected] for pair in pairs]
        ingredients = {"imported": texts, "scorer": profile.scorers[0], "model": profile.model}

        def build(folder: Path) -> None:
            write_pairs(folder / "attempts.jsonl", scored(pairs, self.scorers[0]))

        folder = self.store.folder("pairs", ingredients, build)
        found = read_pairs(folder / "attempts.jsonl")
        return select(found, None, rules, wanted=wanted or profile.counts.pairs)

    def pair_fluency(self, pairs: Sequence[Pair], side: Literal["chosen", "rejected"]) -> Measure:
        """The base model's perplexity of one side of pairs, given their prompts; the items are the pairs."""

        def ids(texts: Sequence[str]) -> list[list[int]]:
            return self.base.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]

        prompts, written = ids([pair.prompt for pair in pairs]), ids([getattr(pair, side) for pair in pairs])
        rows = [torch.tensor(prompt + new) for prompt, new in zip(prompts, written, strict=True)]
        starts, batch = [len(prompt) for prompt in prompts], self.profile.batches.forward
        losses = continuation_losses(self.base, rows, starts, batch_size=batch)
        lengths = torch.tensor([len(new) for new in written], dtype=torch.float64)
        return Measure(losses, lengths, f"perplexity under {self.base.name}", exponential=True)

    def _work(self, kind: str, ingredients: Mapping) -> Path:
        """The private folder of a piece of work, where an interrupted one is found again."""
        return self.store.root / "work" / f"{kind}-{fingerprint(ingredients)}"
