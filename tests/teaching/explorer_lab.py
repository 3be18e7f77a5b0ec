"""A lab for the explorer in seconds: two random models of one shape, and statistics of a few sentences."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import GPT2LMHeadModel

from helpers.language.models import boot
from helpers.language.scoring import WordScorer
from helpers.language.texts import Prompt
from helpers.mechanism.attribution import attribute
from helpers.mechanism.statistics import measure_statistics
from helpers.mechanism.vectors import Neuron, cosines, top_neurons
from helpers.profiles import POCKET
from helpers.teaching.display.display import Display
from tests.language.builders import SENTENCES, tiny_tokenizer


@dataclass(frozen=True, eq=False)
class FakeLab:
    """What `Subject` asks for, of two models: base, and base with noise on its weights."""

    build: Path
    base: Any
    policies: Any
    statistics: Any
    attribution: Any
    measures: Any
    looks: Any
    profile: Any
    texts: Any
    scorers: Any
    show: Display = field(default_factory=Display)


def fake_lab(
    hf: GPT2LMHeadModel,
    build: Path,
    *,
    seeds: tuple[int, ...] = (0, 1),
    sentences: int = 24,
    prompts: int = 2,
) -> FakeLab:
    """Base and a policy for each seed, both read on sentences of base and on others of its own."""
    tokenizer = tiny_tokenizer()
    base, policies = boot(copy.deepcopy(hf), tokenizer, name="tiny"), {}
    for seed in seeds:
        other, noise = copy.deepcopy(hf), torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in other.parameters():
                weight.add_(0.05 * weight.std() * torch.randn(weight.shape, generator=noise))
        policies[seed] = boot(other, tokenizer, name=f"policy {seed}")
    texts = {"base": base.tokenise(SENTENCES[:sentences]), "own": base.tokenise(SENTENCES[-sentences:])}
    counted = {name: each.mask & (torch.arange(each.ids.shape[1]) >= 1) for name, each in texts.items()}
    direction = torch.randn(base.d_model, generator=torch.Generator().manual_seed(3))
    used = torch.zeros(base.vocab_size, dtype=torch.bool)
    used[texts["base"].ids.unique()] = True

    def model(name: str, seed: int | None = None) -> Any:
        return base if name == "base" else policies[seeds[0] if seed is None else seed]

    def readings(name: str = "matched", *, shared: bool = False, seed: int | None = None) -> Any:
        own = "base" if shared else "own"
        return tuple(
            measure_statistics(one, texts[on], counted=counted[on])
            for one, on in ((base, "base"), (model(name, seed), own))
        )

    def attributed(name: str = "matched", *, shared: bool = False, seed: int | None = None) -> Any:
        return attribute(base, model(name, seed), *readings(name, shared=shared, seed=seed), direction)

    def toxic(one: Any, k: int) -> list[Neuron]:
        return top_neurons(cosines(one.value_vectors, direction), min(k, used.numel()))

    decoding = POCKET.decoding.model_copy(update={"new_tokens": 5, "max_prompt_tokens": 40})
    dpo = POCKET.dpo.model_copy(update={"seeds": seeds})
    asked = tuple(Prompt(f"dev {n}", f"{SENTENCES[n]} You", "hostile") for n in range(prompts))
    running = torch.cat([row[mask] for row, mask in zip(texts["own"].ids, texts["own"].mask, strict=True)])
    return FakeLab(
        build=build,
        base=base,
        policies=SimpleNamespace(load=lambda name, seed=None: model(name, seed)),
        statistics=SimpleNamespace(
            model=model,
            texts=lambda name: (texts["base" if name == "base" else "own"], None),
        ),
        attribution=SimpleNamespace(readings=readings, attribute=attributed),
        measures=SimpleNamespace(
            fit_probe=lambda: SimpleNamespace(direction=direction),
            at_most=lambda k: min(k, base.n_layers * base.d_mlp // 4),
            used_tokens=used,
            toxic_neurons=toxic,
            any_neurons=lambda k: [Neuron(0, index) for index in range(k)],
        ),
        looks=SimpleNamespace(reads=lambda split: (asked, running)),
        profile=POCKET.model_copy(update={"decoding": decoding, "dpo": dpo}),
        texts=SimpleNamespace(eliciting=lambda split: asked),
        scorers=(WordScorer({"idiot", "stupid"}), WordScorer({"stupid"})),
    )
