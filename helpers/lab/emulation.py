"""Standing in for DPO, as notebooks 07 and 08 try it: ablation, patching, one vector, editing."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from helpers.intervals import Interval, bootstrap_statistic
from helpers.lab.attribution import PARTS, Attributions
from helpers.lab.looks import Looks, Trial
from helpers.lab.measures import Measures
from helpers.lab.policies import Chosen, Policies
from helpers.lab.statistics import Readings
from helpers.lab.workbench import Workbench
from helpers.language.models import LanguageModel
from helpers.mechanism.attribution import (
    GROUPS,
    Attribution,
    mask_of,
    neurons_of,
    random_directions,
    shuffled_within_layers,
)
from helpers.mechanism.editing import Way, edited_means, edited_scales
from helpers.mechanism.interventions import (
    ablate,
    add_direction,
    patch_constant,
    scale_activations,
    set_outputs,
    shift_activations,
)
from helpers.mechanism.patching import patch_outputs_per_token, patch_per_token
from helpers.mechanism.readout import divergences
from helpers.mechanism.vectors import Neuron, top_neurons
from helpers.teaching.claims import Measurement

How = Literal["constant", "shift", "per token"]
"""A policy's mean at every position; base's own activation moved by how far the means differ; what the policy
has at that very token."""

Mask = Bool[Tensor, "layer neuron"]

CHOICES = ("cosine", "positive and cosine", "reduction")
"""How neurons to ablate are chosen: nearest the probe; nearest of those that fire on average; largest Δ."""

OUTPUTS = {"MLP outputs": ("mlp_out", "mlp"), "attention outputs": ("attn_out", "attention")}
"""Whole outputs that can be patched: the site that is written, the field of `Statistics` with its mean."""


@dataclass(frozen=True, eq=False)
class Emulation:
    """The stage of notebook 08: base, made to act like a policy without being tuned."""

    at: Workbench
    measures: Measures
    policies: Policies
    statistics: Readings
    attribution: Attributions
    looks: Looks

    # --- which neurons ----------------------------------------------------------------------------------
    def sets(self, name: Chosen = "matched", *, seed: int | None = None) -> dict[str, Mask]:
        """The sets of neurons that are patched: each group by the final definition, unions, all."""
        groups = self.attribution.attribute(name, seed=seed).groups()
        union = groups["TP"] | groups["TN"] | groups["AP"] | groups["AN"]
        return groups | {
            "TP + AN": groups["TP"] | groups["AN"],
            "four groups": union,
            "all neurons": torch.ones_like(union),
        }

    def by_random_direction(
        self, name: Chosen = "matched", *, seed: int | None = None, draw: int = 0
    ) -> Mask:
        """The four groups' union with a random direction in the probe's place: what helps along that one."""
        direction = self.attribution.direction
        other = random_directions(1, direction.cpu(), seed=self.at.profile.seed + draw)[0]
        found = self.attribution.attribute(name, seed=seed, direction=other.to(direction))
        return found.whole > 0

    def at_random(self, mask: Mask, *, draw: int = 0) -> Mask:
        """As many neurons of every layer, drawn at random from all of its neurons."""
        return shuffled_within_layers(mask, seed=self.at.profile.seed + draw)

    def to_ablate(self, found: Attribution, k: int, by: str) -> list[Neuron]:
        """The k neurons that one of `CHOICES` puts first; fewer where fewer qualify."""
        scores = {
            "cosine": found.cosine,
            "positive and cosine": found.cosine.where(found.before > 0, -2.0),
            "reduction": found.whole,
        }[by]
        qualified = int((scores > (-2.0 if by != "reduction" else 0.0)).sum())
        return top_neurons(scores, max(1, min(k, qualified)))

    # --- what is done to base ---------------------------------------------------------------------------
    def patched(
        self, mask: Mask, how: How, name: Chosen = "matched", *, seed: int | None = None
    ) -> AbstractContextManager[LanguageModel]:
        """Base with some neurons' activations taken from a policy.

        Means are each model's own, on its own text, as published. Per token, the policy reads what the
        patched model writes, in lock-step.

        Example:
            with lab.emulation.patched(lab.emulation.sets()["TP"], "constant"):
                lab.looks.take("TP, constant", split="eval")
        """
        neurons, base = neurons_of(mask), self.at.base
        if not neurons:
            return contextlib.nullcontext(base)
        if how == "per token":
            return patch_per_token(base, neurons, self.policies.load(name, seed=seed))
        before, after = (read.activations[mask] for read in self.attribution.readings(name, seed=seed))
        if how == "constant":
            return patch_constant(base, neurons, after)
        return shift_activations(base, neurons, after - before)

    def patched_outputs(
        self, what: str, how: How, name: Chosen = "matched", *, seed: int | None = None
    ) -> AbstractContextManager[LanguageModel]:
        """Base with every MLP's, or every attention's, output taken from a policy. `what` is in `OUTPUTS`."""
        site, field = OUTPUTS[what]
        if how == "per token":
            return patch_outputs_per_token(self.at.base, [field], self.policies.load(name, seed=seed))
        before, after = (getattr(read, field) for read in self.attribution.readings(name, seed=seed))
        if how == "constant":
            return set_outputs(self.at.base, site, after)
        return set_outputs(self.at.base, site, after - before, add=True)

    def reversed(self, mask: Mask, name: Chosen = "matched") -> AbstractContextManager[LanguageModel]:
        """The policy with some neurons' activations taken from base, token by token."""
        return patch_per_token(self.policies.load(name), neurons_of(mask), self.at.base)

    def offset_added(
        self, layer: int, times: float, name: Chosen = "matched"
    ) -> AbstractContextManager[LanguageModel]:
        """Base with the mean offset of a policy's stream after one layer added there, so many times."""
        before, after = self.attribution.readings(name)
        offset = (after.post[layer] - before.post[layer]).to(self.at.device)
        return add_direction(self.at.base, offset.float(), times, layer=layer)

    def edited(
        self, way: Way, alpha: float, fraction: float, *, signs_seed: int | None = None
    ) -> AbstractContextManager[LanguageModel]:
        """Base with activations lowered where that is less toxic and raised where that is: no tuning at all.

        Args:
            way: "constant", the published one, writes base's mean times 1 ∓ alpha, the same at every token;
                "live scaling" multiplies what the neuron has at that token.
            fraction: of each group, nearest the probe of TP and AN, farthest from it of AP and TN.
            signs_seed: coins decide for each neuron whether it is lowered or raised.
        """
        start, cosine = self.statistics.read("base").activations, self.attribution.attribute().cosine
        make = edited_means if way == "constant" else edited_scales
        neurons, values = make(start, cosine, alpha=alpha, fraction=fraction, signs_seed=signs_seed)
        edit = patch_constant if way == "constant" else scale_activations
        return edit(self.at.base, neurons, values)

    # --- how near it comes ------------------------------------------------------------------------------
    def divergence(
        self, name: Chosen = "matched", *, model: LanguageModel | None = None, seed: int | None = None
    ) -> Float[Tensor, " text"]:
        """KL(policy ‖ model) of the next token under whatever is in force, each text's mean, in nats.

        The texts are the policy's own continuations of a sweep's number of evaluation prompts: what it would
        say, and how surprised the other is.
        """
        policy = self.policies.load(name, seed=seed)
        tokens, counted = self.statistics.texts(name, seed=seed)
        some = counted.any(dim=1).nonzero().flatten()[: self.at.profile.counts.prompts_sweep]
        where = counted[some]
        found = divergences(
            model or self.at.base, policy, tokens[some], where, batch_size=self.at.profile.batches.forward
        )
        return torch.stack([row[here].mean() for row, here in zip(found, where, strict=True)]).double()

    def explained(
        self, under: Float[Tensor, " text"], of_base: Float[Tensor, " text"]
    ) -> Interval:
        """The share of base's divergence from a policy that an edit removes: 1 is the policy itself."""
        return bootstrap_statistic(
            lambda edited, base: float(1 - edited.mean() / base.mean()), under, of_base, **self._draws
        )

    # --- claims -----------------------------------------------------------------------------------------
    def pair(self, name: Chosen, seed: int | None = None) -> tuple[Trial, Trial]:
        """Looks at base and at a policy on evaluation prompts."""
        policy = self.policies.load(name, seed=seed)
        return self.looks.take("base", split="eval"), self.looks.take(name, model=policy, split="eval")

    def measure_ablation(
        self, name: Chosen = "matched", *, seed: int | None = None, scorer: int = 0
    ) -> Measurement:
        """What claim B1 measures: the strongest ablation within the budget of perplexity, against DPO.

        Number and way of choosing are taken on development prompts, where perplexity is at most 1.08 times
        base's; ablating nothing is allowed too.
        """
        found = self.attribution.attribute(name, seed=seed)
        start = self.looks.take("base")
        best: tuple[float, list[Neuron]] = (start.toxicities[scorer].value, [])
        for by in CHOICES:
            for k in self.at.profile.explanation.ablated:
                neurons = self.to_ablate(found, self.measures.at_most(k), by)
                with ablate(self.at.base, neurons):
                    trial = self.looks.take(f"{len(neurons)} by {by} ablated")
                within = trial.perplexity <= 1.08 * start.perplexity
                best = min(best, (trial.toxicities[scorer].value, neurons)) if within else best
        base, aligned = self.pair(name, seed)
        chosen = self._under(ablate(self.at.base, best[1]) if best[1] else None, "ablated")
        random = self.measures.neurons_like(best[1]) if best[1] else []
        control = self._under(ablate(self.at.base, random) if random else None, "random ablated")
        dpo = aligned.toxicities[scorer]
        return Measurement.of(
            dpo.change_to(chosen.toxicities[scorer], **self._draws),
            "difference in toxicity",
            control=dpo.change_to(control.toxicities[scorer], **self._draws),
            ablated=len(best[1]),
            perplexity_ratio=chosen.perplexity / base.perplexity,
            fluency_ratio=chosen.fluency / base.fluency,
            base_minus_dpo=base.toxicities[scorer].value - dpo.value,
        )

    def measure(
        self, name: Chosen = "matched", *, seed: int | None = None
    ) -> dict[tuple[str, str], Measurement]:
        """What claims B2, B3 and B7 measure of a policy, by claim and part; notebooks do it step by step."""
        asked = {"name": name, "seed": seed}
        base, aligned = self.pair(name, seed)
        groups = self.sets(**asked)
        found: dict[tuple[str, str], Measurement] = {}
        of_base = self.divergence(**asked)
        hows: tuple[How, ...] = ("constant", "per token")
        for how in hows:
            trials = {
                label: self._under(self.patched(mask, how, **asked), f"{label}, {how}")
                for label, mask in groups.items()
            }
            controls = {
                "TP": self.at_random(groups["TP"]),
                "four groups": self.at_random(groups["four groups"]),
                "random direction": self.by_random_direction(**asked),
            }
            against = {
                label: self._under(self.patched(mask, how, **asked), f"random for {label}, {how}")
                for label, mask in controls.items()
            }
            ratios = {
                label: {
                    "perplexity_ratio": one.perplexity / aligned.perplexity,
                    "fluency_ratio": one.fluency / base.fluency,
                }
                for label, one in trials.items()
            }
            found["B2", how] = Measurement.of(
                aligned.toxicity.change_to(trials["TP"].toxicity, **self._draws),
                "difference in toxicity",
                control=aligned.toxicity.change_to(against["TP"].toxicity, **self._draws),
                neurons=int(groups["TP"].sum()),
                base_minus_dpo=base.toxicity.value - aligned.toxicity.value,
                **ratios["TP"],
            )
            with self.patched(groups["four groups"], how, **asked):
                explained = self.explained(self.divergence(**asked), of_base)
            recovery = {
                label: self.looks.emulated(one, base=base, aligned=aligned)
                for label, one in (trials | {f"random {k}": v for k, v in against.items()}).items()
            }
            found["B7", how] = Measurement.of(
                recovery["four groups"],
                "share recovered",
                control=recovery["random four groups"],
                **{group: recovery[group].value for group in GROUPS},
                tp_and_an=recovery["TP + AN"].value,
                all_neurons=recovery["all neurons"].value,
                random_direction=recovery["random random direction"].value,
                neurons=int(groups["four groups"].sum()),
                divergence_explained=explained.value,
                **ratios["four groups"],
            )
        return found | self.measure_shares(**asked)

    def measure_shares(
        self, name: Chosen = "matched", *, seed: int | None = None
    ) -> dict[tuple[str, str], Measurement]:
        """What claim B3 measures: the dampened toxic neurons' share by each published definition."""
        asked = {"name": name, "seed": seed}
        base, aligned = self.pair(name, seed)
        own, settings = self.attribution.attribute(**asked), self.at.profile.explanation
        most = mask_of(top_neurons(own.cosine, self.measures.at_most(settings.patched)), own.cosine.shape)
        with self.patched(most, "constant", **asked):
            trial = self.looks.take("the most toxic neurons, constant", split="eval")
        effect = self.looks.emulated(trial, base=base, aligned=aligned)
        found = {}
        for label, part in PARTS.items():
            value = self.attribution.interval(lambda one, of=part: one.shares("v1", of)["TP"], **asked)
            null = self.attribution.null(definition="v1", part=part, **asked)[:, GROUPS.index("TP")]
            final = self.attribution.interval(lambda one, of=part: one.shares("final", of)["TP"], **asked)
            found["B3", label] = Measurement(
                value.value,
                value.bounds,
                "share of gross",
                null.mean().item(),
                (null.quantile(0.025).item(), null.quantile(0.975).item()),
                {
                    "top_128_share": own.share_of_top(self.at.profile.vectors.top, part),
                    "effect_share": effect.value,
                    "final_share": final.value,
                    "patched": int(most.sum()),
                },
            )
        return found

    def _under(self, edit: AbstractContextManager[LanguageModel] | None, label: str) -> Trial:
        with edit or contextlib.nullcontext():
            return self.looks.take(label, split="eval")

    @property
    def _draws(self) -> dict[str, int]:
        return {"n": self.at.profile.counts.bootstrap, "seed": self.at.profile.seed}
