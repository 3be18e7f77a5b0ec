"""The workbench that every stage is given: profile, store, device, base model, texts, scorers, evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from transformers import GPT2LMHeadModel

from helpers.artifacts import Store, fingerprint
from helpers.lab import evaluations, worth
from helpers.lab.texts import load_kept_texts
from helpers.language.checks import check_lengths
from helpers.language.evaluation import Bench, Evaluation, Mode, build_bench
from helpers.language.models import LanguageModel, load_hf, load_model
from helpers.language.scoring import Scorer, build_scorer, scorer_ingredients
from helpers.language.texts import Prompt, Texts
from helpers.language.worth import Worth
from helpers.profiles import Profile


@dataclass(frozen=True, eq=False)
class Workbench:
    """What all stages share; each thing is loaded on first use and kept."""

    profile: Profile
    store: Store
    device: torch.device

    @cached_property
    def base(self) -> LanguageModel:
        """The model before preference tuning: raw weights, float32, hooked."""
        model = load_model(self.profile.model, device=self.device, name=self.profile.label)
        check_lengths(self.profile, layers=model.n_layers, context=model.context)
        return model

    @cached_property
    def texts(self) -> Texts:
        """Comments, prompts, pair prompts, plain text and passages, split and disjoint."""
        return load_kept_texts(self.profile, self.store)

    @cached_property
    def scorers(self) -> tuple[Scorer, Scorer]:
        """The first and the second toxicity scorer of the profile."""
        first, second = self.profile.scorers
        return (
            build_scorer(first, self.texts, self.profile, self.device),
            build_scorer(second, self.texts, self.profile, self.device),
        )

    @cached_property
    def scorer_keys(self) -> tuple[str, str]:
        """What stands for the scorers in the key of an artifact that holds scores."""
        first, second = self.profile.scorers
        return (
            fingerprint(scorer_ingredients(first, self.texts, self.profile)),
            fingerprint(scorer_ingredients(second, self.texts, self.profile)),
        )

    @cached_property
    def worth(self) -> tuple[Worth, ...]:
        """What the scorers are worth on texts like the profile's, first scorer first."""
        return worth.load(self)

    @cached_property
    def bench(self) -> Bench:
        """Prompts, passages, running text and scorers that every condition is measured on."""
        return build_bench(self.profile, self.texts, self.base, self.scorers)

    def evaluate(
        self,
        label: str,
        *,
        model: LanguageModel | None = None,
        split: str = "dev",
        mode: Mode = "sweep",
        prompts: Sequence[Prompt] | None = None,
    ) -> Evaluation:
        """Measures the base model, or another one, under whatever interventions are active.

        An evaluation is kept and found again by the weights, the interventions in force and all that it
        reads. Under a hook that no intervention of `helpers.mechanism` put there it is measured anew.
        """
        return evaluations.load(self, label, model or self.base, split, mode, prompts)

    def load_plain(self) -> GPT2LMHeadModel:
        """The base checkpoint once more, as a plain Hugging Face model on the CPU."""
        return load_hf(self.profile.model)[0]
