"""What tuning changed inside, as notebook 06 measures claims A7 to A11: for any policy and training seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from helpers.intervals import (
    Interval,
    bootstrap,
    bootstrap_statistic,
    percentile_interval,
    resampling_weights,
    share,
)
from helpers.lab.drops import Found
from helpers.lab.measures import Measures
from helpers.lab.policies import Chosen, Policies
from helpers.lab.statistics import Readings
from helpers.lab.workbench import Workbench
from helpers.language.generation import continue_prompts
from helpers.language.models import LanguageModel, booted
from helpers.language.tokens import Tokens
from helpers.mechanism.changes import (
    nudge,
    offset_sources,
    row_changes,
    spectrum,
    split_pre_activations,
    tensor_changes,
    text_streams,
    weights_of,
)
from helpers.mechanism.readout import next_token_by_depth, next_token_probabilities
from helpers.mechanism.statistics import Statistics, predicting_positions
from helpers.mechanism.vectors import Neuron, cosines, matched_random, top_neurons
from helpers.teaching.claims import Measurement

LEAST_PLACES = 16
"""With fewer greedy texts that hold a toxic word, A9 is not run: few places may be one and the same text."""

DRAWS = 40
"""How often shifts and activations are paired anew."""


class Places(NamedTuple):
    """Where base's greedy texts go on with their first toxic word, and matched places where they do not."""

    read: Tokens
    follows: Int[Tensor, "text pos"]
    toxic: Int[Tensor, "place 2"]
    control: Int[Tensor, "place 2"]


@dataclass(frozen=True, eq=False)
class Insides:
    """The stage of notebook 06: weights, activations, the word averted, the offset and who writes it.

    Fine-tuned controls are of the profile's first seed, whatever the policy's.
    """

    at: Workbench
    measures: Measures
    policies: Policies
    statistics: Readings
    _said: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def measure(self, name: Chosen = "matched", *, seed: int | None = None) -> Found:
        """What claims A7 to A11 measure of a policy, by claim and part; notebook 06 does it step by step."""
        asked: dict[str, Any] = {"name": name, "seed": seed}
        return {
            **self.measure_weights(**asked),
            **self.measure_falls(**asked),
            **self.measure_aversion(**asked),
            **self.measure_push(**asked),
            **self.measure_writers(**asked),
        }

    # --- A7 ---------------------------------------------------------------------------------------------
    def measure_weights(self, name: Chosen = "matched", *, seed: int | None = None) -> Found:
        """A7: how far weights have moved, beside a random step of the same length in every tensor."""
        policy = self.policies.load(name, seed=seed)
        own, tuned = (self._moved(one) for one in (policy, self._tuned(name)))
        plain = self.at.load_plain()
        lengths = {one.name: one.length for one in tensor_changes(self.at.base, policy)}
        nudge(plain, lengths, seed=self.at.profile.seed)
        with booted(plain, self.at.base.tokenizer, name="random step", device=self.at.device) as step:
            now, nudged = (self.at.evaluate(one.name, model=one).toxicity.value for one in (policy, step))
        minimum = own.pop("minimum")
        details = own | {
            "fine_tuned_relative_change": tuned["relative_change"],
            "toxicity": now,
            "nudged_toxicity": nudged,
        }
        return {("A7", ""): Measurement(minimum, None, "cosine", tuned["minimum"], details=details)}

    def _moved(self, model: LanguageModel) -> dict[str, float]:
        base, changes = self.at.base, tensor_changes(self.at.base, model)
        norms = {name: weight.double().norm().item() for name, weight in weights_of(base).items()}
        # A tensor that was zero before has no direction to keep.
        some = torch.tensor([one.cosine for one in changes if norms[one.name]])
        length = sum(one.length**2 for one in changes) ** 0.5
        return {
            "minimum": some.min().item(),
            "median_cosine": some.median().item(),
            "minimum_value_row": row_changes(base.value_vectors, model.value_vectors).cosine.min().item(),
            "minimum_key_row": row_changes(base.key_vectors, model.key_vectors).cosine.min().item(),
            "relative_change": length / sum(norms[one.name] ** 2 for one in changes) ** 0.5,
        }

    # --- A8 ---------------------------------------------------------------------------------------------
    def measure_falls(self, name: Chosen = "matched", *, seed: int | None = None) -> Found:
        """A8: how many toxic neurons fire less, on the policy's own text and on base's."""
        policy, start = self.policies.load(name, seed=seed), self.statistics.read("base")
        changed = row_changes(self.at.base.value_vectors, policy.value_vectors).cosine
        weights = resampling_weights(len(start.counts), **self._draws)
        was, found = start.resampled(weights, self.toxic), {}
        for label, on in {"own": None, "shared": "base"}.items():
            read = self.statistics.read(name, on=on, seed=seed)  # type: ignore[arg-type]
            tuning = self.statistics.read("fine-tuned", on=on, like=name)  # type: ignore[arg-type]
            change = read.resampled(weights, self.toxic) - was
            found["A8", f"{label} continuations"] = Measurement.of(
                self._falls(read, self.toxic),
                "share of neurons",
                control=self._falls(read, self.same_length),
                activation_matched=self._falls(read, self.same_activation).value,
                beyond_noise=(change.quantile(0.975, dim=0) < 0).double().mean().item(),
                fine_tuned=self._falls(tuning, self.toxic).value,
                activation_before=self._positive(start),
                activation_after=self._positive(read),
                fine_tuned_activation=self._positive(tuning),
                minimum_cosine=entries(changed, self.toxic).min().item(),
            )
        return found

    @cached_property
    def toxic(self) -> list[Neuron]:
        """Base's neurons nearest the probe."""
        direction = self.measures.fit_probe().direction.to(self.at.device)
        return top_neurons(cosines(self.at.base.value_vectors, direction), self.at.profile.vectors.top)

    @cached_property
    def same_length(self) -> list[Neuron]:
        """Random neurons of the same layers with value vectors about as long, ten for each toxic one."""
        return self._alike(self.at.base.value_vectors.norm(dim=-1).cpu())

    @cached_property
    def same_activation(self) -> list[Neuron]:
        """The same with about the mean activation in base."""
        return self._alike(self.statistics.read("base").activations.float())

    def _alike(self, table: Float[Tensor, "layer neuron"]) -> list[Neuron]:
        drawn: list[Neuron] = []
        for draw in range(10):
            at_draw: dict[str, Any] = {"d_mlp": self.at.base.d_mlp, "seed": self.at.profile.seed + draw}
            drawn += matched_random(self.toxic, **at_draw, exclude=self.toxic, norms=table)
        return drawn

    def _falls(self, read: Statistics, neurons: list[Neuron]) -> Interval:
        start = self.statistics.read("base").activations
        return bootstrap(entries(read.activations, neurons) < entries(start, neurons), **self._draws)

    def _positive(self, read: Statistics) -> float:
        return entries(read.activations, self.toxic).clamp_min(0).sum().item()

    # --- A9 ---------------------------------------------------------------------------------------------
    def measure_aversion(self, name: Chosen = "matched", *, seed: int | None = None) -> Found:
        """A9: where inside base's first toxic word is averted; nothing where too few texts have one."""
        places, base = self._places, self.at.base
        if len(places.toxic) < LEAST_PLACES:
            return {}
        policy = self.policies.load(name, seed=seed)
        kinds = {"toxic": places.toxic, "control": places.control}
        gap = {kind: self._by_depth(base, kind) - self._by_depth(policy, kind) for kind in kinds}
        final = {kind: bootstrap(one[-1], **self._draws) for kind, one in gap.items()}
        curve = gap["toxic"].mean(dim=1)
        # Each layer has two residual points: before it, and before its MLP.
        late = 1 - share(curve[2 * (base.n_layers // 2)].item(), curve[-1].item())
        ends = (self._by_depth(one, "toxic")[-1].mean().item() for one in (base, policy))
        return {
            ("A9", ""): Measurement.of(
                final["toxic"],
                "drop in probability",
                control=final["control"],
                **dict(zip(("base_probability", "aligned_probability"), ends, strict=True)),
                late_share=0.0 if math.isnan(late) else late,
                layer_of_largest_gap=curve.argmax().item() / 2,
                prompts=len(places.toxic),
            )
        }

    @cached_property
    def _places(self) -> Places:
        at = self.at
        prompts = at.texts.eliciting("eval")[: at.profile.counts.prompts_eval]
        greedy = at.profile.decoding.model_copy(update={"method": "greedy"})
        size = at.profile.batches
        written = continue_prompts(at.base, prompts, greedy, seed=at.profile.seed, batch_size=size.generate)
        read, predicted = predicting_positions(written, at.base.tokenizer.eos_token_id)
        follows = read.ids.roll(-1, dims=1)
        is_toxic = self.measures.toxic_tokens[follows] & predicted
        seen = is_toxic.cumsum(dim=1)
        first, unspoilt = is_toxic & (seen == 1), predicted & (seen == 0)
        says = next_token_probabilities(at.base, read, first | unspoilt, batch_size=size.forward)
        # Each toxic place gets the clean place nearest in base's probability, none twice.
        distance = (says[first][:, None] - says[unspoilt][None]).abs()
        mine, nearest = map(torch.from_numpy, linear_sum_assignment(distance.numpy()))
        return Places(read, follows, first.nonzero()[mine], unspoilt.nonzero()[nearest])

    def _by_depth(self, model: LanguageModel, kind: str) -> Float[Tensor, "point place"]:
        """The next word's probability at every residual point, place by place."""
        key = f"{model.source}, {kind}"
        if key not in self._said:
            places = self._places
            rows = [
                (places.read.ids[row, : place + 1].tolist(), int(places.follows[row, place]))
                for row, place in getattr(places, kind).tolist()
            ]
            cut, following = zip(*rows, strict=True)
            size = self.at.profile.batches.forward
            self._said[key] = next_token_by_depth(model, cut, following, batch_size=size)[1]
        return self._said[key]

    # --- A10, A11 ---------------------------------------------------------------------------------------
    def measure_push(self, name: Chosen = "matched", *, seed: int | None = None) -> Found:
        """A10: how much of the toxic neurons' change before the GELU the shift of the stream explains."""
        base, policy = self.at.base, self.policies.load(name, seed=seed)
        shared = self.statistics.read(name, on="base", seed=seed)
        split = split_pre_activations(base, policy, self.statistics.read("base"), shared)
        toxic, random = (entries(split.total, some) for some in (self.toxic, self.same_length))
        falling = bootstrap(toxic < 0, **self._draws)
        streams = self._last_streams(policy) - self._base_streams
        mean, direction = streams.mean(dim=0), self.measures.fit_probe().direction.to(streams)
        by_stream = entries(split.stream, self.toxic)
        explained = partial(
            bootstrap_statistic, lambda part, total: (part * total).sum() / (total * total).sum()
        )
        others = {
            f"{part}_share": (entries(getattr(split, part), self.toxic) @ toxic / toxic.square().sum()).item()
            for part in ("norm", "key", "bias")
        }
        return {
            ("A10", ""): Measurement.of(
                explained(by_stream, toxic, **self._draws),
                "share of the change",
                control=explained(entries(split.stream, self.same_length), random, **self._draws),
                share_of_sum=share(by_stream.sum().item(), toxic.sum().item()),
                falling=falling.value,
                falling_low=falling.low,
                falling_control=(random < 0).double().mean().item(),
                cosine_to_mean=spectrum(streams).to_mean.median().item(),
                cosine_to_minus_W=-(mean @ direction / mean.norm()).item(),
                **others,
            )
        }

    @cached_property
    def _base_streams(self) -> Float[Tensor, "text d_model"]:
        return self._last_streams(self.at.base)

    def _last_streams(self, model: LanguageModel) -> Float[Tensor, "text d_model"]:
        """Each of base's texts' mean stream before the last MLP, of a sweep's number of texts."""
        tokens, counted = self.statistics.texts("base")
        some = counted.any(dim=1).nonzero().flatten()[: self.at.profile.counts.prompts_sweep]
        where: Bool[Tensor, "text pos"] = counted[some]
        sites = [f"blocks.{self.at.base.n_layers - 1}.hook_resid_mid"]
        texts, size = Tokens(tokens.ids[some], tokens.mask[some]), self.at.profile.batches.forward
        return text_streams(model, texts, where, sites=sites, batch_size=size)[0]

    def measure_writers(self, name: Chosen = "matched", *, seed: int | None = None) -> Found:
        """A11: what part of the offset value-vector shifts write, beside the other sources."""
        start = self.statistics.read("base")
        read: dict[str, Any] = {"on": "base", "like": name}
        pairs = (
            (self.policies.load(name, seed=seed), self.statistics.read(name, **read, seed=seed)),
            (self._tuned(name), self.statistics.read("fine-tuned", **read)),
        )
        found, tuned = (offset_sources(self.at.base, model, start, there) for model, there in pairs)
        parts, below = found.along(), len(found.cosine)
        contributions = found.neurons.flatten()
        anew = found.shuffled(DRAWS, self.at.profile.seed)
        both = torch.stack([torch.arange(below).double(), -found.cosine.mean(dim=1)])
        trend = torch.corrcoef(both)[0, 1] if below > 1 else torch.zeros(())
        largest_first = contributions.sort(descending=True).values.cumsum(dim=0)
        half = int((largest_first < contributions.sum() / 2).sum()) + 1
        return {
            ("A11", ""): Measurement.of(
                bootstrap(contributions * len(contributions), **self._draws),
                "part of the offset",
                control=percentile_interval(anew.mean().item(), anew),
                shift_cosine=found.cosine.mean().item(),
                depth_trend=trend.nan_to_num().item(),
                negative_share=(found.activations < 0).double().mean().item(),
                **{
                    f"{part}_part": parts[part]
                    for part in ("activation", "interaction", "attention", "embedding", "bias")
                },
                residue=sum(parts.values()) - 1,
                neurons_for_half=half / len(contributions),
                fine_tuned=tuned.along()["value"],
            )
        }

    # --- inside -----------------------------------------------------------------------------------------
    def _tuned(self, name: Chosen) -> LanguageModel:
        return self.policies.load("fine-tuned", like=name)

    @property
    def _draws(self) -> dict[str, Any]:
        return {"n": self.at.profile.counts.bootstrap, "seed": self.at.profile.seed}


def entries(table: Float[Tensor, "layer neuron"], neurons: list[Neuron]) -> Float[Tensor, " chosen"]:
    """Those of some neurons in a table of all."""
    return table[[one.layer for one in neurons], [one.index for one in neurons]]
