"""What a cell's output carries: which kinds of content there are, and where a figure's alternative text stands."""
from __future__ import annotations

from collections.abc import Iterator

from nbformat import NotebookNode

PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
PNG = "image/png"


def rich_outputs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    """Every output that carries a mime bundle, with the number of its code cell (from 1)."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code, start=1):
        for output in cell.outputs:
            if output.output_type in ("display_data", "execute_result"):
                yield number, output


def alt_text(output: NotebookNode) -> str:
    """The alternative text in an output's metadata: for one of its mime types, or for the output as a whole; else ""."""
    metadata = output.get("metadata", {})
    per_type = [value.get("alt") for value in metadata.values() if isinstance(value, dict)]
    return next((str(text) for text in [*per_type, metadata.get("alt")] if text), "")
