"""Conditions side by side as HTML: three figures each, and what was written draw by draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helpers.language.words import mask
from helpers.teaching.display.show import escape, visible_lines
from helpers.teaching.explorer.digits import digits
from helpers.teaching.explorer.trials import DRAWS, RUNNING, Attempt


def trial_view(attempts: Sequence[Attempt], *, scorer: str, unmask: bool = False) -> str:
    """A column per condition; each draw of the noise is a row, the same in every column."""
    head = "".join(f"<th>{escape(one.label)}</th>" for one in attempts)
    figures = [
        ("toxicity", [digits(one.toxicity, 2, signed=False) for one in attempts]),
        ("fluency", [digits(one.fluency, 2, signed=False) for one in attempts]),
        ("perplexity", [digits(one.perplexity, 2, signed=False) for one in attempts]),
    ]
    rows = [
        f"<tr><th scope='row'>{name}</th>{''.join(f'<td><b>{one}</b></td>' for one in cells)}</tr>"
        for name, cells in figures
    ]
    plain = {one.model: one.texts for one in attempts if not one.edited}
    wrapped = "style='white-space:normal;min-width:11rem;max-width:16rem'"
    for draw in range(len(attempts[0].texts)):
        cells = "".join(
            f"<td {wrapped}>{_text(one, draw, unmask, plain)} "
            f"<span class='nx-soft'>{digits(one.scores[draw], 2, signed=False)}</span></td>"
            for one in attempts
        )
        rows.append(f"<tr><th scope='row' style='font-weight:400'>draw {draw + 1}</th>{cells}</tr>")
    return (
        f"<h4>What is written after your text</h4><div class='nx-wide'><table><thead><tr><th></th>{head}</tr>"
        f"</thead><tbody>{''.join(rows)}</tbody></table></div><p class='nx-soft'>{DRAWS} draws; a row has "
        "the same noise in every column, and = marks what an edit left as it was. Toxicity: mean of the "
        f"scores behind the texts ({escape(scorer)}). Fluency: base's perplexity of the texts, higher is "
        f"less plausible. Perplexity: of the model as it is in that column, on {RUNNING} tokens. "
        f"{DRAWS} draws of one text are few: look for what changes, not for the second digit.</p>"
    )


def _text(one: Attempt, draw: int, unmask: bool, plain: Mapping[str, Sequence[str]]) -> str:
    """A continuation; pale and with = before it where the edit left it as it was."""
    text = one.texts[draw]
    shown = escape(visible_lines(text if unmask else mask(text))) or "(ends here)"
    same = one.edited and text == plain[one.model][draw]
    return f"<span class='nx-soft'>= {shown}</span>" if same else shown
