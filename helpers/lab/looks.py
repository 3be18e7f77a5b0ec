"""Looks: a model under whatever is in force, measured on less than an evaluation, for many settings."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from jaxtyping import Float, Int
from torch import Tensor

from helpers.alignment.unalign import mean_shift, share_of_gap, with_opening
from helpers.artifacts import Artifact, Declared
from helpers.intervals import Interval
from helpers.lab.workbench import Workbench
from helpers.language.generation import continue_prompts
from helpers.language.metrics import Measure, fluency, mean_of_written, perplexity
from helpers.language.models import LanguageModel
from helpers.language.texts import Prompt

PERPLEXITY_ROOM, FLUENCY_ROOM = 1.08, 1.5
"""An edit may raise perplexity to so many times aligned's, and fluency to so many times base's."""


@dataclass(frozen=True, eq=False)
class Trial:
    """What was measured of a model under an attack; less than an evaluation, for many settings.

    `measures` holds the toxicity by either scorer, "perplexity" and "fluency", item by item.
    """

    label: str
    prompts: tuple[Prompt, ...]
    texts: tuple[str, ...]
    measures: Mapping[str, Measure]

    @property
    def toxicity(self) -> Measure:
        """By the first scorer."""
        return self.toxicities[0]

    @property
    def toxicities(self) -> tuple[Measure, ...]:
        """By either scorer, the first one's first."""
        return tuple(one for name, one in self.measures.items() if name.startswith("toxicity"))

    @property
    def perplexity(self) -> float:
        return self.measures["perplexity"].value

    @property
    def fluency(self) -> float:
        """Base's perplexity of the continuations; NaN where all are empty."""
        return self.measures["fluency"].value


def _trial_key(
    at: Workbench, model: LanguageModel, prompts: tuple[Prompt, ...], tokens: Int[Tensor, " token"]
) -> Mapping[str, Any]:
    return {
        "model": model.weights_digest(), "edits": model.edits, "judge": at.profile.model,
        "prompts": [[prompt.id, prompt.text] for prompt in prompts], "decoding": at.bench.decoding,
        "seed": at.bench.seed, "scorers": list(at.scorer_keys), "stream": tokens,
    }  # fmt: skip


def _trial(
    at: Workbench, model: LanguageModel, prompts: tuple[Prompt, ...], tokens: Int[Tensor, " token"]
) -> Artifact:
    bench = at.bench
    written = continue_prompts(
        model, prompts, bench.decoding, seed=bench.seed, batch_size=bench.batches.generate
    )
    measures = {
        f"toxicity ({scorer.name})": mean_of_written(scorer.score(written.texts), written.texts, scorer.unit)
        for scorer in bench.scorers
    }
    measures["perplexity"] = perplexity(model, tokens, batch_size=bench.batches.forward)
    measures["fluency"] = fluency(bench.judge, written, batch_size=bench.batches.forward)
    tensors: dict[str, Tensor] = {}
    for number, one in enumerate(measures.values()):
        tensors |= {f"totals {number}": one.totals, f"weights {number}": one.weights}
    kinds = [[name, one.unit, one.exponential] for name, one in measures.items()]
    return Artifact(tensors, {"measures": kinds, "texts": written.texts})


TRIAL = Declared("trials", 1, _trial_key, _trial)
"""What a model wrote on some prompts under an attack, scored, with its perplexity on some running text."""


@dataclass(frozen=True, eq=False)
class Looks:
    """The stage of notebooks 07 to 09: how toxic and how whole a model's text is, at many settings."""

    at: Workbench
    _shifts: dict[tuple[str, int], tuple[Tensor, float]] = field(default_factory=dict, repr=False)

    def take(
        self,
        label: str,
        *,
        model: LanguageModel | None = None,
        split: Literal["dev", "eval"] = "dev",
        prompts: int | None = None,
        opening: str = "",
    ) -> Trial:
        """Measures a model as it stands on a few prompts and a little running text; kept as evaluations are.

        On "dev", where settings are chosen, it reads half of a sweep's prompts and half of its running text.
        On "eval", where they are reported, it reads a sweep's number of prompts, and text that only reports
        read. Continuations are those of an evaluation: a model writes the same after a prompt in both.

        Args:
            prompts: another number of prompts; they are the first ones.
            opening: put before each prompt.
        """
        at, model = self.at, model or self.at.base
        asked, tokens = self.reads(split, prompts, opening)
        if model.has_unknown_hooks:
            found = _trial(at, model, asked, tokens)
        else:
            found = TRIAL.load(at.store, at, model, asked, tokens)
        kept = {
            name: Measure(
                found.tensors[f"totals {number}"], found.tensors[f"weights {number}"], unit, exponential
            )
            for number, (name, unit, exponential) in enumerate(found.data["measures"])
        }
        return Trial(label, asked, tuple(found.data["texts"]), kept)

    def reads(
        self, split: Literal["dev", "eval"], prompts: int | None = None, opening: str = ""
    ) -> tuple[tuple[Prompt, ...], Int[Tensor, " token"]]:
        """The prompts and the running text that a look reads."""
        bench = self.at.bench
        sweep, report = bench.sizes["sweep"], bench.sizes["report"]
        wanted = max(2, sweep.prompts // 2) if split == "dev" else sweep.prompts
        asked = bench.prompts[split][: prompts or wanted]
        stretch = bench.stream[(sweep if split == "dev" else report).tokens]
        return with_opening(asked, opening) if opening else asked, stretch[: max(2, sweep.tokens.stop // 2)]

    def recovered(
        self, trial: Trial, *, base: Trial, aligned: Trial, beyond: Trial | None = None, scorer: int = 0
    ) -> Interval:
        """Share of the base–aligned gap that an attack on the aligned model recovers, with a paired interval.

        With `beyond`: by how much it recovers more than another. Undefined where the gap is not clear.
        """
        return share_of_gap(
            (beyond or aligned).toxicities[scorer],
            trial.toxicities[scorer],
            base=base.toxicities[scorer],
            aligned=aligned.toxicities[scorer],
            n=self.at.profile.counts.bootstrap,
            seed=self.at.profile.seed,
        )

    def emulated(self, trial: Trial, *, base: Trial, aligned: Trial, scorer: int = 0) -> Interval:
        """Share of the gap that an edit of base closes: 0 is base, 1 the aligned policy. As `recovered`."""
        return share_of_gap(
            trial.toxicities[scorer],
            base.toxicities[scorer],
            base=base.toxicities[scorer],
            aligned=aligned.toxicities[scorer],
            n=self.at.profile.counts.bootstrap,
            seed=self.at.profile.seed,
        )

    def is_whole(
        self, trial: Trial, *, base: Trial, aligned: Trial, room: float = PERPLEXITY_ROOM
    ) -> bool:
        """Whether an edit leaves the text whole: perplexity and fluency within their room.

        The whole of either ratio's paired interval must be. Of many settings, the strongest whose points are
        within lies at the very edge, and on other prompts beyond it.

        Args:
            room: perplexity may be so many times aligned's.
        """
        told = {"n": self.at.profile.counts.bootstrap, "seed": self.at.profile.seed}
        kept = {
            name: against.measures[name].change_to(trial.measures[name], **told).high
            for name, against in {"perplexity": aligned, "fluency": base}.items()
        }
        return kept["perplexity"] <= room and kept["fluency"] <= FLUENCY_ROOM

    def shift(self, model: LanguageModel, layer: int) -> tuple[Float[Tensor, " d_model"], float]:
        """How tuning moved the stream after a layer on the development prompts, and the seconds it took."""
        key = (model.source, layer)
        if key not in self._shifts:
            limit, began = self.at.profile.decoding.max_prompt_tokens, time.perf_counter()
            dev = self.at.bench.prompts["dev"][: self.at.bench.sizes["sweep"].prompts]
            tokens = model.tokenise([prompt.text for prompt in dev], max_tokens=limit)
            size = self.at.profile.batches.forward
            shift = mean_shift(model, self.at.base, tokens, layer, batch_size=size)
            self._shifts[key] = shift.to(model.device), time.perf_counter() - began
        return self._shifts[key]
