"""`make figures`: every figure of the book as SVG with its alternative text, in build/figures, for slides."""

from __future__ import annotations

import html
import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.course.book.contents import read_page
from helpers.course.pictures import PictureError, check_browser
from helpers.course.series import ROOT

FIGURES = ROOT / "build" / "figures"
PLACE = re.compile(
    r"""<div(?P<head>[^>]*class="figure"[^>]*)>(?:(?!<script).)*?<script(?=[^>]*id="(?P<name>figure-\d+)-data")"""
    r"""[^>]*>(?P<data>.*?)</script>""",
    re.DOTALL,
)
"""A figure in a page: its place, with the alternative text, and its data."""
ALT = re.compile(r"""aria-label=(?:"([^"]*)"|'([^']*)')""")


@dataclass(frozen=True)
class Drawing:
    """A figure of a page: where it goes as a file, its data and its alternative text."""

    file: str
    title: str
    alt: str
    figure: dict[str, Any]


def pages_at_hand() -> Path:
    """The pages of the last run where there is one, else those of the stored notebooks, made now."""
    ran = ROOT / "build" / "html"
    if (ran / "index.html").is_file():
        return ran
    from helpers.course.book.make import stored_book

    return stored_book().parent


def drawings(path: Path) -> Iterator[Drawing]:
    """The figures of one notebook's page, in order: "03-02.svg" is the second of 03."""
    for number, found in enumerate(PLACE.finditer(path.read_text(encoding="utf-8")), start=1):
        yield drawing(found, f"{path.stem[:2]}-{number:02d}.svg")


def drawing(found: re.Match[str], file: str) -> Drawing:
    """One match of `PLACE`."""
    label = ALT.search(found["head"])
    figure = json.loads(found["data"].replace("<\\/", "</"))
    title = figure["layout"].get("title", {}).get("text", "").replace("<br>", " ")
    return Drawing(file, title, html.unescape((label[1] or label[2]) if label else ""), figure)


def draw(pages: Path, folder: Path = FIGURES) -> list[Drawing]:
    """Draws all figures of the notebooks' pages, and lists them with their texts in figures.md.

    Raises:
        PictureError: no Chromium is installed.
    """
    check_browser()
    import plotly.graph_objects as go

    from helpers.teaching.figures.figure import Figure

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines, found = ["| file | what it shows | in words |", "|---|---|---|"], list[Drawing]()
    for path in sorted(pages.glob("[0-9][0-9]_*.html")):
        if read_page(path) is None:
            continue
        for one in drawings(path):
            (folder / one.file).write_text(Figure(go.Figure(one.figure), one.alt).to_svg(), encoding="utf-8")
            lines.append(
                "| " + " | ".join(text.replace("|", r"\|") for text in (one.file, one.title, one.alt)) + " |"
            )
            found.append(one)
    (folder / "figures.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return found


def main() -> int:
    """The command's entry."""
    try:
        found = draw(pages_at_hand())
    except PictureError as error:
        print(f"make figures: {error}", file=sys.stderr)
        return 1
    print(
        f"Written: {len(found)} figures in {FIGURES.relative_to(ROOT)}; figures.md says what each shows."
    )
    return 0
