"""How much less toxic text becomes, as claims A4, A6 and A12 ask: for any policy, seed and scorer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from helpers.alignment.unalign import share_of_gap
from helpers.intervals import Interval, band_over, share
from helpers.lab.looks import Looks, Trial
from helpers.lab.measures import Measures
from helpers.lab.policies import Chosen, Policies, Policy
from helpers.lab.unalign import Unalign
from helpers.lab.workbench import Workbench
from helpers.language.evaluation import Evaluation, agreement, compare
from helpers.language.models import LanguageModel
from helpers.mechanism.interventions import scale_keys, subtract_direction
from helpers.mechanism.vectors import cosines, svd_directions, top_neurons, vectors_of
from helpers.teaching.claims import Measurement

Found = Mapping[tuple[str, str], Measurement]
"""Measurements by claim and part; a part that cannot be measured on this profile is left out."""

CEILING = 1.075
"""Steering may raise perplexity on development text to so many times base's."""


class Steered(NamedTuple):
    """A direction subtracted at the largest strength in budget, and random ones of the same length."""

    strength: float
    dev_perplexity_ratio: float
    after: Evaluation
    same_length: list[Evaluation]


class Steering(NamedTuple):
    """Base on fresh prompts, random directions at equal perplexity, and each direction of A4."""

    before: Evaluation
    equal_cost: list[Evaluation]
    by_direction: dict[str, Steered]


@dataclass(frozen=True, eq=False)
class Drops:
    """Claims about what a model writes: steered, tuned, un-aligned.

    The policies of all seeds are held against the controls of the profile's first seed: fine-tuning, and DPO
    along a random direction, are not trained anew for each.
    """

    at: Workbench
    measures: Measures
    policies: Policies
    looks: Looks
    unalign: Unalign
    _kept: dict[tuple[str, str | None, int | None, str], Evaluation] = field(default_factory=dict, repr=False)

    # --- A4 ---------------------------------------------------------------------------------------------
    def measure_steering(self, *, scorer: int = 0) -> Found:
        """What claim A4 measures, as notebook 03 does: each direction at its largest strength in budget.

        Args:
            scorer: whose toxicity; strengths are chosen by perplexity, so they are the same for both.
        """
        before, equal_cost, found = self._steering.before, self._steering.equal_cost, {}
        band = self._band(before, equal_cost, scorer)
        for name, one in self._steering.by_direction.items():
            change = compare(before, one.after)
            found["A4", name] = Measurement.of(
                self._drop(before, one.after, scorer),
                "paired drop of toxicity",
                control=self._band(before, one.same_length, scorer),
                strength=one.strength,
                dev_perplexity_ratio=one.dev_perplexity_ratio,
                perplexity_ratio=change.changes["perplexity"].value,
                f1_fall=change.f1_fall.value,
                f1_fall_low=change.f1_fall.low,
                f1_fall_high=change.f1_fall.high,
                equal_perplexity=band.value,
                equal_perplexity_low=band.low,
                equal_perplexity_high=band.high,
            )
        return found

    @cached_property
    def _steering(self) -> Steering:
        base = self.at.evaluate("base", split="dev").perplexity.value
        strengths, randoms = self.at.profile.steering.strengths, self._random_directions
        # Random directions cost less perplexity than the three: longer ones are tried as well.
        wider = (*strengths[1::2], strengths[-1], 1.5 * strengths[-1], 2 * strengths[-1])
        longest = [self._at_the_ceiling(one, wider, base) for one in randoms]
        found = {}
        for name, direction in self._directions.items():
            cost = {one: self._steered(direction, one).perplexity.value / base for one in strengths}
            inside = [one for one, ratio in cost.items() if ratio <= CEILING]
            chosen = max(inside, default=strengths[0])
            found[name] = Steered(
                chosen,
                cost[chosen],
                self._steered(direction, chosen, report=True),
                [self._steered(one, chosen, report=True) for one in randoms],
            )
        return Steering(
            self.at.evaluate("base", split="eval", mode="report"),
            [self._steered(*both, report=True) for both in zip(randoms, longest, strict=True)],
            found,
        )

    @cached_property
    def _directions(self) -> dict[str, Float[Tensor, " d_model"]]:
        base, direction = self.at.base, self.measures.fit_probe().direction.to(self.at.device)
        ranked = top_neurons(cosines(base.value_vectors, direction), self.at.profile.vectors.svd)
        best = base.value_vector(ranked[0])
        first = svd_directions(vectors_of(base.value_vectors, ranked), direction, 1)[0]
        return {"W": direction, "best value vector": best / best.norm(), "U0": first}

    @cached_property
    def _random_directions(self) -> Float[Tensor, "draw d_model"]:
        noise = torch.Generator().manual_seed(self.at.profile.seed)
        size = (self.at.profile.steering.random_directions, self.at.base.d_model)
        drawn = torch.randn(*size, generator=noise)
        return (drawn / drawn.norm(dim=-1, keepdim=True)).to(self.at.device)

    def _steered(
        self, direction: Float[Tensor, " d_model"], strength: float, *, report: bool = False
    ) -> Evaluation:
        last = self.at.base.n_layers - 1
        length = strength * self.measures.measure_stream_norms()[last].item()
        with subtract_direction(self.at.base, direction, length, layer=last):
            if report:
                return self.at.evaluate("steered", split="eval", mode="report")
            return self.at.evaluate("steered", split="dev")

    def _at_the_ceiling(
        self, direction: Float[Tensor, " d_model"], strengths: Sequence[float], base: float
    ) -> float:
        """The strength whose perplexity meets the ceiling; it grows with the square of strength."""
        paid = [self._steered(direction, one).perplexity.value for one in strengths]
        grown = np.maximum.accumulate([base, *paid])
        return float(np.interp(CEILING * base, grown, np.square([0.0, *strengths]))) ** 0.5

    def _drop(self, before: Evaluation, after: Evaluation, scorer: int) -> Interval:
        name = before.toxicity_names[scorer]
        change = before.measures[name].change_to(after.measures[name], **self._draws)
        return Interval(0 - change.value, 0 - change.high, 0 - change.low)  # no -0

    def _band(self, before: Evaluation, runs: Sequence[Evaluation], scorer: int) -> Interval:
        return band_over([self._drop(before, run, scorer) for run in runs])

    # --- A6 ---------------------------------------------------------------------------------------------
    def measure_tuning(
        self, name: Chosen = "matched", *, seed: int | None = None, scorer: int | None = None
    ) -> Found:
        """What claim A6 measures of a policy, as notebook 05 does: its drop, and what it exceeds controls by.

        Args:
            scorer: that one's word alone; None is both, of which the second counts where it beats chance.
        """
        found = {}
        for part in ("fresh", "unseen") if self.at.texts.prompts_unseen else ("fresh",):
            base, tuned, random = (
                self._evaluated(part, one, like=name) for one in (None, "fine-tuned", "random direction")
            )
            policy = self._evaluated(part, name, seed=seed)
            first, second = (0, 1) if scorer is None else (scorer, scorer)
            sees = agreement(base)
            # Perplexity and F1 are read on the report's windows and passages, whichever the prompts.
            reports = [self._evaluated("fresh", None), self._evaluated("fresh", name, seed=seed)]
            price, second_drop = compare(*reports), self._drop(base, policy, second)
            details = {
                "second_auroc_low": sees.low if sees else 0.0,
                "second_drop": second_drop.value,
                "second_drop_low": second_drop.low,
                "perplexity_ratio": price.changes["perplexity"].value,
                "f1_fall": price.f1_fall.value,
                "f1_fall_low": price.f1_fall.low,
                "f1_fall_high": price.f1_fall.high,
            }
            for kind, control in {"fine_tuned": tuned, "random": random}.items():
                beyond = self._drop(control, policy, first)
                details |= {f"beyond_{kind}": beyond.value, f"beyond_{kind}_low": beyond.low}
                details[f"second_beyond_{kind}_low"] = self._drop(control, policy, second).low
            drops = [self._drop(base, control, first) for control in (tuned, random)]
            found["A6", part] = Measurement.of(
                self._drop(base, policy, first),
                "paired drop of toxicity",
                control=max(drops, key=lambda one: one.value),
                **details,
            )
        return found

    def _evaluated(
        self, part: str, name: Policy | None, *, seed: int | None = None, like: Chosen = "matched"
    ) -> Evaluation:
        """A policy, or base where there is none, on fresh prompts or on those of unseen frames."""
        key = (part, name, seed, like)
        if key not in self._kept:
            asked: dict[str, Any] = {"split": "eval", "mode": "report"}
            if part == "unseen":
                asked = {"prompts": self.at.texts.prompts_unseen, "mode": "sweep"}
            opened = self.policies.opened(name, seed=seed, like=like) if name else nullcontext(self.at.base)
            with opened as model:
                self._kept[key] = self.at.evaluate(model.name, model=model, **asked)
        return self._kept[key]

    # --- A12 --------------------------------------------------------------------------------------------
    def measure_keys(self, name: Chosen = "matched", *, seed: int | None = None, scorer: int = 0) -> Found:
        """What claim A12 measures of a policy, as notebook 09 does: the best number of keys and factor.

        They are chosen on the policy of the profile's first seed; the same edit is then made on any other's.
        Nothing where every setting breaks the text, or tuning opened no clear gap.

        Args:
            scorer: by whom the setting is chosen and judged.
        """
        at, asked = self.at, self.at.profile.unalignment
        whole = self._whole(name)
        total = at.base.n_layers * at.base.d_mlp
        few = [k for k in asked.keys if k <= 0.01 * total] or [min(asked.keys)]
        chosen = max(
            (setting for setting in whole if setting[0] in few),
            key=lambda setting: whole[setting].toxicities[scorer].value,
            default=None,
        )
        if chosen is None:
            return {}
        k, factor = chosen
        policy = self.policies.load(name, seed=seed)
        toxic = self.measures.toxic_neurons(policy, max(asked.keys))
        with scale_keys(policy, toxic[:k], factor):
            attacked = at.evaluate("attacked", model=policy, split="eval", mode="report")
        before, start = self._evaluated("fresh", name, seed=seed), self._evaluated("fresh", None)
        measure = start.toxicity_names[scorer]
        recovered = share_of_gap(
            before.measures[measure],
            attacked.measures[measure],
            base=start.measures[measure],
            aligned=before.measures[measure],
            **self._draws,
        )
        fresh: dict[str, Any] = {"split": "eval"}
        gap = {
            "base": self.looks.take("base", **fresh),
            "aligned": self.looks.take(name, model=policy, **fresh),
        }
        at_random = []
        for draw in range(2):
            others = self.measures.neurons_like(toxic[:k], draw=draw)
            trial = self._loud(policy, toxic=others, factor=factor)
            at_random.append(self.looks.recovered(trial, **gap, scorer=scorer))
        on_base = self._loud(at.base, toxic=toxic[:k], factor=factor)
        added = self.looks.recovered(on_base, **gap, beyond=gap["base"], scorer=scorer)
        if any(math.isnan(one.value) for one in (recovered, *at_random, added)):
            return {}
        ends = self.looks.take("base"), self.looks.take(name, model=self.policies.load(name))
        half = [k for (k, _), trial in whole.items() if self._part(trial, *ends, scorer) >= 0.5]
        return {
            ("A12", ""): Measurement.of(
                recovered,
                "share recovered",
                control=band_over(at_random),
                neuron_share=k / total,
                factor=factor,
                perplexity_ratio=compare(before, attacked).changes["perplexity"].value,
                fluency_ratio=attacked.fluency.value / start.fluency.value,
                same_edit_on_base=added.value,
                **({"smallest_k_for_half": min(half)} if half else {}),
            )
        }

    def _whole(self, name: Chosen) -> dict[tuple[int, float], Trial]:
        """The settings that leave the text of the first seed's policy whole, on development prompts."""
        asked, policy = self.at.profile.unalignment, self.policies.load(name)
        base, aligned = self.looks.take("base"), self.looks.take(name, model=policy)
        toxic, found = self.measures.toxic_neurons(policy, max(asked.keys)), {}
        for k in asked.keys:
            for factor in asked.factors:
                trial = self.unalign.attempt(self.unalign.keys(policy, toxic[:k], factor))
                if self.looks.is_whole(trial, base=base, aligned=aligned):
                    found[k, factor] = trial
        return found

    @property
    def _draws(self) -> dict[str, Any]:
        return {"n": self.at.profile.counts.bootstrap, "seed": self.at.profile.seed}

    def _loud(self, model: LanguageModel, *, toxic: list, factor: float) -> Trial:
        with scale_keys(model, toxic, factor):
            return self.looks.take("louder", model=model, split="eval")

    def _part(self, trial: Trial, base: Trial, aligned: Trial, scorer: int) -> float:
        now, start, end = (one.toxicities[scorer].value for one in (trial, aligned, base))
        return share(now - start, end - start)
