"""A figure that always carries its alternative text, and a PNG twin where the author asks for one."""

import atexit
import base64
import json
import os
import sys
import textwrap
from collections.abc import Sequence
from functools import cache
from html import escape
from typing import Any

import plotly.graph_objects as go

from helpers.language.words import mask
from helpers.teaching.figures.palette import FAINT, INK, PALETTE, PAPER

WIDTH, HEIGHT = 720, 420
PNG_SCALE = 1.5  # sharp on a projector, about 80 kB a figure
TITLE_CHARACTERS = 74
AXIS_LETTER, TICK_LINE = 7.8, 18  # the width of a letter of an axis title, the height of a line of ticks
PLOTLY_MIME = "application/vnd.plotly.v1+json"
_AXIS = {"gridcolor": FAINT, "linecolor": INK, "ticks": "outside", "zeroline": False, "automargin": True,
         "title": {"standoff": 12, "font": {"size": 16}}}  # fmt: skip
# Plotly's own template is 7 kB in every stored figure; these are the parts of it that are used.
TEMPLATE: dict[str, Any] = {
    "layout": {
        "font": {"family": "Helvetica, Arial, sans-serif", "size": 15, "color": INK},
        "title": {"x": 0.02, "xanchor": "left", "font": {"size": 18}},
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "colorway": list(PALETTE),
        "xaxis": {**_AXIS, "showgrid": False},
        "yaxis": _AXIS,
        "legend": {"orientation": "h", "yref": "container", "y": 0.01, "yanchor": "bottom", "x": 0.0},
        "hoverlabel": {"font": {"size": 14}},
    }
}


class Figure:
    """A plotly figure with alternative text.

    In a notebook it shows as an interactive plot; its text form, read aloud or on a page without scripts, is
    the alternative text; with `TOXICITY_LAB_PNG=1` in the environment a PNG is stored beside it.

    Args:
        figure: the finished plotly figure.
        alt: what there is to see, in a sentence or two, for those who cannot see it.

    Raises:
        ValueError: `alt` is empty.
    """

    def __init__(self, figure: go.Figure, alt: str) -> None:
        if not alt.strip():
            raise ValueError(
                "A figure needs alternative text (alt=…): say in a sentence what there is to see."
            )
        self.figure, self.alt = figure, alt.strip()

    def __repr__(self) -> str:
        return f"[figure] {self.alt}"

    def to_png(self, scale: float = PNG_SCALE) -> bytes:
        """The figure as PNG at `scale` × its size. Raises RuntimeError where no Chromium is installed."""
        return self._drawn(format="png", scale=scale)

    def to_svg(self) -> str:
        """The figure as SVG, whose title is its alternative text. Raises RuntimeError as `to_png` does."""
        drawn = self._drawn(format="svg").decode()
        said = escape(self.alt)
        head, rest = drawn.split(">", 1)
        return f'{head} role="img"><title>{said}</title>{rest}'

    def _drawn(self, **options: Any) -> bytes:
        if browser() is None:
            raise RuntimeError(
                "A picture of a figure needs the package kaleido and an installed Chromium or Chrome. "
                "Install them, or unset TOXICITY_LAB_PNG: the interactive figure needs neither."
            )
        kaleido = _png_server()
        layout = self.figure.layout
        options |= {"width": layout.width, "height": layout.height}
        return bytes(kaleido.calc_fig_sync(json.loads(self.figure.to_json()), opts=options))

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        content = json.loads(self.figure.to_json())
        content["config"] = {"displaylogo": False, "responsive": True}
        data: dict[str, Any] = {PLOTLY_MIME: content, "text/plain": self.alt}
        if os.environ.get("TOXICITY_LAB_PNG") == "1":
            data["image/png"] = base64.b64encode(self.to_png()).decode()
        if "google.colab" in sys.modules:
            data["text/html"] = self.figure.to_html(include_plotlyjs="cdn", full_html=False)
        metadata: dict[str, dict[str, Any]] = {kind: {"alt": self.alt} for kind in data}
        if "image/png" in data:
            metadata["image/png"] |= {
                "width": self.figure.layout.width,
                "height": self.figure.layout.height,
            }
        return data, metadata


@cache
def browser() -> str | None:
    """Path of the Chromium or Chrome that PNGs are drawn with; None where it, or kaleido, is missing."""
    try:
        import kaleido  # noqa: F401
        from choreographer.browsers.chromium import Chromium
    except ImportError:
        return None
    return Chromium.find_browser(skip_local=False)


@cache
def _png_server() -> Any:
    """kaleido with one browser kept open: 0.2 s a figure instead of 3."""
    import kaleido

    kaleido.start_sync_server(n=1)
    atexit.register(kaleido.stop_sync_server)
    return kaleido


def finish(
    traces: Sequence[Any],
    *,
    title: str,
    x_label: str,
    y_label: str,
    alt: str,
    unmask: bool = False,
    legend: bool = False,
    tick_lines: int = 1,
    layout: dict[str, Any] | None = None,
) -> Figure:
    """Puts traces under a wrapped title, labelled axes and a legend that keeps clear of the data.

    Args:
        tick_lines: how many lines the names below the axis take; the figure grows by them.

    Raises:
        ValueError: title, a label or the alternative text is empty.
    """
    for name, text in {"title": title, "x_label": x_label, "y_label": y_label, "alt": alt}.items():
        if not text.strip():
            raise ValueError(
                f"{name} is empty. Every figure says what it shows and what its axes are, with units."
            )
    heading, across = wrap(title, TITLE_CHARACTERS, unmask), wrap(x_label, TITLE_CHARACTERS, unmask)
    # Rows of the legend, from the width its entries take at this font size.
    names = [trace.name for trace in traces if legend and trace.name]
    rows = -(-sum(8.5 * len(name) + 60 for name in names) // (WIDTH - 60))
    lines = heading.count("<br>") + 1
    height = HEIGHT + 24 * (lines - 1) + TICK_LINE * (tick_lines - 1)
    top, bottom = 30 + 24 * lines, 58 + 20 * across.count("<br>") + 26 * rows + TICK_LINE * (tick_lines - 1)
    beside = int((height - top - bottom) / AXIS_LETTER)  # no longer than the axis, or it meets the title
    place = {"y": 1 - (14 + 11 * (lines - 1)) / height, "yanchor": "top", "yref": "container"}
    # The template has to be there from the start: plotly would merge a later one into its own.
    figure = go.Figure(list(traces), layout={"template": TEMPLATE})
    figure.update_layout(
        width=WIDTH,
        height=height,
        title={"text": heading, **place},
        margin={"l": 76, "r": 24, "t": top, "b": bottom},
        xaxis={"title": {"text": across}},
        yaxis={"title": {"text": wrap(y_label, beside, unmask)}},
        showlegend=bool(names),
    )
    figure.update_layout(layout or {})
    return Figure(figure, alt if unmask else mask(alt))


def wrap(text: str, characters: int, unmask: bool = False) -> str:
    """Text in lines of at most `characters`, none cut, joined by `<br>`; masked."""
    shown = text if unmask else mask(text)
    return "<br>".join(line for part in shown.split("<br>") for line in textwrap.wrap(part, characters))
