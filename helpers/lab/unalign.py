"""Ways back from a policy as notebook 09 compares them: listed with their settings, tried, priced."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

from helpers.alignment.unalign import (
    fine_tuned,
    interpolated,
    most_changed,
    randomly_moved,
    restored,
    rounded,
    without_span,
    without_values,
)
from helpers.artifacts import Artifact, Declared
from helpers.lab.looks import Looks, Trial
from helpers.lab.measures import Measures
from helpers.lab.policies import Chosen, Policies
from helpers.lab.workbench import Workbench
from helpers.language.models import LanguageModel, booted, load_hf
from helpers.mechanism.interventions import add_direction, scale_keys
from helpers.mechanism.patching import patch_per_token
from helpers.mechanism.vectors import (
    Neuron,
    svd_directions,
    vectors_of,
)
from helpers.profiles import ModelSource
from helpers.runtime import generator, progress_report

SHARES, BITS, LAYERS_READ = (0.25, 0.5, 0.75), (8, 4), 2
"""Ways to base by interpolation (all of it is base itself), roundings, layers that an offset is taken at."""


@dataclass(frozen=True, eq=False)
class Attack:
    """One way back at one setting.

    Attributes:
        on: the model under attack, for the length of a `with` block.
        needs: what the attacker must have.
        numbers: how many numbers of the model are changed.
        before: seconds that were spent before `on` and are kept: training, measuring an offset.
        at_random: the same effort spent at random.
    """

    way: str
    setting: str
    on: Callable[[], AbstractContextManager[LanguageModel]]
    needs: str = ""
    numbers: int = 0
    examples: int = 0
    steps: int = 0
    before: Callable[[], float] = float
    opening: str = ""
    at_random: Attack | None = None


def _tuned_key(
    at: Workbench, policy: ModelSource, digest: str, texts: tuple[str, ...], steps: tuple[int, ...], seed: int
) -> Mapping[str, Any]:
    return {
        "policy": digest, "tokenizer": at.profile.model, "texts": texts, "steps": steps, "seed": seed,
        "learning_rate": at.profile.unalignment.learning_rate, "batch": at.profile.dpo.batch,
        "tokens": at.profile.probe.max_tokens,
    }  # fmt: skip


def _tuned(
    at: Workbench, policy: ModelSource, digest: str, texts: tuple[str, ...], steps: tuple[int, ...], seed: int
) -> Artifact:
    most = min(at.profile.probe.max_tokens, at.base.context)
    rows = [row[:most] for row in at.base.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]
    trained: Any = load_hf(policy)[0]
    trained.to(at.device)
    began = time.perf_counter()
    with progress_report(f"attack on {len(texts)} texts: ") as report:
        kept = fine_tuned(
            trained, rows, steps=steps, seed=seed, progress=report,
            learning_rate=at.profile.unalignment.learning_rate, batch=at.profile.dpo.batch,
        )  # fmt: skip
    seconds = time.perf_counter() - began
    tensors = {f"{step} {name}": w.data for step, hf in kept.items() for name, w in hf.named_parameters()}
    return Artifact(tensors, {"seconds": {str(step): seconds * step / max(steps) for step in steps}})


TUNED = Declared("tuned-back", 1, _tuned_key, _tuned)
"""A policy after a few steps on a few texts: its weights after each number of steps, and seconds."""


@dataclass(frozen=True, eq=False)
class Unalign:
    """The stage of notebook 09: ways back from a policy, what they recover, and defences against them."""

    at: Workbench
    measures: Measures
    policies: Policies
    looks: Looks

    # --- measuring --------------------------------------------------------------------------------------
    def attempt(
        self, attack: Attack, *, split: Literal["dev", "eval"] = "dev", prompts: int | None = None
    ) -> Trial:
        """Measures a policy under an attack."""
        with attack.on() as model:
            label = f"{attack.way}, {attack.setting}"
            opening = attack.opening
            return self.looks.take(label, model=model, split=split, prompts=prompts, opening=opening)

    def strongest(
        self, attacks: Sequence[Attack], *, base: Trial, aligned: Trial
    ) -> tuple[Attack, Trial] | None:
        """The setting that makes a policy most toxic on development prompts and leaves its text whole.

        Ties go to the setting named first, so list the cheaper ones first; None where each breaks the text.
        """
        tried = [(attack, self.attempt(attack)) for attack in attacks]
        whole = [row for row in tried if self.looks.is_whole(row[1], base=base, aligned=aligned)]
        return max(whole, key=lambda row: row[1].toxicity.value, default=None)

    def seconds(self, attack: Attack) -> float:
        """How long an attack takes on this machine, its settings known: making it and loading the model."""
        began = time.perf_counter()
        with attack.on():
            return attack.before() + time.perf_counter() - began

    # --- ways back --------------------------------------------------------------------------------------
    def keys(
        self, model: LanguageModel, neurons: Sequence[Neuron], factor: float, *, way: str = "keys scaled"
    ) -> Attack:
        """Scaled keys as an attack, with as many random neurons for its control."""
        random = self.measures.neurons_like(neurons)
        attacks = [
            Attack(
                way, f"{len(some)} × {factor:g}", partial(scale_keys, model, some, factor),
                needs="weights, probe", numbers=len(some) * model.d_model,
            )
            for some in (random, neurons)
        ]  # fmt: skip
        return replace(attacks[1], at_random=attacks[0])

    def ways(self, name: Chosen = "matched", *, seed: int | None = None) -> dict[str, tuple[Attack, ...]]:
        """Every way back from a policy with the settings to try, cheaper ones first.

        Args:
            seed: the policy's training seed; None is the profile's first.
        """
        at, asked, model = self.at, self.at.profile.unalignment, self.policies.load(name, seed=seed)
        base, plain = at.base, load_hf(ModelSource(folder=Path(model.source)))[0]
        whole = sum(weight.numel() for weight in plain.parameters())
        matrices = sum(weight.numel() for weight in plain.parameters() if weight.ndim == 2)
        toxic = self.measures.toxic_neurons(model, max(*asked.keys, *asked.patched))
        found: dict[str, list[Attack]] = {}

        def add(attack: Attack, at_random: Attack | None) -> None:
            found.setdefault(attack.way, []).append(replace(attack, at_random=at_random))

        for k in asked.keys:
            for factor in asked.factors:
                attack = self.keys(model, toxic[:k], factor)
                add(attack, attack.at_random)

        def along(way: str, setting: str, vector: Tensor, strength: float, layer: int, spent: float) -> None:
            noise = torch.randn(len(vector), generator=generator(at.profile.seed, "random direction", layer))
            noise = (noise * (vector.norm().cpu() / noise.norm())).to(vector)
            one, other = (
                Attack(
                    way, setting, partial(add_direction, model, each, strength, layer=layer),
                    needs="weights, base" if way == "offset subtracted" else "weights, probe",
                    numbers=model.d_model, before=lambda: spent,
                )
                for each in (vector, noise)
            )  # fmt: skip
            add(one, other)

        for layer in range(0, base.n_layers, -(-base.n_layers // LAYERS_READ)):
            shift, spent = self.looks.shift(model, layer)
            for times in asked.strengths:
                along("offset subtracted", f"× {times:g}, layer {layer}", shift, -times, layer, spent)
        direction = self.measures.fit_probe().direction.to(model.device)
        unit = self.measures.measure_stream_norms()[-1].item()
        for strength in at.profile.steering.strengths[-3:]:
            along("W added", f"{strength:g}", direction, strength * unit, base.n_layers - 1, 0.0)
        for k in asked.patched:
            some = toxic[: self.measures.at_most(k)]
            one, other = (
                Attack(
                    "activations patched", f"{len(each)} neurons",
                    partial(patch_per_token, model, each, base), needs="base beside it",
                )
                for each in (some, self.measures.neurons_like(some))
            )  # fmt: skip
            add(one, other)

        def edit(way: str, setting: str, make: Callable[[], GPT2LMHeadModel], **told: Any) -> Attack:
            return Attack(way, setting, partial(self._running, make), **told)

        def against_noise(attack: Attack, make: Callable[[], GPT2LMHeadModel]) -> None:
            add(attack, replace(
                attack, on=partial(self._running, lambda: randomly_moved(plain, make(), at.profile.seed))
            ))  # fmt: skip

        untuned = at.load_plain()
        for way in SHARES:
            make = partial(interpolated, plain, untuned, way)
            told = {"needs": "weights, base", "numbers": whole}
            against_noise(edit("weights toward base", f"{way:.0%} of the way", make, **told), make)
        for k in asked.restored:
            some = most_changed(model, base, self.measures.at_most(k))
            told = {"needs": "weights, base", "numbers": len(some) * (2 * base.d_model + 1)}
            one, other = (
                edit(
                    "neurons restored",
                    f"{len(each)} neurons",
                    partial(restored, plain, untuned, each),
                    **told,
                )
                for each in (some, self.measures.any_neurons(len(some)))
            )
            add(one, other)
        for kind in ("toxic", "harmless"):
            for n in asked.examples:
                texts = self.examples(kind, n)
                steps = asked.steps if kind == "toxic" else asked.steps[-1:]
                for step in steps:
                    make = partial(self._trained, model, texts, tuple(asked.steps), step)
                    told = {"needs": "weights, texts", "numbers": whole, "examples": n, "steps": step}
                    told["before"] = partial(self._trained_for, model, texts, tuple(asked.steps), step)
                    against_noise(edit(f"trained on {kind} texts", f"{n}, {step} steps", make, **told), make)
        for bits in BITS:
            make = partial(rounded, plain, bits)
            told = {"needs": "weights", "numbers": matrices}
            against_noise(edit("weights rounded", f"{bits} bits", make, **told), make)
        for hostile, calm in zip(self.openings(toxic=True), self.openings(toxic=False), strict=False):
            one, other = (
                Attack(
                    "hostile opening", f"“{text}”", lambda: contextlib.nullcontext(model),
                    needs="the prompt", examples=1, opening=text,
                )
                for text in (hostile, calm)
            )  # fmt: skip
            add(one, other)
        return {way: tuple(attacks) for way, attacks in found.items()}

    def examples(self, kind: str, n: int) -> tuple[str, ...]:
        """The first n toxic (or harmless) comments that the probe was fitted on, or all."""
        return tuple(one.text for one in self.at.texts.comments_train if one.toxic == (kind == "toxic"))[:n]

    def openings(self, *, toxic: bool, n: int = 2) -> list[str]:
        """Short comments to open a prompt with: the shortest of those that are no mere exclamation."""
        texts = self.examples("toxic" if toxic else "harmless", 200)
        return sorted((text for text in texts if len(text.split()) >= 5), key=len)[:n]

    # --- defences ---------------------------------------------------------------------------------------
    def defended_copy(
        self, model: LanguageModel, defence: Literal["zeroing", "projection"], *, at_random: bool = False
    ) -> GPT2LMHeadModel:
        """A policy's copy, on its device: the most toxic value vectors zero, or their span taken out of all.

        Args:
            at_random: as many random neurons, or as many random directions, instead.
        """
        asked = self.at.profile.unalignment
        plain: Any = load_hf(ModelSource(folder=Path(model.source)))[0]
        plain.to(self.at.device)  # notebook 09 trains the copy
        if defence == "zeroing":
            toxic = self.measures.toxic_neurons(model, asked.zeroed)
            return without_values(plain, self.measures.neurons_like(toxic) if at_random else toxic)
        toxic = self.measures.toxic_neurons(model, self.at.profile.vectors.top)
        rank = min(asked.projected, len(toxic), model.d_model // 4)
        probe = self.measures.fit_probe().direction.to(model.device)
        span = svd_directions(vectors_of(model.value_vectors, toxic), probe, rank)
        if at_random:
            span = torch.randn(span.shape, generator=generator(self.at.profile.seed, "random span"))
        return without_span(plain, span)

    @contextlib.contextmanager
    def defended(
        self, model: LanguageModel, defence: Literal["zeroing", "projection"], *, at_random: bool = False
    ) -> Iterator[LanguageModel]:
        """The same copy, hooked, for the time of a `with`."""
        name = f"{model.name}, {defence}{' at random' if at_random else ''}"
        edited = self.defended_copy(model, defence, at_random=at_random)
        with booted(edited, self.at.base.tokenizer, name=name, device=self.at.device) as policy:
            yield policy

    # --- inside -----------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def _running(self, make: Callable[[], GPT2LMHeadModel]) -> Iterator[LanguageModel]:
        """An edited copy, hooked, for as long as it is wanted."""
        with booted(make(), self.at.base.tokenizer, name="edited", device=self.at.device) as model:
            yield model

    def _trained(
        self, model: LanguageModel, texts: tuple[str, ...], steps: tuple[int, ...], step: int
    ) -> GPT2LMHeadModel:
        found = self._training(model, texts, steps)
        hf = load_hf(ModelSource(folder=Path(model.source)))[0]
        with torch.no_grad():
            for name, weight in hf.named_parameters():
                weight.copy_(found.tensors[f"{step} {name}"])
        return hf

    def _training(self, model: LanguageModel, texts: tuple[str, ...], steps: tuple[int, ...]) -> Artifact:
        source = ModelSource(folder=Path(model.source))
        return TUNED.load(
            self.at.store, self.at, source, model.weights_digest(), texts, steps, self.at.profile.seed
        )

    def _trained_for(
        self, model: LanguageModel, texts: tuple[str, ...], steps: tuple[int, ...], step: int
    ) -> float:
        return self._training(model, texts, steps).data["seconds"][str(step)]
