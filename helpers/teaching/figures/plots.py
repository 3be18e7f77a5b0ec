"""The figures of the series: five kinds, each with a title that states the finding, axes and alt text."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from helpers.intervals import Interval
from helpers.teaching.figures.figure import Figure, finish
from helpers.teaching.figures.labels import axis_marks, outlier_labels
from helpers.teaching.figures.palette import DIVERGING, INK, NO_VALUE, SEQUENTIAL, styles
from helpers.teaching.figures.parts import (
    AREA_WIDTH,
    Number,
    Values,
    colour_bar,
    density,
    guessed_name,
    guessed_number,
    in_lines,
    named_ticks,
    numbers,
    pair,
    reference_lines,
    shown,
    taken_apart,
    tidy,
)
from helpers.teaching.guesses import Guess

# More points than this hide each other: they become a density.
MOST_POINTS = 3000
# The lower end of a logarithmic axis of counts, in powers of ten: a half.
GROUND = -0.3


def line(
    x: Values | Mapping[str, Values],
    series: Mapping[str, Values | Sequence[Interval]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    alt: str,
    reference: Mapping[str, Number] | None = None,
    limits: Mapping[str, Number] | None = None,
    points: Collection[str] = (),
    guess: Guess | Number | str | None = None,
    log_x: bool = False,
    log_y: bool = False,
    unmask: bool = False,
) -> Figure:
    """Lines with markers, each with its 95 % band where its values are intervals.

    Args:
        x: positions shared by all series, or one array per series (perplexity against toxicity, say).
        series: name → values, or intervals, whose ends become a band. "base", "aligned", "control" and their
            like look the same in every figure.
        reference: name → height of a thin horizontal line (a baseline or a published figure).
        limits: name → position of a thin vertical line (a budget, a chosen strength).
        points: series drawn as markers without a line between them.
        guess: the reader's: a number becomes a line at its height, a chosen name says that it is theirs.
        log_y: heights on a logarithmic axis, for ratios; a height of 0 has no place there and is left out.

    Example:
        `line(layers, {"probe": accuracies}, title="…", x_label="layer", y_label="accuracy", alt="…")`
    """
    traces: list[Any] = []
    for name, look in styles(list(series)).items():
        values, ends = taken_apart(series[name])
        across, up = pair(x[name] if isinstance(x, Mapping) else x, values, name)
        if ends is not None:
            low, high = map(numbers, ends)
            traces.append(go.Scatter(
                x=across + across[::-1], y=high + low[::-1], fill="toself", fillcolor=look.translucent(0.18),
                line={"width": 0}, hoverinfo="skip", showlegend=False, mode="lines"))  # fmt: skip
        traces.append(go.Scatter(
            x=across, y=up, name=shown(guessed_name(name, guess), unmask),
            mode=_mode(len(across), name in points),
            line={"color": look.colour, "dash": look.dash, "width": 2.5},
            marker={"symbol": look.marker, "size": 8, "color": look.colour}))  # fmt: skip
    return finish(
        traces, title=title, x_label=x_label, y_label=y_label, alt=alt, unmask=unmask,
        legend=len(series) > 1,
        layout=reference_lines({**(reference or {}), **guessed_number(guess)}, unmask, limits=limits,
                               log="x" * log_x + "y" * log_y)
        | {"xaxis": _ticks(x, log_x), "yaxis": {"type": "log"} if log_y else {}},
    )  # fmt: skip


def _ticks(x: Values | Mapping[str, Values], log_x: bool) -> dict[str, Any]:
    """A logarithmic axis names its points; one of few whole numbers (layers, say) has no ticks between."""
    if isinstance(x, Mapping) and not log_x:
        return {}
    several = x.values() if isinstance(x, Mapping) else [x]
    places = list(dict.fromkeys(place for each in several for place in numbers(each)))
    if log_x:
        return {"type": "log", "tickvals": places, "ticktext": [f"{place:g}" for place in places]}
    steps = [place for place in places if place is not None and float(place).is_integer()]
    few = len(steps) == len(places) > 0 and max(steps) - min(steps) <= 24
    return {"dtick": 1} if few else {}


def _mode(count: int, alone: bool) -> str:
    return "markers" if alone else "lines+markers" if count <= 60 else "lines"


def scatter(
    groups: Mapping[str, tuple[Values, Values]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    alt: str,
    outliers: Mapping[str, tuple[Number, Number]] | None = None,
    unmask: bool = False,
) -> Figure:
    """Points by group; a group of more than 3,000 becomes a density, with labelled outliers on top.

    Args:
        groups: name → (x, y).
        outliers: label → (x, y), at most a dozen.

    Raises:
        ValueError: more than one group is too large to be drawn as points.
    """
    looks = styles(list(groups))
    pairs = {name: pair(x, y, name) for name, (x, y) in groups.items()}
    crowded = [name for name, (x, _) in pairs.items() if len(x) > MOST_POINTS]
    if len(crowded) > 1:
        raise ValueError(
            f"{crowded} have more than {MOST_POINTS} points each: draw one figure for each density."
        )
    traces: list[Any] = []
    for name, (across, up) in pairs.items():
        if name in crowded:
            traces.insert(0, density(across, up, shown(name, unmask)))
            continue
        look = looks[name]
        traces.append(go.Scatter(
            x=across, y=up, mode="markers", name=shown(name, unmask),
            marker={"symbol": look.marker, "size": 8, "color": look.colour, "opacity": 0.75}))  # fmt: skip
    if outliers:
        traces.append(go.Scatter(
            x=[tidy(x) for x, _ in outliers.values()], y=[tidy(y) for _, y in outliers.values()],
            mode="markers", marker={"symbol": "circle-open", "size": 11, "color": INK, "line": {"width": 2}},
            text=[shown(name, unmask) for name in outliers], showlegend=False))  # fmt: skip
    room = AREA_WIDTH - (80 if crowded else 0)  # a density has a colour bar
    return finish(
        traces, title=title, x_label=x_label, y_label=y_label, alt=alt, unmask=unmask,
        legend=len(groups) > 1,
        layout=outlier_labels(outliers or {}, list(pairs.values()), unmask, room),
    )  # fmt: skip


def bar(
    categories: Sequence[str],
    series: Mapping[str, Values | Sequence[Interval]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    alt: str,
    reference: Mapping[str, Number] | None = None,
    guess: Guess | Number | str | None = None,
    unmask: bool = False,
) -> Figure:
    """Bars side by side, with error bars where their values are 95 % intervals.

    Args:
        categories: what stands under the bars.
        series: name → one value or interval per category.
        reference: name → height of a thin horizontal line.
        guess: the reader's: a number becomes a line at its height, a chosen name says that it is theirs.
    """
    if len(set(categories)) < len(categories):
        raise ValueError("Two categories have the same name, so their bars would be drawn over each other.")
    patterns = ("", "|", "-", "+", ".")  # lines along the pixels keep stored pictures small
    marks = {**(reference or {}), **guessed_number(guess)}
    names, tick_lines = in_lines([shown(guessed_name(name, guess), unmask) for name in categories], [*marks])
    traces = []
    for place, (name, look) in enumerate(styles(list(series)).items()):
        values, ends = taken_apart(series[name])
        heights = pair(range(len(names)), values, name)[1]
        errors = None
        if ends is not None:
            low, high = np.asarray(ends, dtype=float)
            errors = {"type": "data", "array": numbers(high - heights), "arrayminus": numbers(heights - low),
                      "color": INK, "thickness": 1.6, "width": 5}  # fmt: skip
        traces.append(go.Bar(
            x=names, y=heights, name=shown(guessed_name(name, guess), unmask), error_y=errors,
            marker={"color": look.colour, "pattern": {"shape": patterns[place], "fgcolor": "#ffffff",
                    "bgcolor": look.colour, "size": 7}}))  # fmt: skip
    lines = reference_lines(marks, unmask)
    layout = {"barmode": "group", "bargap": 0.35, **lines}
    layout["yaxis"] = {"zeroline": True, "zerolinecolor": INK}
    layout["xaxis"] = {"type": "category"}  # names such as "0" would be read as numbers
    return finish(
        traces, title=title, x_label=x_label, y_label=y_label, alt=alt, unmask=unmask,
        legend=len(series) > 1, tick_lines=tick_lines, layout=layout,
    )  # fmt: skip


def heatmap(
    values: Values,
    *,
    title: str,
    x_label: str,
    y_label: str,
    alt: str,
    value_label: str,
    x_names: Sequence[str | int] | None = None,
    y_names: Sequence[str | int] | None = None,
    centre: float | None = 0.0,
    unmask: bool = False,
) -> Figure:
    """A grid of values: blue below `centre`, vermilion above, white at it; `centre=None` for quantities ≥ 0.

    Where there is no value (NaN) the grid is grey.

    Args:
        values: rows × columns, the first row at the bottom.
        value_label: what the colours mean, with unit; stands beside the colour bar.
    """
    grid = np.asarray(values, dtype=float)
    if grid.ndim != 2 or not np.isfinite(grid).any():
        raise ValueError(f"A heatmap needs rows × columns of numbers, got shape {grid.shape}.")
    colours: dict[str, Any] = {"colorscale": [list(stop) for stop in SEQUENTIAL]}
    if centre is not None:
        reach = float(np.nanmax(np.abs(grid - centre))) or 1.0
        ends = {"zmin": centre - reach, "zmax": centre + reach}
        colours = {"colorscale": [list(stop) for stop in DIVERGING], **ends}
    trace = go.Heatmap(
        z=[numbers(row) for row in grid], colorbar=colour_bar(shown(value_label, unmask)), **colours
    )
    layout: dict[str, Any] = {
        "xaxis": named_ticks(x_names, grid.shape[1], 24, unmask),
        "yaxis": named_ticks(y_names, grid.shape[0], 14, unmask) | {"showgrid": False},
    }
    if np.isnan(grid).any():
        layout["plot_bgcolor"] = NO_VALUE
    return finish(
        [trace], title=title, x_label=x_label, y_label=y_label, alt=alt, unmask=unmask, layout=layout
    )


def histogram(
    groups: Mapping[str, Values],
    *,
    title: str,
    x_label: str,
    alt: str,
    y_label: str = "density",
    bins: int = 60,
    log_y: bool = False,
    marks: Mapping[str, Number] | None = None,
    guess: Guess | Number | str | None = None,
    unmask: bool = False,
) -> Figure:
    """Distributions over common bins, overlaid as densities, with labelled values on the axis.

    Args:
        groups: name → values; each curve has area 1.
        log_y: counts on a logarithmic axis instead (state it in `y_label`), which shows thin tails.
        marks: label → value, at most a dozen (outliers, a cut-off, the mean).
        guess: the reader's: a number becomes a mark on the axis, a chosen name says that it is theirs.
    """
    arrays = {name: np.asarray(values, dtype=float).ravel() for name, values in groups.items()}
    if any(array.size == 0 or not np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("Every group needs at least one value, all of them finite.")
    edges = np.histogram_bin_edges(np.concatenate(list(arrays.values())), bins=bins)
    traces, top = [], 0.0
    for name, look in styles(list(groups)).items():
        heights, _ = np.histogram(arrays[name], bins=edges, density=not log_y)
        top = max(top, float(heights.max()))
        # On a log axis an empty bin lies on the ground, so that a lone one beyond it can be seen.
        drawn = numbers(np.where(heights > 0, heights.astype(float), 10**GROUND if log_y else 0.0))
        traces.append(go.Scatter(
            x=numbers(edges), y=[*drawn, drawn[-1]], name=shown(guessed_name(name, guess), unmask),
            mode="lines", connectgaps=False,
            line={"shape": "hv", "color": look.colour, "dash": look.dash, "width": 2.2},
            fill=None if log_y else "tozeroy", fillcolor=look.translucent(0.15)))  # fmt: skip
    height: dict[str, Any] = {"rangemode": "tozero"}
    if log_y:
        reach = [GROUND, float(np.log10(top)) + 0.3]
        height = {"type": "log", "range": reach, "dtick": 1, "tickformat": ",d"}
    labels = axis_marks({**(marks or {}), **guessed_number(guess)}, float(edges[0]), float(edges[-1]), unmask)
    return finish(
        traces, title=title, x_label=x_label, y_label=y_label, alt=alt, unmask=unmask,
        legend=len(groups) > 1, layout={"annotations": labels, "yaxis": height},
    )  # fmt: skip
