"""Statistics of neurons and residual stream, of one model on what one wrote: shared by notebooks 06 to 10."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Bool
from torch import Tensor

from helpers.artifacts import Artifact, Declared
from helpers.lab import evaluations
from helpers.lab.policies import Chosen, Policies, Policy
from helpers.lab.workbench import Workbench
from helpers.language.generation import Continuations
from helpers.language.models import LanguageModel
from helpers.language.tokens import Tokens
from helpers.mechanism.statistics import Statistics, measure_statistics, predicting_positions
from helpers.runtime import progress_report

Reader = Literal["base"] | Policy


def _key(at: Workbench, model: LanguageModel, written: Continuations) -> Mapping[str, Any]:
    return {
        "model": model.weights_digest(), "edits": model.edits,
        "prompts": written.prompt_ids, "ids": written.ids, "mask": written.mask,
    }  # fmt: skip


def _make(at: Workbench, model: LanguageModel, written: Continuations) -> Artifact:
    tokens, counted = predicting_positions(written, at.base.tokenizer.eos_token_id)
    with progress_report(f"{model.name}: ") as report:
        found = measure_statistics(
            model, tokens, counted=counted, batch_size=at.profile.batches.forward, progress=report
        )
    return Artifact(found.tensors())


STATISTICS = Declared("statistics", 3, _key, _make)
"""Means, sums by group of texts, histograms and extremes of a model where texts were written."""


@dataclass(frozen=True, eq=False)
class Readings:
    """The stage of notebook 06: what models do inside while they read what one of them wrote.

    The texts are the continuations of the evaluation prompts that a report measures.
    """

    at: Workbench
    policies: Policies

    def read(
        self,
        name: Reader = "base",
        *,
        on: Reader | None = None,
        like: Chosen = "matched",
        seed: int | None = None,
    ) -> Statistics:
        """The statistics of a model on its own continuations, or on those of another.

        Args:
            name: "base", or a policy of `lab.policies`.
            on: whose continuations it reads; None is its own. On one text every difference between two models
                is the models'; on its own, part of it is that they write other things.
            like: the policy that a control was trained as long as.
            seed: of a policy's training; None takes the profile's first.

        Example:
            lab.statistics.read("matched", on="base").activations
        """
        written = self.written(on or name, like, seed)
        tensors = STATISTICS.load(self.at.store, self.at, self.model(name, like, seed), written).tensors
        return Statistics(**tensors)

    def is_there(self, name: Policy, *, seed: int) -> bool:
        """Whether the store has all that `read` needs of a policy of some seed, so that nothing is made."""
        at = self.at
        if not self.policies.is_trained(seed):
            return False
        model = self.model(name, seed=seed)
        return evaluations.is_there(at, model, "eval", "report") and STATISTICS.is_there(
            at.store, at, model, self.written(name, seed=seed)
        )

    def model(
        self, name: Reader, like: Chosen = "matched", seed: int | None = None
    ) -> LanguageModel:
        """The base model, or a policy."""
        return self.at.base if name == "base" else self.policies.load(name, like=like, seed=seed)

    def written(
        self, name: Reader, like: Chosen = "matched", seed: int | None = None
    ) -> Continuations:
        """What a model wrote after the evaluation prompts, as its report has it."""
        model = self.model(name, like, seed)
        return self.at.evaluate(name, model=model, split="eval", mode="report").continuations

    def texts(
        self, name: Reader, *, seed: int | None = None
    ) -> tuple[Tokens, Bool[Tensor, "text pos"]]:
        """Those texts, prompts included, and the positions that `read` counts."""
        written = self.written(name, seed=seed)
        return predicting_positions(written, self.at.base.tokenizer.eos_token_id)
