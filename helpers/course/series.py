"""Which notebooks there are, in which order they run, and what their first cell says about them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
SOURCES = NOTEBOOKS / "py"


def running_order(folder: Path, suffix: str = ".ipynb", only: str = "") -> list[Path]:
    """The notebooks `NN_name` of a folder, 01 first and 00, which shows what all others found, last.

    Args:
        only: numbers or names, separated by spaces or commas ("01 02_toxic_value_vectors"); empty means all.

    Raises:
        ValueError: a name in `only` that no notebook has, or that only a source has.
    """
    found = sorted(folder.glob(f"[0-9][0-9]_*{suffix}"))
    wanted = only.replace(",", " ").split()
    for name in wanted:
        if not any(matches(path, name) for path in found):
            for path in sorted((folder / SOURCES.name).glob("[0-9][0-9]_*.py")):
                if matches(path, name):
                    raise ValueError(
                        f"{path.stem} has a source but no notebook yet: `ONLY={name} make notebooks`."
                    )
            raise ValueError(
                f"ONLY names {name!r}; there is {', '.join(path.stem for path in found) or 'no notebook'}"
            )
    chosen = [path for path in found if not wanted or any(matches(path, name) for name in wanted)]
    return sorted(chosen, key=lambda path: (path.name.startswith("00"), path.name))


def matches(path: Path, name: str) -> bool:
    """Whether `name` is the notebook's number or its name."""
    return name in (path.stem, path.stem[:2], path.name)


@dataclass(frozen=True)
class Heading:
    """What a notebook says of itself: its title without the number, and the question it answers."""

    title: str
    question: str


def heading(notebook: NotebookNode, name: str) -> Heading:
    """Title and question of the first markdown cell; the file's name where it has no title."""
    text = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")
    title = re.search(r"^# +(?:\d\d *[·:.-] *)?(.+)$", text, re.MULTILINE)
    question = re.search(r"\*\*Question\.?\*\*\.?\s*(.+?)(?=\n\s*\n|\Z)", text, re.DOTALL)
    return Heading(
        title=title[1].strip() if title else name,
        question=" ".join(question[1].split()) if question else "",
    )


def read_all(paths: Sequence[Path]) -> dict[str, NotebookNode]:
    """Notebooks by name, in the order given."""
    return {path.stem: nbformat.read(path, as_version=4) for path in paths}
