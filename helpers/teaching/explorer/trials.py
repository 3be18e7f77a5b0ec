"""What either model writes after the reader's text, as it is and under an edit, with what that costs."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from einops import reduce

from helpers.language.generation import continue_prompts
from helpers.language.metrics import fluency, mean_of_written, perplexity
from helpers.language.models import LanguageModel
from helpers.language.texts import Prompt
from helpers.mechanism.attribution import neurons_of
from helpers.mechanism.interventions import scale_activations, scale_keys
from helpers.mechanism.vectors import Neuron
from helpers.teaching.explorer.atlas import Atlas
from helpers.teaching.explorer.state import TOXIC, Edit, Refused, State, jump
from helpers.teaching.explorer.subject import Subject

DRAWS = 8
"""Continuations of the text, each with noise of its own, which every condition meets alike."""
PROMPTS, TRIED = 12, 4
"""Prompts among which one is sought that shows what tuning did, and continuations of each."""
RUNNING = 512
"""Tokens of plain text that perplexity is measured on: few, so that a slider answers at once."""
KEPT = 32


@dataclass(frozen=True)
class Attempt:
    """What a model wrote in one condition, and three figures of it.

    Attributes:
        model: which was run, "base" or "aligned"; `edited`, whether an edit was in force.
        scores: toxicity of each text by the lab's first scorer.
        toxicity: their mean over the texts that are not empty.
        fluency: base's perplexity of the texts; higher is less plausible.
        perplexity: of the model as it is here, on a little plain text.
    """

    label: str
    model: str
    edited: bool
    texts: tuple[str, ...]
    scores: tuple[float, ...]
    toxicity: float
    fluency: float
    perplexity: float


def spread(prompts: Sequence[Prompt]) -> list[Prompt]:
    """At most `PROMPTS` of them, from all along the list, so that kinds which stand together are all met."""
    return list(prompts[:: max(1, len(prompts) // PROMPTS)][:PROMPTS])


def most_changed(lab: Subject, aligned: LanguageModel, prompts: Sequence[Prompt]) -> int:
    """Place of the prompt after which aligned is least toxic beside base, by a few continuations of each.

    It is chosen to show an effect, so what is seen on it is no measure of one.
    """
    asked = [replace(one, id=f"{one.id} {draw}") for one in prompts for draw in range(TRIED)]
    base, tuned = (
        lab.scorers[0].score(
            continue_prompts(
                model,
                asked,
                lab.profile.decoding,
                seed=lab.profile.seed,
                batch_size=lab.profile.batches.generate,
            ).texts
        )
        for model in (lab.base, aligned)
    )
    return int(reduce(base - tuned, "(prompt draw) -> prompt", "sum", draw=TRIED).argmax())


@dataclass(frozen=True, eq=False)
class Trials:
    """Runs conditions, and remembers the latest."""

    atlas: Atlas
    _kept: OrderedDict[Any, Attempt] = field(default_factory=OrderedDict, repr=False)

    def run(self, state: State) -> list[Attempt]:
        """Base and aligned as they are, then the two edits.

        Raises Refused for neurons that are not there, an empty group, or an edit that breaks the model.
        """
        asked: list[tuple[str, Edit | None]] = [(name, None) for name in self.atlas.models]
        asked += [(one.model, one) for one in (state.first, state.second)]
        return [self._attempt(state, name, edit) for name, edit in asked]

    def _attempt(self, state: State, name: str, edit: Edit | None) -> Attempt:
        neurons = () if edit is None else tuple(self.neurons(state, edit))
        key = (name, neurons, edit and (edit.part, edit.factor), state.text, state.seed)
        label = name if edit is None else str(edit)
        if key not in self._kept:
            with self.edited(name, neurons, edit):
                try:
                    self._kept[key] = self._measure(label, name, edit is not None, state)
                except FloatingPointError as problem:
                    raise Refused(f"{label}: {problem}") from problem
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return replace(self._kept[key], label=label)

    def neurons(self, state: State, edit: Edit) -> list[Neuron]:
        """The neurons that an edit means, in the state that it stands in."""
        asked, atlas = edit.which.strip(), self.atlas
        named = [jump(state.neuron)] if asked == "this" else edit.named()
        if named is None:
            if found := TOXIC.fullmatch(asked):
                named = atlas.lab.measures.toxic_neurons(atlas.models[edit.model], max(1, int(found[1])))
            else:
                named = neurons_of(atlas.attribution(state.shared).groups()[asked])
        layers, width = atlas.shape
        for one in named:
            if one.layer >= layers or one.index >= width:
                raise Refused(
                    f"There is no {one}: layers run from 0 to {layers - 1}, neurons from 0 to {width - 1}."
                )
        if not named:
            raise Refused(f"No neuron of {asked} lowers toxicity here: there is nothing to edit.")
        return list(dict.fromkeys(named))

    def edited(
        self, name: str, neurons: tuple[Neuron, ...], edit: Edit | None
    ) -> AbstractContextManager[Any]:
        """The model under the edit, for as long as the block runs."""
        if edit is None:
            return contextlib.nullcontext()
        scale = scale_keys if edit.part == "key" else scale_activations
        return scale(self.atlas.models[name], neurons, edit.factor)

    def _measure(self, label: str, name: str, edited: bool, state: State) -> Attempt:
        lab, model = self.atlas.lab, self.atlas.models[name]
        prompts = [Prompt(id=f"draw {draw}", text=state.text, group="") for draw in range(DRAWS)]
        written = continue_prompts(
            model, prompts, lab.profile.decoding, seed=state.seed, batch_size=lab.profile.batches.generate
        )
        scorer = lab.scorers[0]
        scores = scorer.score(written.texts)
        _, running = lab.looks.reads("dev")
        return Attempt(
            label,
            name,
            edited,
            written.texts,
            tuple(scores.tolist()),
            mean_of_written(scores, written.texts, scorer.unit).value,
            fluency(lab.base, written, batch_size=lab.profile.batches.forward).value,
            perplexity(model, running[:RUNNING], batch_size=lab.profile.batches.forward).value,
        )
