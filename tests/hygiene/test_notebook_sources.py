"""Every notebook has the parts that the series promises, in lines that are narrow enough to read."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import jupytext
import pytest
from nbformat import NotebookNode

from tests.hygiene.files import SOURCES, name

BOOTSTRAP_LINES, WIDTH = 4, 100
START = "00_start_here"
SEEN = ("lab.show.", "lab.claims_table(", "lab.calibration(", "plots.", "explorer.snapshot", "explorer.stop")
every_source = pytest.mark.parametrize("path", SOURCES, ids=name)


@cache
def notebook(path: Path) -> NotebookNode:
    return jupytext.read(path)


def prose(path: Path) -> str:
    return "\n\n".join(cell.source for cell in notebook(path).cells if cell.cell_type == "markdown")


def code(path: Path) -> list[str]:
    return [cell.source for cell in notebook(path).cells if cell.cell_type == "code"]


@every_source
@pytest.mark.parametrize(
    ("part", "pattern"),
    [
        ("title with its number", r"\A# \d\d · \S"),
        ("question", r"\*\*Question\.\*\* \S"),
        ("content warning", r"\*\*Content warning\.\*\*"),
        ("goals", r"\*\*You will be able to\*\*\s+- \S"),
        ("prerequisites", r"\| you need \| how much \|"),
        ("minutes", r"\| time \| .*`pocket`.*`gpt2-medium`"),
        ("memory", r"\| memory \| .*`pocket`.*`gpt2-medium`"),
        ("a guess before the result", r"(?i)\bguess\b"),
        ("what a result does not show", r"does not show"),
        ("where to go next", r"## Where to go next\s+\S"),
    ],
)
def test_the_promised_parts_are_there(path: Path, part: str, pattern: str) -> None:
    assert re.search(pattern, prose(path)), f"{name(path)} lacks: {part}"


@every_source
def test_the_title_carries_the_number_of_the_file(path: Path) -> None:
    assert prose(path).startswith(f"# {path.name[:2]} · ")


@every_source
def test_there_are_exercises_with_solutions(path: Path) -> None:
    exercises = re.findall(r"^### Exercise \d", prose(path), re.MULTILINE)
    assert len(exercises) >= 2
    solved = "\n".join(code(path))
    assert solved.count("### BEGIN SOLUTION") == solved.count("### END SOLUTION") >= 1
    assert "check_" in solved, "an exercise needs a check that tells the reader whether it is solved"


@every_source
def test_it_ends_with_its_claims(path: Path) -> None:
    assert any("claims_table(" in cell or "claims.table(" in cell for cell in code(path)[-3:])


@every_source
def test_the_bootstrap_is_short_and_comes_first(path: Path) -> None:
    first = code(path)[0]
    assert "from helpers.lab import Lab" in first and "import helpers.colab" in first
    assert len(first.splitlines()) <= BOOTSTRAP_LINES


@every_source
def test_there_is_one_parameters_cell_that_changes_nothing(path: Path) -> None:
    cells = [cell for cell in notebook(path).cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(cells) == 1
    values: dict[str, object] = {}
    exec(cells[0].source, values)
    assert values["PROFILE"] is None and values["UNMASK"] is False


@every_source
def test_the_lab_is_started_under_the_notebooks_own_name(path: Path) -> None:
    started = re.findall(r"Lab\.start\(\s*[\"']([^\"']+)", "\n".join(code(path)))
    assert started == [path.stem]


@every_source
def test_lines_are_narrow_enough_to_read(path: Path) -> None:
    """Tables and formulas alone cannot be broken."""
    lines = path.read_text(encoding="utf-8").splitlines()
    wide = [line for line in lines if len(line) > WIDTH and not line.startswith(("# |", "# $$"))]
    assert not wide, f"{name(path)}: {wide[0]}"


@every_source
def test_a_finding_is_computed_above_its_figure(path: Path) -> None:
    calls = [node for cell in code(path) for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.Call)]
    titles = [
        keyword.value
        for call in calls
        if ast.unparse(call.func).startswith("plots.")
        for keyword in call.keywords
        if keyword.arg == "title"
    ]
    assert titles or path.stem == START or not any("plots." in cell for cell in code(path))
    assert all(isinstance(title, ast.Name | ast.Constant) for title in titles)


@every_source
def test_what_is_to_be_seen_is_the_last_of_its_cell(path: Path) -> None:
    """A kernel shows the value of the last expression; that of any other is lost without a word."""
    for cell in map(ast.parse, code(path)):
        for node in ast.walk(cell):
            if isinstance(node, ast.Expr) and ast.unparse(node).startswith(SEEN):
                assert node is cell.body[-1], f"never shown: {ast.unparse(node)[:80]}"


@every_source
def test_there_is_no_branch_on_the_model(path: Path) -> None:
    text = "\n".join(code(path))
    assert not re.search(r"\bif\b[^\n]*(?:pocket|gpt2|profile\.name)", text), (
        "the same cells run for every profile"
    )


@every_source
def test_links_to_other_notebooks_lead_somewhere(path: Path) -> None:
    known = {source.stem for source in SOURCES}
    linked = re.findall(r"\]\((\d\d_\w+)\.ipynb", prose(path))
    # The last one written may point at the one that comes next.
    astray = {stem for stem in linked if stem not in known and stem <= max(known)}
    assert not astray, f"{name(path)} links to {', '.join(sorted(astray))}"
