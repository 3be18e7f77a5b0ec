"""How text and tables are shown: masked, escaped, readable on light and dark pages and without any styles."""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from torch import Tensor

from helpers.language.words import WORD, is_masked_word, mask

Cell = Any
# Text keeps its own dark colour on a light ground, so a dark page theme cannot make it vanish.
_BOX = "background:#ffffff;color:#1a1a1a;padding:.5em .7em;border-radius:4px;line-height:1.9"
_TOWARD, _AWAY = (213, 94, 0), (0, 114, 178)  # vermilion for positive, blue for negative
_INTERVAL = re.compile(r"\[(-?[\d.][\d.e+-]*), (-?[\d.][\d.e+-]*)\]")  # is not broken over two lines
_VISIBLE = {"\n": "↵", "\r": "␍", "\t": "⇥"}


@dataclass(frozen=True)
class Html:
    """Something a notebook shows as HTML and a terminal as text."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def escape(text: str) -> str:
    """HTML-escaped text in which a dollar sign cannot start an equation (Jupyter typesets `$…$` in HTML)."""
    return html.escape(text, quote=True).replace("$", "<span>$</span>")


def visible(token: str) -> str:
    """A token with its white space made visible.

    Byte-pair marks become what they stand for; new lines, tabs and control characters become signs, a token
    of spaces alone becomes `␣`; a byte that is half a character shows as `�`.

    Example: `visible("Ċ")` and `visible("\\n")` are both `"↵"`.
    """
    text = token.replace("Ġ", " ").replace("Ċ", "\n")
    if text and not text.strip(" "):
        return "␣" * len(text)
    signs = (_VISIBLE.get(character, character) for character in text)
    return "".join(sign if sign.isprintable() else "�" for sign in signs)


def _shown(text: str, unmask: bool) -> str:
    return text if unmask else mask(text)


def mask_tokens(strings: Sequence[str]) -> list[str]:
    """Masks words that may be spread over several tokens, leaving the tokens' borders where they are."""
    plain = [string.replace("Ġ", " ").replace("Ċ", "\n") for string in strings]
    whole = "".join(plain)
    masked = list(whole)
    for word in WORD.finditer(whole):
        if is_masked_word(word[0]):
            masked[word.start() + 1 : word.end()] = "*" * (len(word[0]) - 1)
    ends = [sum(map(len, plain[: index + 1])) for index in range(len(plain))]
    starts = [0, *ends[:-1]]
    return [mask("".join(masked[start:end])) for start, end in zip(starts, ends, strict=True)]


def tokens(
    strings: Sequence[str],
    values: ArrayLike,
    *,
    unmask: bool = False,
    scale: float | int | None = None,
    caption: str = "",
    value_label: str = "value",
    strongest: int = 6,
) -> Html:
    """Tokens on a ground coloured by their value, the strongest with the number beside them.

    Args:
        strings: one per token, as the tokeniser spells it.
        values: one per token; positive is drawn in orange, negative in blue.
        unmask: shows profanity and slurs in full.
        scale: the value of full colour; default the largest absolute value. Fix it to compare displays.
        caption: one line above the tokens.
        value_label: what the values are, for the hover text and the legend.
        strongest: how many tokens carry their number as text (the page may drop the colours).

    Raises:
        ValueError: `strings` and `values` differ in length, or a value is not finite.

    Example: `tokens([" you", " fool"], [0.1, 2.3], value_label="activation")`
    """
    numbers = [float(value) for value in np.asarray(values, dtype=float).ravel()]
    if len(strings) != len(numbers):
        raise ValueError(
            f"{len(strings)} tokens but {len(numbers)} values: there must be one value per token."
        )
    if any(number != number or abs(number) == float("inf") for number in numbers):
        raise ValueError("A value is not finite, so it has no colour. Drop or replace it first.")
    full = scale if scale is not None else max((abs(number) for number in numbers), default=1.0)
    by_size = sorted(range(len(numbers)), key=lambda place: -abs(numbers[place]))
    numbered = {place for place in by_size[:strongest] if numbers[place] != 0}
    spelled = list(strings) if unmask else mask_tokens(strings)
    spans, words = [], []
    for place, (string, number) in enumerate(zip(spelled, numbers, strict=True)):
        token = visible(string)
        spans.append(_span(token, number, full, place in numbered, value_label))
        words.append(f"{token}[{number:+.2g}]" if place in numbered else token)
    legend = f"{value_label}: orange positive, blue negative, full colour at ±{full:.3g}"
    if len(numbered) < sum(number != 0 for number in numbers):
        legend += f"; numbers beside the first {len(numbered)} of the strongest"
    head = f"<b>{escape(_shown(caption, unmask))}</b><br>" if caption else ""
    body = f"<div style='{_BOX}'>{head}{''.join(spans)}<br><small>{escape(legend)}</small></div>"
    return Html(body, "\n".join([*([_shown(caption, unmask)] if caption else []), "".join(words), legend]))


def _span(token: str, number: float, full: float, numbered: bool, label: str) -> str:
    weight = min(abs(number) / full, 1.0) if full > 0 else 0.0
    target = _TOWARD if number > 0 else _AWAY
    # At most 70 % of full colour: dark text stays readable on it (contrast ≥ 4.5).
    red, green, blue = (round(255 + (part - 255) * 0.7 * weight) for part in target)
    style = f"background:rgb({red},{green},{blue});color:#1a1a1a;padding:1px 0;white-space:pre-wrap"
    text = escape(token)
    if numbered:
        text = f"<b>{text}</b><sub>\N{THIN SPACE}{number:+.2g}\N{THIN SPACE}</sub>"
    # A line break in the text is a line break on the page, after its sign.
    broken = "<br>" if token.endswith("↵") else ""
    return f"<span title='{escape(label)} {number:+.4g}' style='{style}'>{text}</span>{broken}"


def number_text(value: Cell, digits: int = 3) -> str:
    """A cell as text: floats to `digits` significant figures, whole numbers with thousands set apart."""
    if isinstance(value, Tensor) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return "" if value is None else str(value)
    if isinstance(value, float):
        if value != value:
            return ""
        text = f"{value:.{digits}g}"
        return f"{value:,.0f}" if "e+" in text else text
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(
    rows: pd.DataFrame | Sequence[Mapping[str, Cell]],
    *,
    caption: str = "",
    unmask: bool = False,
    digits: int = 3,
) -> Html:
    """A plain table with numbers aligned and strings masked; it needs no styles, which GitHub strips.

    Args:
        rows: a DataFrame (a named or textual index becomes the first column), or one mapping per row.
        caption: what the table says, above it.
        unmask: shows profanity and slurs in full.
        digits: significant figures of floats.

    Raises:
        ValueError: there are no rows.
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame([dict(row) for row in rows])
    if frame.empty:
        raise ValueError("The table has no rows: there is nothing to show.")
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    headers = [_shown(str(name), unmask) for name in frame.columns]
    columns = [frame[name].tolist() for name in frame.columns]
    aligned = [all(isinstance(cell, int | float) or cell is None for cell in column) for column in columns]
    cells = [[_shown(number_text(cell, digits), unmask) for cell in column] for column in columns]
    return grid(headers, list(zip(*cells, strict=True)), caption=_shown(caption, unmask), right=aligned)


def grid(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str = "",
    right: Sequence[bool] | None = None,
) -> Html:
    """A table of finished strings; `right` says which columns hold numbers."""
    sides = ["right" if flag else "left" for flag in (right or [False] * len(headers))]
    head = "".join(
        f"<th align='{side}'>{escape(name)}</th>" for name, side in zip(headers, sides, strict=True)
    )
    lines = []
    for row in rows:
        whole = (_INTERVAL.sub("[\\1,\N{NO-BREAK SPACE}\\2]", cell) for cell in row)
        cells = (f"<td align='{side}'>{_lines(cell)}</td>" for cell, side in zip(whole, sides, strict=True))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    top = f"<caption>{escape(caption)}</caption>" if caption else ""
    page = f"<table>{top}<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    flat = [[cell.replace("\n", " / ") for cell in row] for row in [headers, *rows]]
    widths = [max(map(len, column)) for column in zip(*flat, strict=True)]
    text = [
        "  ".join(
            cell.rjust(width) if side == "right" else cell.ljust(width)
            for cell, width, side in zip(row, widths, sides, strict=True)
        ).rstrip()
        for row in flat
    ]
    return Html(page, "\n".join([*([caption] if caption else []), *text]))


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")


def quote(text: str, *, unmask: bool = False) -> Html:
    """A passage set off as a quotation, masked."""
    passage = _shown(text, unmask)
    return Html(
        f"<blockquote>{_lines(passage)}</blockquote>", "\n".join(f"> {line}" for line in passage.split("\n"))
    )


def note(text: str) -> Html:
    """A remark of one paragraph."""
    return Html(f"<p>{_lines(text)}</p>", text)


def text_grid(
    columns: Mapping[str, Sequence[str]],
    *,
    labels: Sequence[str] | None = None,
    caption: str = "",
    unmask: bool = False,
) -> Html:
    """Texts side by side: one column per condition, one row per prompt.

    Args:
        columns: condition → its texts, all of equal number.
        labels: what stands before each row (the prompts, say).

    Raises:
        ValueError: the columns differ in length.

    Example: `text_grid({"base": base.texts, "aligned": aligned.texts}, labels=[p.text for p in prompts])`
    """
    lengths = {name: len(texts) for name, texts in columns.items()}
    if labels is not None:
        lengths["labels"] = len(labels)
    if len(set(lengths.values())) != 1:
        raise ValueError(f"The columns must be of equal length, got {lengths}.")
    shown = {name: [visible_lines(_shown(text, unmask)) for text in texts] for name, texts in columns.items()}
    headers, parts = list(shown), list(shown.values())
    if labels is not None:
        headers, parts = ["", *headers], [[_shown(label, unmask) for label in labels], *parts]
    return grid(headers, list(zip(*parts, strict=True)), caption=_shown(caption, unmask))


def visible_lines(text: str) -> str:
    """A generated text on one line, its line breaks shown as signs."""
    return "".join(
        visible(character) if not character.isspace() or character in _VISIBLE else " " for character in text
    )
