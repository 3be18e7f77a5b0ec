"""A notebook's pair: `notebooks/py/NN_name.py` is the source, `notebooks/NN_name.ipynb` its executed copy."""

from __future__ import annotations

import hashlib
from pathlib import Path

import jupytext
import nbformat
from jupytext.compare import NotebookDifference, compare_notebooks
from nbformat import NotebookNode

from helpers.artifacts import write_whole

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def read_source(path: Path) -> NotebookNode:
    """The source as a notebook without outputs; metadata and cell ids depend on nothing but the source."""
    notebook = jupytext.read(path)
    formats = notebook.metadata.get("jupytext", {}).get("formats")
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": KERNEL,
            "language_info": {"name": "python", "pygments_lexer": "ipython3"},
            **({"jupytext": {"formats": formats}} if formats else {}),
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    return notebook


def difference(source: Path, executed: Path) -> str:
    """Where the inputs of a pair differ, as text; "" if they are equal."""
    try:
        compare_notebooks(
            jupytext.read(source), nbformat.read(executed, as_version=4), fmt="py:percent", compare_ids=False
        )
    except NotebookDifference as error:
        return str(error) or "the cells differ"
    return ""


def update_text(source: Path, executed: Path) -> bool:
    """Carries changed Markdown into the executed copy, whose outputs stay; says whether anything changed.

    Raises:
        ValueError: a code cell changed too, so that its stored output would be stale.
    """
    fresh, stored = read_source(source), nbformat.read(executed, as_version=4)
    kinds = [cell.cell_type for cell in fresh.cells] == [cell.cell_type for cell in stored.cells]
    if not kinds or any(
        new.cell_type == "code" and new.source != old.source
        for new, old in zip(fresh.cells, stored.cells, strict=True)
    ):
        raise ValueError(
            f"{source.name}: code has changed since {executed.name} was executed; run `make notebooks`"
        )
    changed = False
    for new, old in zip(fresh.cells, stored.cells, strict=True):
        changed |= new.source != old.source
        old.source, old.id = new.source, new.id
    if changed:
        write_whole(executed, nbformat.writes(stored) + "\n")
    return changed
