"""`make book`: the book of the stored notebooks, in build/book; executes nothing."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import nbformat

from helpers.course.book.bind import bind, read_run
from helpers.course.mathml import EquationError
from helpers.course.pages import write_page
from helpers.course.series import NOTEBOOKS, ROOT, running_order
from helpers.profiles import POCKET

BOOK = ROOT / "build" / "book"


def stored_book(folder: Path = BOOK, source: Path = NOTEBOOKS) -> Path:
    """Writes the pages of the repository's own notebooks with their stored outputs; returns the first page.

    Raises:
        EquationError: an equation that has no MathML.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in sorted(running_order(source)):
        write_page(nbformat.read(path, as_version=4), path.stem, folder)
    return bind(read_run(source, POCKET.label, notebooks=source), folder)


def main() -> int:
    """The command's entry."""
    try:
        page = stored_book()
    except (EquationError, json.JSONDecodeError) as error:
        print(f"make book: {error}", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in page.parent.iterdir()) / 1e6
    print(f"Written: {page.relative_to(ROOT)}; the folder ({size:.0f} MB) is the whole site.")
    return 0
