"""What a stored notebook shows on GitHub: executed, pictured, masked, small, and equal to its source."""

from __future__ import annotations

import re
import warnings
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from helpers.course import publish
from helpers.course.outputs import (
    PLOTLY,
    PNG,
    alt_text,
    code_cells,
    machine_paths,
    output_texts,
    rich_outputs,
)
from helpers.course.pages import notebook_page
from helpers.course.pairing import difference
from helpers.language.words import mask
from helpers.teaching.claims import Replication
from tests.hygiene.files import NOTEBOOKS, ROOT, SOURCES, STUDENTS, name

MEGABYTE = 1024**2
DATA_URI = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=]+")
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
every_copy_too = pytest.mark.parametrize("path", [*NOTEBOOKS, *STUDENTS], ids=name)


@cache
def notebook(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("source", SOURCES, ids=name)
def test_every_source_has_an_executed_copy_with_the_same_inputs(source: Path) -> None:
    executed = source.parents[1] / f"{source.stem}.ipynb"
    assert executed.is_file(), f"{name(source)} was never executed: run `make notebooks`"
    assert difference(source, executed) == ""


@every_notebook
def test_it_has_a_source(path: Path) -> None:
    assert (path.parent / "py" / f"{path.stem}.py").is_file()


@every_notebook
def test_it_was_executed_from_top_to_bottom(path: Path) -> None:
    counts = [cell.execution_count for cell in code_cells(notebook(path)) if cell.source.strip()]
    assert counts == list(range(1, len(counts) + 1))


@every_copy_too
def test_it_holds_no_error_and_no_warning(path: Path) -> None:
    for number, cell in enumerate(code_cells(notebook(path)), start=1):
        for output in cell.outputs:
            assert output.output_type != "error", f"code cell {number} failed"
            assert output.get("name") != "stderr", f"code cell {number} wrote to stderr: {output.text[:200]}"


@every_copy_too
def test_it_holds_no_path_of_a_machine(path: Path) -> None:
    assert machine_paths(notebook(path)) == []


@every_copy_too
def test_it_holds_no_widget_state_and_no_timestamps(path: Path) -> None:
    assert "widgets" not in notebook(path).metadata
    assert all("execution" not in cell.metadata for cell in code_cells(notebook(path)))


@every_copy_too
def test_it_is_small(path: Path) -> None:
    assert path.stat().st_size <= MEGABYTE


@every_copy_too
def test_every_figure_has_a_picture_and_a_text(path: Path) -> None:
    for number, output in rich_outputs(notebook(path)):
        if PLOTLY in output.data:
            assert PNG in output.data, f"the figure of code cell {number} has no picture"
        if PLOTLY in output.data or PNG in output.data:
            assert len(alt_text(output)) > 20, f"the figure of code cell {number} has no alternative text"


@every_copy_too
def test_every_markdown_image_has_a_text(path: Path) -> None:
    prose = "\n".join(cell.source for cell in notebook(path).cells if cell.cell_type == "markdown")
    assert not re.search(r"!\[\s*\]\(", prose)
    assert all("alt=" in tag for tag in re.findall(r"<img\b[^>]*>", prose))


def masked_again(text: str) -> list[str]:
    """The words that masking would still change, as it would show them."""
    plain = DATA_URI.sub("", text)
    return [
        after for before, after in zip(plain.split(), mask(plain).split(), strict=True) if before != after
    ]


@every_copy_too
def test_profanity_is_masked(path: Path) -> None:
    shown = [(f"code cell {number}", text) for number, text in output_texts(notebook(path))]
    shown += [(f"cell {number}", cell.source) for number, cell in enumerate(notebook(path).cells, start=1)]
    for where, text in shown:
        assert masked_again(text) == [], f"{where} shows a word of the masked list"


@every_copy_too
def test_it_stores_nothing_of_circuitsvis(path: Path) -> None:
    """It asks the network when it draws, and what it stores is a link to a script elsewhere."""
    for number, text in output_texts(notebook(path)):
        assert not re.search(r"unpkg|circuitsvis", text), f"code cell {number} stores a link to a script"


@every_notebook
def test_its_page_needs_no_network(path: Path) -> None:
    page = notebook_page(notebook(path), path.stem)
    loads = re.findall(
        r"<(?:script|img|link|iframe|source)\b[^>]*\b(?:src|href)=[\"'](?!data:)([^\"']+)", page
    )
    assert set(loads) <= {"plotly.min.js"}
    assert "import(" not in page and "@import" not in page


@every_notebook
def test_its_page_leaves_no_equation_untypeset(path: Path) -> None:
    page = re.sub(
        r"<(script|style|pre|code)\b.*?</\1>", "", notebook_page(notebook(path), path.stem), flags=re.DOTALL
    )
    assert not re.search(r"\\(?:frac|sum|hat|text|mathbb|cdot|ell)\b", page)


def test_the_stored_replication_was_judged_by_the_rules_there_are() -> None:
    """Where it was not, it would be left out of 00 and README with a warning: `STORE=1 make replicate`."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Replication.read(ROOT / "notebooks" / "replication.json")


def test_the_tables_are_those_of_the_stored_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """In README, in 00, and at each notebook's head: `make notebooks` renders them, and this function."""
    stale: list[str] = []

    def compare(path: Path, text: str) -> bool:
        if path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
        return False

    monkeypatch.setattr(publish, "rewrite", compare)
    publish.render_stored()
    assert not stale, "helpers.course.publish.render_stored() writes them, `make editions` the copies"
