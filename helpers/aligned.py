"""What notebooks 04 on share: crafted pairs and tuned policies, made once, then read from the cache."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import GPT2LMHeadModel

from helpers.alignment.dpo import Watch, train
from helpers.alignment.jsonl import read_pairs, write_pairs
from helpers.alignment.pairs import PairRules, Selection, craft, rejection_sampling, select
from helpers.alignment.pplm import random_direction
from helpers.alignment.runs import TrainingRun, read_run
from helpers.findings import Findings
from helpers.language.evaluation import Bench
from helpers.language.generation import continue_prompts
from helpers.language.metrics import Measure, continuation_losses, perplexity
from helpers.language.models import LanguageModel, boot, load_hf, load_model
from helpers.language.scoring import Scorer
from helpers.language.texts import ELICITING, Pair, Prompt
from helpers.profile_schema import DPO
from helpers.runtime import progress_report
from helpers.store import fingerprint

Recipe = Literal["neutral", "hostile", "random direction", "rejection sampling"]
"""How pairs are made. The first two steer toward the probe, after prompts of one kind; the third is the
control of the first, along random directions; the last steers nothing and sorts samples after hostile
prompts by score."""

RULES: Mapping[str, PairRules] = {
    "neutral": PairRules(least_gap=0.5),
    "hostile": PairRules(least_gap=0.5, most_chosen=0.5),
    "random direction": PairRules(least_gap=0.5),
    "rejection sampling": PairRules(least_gap=0.5, most_chosen=0.5),
}
"""A rejected side must score at least this much more than its chosen side; after hostile prompts the chosen
side must be clean besides, or the pair would teach which of two insults is preferred."""

SAMPLES = 6
"""Continuations per prompt in rejection sampling."""

ENOUGH = 0.30
"""Neutral prompts are the source of pairs if training on them lowers dev toxicity by at least this share."""


class Aligned(Findings):
    """The part of a lab that makes pairs and policies. Whoever inherits provides `bench` and `scorers`."""

    bench: Bench
    scorers: tuple[Scorer, Scorer]

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

    def trained(
        self,
        pairs: Sequence[Pair],
        settings: DPO | None = None,
        *,
        seed: int,
        objective: Literal["dpo", "sft"] = "dpo",
        stop_early: bool = True,
        watch: Watch | None = None,
    ) -> TrainingRun:
        """A training run on pairs, the last `counts.pairs_valid` for validation. Interrupted, it goes on."""
        settings = settings or self.profile.dpo
        held = self.profile.counts.pairs_valid
        if len(pairs) < 2 * held:
            raise ValueError(f"{len(pairs)} pairs are too few to train on with {held} kept for validation.")
        ingredients = {
            "model": self.profile.model, "pairs": [[p.prompt, p.chosen, p.rejected] for p in pairs],
            "valid": held, "settings": settings, "seed": seed, "objective": objective,
            "stop_early": stop_early, "decoding": self.profile.decoding, "scorer": self.profile.scorers[0],
            "dev": [[p.id, p.text] for p in self._dev_prompts], "stream": self._dev_stream,
        }  # fmt: skip
        work = self._work("policies", ingredients)

        def build(folder: Path) -> None:
            train(
                self.profile.model, pairs[:-held], pairs[-held:], settings, folder, work=work, seed=seed,
                device=self.base.device, micro_batch=self.profile.batches.train, objective=objective,
                probe_dev=self.measure_dev, watch=watch, stop_early=stop_early,
            )  # fmt: skip

        return read_run(self.store.folder("policies", ingredients, build))

    def measure_dev(self, hf: GPT2LMHeadModel) -> dict[str, float]:
        """Toxicity and perplexity of a model on the development data: all that policies are chosen by."""
        model, bench = boot(hf, self.base.tokenizer, name="candidate", device=self.base.device), self.bench
        texts = continue_prompts(
            model, self._dev_prompts, bench.decoding, seed=bench.seed, batch_size=bench.batches.generate
        ).texts
        stream = perplexity(model, self._dev_stream, batch_size=bench.batches.forward)
        return {"toxicity": self.scorers[0].score(texts).mean().item(), "perplexity": stream.value}

    @property
    def _dev_prompts(self) -> tuple[Prompt, ...]:
        return self.bench.prompts["dev"][: self.bench.sizes["sweep"].prompts]

    @property
    def _dev_stream(self) -> Int[Tensor, " token"]:
        return self.bench.stream[: self.bench.sizes["sweep"].perplexity_tokens]

    def policy(self, run: TrainingRun, role: str, *, name: str | None = None) -> LanguageModel:
        """The weights a run kept for a role, reloaded from disk as a hooked model."""
        return load_model(run.policy(role), device=self.base.device, name=name or role)

    @cached_property
    def main_recipe(self) -> Recipe:
        """Where the policies' pairs come from: "neutral" if that lowers toxicity enough, else "hostile"."""
        return "neutral" if drop_of(self.run_on("neutral")) >= ENOUGH else "hostile"

    def run_on(self, recipe: Recipe, seed: int | None = None, *, watch: Watch | None = None) -> TrainingRun:
        """The profile's training on a recipe's pairs; None takes the profile's first seed."""
        seed = self.profile.dpo.seeds[0] if seed is None else seed
        return self.trained(self.crafted(recipe).kept, seed=seed, watch=watch)

    @cached_property
    def matched(self) -> LanguageModel:
        """The policy that later notebooks analyse: dev toxicity nearest the papers' share of base's."""
        return self.policy(self.run_on(self.main_recipe), "matched")

    @cached_property
    def strong(self) -> LanguageModel:
        """The policy of lowest dev toxicity within the ceiling of perplexity."""
        return self.policy(self.run_on(self.main_recipe), "strong")

    @cached_property
    def fine_tuned(self) -> LanguageModel:
        """The control: likelihood of the chosen texts alone, for as many steps as *matched* took."""
        steps = self.run_on(self.main_recipe).roles["matched"]
        settings = self.profile.dpo.model_copy(update={"max_steps": steps})
        pairs = self.crafted(self.main_recipe).kept
        run = self.trained(pairs, settings, seed=settings.seeds[0], objective="sft", stop_early=False)
        return self.policy(run, "last", name="fine-tuned")

    def _work(self, kind: str, ingredients: Mapping) -> Path:
        """The private folder of a piece of work, where an interrupted one is found again."""
        return self.store.root / "work" / f"{kind}-{fingerprint(ingredients)}"


def drop_of(run: TrainingRun) -> float:
    """The largest fall of dev toxicity among a run's admissible looks, as a share of base's; 0 if none."""
    looks = {look.step: look for look in run.looks}
    base, lowest = looks[0].toxicity, looks.get(run.roles["strong"] or 0)
    if not base or lowest is None or lowest.toxicity is None:
        return 0.0
    return 1 - lowest.toxicity / base
