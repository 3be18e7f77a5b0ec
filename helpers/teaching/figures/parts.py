"""The pieces figures are made of: small numbers, masked names, densities, ticks, reference lines."""

import html
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from helpers.intervals import Interval
from helpers.language.words import mask
from helpers.teaching.figures.figure import HEIGHT, TICK_LINE, WIDTH
from helpers.teaching.figures.palette import INK
from helpers.teaching.guesses import YOURS, Guess

Number = SupportsFloat  # plain numbers, numpy's and tensors of one element
Values = ArrayLike | Sequence[float | None]
# The drawing area inside the margins, nearly, in pixels; labels are 14 px high and about 8 px a letter.
AREA_WIDTH, AREA_HEIGHT = WIDTH - 110, HEIGHT - 130
GAP, LETTER = 20, 8.0


def shown(text: str, unmask: bool) -> str:
    """A label as it may be shown: masked unless asked otherwise, and no token taken for an HTML tag."""
    return html.escape(text if unmask else mask(text), quote=False)


def tidy(number: Number) -> float | None:
    """Five significant digits, None for nan: a figure is looked at, not computed with."""
    plain = float(number)
    return None if math.isnan(plain) else float(f"{plain:.5g}")


def numbers(values: Values) -> list[float | None]:
    """Values as a list of tidy numbers."""
    return [tidy(value) for value in np.asarray(values, dtype=float).ravel()]


def pair(x: Values, y: Values, name: str) -> tuple[list[float | None], list[float | None]]:
    across, up = numbers(x), numbers(y)
    if len(across) != len(up) or not up:
        raise ValueError(
            f"{name!r} has {len(up)} values for {len(across)} positions: there must be one for each."
        )
    return across, up


def taken_apart(values: Values | Sequence[Interval]) -> tuple[Any, tuple[Any, Any] | None]:
    """Plain values, and their lower and upper ends if they are given as intervals."""
    if isinstance(values, list | tuple) and values and all(isinstance(each, Interval) for each in values):
        low, high = zip(*(each.bounds for each in values), strict=True)
        return [each.value for each in values], (low, high)
    return values, None


def density(x: Sequence[float | None], y: Sequence[float | None], counted: str) -> go.Heatmap:
    """Counts of points on a grid, on a logarithmic grey scale so that single points remain visible."""
    counts, across, up = np.histogram2d(np.asarray(x, float), np.asarray(y, float), bins=(90, 60))
    logs = np.log10(np.where(counts > 0, counts, np.nan)).T
    ticks = list(range(int(np.nanmax(logs)) + 1))
    return go.Heatmap(
        x=numbers((across[1:] + across[:-1]) / 2), y=numbers((up[1:] + up[:-1]) / 2),
        z=[numbers(row) for row in logs], colorscale=[[0, "#c9c9c9"], [1, "#222222"]],
        hoverinfo="skip",
        colorbar=colour_bar(counted) | {"tickvals": ticks, "ticktext": [f"{10**tick:,}" for tick in ticks]},
    )  # fmt: skip


def colour_bar(label: str) -> dict[str, Any]:
    return {
        "title": {"text": label, "side": "right", "font": {"size": 15}},
        "thickness": 16,
        "outlinewidth": 0,
    }


def named_ticks(names: Sequence[str | int] | None, length: int, most: int, unmask: bool) -> dict[str, Any]:
    """Ticks by position, since a name (a token, say) may occur twice; no more than fit."""
    if names is None:
        return {}
    if len(names) != length:
        raise ValueError(f"{len(names)} names for {length} rows or columns: there must be one for each.")
    places = list(range(0, length, -(-length // most)))
    return {"tickvals": places, "ticktext": [shown(str(names[place]), unmask) for place in places]}


def in_lines(names: Sequence[str], beside: Sequence[str]) -> tuple[list[str], int]:
    """Names under bars, in as many lines as keep them upright, and the most lines that one takes.

    Where a word has no room they stay as they are: plotly slants them, and they take as much height as that.

    Args:
        beside: names of lines in the right margin, which take their width from the bars.
    """
    given = ["<br>".join(name.split("\n")).replace(" = ", "\u00a0=\u00a0") for name in names]
    width = AREA_WIDTH - LETTER * max(map(len, beside), default=0)
    room = int(width / LETTER / len(names)) if names else 0
    if any(len(word) > room for name in given for word in name.replace("<br>", " ").split()):
        slanted = max(map(len, given)) * LETTER * math.sin(math.radians(30))
        return given, math.ceil(slanted / TICK_LINE)
    made = ["<br>".join(line for part in name.split("<br>") for line in textwrap.wrap(part, room) or [""])
            for name in given]  # fmt: skip
    return made, max((name.count("<br>") + 1 for name in made), default=1)


def reference_lines(
    reference: Mapping[str, Number] | None,
    unmask: bool,
    *,
    limits: Mapping[str, Number] | None = None,
    log: str = "",
) -> dict[str, Any]:
    """Layout of thin named lines: horizontal ones named in the right margin, vertical ones at their top.

    Args:
        log: the axes that are logarithmic ("x", "y" or "xy"); what is not above 0 has no place on them.
    """
    if not reference and not limits:
        return {}
    look = {"type": "line", "line": {"color": INK, "width": 1.6, "dash": "dot"}}
    font = {"showarrow": False, "font": {"size": 14, "color": INK}, "xanchor": "left", "xshift": 4}
    lines, names = [], []
    for along, across, marks in (("x", "y", reference), ("y", "x", limits)):
        for name, place in (marks or {}).items():
            text, at = shown(name, unmask), tidy(place)
            if across in log and (at is None or at <= 0):
                continue
            whole = {f"{along}ref": "paper", f"{along}0": 0, f"{along}1": 1}
            lines.append({**look, **whole, f"{across}0": at, f"{across}1": at})
            # Plotly takes a line's place as it is, and that of a text as the axis counts: in powers of ten.
            written = math.log10(at) if across in log and at else at
            names.append({**font, f"{along}ref": "paper", along: 1, across: written, "text": text})
            if along == "y":
                names[-1]["yanchor"] = "top"
    longest = max((len(shown(name, unmask)) for name in reference or {}), default=0)
    return {"shapes": lines, "annotations": names, "margin": {"r": round(20 + LETTER * longest)}}


def guessed_number(guess: Guess | Number | str | None) -> dict[str, Number]:
    """A guessed number as a named line; none where there is no guess, or where a choice was guessed."""
    value = guess.value if isinstance(guess, Guess) else guess
    return {} if value is None or isinstance(value, str) else {YOURS: value}


def guessed_name(name: str, guess: Guess | Number | str | None) -> str:
    """A series' or a bar's name, which says so where it is what the reader chose."""
    value = guess.value if isinstance(guess, Guess) else guess
    return f"{name} ({YOURS})" if isinstance(value, str) and value == name else name
