"""The table of neurons: filtered and ordered as a state says, as a frame, as HTML and as CSV."""

from __future__ import annotations

import pandas as pd

from helpers.teaching.display.show import escape
from helpers.teaching.explorer.atlas import Atlas
from helpers.teaching.explorer.digits import ACTIVATION, PROJECTION, digits
from helpers.teaching.explorer.state import Refused, State

PLACES = {"whole": PROJECTION, "activation": PROJECTION, "value": PROJECTION}
NAMES = {
    "neuron": "neuron", "layer": "layer", "group": "group", "cosine": "cosine with W",
    "base": "mean, base", "aligned": "mean, aligned", "moved": "change of mean", "whole": "reduction",
    "activation": "by activation", "value": "by value vector", "raises": "raises token",
}  # fmt: skip
ABOVE = 2.0
"""A vector promotes a token that it raises so many standard deviations above used tokens."""
SHOWN = 15


def chosen(atlas: Atlas, state: State) -> pd.DataFrame:
    """The neurons that pass the state's filters, in its order; a token that is asked for adds a column.

    Raises Refused for a word that is no single token, or a layer there is not.
    """
    frame = atlas.table(state.shared)
    if state.layer is not None:
        if not 0 <= state.layer < atlas.shape[0]:
            raise Refused(f"There is no layer {state.layer}: they run from 0 to {atlas.shape[0] - 1}.")
        frame = frame[frame["layer"] == state.layer]
    if state.group:
        frame = frame[frame["group"] == state.group]
    if state.lowers:
        frame = frame[frame["whole"] > 0]
    if state.token.strip():
        raised = atlas.raises(token_id(atlas, state.token)).flatten().double().numpy()
        column = pd.Series(raised, index=atlas.table(state.shared).index)
        frame = frame.assign(raises=column[frame.index])
        frame = frame[frame["raises"] >= ABOVE]
    by = "raises" if state.token.strip() else state.sort
    return frame.sort_values(by, ascending=not state.descending, kind="stable")


def token_id(atlas: Atlas, word: str) -> int:
    """The id of a word as a token, with a space before it or without."""
    tokenizer = atlas.lab.base.tokenizer
    for text in (f" {word.strip()}", word.strip()):
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if len(ids) == 1:
            return int(ids[0])
    raise Refused(f"{word.strip()[:40]!r} is no single token of this model. Try a shorter or commoner word.")


def table_view(frame: pd.DataFrame, state: State, shown: int = SHOWN) -> str:
    """The first rows of a chosen table, the state's own neuron marked."""
    if frame.empty:
        return "<h4>Neurons</h4><p>No neuron passes these filters.</p>"
    rows = []
    for name, row in frame.head(shown).iterrows():
        cells = "".join(cell(column, row[column]) for column in frame.columns)
        mark = " aria-current='true' style='font-weight:700'" if name == state.neuron else ""
        rows.append(f"<tr{mark}><td>{escape(str(name))}</td>{cells}</tr>")
    head = "".join(
        f"<th{'' if column in ('neuron', 'group') else ' class=nx-n'}>{escape(NAMES[column])}</th>"
        for column in ("neuron", *frame.columns)
    )
    return (
        f"<h4>Neurons</h4><div class='nx-wide'><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}"
        f"</tbody></table></div><p class='nx-soft'>{min(shown, len(frame)):,} of {len(frame):,} neurons. "
        "<i>Reduction</i> is of the projection on the probe; above 0 is less toxic after tuning.</p>"
    )


def cell(column: str, value: object) -> str:
    """One value of the table, as it is shown."""
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    number = float(value)  # type: ignore[arg-type]
    text = f"{number:.0f}" if column == "layer" else digits(number, PLACES.get(column, ACTIVATION))
    return f"<td class='nx-n'>{text}</td>"
