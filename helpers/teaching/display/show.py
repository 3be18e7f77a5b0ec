"""What every view is made of: escaped text, visible tokens, masked words, grids that need no styles."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from helpers.intervals import OVERFLOW
from helpers.language.words import WORD, is_masked_word, mask

# Text keeps its own dark colour on a light ground, so a dark page theme cannot make it vanish.
BOX = "background:#ffffff;color:#1a1a1a;padding:.5em .7em;border-radius:4px;line-height:1.9"
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


def mask_tokens(strings: Sequence[str]) -> list[str]:
    """Masks words that may be spread over several tokens, leaving the tokens' borders where they are."""
    plain = [string.replace("Ġ", " ").replace("Ċ", "\n") for string in strings]
    whole = "".join(plain)
    masked = list(whole)
    for word in WORD.finditer(whole):
        if is_masked_word(word[0]):
            masked[word.start() + 1 : word.end()] = "*" * (len(word[0]) - 1)
    rest = iter(masked)
    return [mask("".join(next(rest) for _ in string)) for string in plain]


def coloured(token: str, number: float, full: float, numbered: bool, label: str) -> str:
    """A visible token on a ground as strong as `number / full`, with the number beside it if `numbered`."""
    weight = min(abs(number) / full, 1.0) if full > 0 else 0.0
    target = _TOWARD if number > 0 else _AWAY
    # At most 70 % of full colour: dark text stays readable on it (contrast ≥ 4.5).
    red, green, blue = (round(255 + (part - 255) * 0.7 * weight) for part in target)
    style = f"background:rgb({red},{green},{blue});color:#1a1a1a;padding:1px 0;white-space:pre-wrap"
    text = escape(token)
    if numbered:
        text = f"<b>{text}</b><sub>\N{THIN SPACE}{number:+.2g}\N{THIN SPACE}</sub>"
    # A line break in the text is a line break on the page, after its sign.
    end = "<br>" if token.endswith("↵") else ""
    return f"<span title='{escape(label)} {number:+.4g}' style='{style}'>{text}</span>{end}"


def number_text(value: Any) -> str:
    """A cell as text: floats to three significant figures, whole numbers with thousands set apart."""
    if isinstance(value, Tensor) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return "" if value is None else str(value)
    if isinstance(value, float):
        if value != value:
            return ""
        if value >= OVERFLOW:
            return "overflow"
        text = f"{value:.3g}"
        return f"{value:,.0f}" if "e+" in text else text
    return f"{value:,}" if isinstance(value, int) else str(value)


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
        cells = (f"<td align='{side}'>{broken(cell)}</td>" for cell, side in zip(whole, sides, strict=True))
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


def broken(text: str) -> str:
    """Escaped text whose line breaks are line breaks on the page."""
    return escape(text).replace("\n", "<br>")


def visible_lines(text: str) -> str:
    """A generated text on one line, its line breaks shown as signs."""
    return "".join(
        visible(character) if not character.isspace() or character in _VISIBLE else " " for character in text
    )
