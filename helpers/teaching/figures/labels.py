"""Where labels of points and of values on the axis go: they cover neither each other nor the edge."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
from sklearn.isotonic import isotonic_regression

from helpers.teaching.figures.palette import INK
from helpers.teaching.figures.parts import AREA_HEIGHT, AREA_WIDTH, GAP, LETTER, Number, Values, shown, tidy

_LABEL = {"font": {"size": 14, "color": INK}, "bgcolor": "rgba(255,255,255,0.8)", "arrowcolor": INK,
          "arrowwidth": 1, "arrowhead": 0, "showarrow": True, "borderpad": 1}  # fmt: skip


def outlier_labels(
    points: Mapping[str, tuple[Number, Number]],
    clouds: Sequence[tuple[Values, Values]],
    unmask: bool,
    width: int,
) -> dict[str, Any]:
    """Layout with one label per outlier: a column on either side of the cloud, in order of height.

    The axes' ranges are set so that the columns have room; `width` is that of the drawing area in pixels.
    """
    if not points:
        return {}
    spots = {shown(name, unmask): (float(x), float(y)) for name, (x, y) in points.items()}
    all_clouds = [*clouds, *(([x], [y]) for x, y in spots.values())]
    xs, ys = (
        np.concatenate([np.asarray(cloud[axis], dtype=float) for cloud in all_clouds]) for axis in (0, 1)
    )
    left, right, bottom, top = (float(edge) for edge in (xs.min(), xs.max(), ys.min(), ys.max()))
    middle, margin = (left + right) / 2, 0.06 * ((top - bottom) or 1.0)
    bottom, top = bottom - margin, top + margin
    sides: dict[int, dict[str, tuple[float, float]]] = {-1: {}, 1: {}}
    for name, (x, y) in spots.items():
        sides[1 if x >= middle else -1][name] = (x, y)
    # Pixels that the label columns take on each side, and what one pixel of the rest is in units of x.
    room = {side: 30 + LETTER * max(map(len, named)) if named else 12.0 for side, named in sides.items()}
    unit = ((right - left) or 1.0) / (width - sum(room.values()))
    annotations = []
    for side, named in sides.items():
        ordered = sorted(named.items(), key=lambda item: item[1][1])
        wanted = [(y - bottom) / (top - bottom) * AREA_HEIGHT for _, (_, y) in ordered]
        column = (right if side > 0 else left) + side * 24 * unit
        for (name, (x, y)), height in zip(ordered, _apart(wanted), strict=True):
            annotations.append(_LABEL | {
                "text": name, "x": tidy(x), "y": tidy(y), "axref": "x", "ayref": "y", "ax": tidy(column),
                "ay": tidy(bottom + height / AREA_HEIGHT * (top - bottom)),
                "xanchor": "left" if side > 0 else "right"})  # fmt: skip
    across = [tidy(left - room[-1] * unit), tidy(right + room[1] * unit)]
    return {
        "annotations": annotations,
        "xaxis": {"range": across},
        "yaxis": {"range": [tidy(bottom), tidy(top)]},
    }


def _apart(heights: Sequence[float]) -> list[float]:
    """Ascending heights, moved as little as possible (in squares) to stand `GAP` apart inside the area."""
    if not heights:
        return []
    steps = GAP * np.arange(len(heights))
    ceiling = max(AREA_HEIGHT - 10 - steps[-1], 10.0)
    return (isotonic_regression(np.asarray(heights) - steps, y_min=10.0, y_max=ceiling) + steps).tolist()


def axis_marks(marks: Mapping[str, Number], low: float, high: float, unmask: bool) -> list[dict[str, Any]]:
    """Labels that point at values on the x axis, stacked so that no arrow runs through a label."""
    scale = AREA_WIDTH / ((high - low) or 1.0)
    placed = []
    # Labels reach from their arrow towards the middle; the outermost arrows carry the highest labels.
    for side in (-1, 1):
        taken: list[tuple[int, float]] = []
        near = [(abs(float(value) - (low + high) / 2) * scale, name) for name, value in marks.items()
                if (float(value) >= (low + high) / 2) == (side > 0)]  # fmt: skip
        for distance, name in sorted(near):
            text = shown(name, unmask)
            reach = distance - LETTER * len(text) - 8
            level = next(rung for rung in count() if all(at < reach for other, at in taken if other >= rung))
            taken.append((level, distance))
            placed.append(_LABEL | {
                "x": tidy(marks[name]), "y": 0, "yref": "paper", "text": text, "ax": 0, "arrowhead": 2,
                "ay": -30 - GAP * level, "xanchor": "right" if side > 0 else "left"})  # fmt: skip
    return placed
