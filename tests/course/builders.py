"""Small notebooks, and executions that need no kernel, for the tests of the authoring tools."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers.course.execute import Failure, Outcome
from helpers.course.outputs import PLOTLY

TITLE = "# {number} · {title}\n\n**Question.** Why is\nthis so?\n\nMore."


def small(*code: str, number: str = "01", title: str = "A title") -> NotebookNode:
    """A notebook with a heading and these code cells."""
    cells = [
        new_markdown_cell(TITLE.format(number=number, title=title)),
        *(new_code_cell(source) for source in code),
    ]
    return new_notebook(cells=cells, metadata={"kernelspec": {"name": "no-such-kernel", "display_name": "x"}})


def save(notebook: NotebookNode, path: Path) -> Path:
    """Writes a notebook, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def figure_output(alt: str = "A line that rises, then falls.") -> NotebookNode:
    """What a plotly figure leaves in a notebook."""
    figure = {"data": [{"type": "scatter", "y": [1, 2, 1]}], "layout": {"title": {"text": "</script> rises"}}}
    return new_output("display_data", {PLOTLY: figure, "text/plain": alt}, metadata={PLOTLY: {"alt": alt}})


def outcome(notebook: NotebookNode, failed: str = "") -> Outcome:
    """A finished execution, or one whose second code cell failed with this text."""
    failure = Failure(2, "1/0", failed) if failed else None
    return Outcome(notebook, seconds=66.0, peak_gb=1.25, failure=failure)
