"""What notebooks 05 on share: tuned policies, made once, then read from the cache."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from jaxtyping import Int
from torch import Tensor
from transformers import GPT2LMHeadModel

from helpers.alignment.dpo import Watch, train
from helpers.alignment.runs import TrainingRun, read_run
from helpers.crafted import Crafted, Recipe
from helpers.language.evaluation import Bench
from helpers.language.generation import continue_prompts
from helpers.language.metrics import mean_of, perplexity
from helpers.language.models import LanguageModel, boot, load_hf, load_model
from helpers.language.texts import Pair, Prompt
from helpers.profiles import DPO

ENOUGH = 0.30
"""The first source of pairs is the main one if training on it lowers dev toxicity by this share."""


class Aligned(Crafted):
    """The part of a lab that trains policies on pairs."""

    @property
    @abstractmethod
    def bench(self) -> Bench:
        """What every condition is measured on."""

    def held_back(self, pairs: Sequence[Pair]) -> int:
        """How many of these pairs, from the end, validate: `counts.pairs_valid`, but at most an eighth."""
        return min(self.profile.counts.pairs_valid, len(pairs) // 8)

    def trained(
        self,
        pairs: Sequence[Pair],
        settings: DPO | None = None,
        *,
        seed: int,
        valid: int | None = None,
        objective: Literal["dpo", "sft"] = "dpo",
        stop_early: bool = True,
        watch: Watch | None = None,
    ) -> TrainingRun:
        """A training run on pairs, the last `valid` of them for validation. Interrupted, it goes on.

        Where `valid` is None, `held_back` says how many.

        Raises ValueError if what is left does not fill a batch.
        """
        settings = settings or self.profile.dpo
        held = self.held_back(pairs) if valid is None else valid
        if held < 1 or len(pairs) - held < settings.batch:
            raise ValueError(
                f"{len(pairs)} pairs are too few to train on: {held} are held back for validation, and the "
                f"rest must fill a batch of {settings.batch} (dpo.batch). Raise counts.pair_prompts."
            )
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
                probe_dev=self.measure_dev, base_dev=self._base_dev, watch=watch, stop_early=stop_early,
            )  # fmt: skip

        return read_run(self.store.folder("policies", ingredients, build))

    def measure_dev(self, hf: GPT2LMHeadModel) -> dict[str, float]:
        """Toxicity (with the ends of its 95 % interval) and perplexity of a model on the development data.

        It is all that policies are chosen by.
        """
        model, bench = boot(hf, self.base.tokenizer, name="candidate", device=self.base.device), self.bench
        texts = continue_prompts(
            model, self._dev_prompts, bench.decoding, seed=bench.seed, batch_size=bench.batches.generate
        ).texts
        scores = mean_of(self.scorers[0].score(texts), self.scorers[0].unit)
        toxicity = scores.interval(n=bench.bootstrap, seed=bench.seed)
        stream = perplexity(model, self._dev_stream, batch_size=bench.batches.forward)
        return {
            "toxicity": toxicity.value, "toxicity_low": toxicity.low, "toxicity_high": toxicity.high,
            "perplexity": stream.value,
        }  # fmt: skip

    @cached_property
    def _base_dev(self) -> dict[str, float]:
        return self.measure_dev(load_hf(self.profile.model)[0])

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
        """Where the policies' pairs come from: the first source if it lowers toxicity enough, else the last.

        That is neutral prompts, as published, before hostile ones; or the profile's own pairs in any case.
        """
        first, last = self.pair_sources[0], self.pair_sources[-1]
        return first if first == last or drop_of(self.run_on(first)) >= ENOUGH else last

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


def drop_of(run: TrainingRun) -> float:
    """The largest fall of dev toxicity among a run's admissible looks, as a share of base's; 0 if none."""
    looks = {look.step: look for look in run.looks}
    base, lowest = looks[0].toxicity, looks.get(run.roles["strong"] or 0)
    if not base or lowest is None or lowest.toxicity is None:
        return 0.0
    return 1 - lowest.toxicity / base
