"""Standing in for DPO, as notebooks 07 and 08 try it: ablation, patching, one vector, editing."""

from __future__ import annotations

import contextlib
import math
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from helpers.intervals import UNDEFINED, Interval, bootstrap_statistic, percentile_interval
from helpers.lab.attribution import PARTS, Attributions, dampened_toxic
from helpers.lab.looks import PERPLEXITY_ROOM, Looks, Trial
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
from helpers.mechanism.editing import Way, edit_values
from helpers.mechanism.interventions import (
    ablate,
    add_direction,
    patch_constant,
    scale_activations,
    set_outputs,
    shift_activations,
)
from helpers.mechanism.patching import patch_outputs_per_token, patch_per_token
from helpers.mechanism.readout import log_probabilities
from helpers.mechanism.vectors import Neuron, top_neurons
from helpers.runtime import generator
from helpers.teaching.claims import Measurement

How = Literal["base's mean", "constant", "shift", "per token"]
"""What a neuron of base is given: its own mean at every position; the policy's mean there; its own activation
moved by how far the means differ; what the policy has at that very token."""

Mask = Bool[Tensor, "layer neuron"]

CHOICES = ("cosine", "positive and cosine", "reduction")
"""How neurons to ablate are chosen: nearest the probe; nearest of those that fire on average; largest Δ."""

OUTPUTS = {"MLP outputs": ("mlp_out", "mlp"), "attention outputs": ("attn_out", "attention")}
"""Whole outputs that can be patched: the site that is written, the field of `Statistics` with its mean."""


SIGNS = 2
"""How many times the signs of an edit are drawn by coins."""


@dataclass(frozen=True)
class Attempt:
    """Base under an edit on evaluation prompts, held against base (0) and a policy (1) that it stands in for.

    Attributes:
        recovered: the share of the gap in toxicity that is closed.
        explained: the share of the divergence that is removed; undefined where it was not asked for.
        perplexity_ratio: to the policy's.
        fluency_ratio: to base's.
    """

    trial: Trial
    recovered: Interval
    explained: Interval
    perplexity_ratio: float
    fluency_ratio: float

    @property
    def is_measurable(self) -> bool:
        """Whether there is text to judge: an edit may leave none."""
        return math.isfinite(self.perplexity_ratio) and math.isfinite(self.fluency_ratio)

    def row(self, label: str = "") -> dict[str, str | float]:
        """One line of a table."""
        return {
            "base with": label or self.trial.label,
            "toxicity": self.trial.toxicity.value,
            "recovered": str(self.recovered),
            "divergence explained": str(self.explained),
            "perplexity / aligned": self.perplexity_ratio,
            "fluency / base": self.fluency_ratio,
        }


def detail_name(label: str) -> str:
    """What a set is called among a measurement's details: "TP + AN" is `tp_and_an`, "TP" itself."""
    return label if label in GROUPS else label.lower().replace("+", "and").replace(" ", "_")


@dataclass(frozen=True, eq=False)
class Emulation:
    """The stage of notebook 08: base, made to act like a policy without being tuned."""

    at: Workbench
    measures: Measures
    policies: Policies
    statistics: Readings
    attribution: Attributions
    looks: Looks
    _pairs: dict[tuple[str, int | None], tuple[Trial, Trial]] = field(default_factory=dict, repr=False)
    _said: dict[tuple[str, int | None], tuple[dict[str, Any], Tensor]] = field(
        default_factory=dict, repr=False
    )
    _of_base: dict[tuple[str, int | None], Tensor] = field(default_factory=dict, repr=False)

    # --- which neurons ----------------------------------------------------------------------------------
    def sets(self, name: Chosen = "matched", *, seed: int | None = None) -> dict[str, Mask]:
        """The sets of neurons that are patched: each group by the final definition, unions, the rest, all."""
        groups = self.attribution.attribute(name, seed=seed).groups()
        union = groups["TP"] | groups["TN"] | groups["AP"] | groups["AN"]
        return groups | {
            "TP + AN": groups["TP"] | groups["AN"],
            "four groups": union,
            "the others": ~union,
            "all neurons": torch.ones_like(union),
        }

    def by_random_direction(
        self,
        name: Chosen = "matched",
        *,
        seed: int | None = None,
        draw: int = 0,
        near_offset: bool = False,
    ) -> Mask:
        """The four groups' union with a random direction in the probe's place: what helps along that one.

        The direction is turned so that tuning lowered the sum along it, as it did along the probe.

        Args:
            near_offset: one that has the probe's cosine with the mean offset of the last stream.
        """
        direction = self.attribution.direction
        before, after = self.attribution.readings(name, seed=seed)
        other = random_directions(
            1,
            direction.cpu(),
            seed=self.at.profile.seed + draw,
            offset=after.post[-1] - before.post[-1] if near_offset else None,
        )[0]
        found = self.attribution.attribute(name, seed=seed, direction=other.to(direction))
        return found.whole > 0 if found.net() >= 0 else found.whole < 0

    def at_random(self, mask: Mask, *, draw: int = 0) -> Mask:
        """As many neurons of every layer, drawn at random from all of its neurons."""
        return shuffled_within_layers(mask, seed=self.at.profile.seed + draw)

    def to_ablate(self, found: Attribution, k: int, by: str) -> list[Neuron]:
        """The k neurons that one of `CHOICES` puts first; fewer, or none, where fewer qualify."""
        scores, least = {
            "cosine": (found.cosine, -2.0),
            "positive and cosine": (found.cosine.where(found.before > 0, -2.0), -2.0),
            "reduction": (found.whole, 0.0),
        }[by]
        return top_neurons(scores, self.measures.at_most(k))[: int((scores > least).sum())]

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
        if how in ("constant", "base's mean"):
            return patch_constant(base, neurons, after if how == "constant" else before)
        return shift_activations(base, neurons, after - before)

    def patched_outputs(
        self, what: str, how: How, name: Chosen = "matched", *, seed: int | None = None
    ) -> AbstractContextManager[LanguageModel]:
        """Base with every MLP's, or every attention's, output taken from a policy. `what` is in `OUTPUTS`."""
        site, field = OUTPUTS[what]
        if how == "per token":
            return patch_outputs_per_token(self.at.base, [field], self.policies.load(name, seed=seed))
        before, after = (getattr(read, field) for read in self.attribution.readings(name, seed=seed))
        if how in ("constant", "base's mean"):
            return set_outputs(self.at.base, site, after if how == "constant" else before)
        return set_outputs(self.at.base, site, after - before, add=True)

    def reversed(self, mask: Mask, name: Chosen = "matched") -> AbstractContextManager[LanguageModel]:
        """The policy with some neurons' activations taken from base, token by token."""
        return patch_per_token(self.policies.load(name), neurons_of(mask), self.at.base)

    def offset_added(
        self, layer: int, times: float, name: Chosen = "matched", *, at_random: bool = False
    ) -> AbstractContextManager[LanguageModel]:
        """Base with the mean offset of a policy's stream after one layer added there, so many times.

        It is measured on the development prompts, so nothing of those that it is tried on is in it.

        Args:
            at_random: a random direction of the offset's length instead.
        """
        offset = self.looks.shift(self.policies.load(name), layer)[0].cpu()
        if at_random:
            noise = torch.randn(
                len(offset), generator=generator(self.at.profile.seed, "random offset", layer)
            )
            offset = noise * (offset.norm() / noise.norm())
        return add_direction(self.at.base, offset.to(self.at.device), times, layer=layer)

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
        neurons, values = edit_values(
            way, start, cosine, alpha=alpha, fraction=fraction, signs_seed=signs_seed
        )
        if not neurons:
            return contextlib.nullcontext(self.at.base)
        edit = patch_constant if way == "constant" else scale_activations
        return edit(self.at.base, neurons, values)

    def chosen_editing(
        self, way: Way, name: Chosen = "matched", *, seed: int | None = None, scorer: int = 0
    ) -> tuple[float, float, bool]:
        """The α and fraction of least toxicity on development prompts, and whether they are in the budget.

        In it is what has perplexity ≤ the policy's and fluency ≤ 1.5 × base's, each with the whole of its
        paired interval. Where nothing is, the setting of least perplexity.
        """
        base, aligned = (
            self.looks.take("base"), self.looks.take(name, model=self.policies.load(name, seed=seed)),
        )  # fmt: skip
        asked, tried = self.at.profile.explanation, {}
        for fraction in asked.fractions:
            for alpha in asked.alphas:
                with self.edited(way, alpha, fraction):
                    tried[alpha, fraction] = self.looks.take(f"{way}, α = {alpha:g}, {fraction:.0%}")
        within = [
            at for at, one in tried.items() if self.looks.is_whole(one, base=base, aligned=aligned, room=1.0)
        ]
        if within:
            return *min(within, key=lambda at: tried[at].toxicities[scorer].value), True
        return *min(tried, key=lambda at: tried[at].perplexity), False

    # --- how near it comes ------------------------------------------------------------------------------
    def attempt(
        self,
        edit: AbstractContextManager[LanguageModel],
        label: str,
        name: Chosen = "matched",
        *,
        seed: int | None = None,
        explain: bool = True,
    ) -> Attempt:
        """Measures base under an edit on evaluation prompts, as a stand-in for a policy.

        Args:
            explain: measure the divergence too.

        Example:
            lab.emulation.attempt(lab.emulation.patched(groups["TP"], "shift"), "TP, shift").recovered
        """
        base, aligned = self.pair(name, seed)
        of_base = self.divergence_of_base(name, seed=seed) if explain else None
        with edit:
            trial = self.looks.take(label, split="eval")
            left = self.divergence(name, seed=seed) if explain else of_base
        return Attempt(
            trial,
            self.looks.emulated(trial, base=base, aligned=aligned),
            UNDEFINED if of_base is None or left is None else self.explained(left, of_base),
            trial.perplexity / aligned.perplexity,
            trial.fluency / base.fluency,
        )

    def divergence(
        self, name: Chosen = "matched", *, model: LanguageModel | None = None, seed: int | None = None
    ) -> Float[Tensor, " text"]:
        """KL(policy ‖ model) of the next token under whatever is in force, each text's mean, in nats.

        The texts are the policy's own continuations of half of a sweep's number of evaluation prompts: what
        it would say, and how surprised the other is.
        """
        if (name, seed) not in self._said:
            texts, counted = self.statistics.texts(name, seed=seed)
            some = slice(max(2, self.at.profile.counts.prompts_sweep // 2))
            read: dict[str, Any] = {
                "tokens": texts[some],
                "counted": counted[some],
                "batch_size": self.at.profile.batches.forward,
            }
            self._said[name, seed] = read, log_probabilities(self.policies.load(name, seed=seed), **read)
        read, wanted = self._said[name, seed]
        said = log_probabilities(model or self.at.base, **read)
        each = (wanted.exp() * (wanted - said)).sum(dim=-1).double()
        lengths = read["counted"].sum(dim=1)
        return torch.stack([part.mean() for part in each.split(lengths[lengths > 0].tolist())])

    def divergence_of_base(
        self, name: Chosen = "matched", *, seed: int | None = None
    ) -> Float[Tensor, " text"]:
        """The same of base as it is, measured once: call it with nothing in force."""
        if (name, seed) not in self._of_base:
            self._of_base[name, seed] = self.divergence(name, seed=seed)
        return self._of_base[name, seed]

    def explained(self, under: Float[Tensor, " text"], of_base: Float[Tensor, " text"]) -> Interval:
        """The share of base's divergence from a policy that an edit removes: 1 is the policy itself.

        Below 0 the edit takes base farther from it. Undefined where base does not diverge.
        """
        if not (of_base > 0).all():
            return UNDEFINED
        return bootstrap_statistic(
            lambda edited, base: float(1 - edited.mean() / base.mean()), under, of_base, **self._draws
        )

    # --- claims -----------------------------------------------------------------------------------------
    def pair(self, name: Chosen, seed: int | None = None) -> tuple[Trial, Trial]:
        """Looks at base and at a policy on evaluation prompts, taken once: call it with nothing in force."""
        if (name, seed) not in self._pairs:
            policy = self.policies.load(name, seed=seed)
            self._pairs[name, seed] = (
                self.looks.take("base", split="eval"),
                self.looks.take(name, model=policy, split="eval"),
            )
        return self._pairs[name, seed]

    def measure_ablation(
        self, name: Chosen = "matched", *, seed: int | None = None, scorer: int = 0
    ) -> Measurement:
        """What claim B1 measures: the strongest ablation within the budget of perplexity, against DPO.

        Number and way of choosing are taken on development prompts; ablating nothing is allowed too.
        """
        start = self.looks.take("base")
        within: list[tuple[float, list[Neuron]]] = [(start.toxicities[scorer].value, [])]
        for (by, _), (neurons, trial) in self.ablations(name, seed=seed).items():
            if by in CHOICES and trial.perplexity <= PERPLEXITY_ROOM * start.perplexity:
                within.append((trial.toxicities[scorer].value, neurons))
        neurons = min(within)[1]
        base, aligned = self.pair(name, seed)
        chosen = self._under(ablate(self.at.base, neurons) if neurons else None, "ablated")
        random = self.measures.neurons_like(neurons) if neurons else []
        control = self._under(ablate(self.at.base, random) if random else None, "random ablated")
        dpo = aligned.toxicities[scorer]
        return Measurement.of(
            dpo.change_to(chosen.toxicities[scorer], **self._draws),
            "difference in toxicity",
            control=dpo.change_to(control.toxicities[scorer], **self._draws),
            ablated=len(neurons),
            perplexity_ratio=chosen.perplexity / base.perplexity,
            fluency_ratio=chosen.fluency / base.fluency,
            base_minus_dpo=base.toxicities[scorer].value - dpo.value,
        )

    def ablations(
        self, name: Chosen = "matched", *, seed: int | None = None
    ) -> dict[tuple[str, int], tuple[list[Neuron], Trial]]:
        """Looks at base on development prompts with toxic neurons ablated, by way of choosing and number.

        "random" has as many of the layers that "cosine" has. The policy decides which have the largest Δ.
        """
        found = self.attribution.attribute(name, seed=seed)
        looked = {}
        for k in self.at.profile.explanation.ablated:
            chosen = {by: self.to_ablate(found, k, by) for by in CHOICES}
            chosen["random"] = self.measures.neurons_like(chosen["cosine"])
            for by, neurons in chosen.items():
                if neurons:
                    with ablate(self.at.base, neurons):
                        looked[by, k] = neurons, self.looks.take(f"{len(neurons)} by {by} ablated")
        return looked

    def measure(
        self, name: Chosen = "matched", *, seed: int | None = None, every_set: bool = True
    ) -> dict[tuple[str, str], Measurement]:
        """What claims B2, B3 and B7 measure of a policy, by claim and part."""
        patched = self.measure_patching(name, seed=seed, every_set=every_set)
        return patched | self.measure_shares(name, seed=seed)

    def measure_patching(
        self, name: Chosen = "matched", *, seed: int | None = None, every_set: bool = True
    ) -> dict[tuple[str, str], Measurement]:
        """What claims B2 and B7 measure of a policy, by claim and part; notebook 08 shows it step by step.

        Without B7 where the gap between base and the policy is not clear: a share of it has no meaning.
        Without either where an edit leaves no text.

        Args:
            every_set: False patches only the sets that verdicts are about, TP and the union, with their
                controls: half of the work.
        """
        base, aligned = self.pair(name, seed)
        groups = self.sets(name, seed=seed)
        wanted = (*GROUPS, "TP + AN", "four groups", "all neurons") if every_set else ("TP", "four groups")
        groups = {label: groups[label] for label in wanted}
        controls = {
            "random TP": self.at_random(groups["TP"]),
            "random four groups": self.at_random(groups["four groups"]),
            "random direction": self.by_random_direction(name, seed=seed),
        }
        found: dict[tuple[str, str], Measurement] = {}
        hows: tuple[How, ...] = ("constant", "per token")
        for how in hows:
            tried = {
                label: self.attempt(
                    self.patched(mask, how, name, seed=seed), f"{label}, {how}", name, seed=seed,
                    explain=label == "four groups",
                )
                for label, mask in (groups | controls).items()
            }  # fmt: skip
            if not all(one.is_measurable for one in tried.values()):
                continue
            dampened, union = tried["TP"], tried["four groups"]
            found["B2", how] = Measurement.of(
                aligned.toxicity.change_to(dampened.trial.toxicity, **self._draws),
                "difference in toxicity",
                control=aligned.toxicity.change_to(tried["random TP"].trial.toxicity, **self._draws),
                neurons=int(groups["TP"].sum()),
                base_minus_dpo=base.toxicity.value - aligned.toxicity.value,
                perplexity_ratio=dampened.perplexity_ratio,
                fluency_ratio=dampened.fluency_ratio,
            )
            if math.isnan(union.recovered.value) or math.isnan(union.explained.value):
                continue
            found["B7", how] = Measurement.of(
                union.recovered,
                "share recovered",
                control=tried["random four groups"].recovered,
                **{
                    detail_name(label): tried[label].recovered.value
                    for label in groups
                    if label != "four groups"
                },
                random_direction=tried["random direction"].recovered.value,
                neurons=int(groups["four groups"].sum()),
                divergence_explained=union.explained.value,
                perplexity_ratio=union.perplexity_ratio,
                fluency_ratio=union.fluency_ratio,
            )
        return found

    def measure_editing(
        self, name: Chosen = "matched", *, seed: int | None = None, scorer: int = 0
    ) -> dict[tuple[str, str], Measurement]:
        """What claim B8 measures: the least toxic edit without tuning within DPO's perplexity, against DPO.

        α and fraction are chosen on development prompts (`chosen_editing`). The controls are the same
        neurons at α = 0, which is mean ablation for "constant" and base itself for "live scaling", and signs
        drawn by coins, the mean of several draws.
        """
        base, aligned = self.pair(name, seed)
        dpo, found = aligned.toxicities[scorer], {}
        for way in get_args(Way):
            alpha, fraction, within = self.chosen_editing(way, name, seed=seed, scorer=scorer)
            edited = self._under(self.edited(way, alpha, fraction), f"{way}, α = {alpha:g}")
            none = self._under(self.edited(way, 0.0, fraction), f"{way}, α = 0")
            coins = [
                self._under(self.edited(way, alpha, fraction, signs_seed=draw), f"{way}, random signs {draw}")
                for draw in range(SIGNS)
            ]
            by_coins = sum(one.toxicities[scorer].value for one in coins) / len(coins)
            found["B8", way] = Measurement.of(
                dpo.change_to(edited.toxicities[scorer], **self._draws),
                "difference in toxicity",
                control=dpo.change_to(none.toxicities[scorer], **self._draws),
                random_signs=by_coins - dpo.value,
                perplexity_ratio=edited.perplexity / aligned.perplexity,
                fluency_ratio=edited.fluency / base.fluency,
                base_minus_dpo=base.toxicities[scorer].value - dpo.value,
                alpha=alpha,
                fraction=fraction,
                within_budget_on_dev=float(within),
            )
        return found

    def measure_shares(
        self, name: Chosen = "matched", *, seed: int | None = None
    ) -> dict[tuple[str, str], Measurement]:
        """What claim B3 measures: the dampened toxic neurons' share by each published definition.

        The share by effect patches the most toxic neurons to the policy's mean activations. A constant also
        takes from a neuron all that depends on the text: their own mean in base is the control of that. Empty
        where the policy opens no clear gap to base, for a share of none is undefined.
        """
        asked: dict[str, Any] = {"name": name, "seed": seed}
        base, aligned = self.pair(name, seed)
        own, settings = self.attribution.attribute(**asked), self.at.profile.explanation
        most = top_neurons(own.cosine, self.measures.at_most(settings.patched))
        effects = {}
        for label, means in {"effect_share": own.after, "own_mean_effect": own.before}.items():
            constant = means[mask_of(most, means.shape)]
            with patch_constant(self.at.base, sorted(most), constant):
                trial = self.looks.take(f"the most toxic neurons, {label}", split="eval")
            effects[label] = self.looks.emulated(trial, base=base, aligned=aligned).value
        if math.isnan(effects["effect_share"]):
            return {}
        found = {}
        for label, part in PARTS.items():
            value, final = (
                self.attribution.interval(partial(dampened_toxic, definition=by, part=part), **asked)
                for by in ("v1", "final")
            )
            null = self.attribution.null(definition="v1", part=part, **asked)[:, GROUPS.index("TP")]
            found["B3", label] = Measurement.of(
                value,
                "share of the four groups",
                control=percentile_interval(null.mean().item(), null),
                **effects,
                top_128_share=own.share_of_top(self.at.profile.vectors.top, part),
                final_share=final.value,
                patched=len(most),
            )
        return found

    def _under(self, edit: AbstractContextManager[LanguageModel] | None, label: str) -> Trial:
        with edit or contextlib.nullcontext():
            return self.looks.take(label, split="eval")

    @property
    def _draws(self) -> dict[str, Any]:
        return {"n": self.at.profile.counts.bootstrap, "seed": self.at.profile.seed}
