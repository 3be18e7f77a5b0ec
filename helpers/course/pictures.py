"""PNG twins of plotly figures, drawn by a Chromium that is started once."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import kaleido
from kaleido.errors import ChromeNotFoundError
from nbformat import NotebookNode

from helpers.course.outputs import PLOTLY, PNG, rich_outputs

Draw = Callable[[Mapping[str, Any]], str]
SCALE = 1.5  # sharp enough on a dense screen, and a notebook of ten figures stays far below one megabyte


class PictureError(RuntimeError):
    """No picture can be drawn here, with what to do about it."""


@contextmanager
def drawing() -> Iterator[Draw]:
    """A function from a plotly figure (data, layout) to its PNG in base64; tries an empty figure first.

    Raises:
        PictureError: there is no Chromium or Chrome.
    """

    def draw(figure: Mapping[str, Any]) -> str:
        layout = figure.get("layout", {})
        size = {"width": layout.get("width") or 760, "height": layout.get("height") or 420}
        plain = {"data": figure["data"], "layout": layout}
        return base64.b64encode(
            kaleido.calc_fig_sync(plain, opts={"format": "png", "scale": SCALE, **size})
        ).decode()

    try:
        draw({"data": [], "layout": {}})  # on its own: a server without a browser would wait for ever
    except ChromeNotFoundError as error:
        raise PictureError(
            "Pictures beside the figures need Chromium or Chrome, and none was found. Install it "
            "(Debian and Ubuntu: sudo apt install chromium), or publish on another machine."
        ) from error
    kaleido.start_sync_server(n=1, silence_warnings=True)
    try:
        yield draw
    finally:
        kaleido.stop_sync_server(silence_warnings=True)


def add_pictures(notebook: NotebookNode, draw: Draw) -> None:
    """Gives each plotly output that lacks one a PNG twin with the same alternative text."""
    for _, output in rich_outputs(notebook):
        if PLOTLY in output.data and PNG not in output.data:
            output.data[PNG] = draw(output.data[PLOTLY])
            output.metadata[PNG] = dict(output.metadata.get(PLOTLY, {}))
