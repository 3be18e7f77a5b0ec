"""A view as a cell: the code that makes it again, with the explorer and with nothing but the helpers."""

from __future__ import annotations

from helpers.teaching.explorer.state import TOXIC, Edit, State, jump
from helpers.teaching.explorer.trials import DRAWS


def as_code(state: State, policy: str) -> str:
    """Python that opens the explorer at a state, and does its two edits by hand.

    It wants a `lab`; what the models wrote is left in `written`, by condition, as the explorer shows it.
    """
    default = State(neuron=state.neuron, text=state.text).data()
    changed = {name: value for name, value in state.data().items() if value != default[name]}
    asked = {"neuron": state.neuron, "text": state.text, **changed}
    settings = "".join(f"    {name}={value!r},\n" for name, value in asked.items())
    lines = [
        "from helpers.language.generation import continue_prompts",
        "from helpers.language.texts import Prompt",
        "from helpers.mechanism.attribution import neurons_of",
        "from helpers.mechanism.interventions import scale_activations, scale_keys",
        "from helpers.mechanism.vectors import Neuron",
        "from helpers.teaching.explorer import NeuronExplorer",
        "",
        f"explorer = NeuronExplorer(\n    lab,\n    policy={policy!r},\n{settings})",
        "",
        "# The same by hand: what either model writes after the text, as it is and under each edit.",
        f'models = {{"base": lab.base, "aligned": lab.statistics.model({policy!r})}}',
        f'prompts = [Prompt(id=f"draw {{draw}}", text={state.text!r}, group="") for draw in range({DRAWS})]',
        "",
        "",
        "def write(model):",
        '    """What a model writes as it is now, draw by draw."""',
        "    return continue_prompts(",
        f"        model, prompts, lab.profile.decoding, seed={state.seed}, batch_size={DRAWS}",
        "    ).texts",
        "",
        "",
        "written = {name: write(model) for name, model in models.items()}",
    ]
    for edit in (state.first, state.second):
        scale = "scale_keys" if edit.part == "key" else "scale_activations"
        lines += [
            f"with {scale}(models[{edit.model!r}], {_neurons(state, edit, policy)}, {edit.factor!r}):",
            f"    written[{str(edit)!r}] = write(models[{edit.model!r}])",
        ]
    return "\n".join([*lines, "explorer.snapshot()", ""])


def _neurons(state: State, edit: Edit, policy: str) -> str:
    """An expression for the neurons that an edit means."""
    asked = edit.which.strip()
    named = [jump(state.neuron)] if asked == "this" else edit.named()
    if named is not None:
        return f"[{', '.join(f'Neuron({one.layer}, {one.index})' for one in dict.fromkeys(named))}]"
    if found := TOXIC.fullmatch(asked):
        return f"lab.measures.toxic_neurons(models[{edit.model!r}], {max(1, int(found[1]))})"
    shared = f", shared={state.shared}"
    return f"neurons_of(lab.attribution.attribute({policy!r}{shared}).groups()[{asked!r}])"
