"""Evaluations as artifacts: found again by weights, interventions, texts, decoding and scorers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from helpers.artifacts import Artifact, Declared, fingerprint
from helpers.language.evaluation import Evaluation, Mode, chosen_prompts, evaluate, summarise
from helpers.language.generation import Continuations
from helpers.language.metrics import Measure
from helpers.language.models import LanguageModel
from helpers.language.texts import Prompt
from helpers.runtime import progress_report

if TYPE_CHECKING:
    from helpers.lab.workbench import Workbench


def load(
    at: Workbench,
    label: str,
    model: LanguageModel,
    split: str,
    mode: Mode,
    prompts: Sequence[Prompt] | None,
) -> Evaluation:
    """The evaluation of a model as it stands, from the store where it is there."""
    chosen = chosen_prompts(at.bench, mode, split, prompts)
    if model.has_unknown_hooks:
        with progress_report(f"{label}: ") as report:
            return evaluate(model, at.bench, mode=mode, label=label, prompts=chosen, progress=report)
    found = EVALUATION.load(at.store, at, model, mode, chosen, label)
    return _unpacked(found, at, label, mode, chosen)


def is_there(at: Workbench, model: LanguageModel, split: str, mode: Mode) -> bool:
    """Whether the store has the evaluation of a model as it stands."""
    return EVALUATION.is_there(at.store, at, model, mode, chosen_prompts(at.bench, mode, split, None), "")


def _key(
    at: Workbench, model: LanguageModel, mode: Mode, prompts: Sequence[Prompt], label: str
) -> Mapping[str, Any]:
    bench = at.bench
    return {
        "model": model.weights_digest(), "judge": at.profile.model, "edits": model.edits,
        "prompts": [[prompt.id, prompt.text] for prompt in prompts], "decoding": bench.decoding,
        "seed": bench.seed, "scorers": list(at.scorer_keys), "mode": mode,
        "stream": bench.stream[bench.sizes[mode].tokens],
        "passages": fingerprint({"passages": bench.passages[bench.sizes[mode].passages]}),
    }  # fmt: skip


def _make(
    at: Workbench, model: LanguageModel, mode: Mode, prompts: Sequence[Prompt], label: str
) -> Artifact:
    with progress_report(f"{label}: ") as report:
        made = evaluate(model, at.bench, mode=mode, label=label, prompts=prompts, progress=report)
    tensors = {"ids": made.continuations.ids, "mask": made.continuations.mask}
    for number, measure in enumerate(made.measures.values()):
        tensors |= {f"totals {number}": measure.totals, f"weights {number}": measure.weights}
    measures = [[name, one.unit, one.exponential] for name, one in made.measures.items()]
    texts, read = made.continuations.texts, made.continuations.prompt_ids
    return Artifact(tensors, {"measures": measures, "texts": texts, "prompt_ids": read})


EVALUATION = Declared("evaluations", 4, _key, _make)
"""What one condition gave: continuations, and each measure item by item. The label is not part of it."""


def _unpacked(
    found: Artifact, at: Workbench, label: str, mode: Mode, prompts: Sequence[Prompt]
) -> Evaluation:
    data, tensors = found.data, found.tensors
    continuations = Continuations(
        prompts=tuple(prompts),
        prompt_ids=tuple(tuple(row) for row in data["prompt_ids"]),
        ids=tensors["ids"],
        mask=tensors["mask"],
        texts=tuple(data["texts"]),
    )
    measures = {
        name: Measure(tensors[f"totals {number}"], tensors[f"weights {number}"], unit, exponential)
        for number, (name, unit, exponential) in enumerate(data["measures"])
    }
    return summarise(label, mode, continuations, measures, at.bench)
