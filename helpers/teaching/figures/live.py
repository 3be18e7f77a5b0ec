"""A chart of a training run that grows while it runs: plain HTML, drawn anew with every look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from IPython.display import display

from helpers.teaching.display.show import Html, escape
from helpers.teaching.figures.palette import FAINT, INK, PALETTE

Row = Mapping[str, Any]

PANELS = {
    "loss": "training loss (nats)",
    "margin": "reward margin",
    "accuracy": "reward accuracy",
    "validation_loss": "validation loss (nats)",
    "toxicity": "dev toxicity",
    "perplexity": "dev perplexity",
}
"""Which figures of a row are drawn, and what stands above each."""

WIDTH, HEIGHT, EDGE = 190, 90, 6


@contextmanager
def live_chart(what: str) -> Iterator[Callable[[int, int, Row], None]]:
    """A callback that draws a run as it trains; what is left on the page afterwards is one line of text.

    Nothing is drawn if the run is read from the cache, for then nobody calls.

    Example:
        `with live_chart("DPO") as watch: run = lab.run_on("neutral", watch=watch)`
    """
    rows: list[Row] = []
    page = display(Html("", ""), display_id=True)

    def watch(step: int, most: int, row: Row) -> None:
        rows.append(row)
        if row["kind"] == "look" and page is not None:
            page.update(Html(chart(what, rows, most), summary(what, rows, most)))

    yield watch
    if page is not None:
        text = summary(what, rows, None) if rows else f"{what}: read from the cache."
        page.update(Html(f"<p>{escape(text)}</p>", text))


def summary(what: str, rows: Sequence[Row], most: int | None) -> str:
    """Where a run stands, in one line."""
    looks = [row for row in rows if row["kind"] == "look"]
    step = max(row["step"] for row in rows)
    place = f"step {step} of at most {most}" if most else f"{step} steps, {len(looks)} looks"
    seen = {name: looks[-1][name] for name in ("toxicity", "perplexity") if looks and name in looks[-1]}
    return ", ".join([f"{what}: {place}", *(f"dev {name} {value:.3g}" for name, value in seen.items())])


def chart(what: str, rows: Sequence[Row], most: int) -> str:
    """The run so far as small line charts, one for each of `PANELS` that has been measured."""
    panels = []
    for name, title in PANELS.items():
        seen = [row for row in rows if name in row]
        if name == "accuracy":  # equal models tie on every pair: that is no accuracy of 0
            seen = [row for row in seen if row.get("margin") != 0]
        points = [(row["step"], float(row[name])) for row in seen]
        if points:
            panels.append(_panel(title, points, max(most, 1)))
    style = f"background:#ffffff;color:{INK};padding:.5em;border-radius:4px"
    return f"<div style='{style}'><b>{escape(summary(what, rows, most))}</b><br>{''.join(panels)}</div>"


def _panel(title: str, points: Sequence[tuple[int, float]], most: int) -> str:
    low, high = min(value for _, value in points), max(value for _, value in points)
    reach = (high - low) or 1.0
    inner = HEIGHT - 2 * EDGE
    places = [
        (EDGE + (WIDTH - 2 * EDGE) * step / most, EDGE + inner * (high - value) / reach)
        for step, value in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    x, y = places[-1]
    drawing = (
        f"<svg width='{WIDTH}' height='{HEIGHT}' role='img' aria-label='{escape(title)}'>"
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='none' stroke='{FAINT}'/>"
        f"<polyline points='{line}' fill='none' stroke='{PALETTE[0]}' stroke-width='2'/>"
        f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{PALETTE[1]}'/></svg>"
    )
    label = f"<small>{escape(title)}: <b>{points[-1][1]:.3g}</b></small>"
    return f"<span style='display:inline-block;margin:4px'>{label}<br>{drawing}</span>"
