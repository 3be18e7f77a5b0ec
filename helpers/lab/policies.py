"""Tuned policies as notebooks 05 on share them: trained once, chosen on development data, then read back."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from jaxtyping import Int
from torch import Tensor
from transformers import GPT2LMHeadModel

from helpers.alignment.runs import TrainingRun, Watch, read_run
from helpers.artifacts import Declared
from helpers.lab.pairs import Pairs, Recipe, enough_of, held_back
from helpers.lab.workbench import Workbench
from helpers.language.generation import continue_prompts
from helpers.language.metrics import mean_of_written, perplexity, share_of_empty
from helpers.language.models import LanguageModel, booted, load_model
from helpers.language.texts import Pair, Prompt
from helpers.profiles import DPO

Policy = Literal["matched", "strong", "fine-tuned", "random direction", "rejection sampling"]
"""The last three are controls of one of the first two, trained for as many steps."""

Chosen = Literal["matched", "strong"]

SAMPLED_PROMPTS = 300
"""How many prompts pairs are sampled from without steering (notebook 04 samples from the same)."""


@dataclass(frozen=True)
class Training:
    """What is asked of a training run; the last `valid` pairs validate."""

    pairs: tuple[Pair, ...]
    valid: int
    settings: DPO
    seed: int
    objective: Literal["dpo", "sft"]
    stop_early: bool
    watch: Watch | None = field(default=None, compare=False)


def _run_key(policies: Policies, asked: Training) -> Mapping[str, Any]:
    at = policies.at
    return {
        "model": at.profile.model,
        "pairs": [[pair.prompt, pair.chosen, pair.rejected] for pair in asked.pairs],
        "valid": asked.valid,
        # Which seeds a profile lists is no setting of any one run.
        "settings": asked.settings.model_copy(update={"seeds": (asked.seed,)}),
        "objective": asked.objective,
        "stop_early": asked.stop_early,
        "looks": {
            "scorer": at.scorer_keys[0], "decoding": at.profile.decoding, "seed": at.profile.seed,
            "bootstrap": at.profile.counts.bootstrap, "stream": policies.dev_stream,
            "prompts": [[prompt.id, prompt.text] for prompt in policies.dev_prompts],
        },
    }  # fmt: skip


def _run(folder: Path, policies: Policies, asked: Training) -> None:
    from helpers.alignment.dpo import train  # brings TRL, which only a run that trains should wait for

    at = policies.at
    train(
        at.profile.model, asked.pairs[: -asked.valid], asked.pairs[-asked.valid :], asked.settings, folder,
        work=at.store.work_folder(RUN.kind, RUN.ingredients(policies, asked)), seed=asked.seed,
        device=at.device, micro_batch=at.profile.batches.train, objective=asked.objective,
        probe_dev=policies.measure_dev, base_dev=policies.base_dev, watch=asked.watch,
        stop_early=asked.stop_early,
    )  # fmt: skip
    gc.collect()  # a trainer and its callbacks refer to each other: four times the weights, run after run


RUN = Declared("policies", 3, _run_key, _run)
"""A finished training run: its history, its looks at development data, the weights kept for a role."""


@dataclass(frozen=True, eq=False)
class Policies:
    """The stage of notebook 05: training runs and the policies chosen from them."""

    enough: ClassVar[float] = 0.30
    """The first source of pairs is the main one if training on it lowers dev toxicity by this share."""

    at: Workbench
    pairs: Pairs
    _loaded: dict[tuple[str, int, str], LanguageModel] = field(default_factory=dict, repr=False)

    def load(
        self, name: Policy, *, seed: int | None = None, like: Chosen = "matched"
    ) -> LanguageModel:
        """A policy of the main recipe, trained first if need be.

        Args:
            name: "matched", which later notebooks analyse: dev toxicity nearest the papers' share of base's;
                "strong": lowest dev toxicity within the ceiling of perplexity; the controls: "fine-tuned",
                likelihood of the chosen texts alone; "random direction", DPO on the same prompts and chosen
                texts with rejected ones steered along a random direction; "rejection sampling", DPO on pairs
                that nothing steered.
            seed: of the training; None takes the profile's first.
            like: the policy that a control takes as many steps as.
        """
        first = self.at.profile.dpo.seeds[0]
        seed = first if seed is None else seed
        chosen = name in ("matched", "strong")
        like = name if chosen else like  # type: ignore[assignment]
        if (name, seed, like) not in self._loaded:
            shown = name if like in (name, "matched") else f"{name}, as long as {like}"
            shown = shown if seed == first else f"{shown}, seed {seed}"
            run, role = (self._main(seed), name) if chosen else (self._control(name, seed, like), "last")
            self._loaded[name, seed, like] = self.open(run, role, name=shown)
        return self._loaded[name, seed, like]

    @contextlib.contextmanager
    def opened(
        self, name: Policy, *, seed: int | None = None, like: Chosen = "matched"
    ) -> Iterator[LanguageModel]:
        """The same for the time of a `with`: policies that are looked at in turn need the memory of one.

        What `load` gave before stays as it is.
        """
        before = set(self._loaded)
        model = self.load(name, seed=seed, like=like)
        new = set(self._loaded) - before
        try:
            yield model
        finally:
            for key in new:
                self._loaded.pop(key).let_go()

    def _main(self, seed: int) -> TrainingRun:
        return self.train_on(self.choose_recipe(), seed)

    def _control(self, name: Policy, seed: int, like: Chosen) -> TrainingRun:
        run, pairs = self._main(seed), self.pairs.craft(self.choose_recipe()).kept
        run.policy(like)  # says what to do where the run has no such policy
        steps = run.roles[like]
        # Nothing is chosen among its looks: one at the end is enough.
        settings = self.at.profile.dpo.model_copy(update={"max_steps": steps, "evaluate_every": steps})
        if name == "random direction":
            pairs = self.pairs.craft_control(pairs).kept
        elif name == "rejection sampling":
            pairs = self.sampled
        objective: Literal["dpo", "sft"] = "sft" if name == "fine-tuned" else "dpo"
        return self.train(pairs, settings, seed=seed, objective=objective, stop_early=False)

    @cached_property
    def sources(self) -> tuple[Recipe, ...]:
        """The profile's sources of pairs that gave enough to train on. Raises ValueError where none did."""
        kept = {recipe: len(self.pairs.craft(recipe).kept) for recipe in self.pairs.sources}
        enough = enough_of(self.at.profile)
        found = tuple(recipe for recipe, number in kept.items() if number >= enough)
        if not found:
            had = ", ".join(f"{recipe} {number}" for recipe, number in kept.items())
            raise ValueError(
                f"Too few pairs to train on ({had}; it takes {enough}: dpo.batch = "
                f"{self.at.profile.dpo.batch} and an eighth for validation). Lower pair_filter.least_gap or "
                'set pair_filter.scale = "quantile", raise counts.pair_prompts or counts.pairs, lower '
                "dpo.batch, or import pairs under data.pairs."
            )
        return found

    @cached_property
    def sampled(self) -> tuple[Pair, ...]:
        """Pairs that nothing steered, for the control of that name; none where too few to train on."""
        if not self.at.texts.eliciting("pair"):
            return ()
        kept = self.pairs.craft("rejection sampling", attempts=SAMPLED_PROMPTS).kept
        return kept if len(kept) >= enough_of(self.at.profile) else ()

    def choose_recipe(self) -> Recipe:
        """Where the policies' pairs come from: the first source if it lowers toxicity enough, else the last.

        That is neutral prompts, as published, before hostile ones; or the profile's own pairs in any case. A
        source that gave too few pairs is none.
        """
        return self._recipe

    @cached_property
    def _recipe(self) -> Recipe:
        first, last = self.sources[0], self.sources[-1]
        return first if first == last or self.drop_of(self.train_on(first)) >= self.enough else last

    @staticmethod
    def drop_of(run: TrainingRun) -> float:
        """The largest fall of dev toxicity among a run's admissible looks, as a share of base's, or 0."""
        looks = {look.step: look for look in run.looks}
        base, lowest = looks[0].toxicity, looks.get(run.roles["strong"] or 0)
        if not base or lowest is None or lowest.toxicity is None:
            return 0.0
        return 1 - lowest.toxicity / base

    def train_on(
        self, recipe: Recipe, seed: int | None = None, *, watch: Watch | None = None
    ) -> TrainingRun:
        """The profile's training on a recipe's pairs; None takes the profile's first seed."""
        seed = self.at.profile.dpo.seeds[0] if seed is None else seed
        return self.train(self.pairs.craft(recipe).kept, seed=seed, watch=watch)

    def is_trained(self, seed: int) -> bool:
        """Whether the store has the main recipe's run of a seed."""
        pairs = self.pairs.craft(self.choose_recipe()).kept
        asked = Training(
            tuple(pairs), self.held_back(pairs), self.at.profile.dpo, seed, "dpo", stop_early=True
        )
        return RUN.is_there(self.at.store, self, asked)

    def train(
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
        settings = settings or self.at.profile.dpo
        held = self.held_back(pairs) if valid is None else valid
        if held < 1 or len(pairs) - held < settings.batch:
            raise ValueError(
                f"{len(pairs)} pairs are too few to train on: {held} are held back for validation, and the "
                f"rest must fill a batch of {settings.batch} (dpo.batch). Raise counts.pair_prompts."
            )
        asked = Training(tuple(pairs), held, settings, seed, objective, stop_early, watch)
        return read_run(RUN.folder(self.at.store, self, asked))

    def held_back(self, pairs: Sequence[Pair]) -> int:
        """How many of these pairs, from the end, validate: `counts.pairs_valid`, but at most an eighth."""
        return held_back(len(pairs), self.at.profile.counts.pairs_valid)

    def open(self, run: TrainingRun, role: str, *, name: str | None = None) -> LanguageModel:
        """The weights a run kept for a role, reloaded from disk as a hooked model."""
        return load_model(run.policy(role), device=self.at.device, name=name or role)

    def measure_dev(self, hf: GPT2LMHeadModel) -> dict[str, float]:
        """Toxicity (with the ends of its 95 % interval), perplexity and share of empty continuations of a
        model on the development data.

        It is all that policies are chosen by. The model is taken over and cannot be used afterwards.
        """
        at, bench = self.at, self.at.bench
        with booted(hf, at.base.tokenizer, name="candidate", device=at.device) as model:
            texts = continue_prompts(
                model, self.dev_prompts, bench.decoding, seed=bench.seed, batch_size=bench.batches.generate
            ).texts
            stream = perplexity(model, self.dev_stream, batch_size=bench.batches.forward)
        scores = mean_of_written(at.scorers[0].score(texts), texts, at.scorers[0].unit)
        toxicity = scores.interval(n=bench.bootstrap, seed=bench.seed)
        return {
            "toxicity": toxicity.value, "toxicity_low": toxicity.low, "toxicity_high": toxicity.high,
            "perplexity": stream.value, "empty": share_of_empty(texts).value,
        }  # fmt: skip

    @cached_property
    def base_dev(self) -> dict[str, float]:
        """The same of the base model, measured once for all runs."""
        return self.measure_dev(self.at.load_plain())

    @property
    def dev_prompts(self) -> tuple[Prompt, ...]:
        """The development prompts that a look reads."""
        return self.at.bench.prompts["dev"][: self.at.bench.sizes["sweep"].prompts]

    @property
    def dev_stream(self) -> Int[Tensor, " token"]:
        """The running text that a look reads."""
        return self.at.bench.stream[self.at.bench.sizes["sweep"].tokens]
