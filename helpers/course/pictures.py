"""PNG twins of plotly figures in an executed notebook, so that a page without scripts shows them."""

from __future__ import annotations

import base64
import struct
import zlib

import plotly.graph_objects as go
from nbformat import NotebookNode

from helpers.course.outputs import PLOTLY, PNG, alt_text, rich_outputs
from helpers.teaching.figures.figure import Figure, browser

SCALE = 1.25  # as wide as GitHub shows it; a dozen figures stay below one megabyte


SIGNATURE = b"\x89PNG\r\n\x1a\n"


class PictureError(RuntimeError):
    """No picture can be drawn here, with what to do about it."""


def check_browser() -> None:
    """Asks for the browser that draws pictures before anything is executed.

    Raises:
        PictureError: there is none.
    """
    if browser() is None:
        raise PictureError(
            "Pictures beside the figures need Chromium or Chrome, and none was found. Install it "
            "(Debian and Ubuntu: sudo apt install chromium), or publish on another machine."
        )


def add_pictures(notebook: NotebookNode) -> None:
    """Gives each plotly output that lacks one a PNG twin with the same alternative text.

    Drawn after the execution, so that the measured minutes are those of a reader, who draws none.
    """
    for _, output in rich_outputs(notebook):
        if PLOTLY in output.data and PNG not in output.data:
            content, alt = output.data[PLOTLY], alt_text(output)
            figure = go.Figure({"data": content["data"], "layout": content["layout"]})
            output.data[PNG] = base64.b64encode(deflate(Figure(figure, alt).to_png(SCALE))).decode()
            size = {"width": figure.layout.width, "height": figure.layout.height}
            output.metadata[PNG] = {"alt": alt, **{side: length for side, length in size.items() if length}}


def deflate(png: bytes) -> bytes:
    """The same picture in fewer bytes: Chromium compresses for speed, and a repository is read more often.

    Only the compressed stream is made anew, pixels and filters stay (PNG specification, sections 5 and 10).
    """
    kept, packed, at = {}, b"", len(SIGNATURE)
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        body = png[at + 8 : at + 8 + length]
        packed += body if kind == b"IDAT" else b""
        kept[kind] = body
        at += 12 + length
    kept[b"IDAT"] = zlib.compress(zlib.decompress(packed), 9)
    chunks = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in kept.items()
    ]
    return SIGNATURE + b"".join(chunks)
