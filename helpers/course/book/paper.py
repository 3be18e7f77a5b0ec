"""`make pdf`: the book as one PDF, printed from its pages by a headless Chromium; figures are drawn first."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from helpers.course.book.bind import OTHERS, TITLE
from helpers.course.book.contents import MAIN
from helpers.course.book.figures import FIGURES, PLACE, draw, drawing, pages_at_hand
from helpers.course.pages import page
from helpers.course.pictures import PictureError, check_browser
from helpers.course.series import ROOT
from helpers.teaching.figures.figure import browser

TARGET = ROOT / "build" / "toxicity-lab.pdf"
ASIDE = ("index", "search", "explorer")  # the first comes first, the others are of no use on paper
LIMIT_S = 600
NUMBERED = "<style>@page { @bottom-center { content: counter(page); font: 9pt sans-serif; } }</style>"


def whole(pages: Path, figures: Path) -> str:
    """All pages in one document without scripts: pictures for figures, folded parts open, links within.

    Args:
        figures: holds the SVG of each notebook's figures, "03-02.svg".
    """
    notebooks = [path.stem for path in sorted(pages.glob("[0-9][0-9]_*.html"))]
    rest = [name for name in OTHERS if name not in ASIDE and (pages / f"{name}.html").is_file()]
    order = ["index", *notebooks, *rest]
    parts = [section(name, pages, figures, order) for name in order]
    return page(TITLE, NUMBERED + "".join(parts), "")


def section(name: str, pages: Path, figures: Path, order: Sequence[str]) -> str:
    """One page as a part of the whole: what it links to is in the whole now."""
    found = MAIN.search((pages / f"{name}.html").read_text(encoding="utf-8"))
    if found is None:
        raise PictureError(f"{name}.html is no page of the book, or damaged: `make book` makes them anew")
    number = iter(range(1, 10_000))

    def picture(match: re.Match[str]) -> str:
        one = drawing(match, f"{name[:2]}-{next(number):02d}.svg")
        source = same_figure(one.alt, figures) if name == "index" else figures / one.file
        drawn = (
            f'<img src="{source.as_uri()}" alt="{html.escape(one.alt)}">' if source else html.escape(one.alt)
        )
        return f'<div class="figure">{drawn}</div>'

    body = PLACE.sub(picture, found[1])
    body = re.sub(r"<(script|noscript)\b.*?</\1>", "", body, flags=re.DOTALL)
    body = re.sub(r"<details(?! open)", "<details open", body)
    body = re.sub(r'\b(id|aria-describedby)="([^"]+)"', rf'\1="{name}--\2"', body)
    body = re.sub(r'href="#([^"]*)"', rf'href="#{name}--\1"', body)
    for other in order:
        body = re.sub(rf'href="{re.escape(other)}\.html#([^"]*)"', rf'href="#{other}--\1"', body)
        body = body.replace(f'href="{other}.html"', f'href="#{other}--"')
    return f'<section id="{name}--">{body}</section>'


def same_figure(alt: str, figures: Path) -> Path | None:
    """The drawn figure with this text: the start page shows one of a notebook's."""
    said = f"<title>{html.escape(alt)}</title>"
    return next(
        (path for path in sorted(figures.glob("*.svg")) if said in path.read_text(encoding="utf-8")), None
    )


def print_to(document: str, target: Path) -> None:
    """Prints a document that needs nothing but files.

    Raises:
        PictureError: no Chromium is installed, or it failed.
    """
    check_browser()
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        source, made = Path(work) / "book.html", Path(work) / "book.pdf"
        source.write_text(document, encoding="utf-8")
        root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # it refuses else
        command = [str(browser()), "--headless=new", "--disable-gpu", "--allow-file-access-from-files", *root,
                   f"--user-data-dir={work}/profile", "--no-pdf-header-footer",
                   "--generate-pdf-document-outline", f"--print-to-pdf={made}", source.as_uri()]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
        if not made.is_file():
            raise PictureError(f"Chromium printed nothing: {done.stderr.strip()[-400:]}")
        made.replace(target)


def main() -> int:
    """The command's entry."""
    try:
        check_browser()
        pages = pages_at_hand()
        draw(pages)
        print_to(whole(pages, FIGURES), TARGET)
    except PictureError as error:
        print(f"make pdf: {error}", file=sys.stderr)
        return 1
    size = TARGET.stat().st_size / 1e6
    print(f"Written: {TARGET.relative_to(ROOT)}, {size:.1f} MB, of the pages in {pages.relative_to(ROOT)}.")
    return 0
