"""What a cell's output carries: kinds of content, alternative text, and paths that must not be stored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from nbformat import NotebookNode

PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
PNG = "image/png"
# Roots under which people and services keep checkouts, homes and temporary files.
MACHINE_PATH = re.compile(
    r"(?<![\w.~:/-])/(?:home|root|Users|tmp|private|var/folders|work|workspace|content|mnt|opt|data)/[\w.-]+"
)


def rich_outputs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    """Every output that carries a mime bundle, with the number of its code cell (from 1)."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        for output in cell.outputs:
            if output.output_type in ("display_data", "execute_result"):
                yield number, output


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The notebook's code cells, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def alt_text(output: NotebookNode) -> str:
    """The alternative text in an output's metadata, of a mime type or of the whole output; else ""."""
    metadata = output.get("metadata", {})
    per_type = [value.get("alt") for value in metadata.values() if isinstance(value, dict)]
    return next((str(text) for text in [*per_type, metadata.get("alt")] if text), "")


def output_texts(notebook: NotebookNode) -> Iterator[tuple[int, str]]:
    """Everything readable in the outputs, with the number of the code cell; pictures are left out."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        for output in cell.outputs:
            if output.output_type == "stream":
                yield number, output.text
            elif output.output_type == "error":
                yield number, "\n".join(output.traceback)
            else:
                for mime, content in output.data.items():
                    if not mime.startswith("image/") or mime.endswith("+xml"):
                        yield (
                            number,
                            content if isinstance(content, str) else json.dumps(content, ensure_ascii=False),
                        )


def machine_paths(notebook: NotebookNode) -> list[str]:
    """Absolute paths of the machine that ran the notebook, as "code cell 3: /…"."""
    return [
        f"code cell {number}: {match[0]}"
        for number, text in output_texts(notebook)
        for match in MACHINE_PATH.finditer(text)
    ]
