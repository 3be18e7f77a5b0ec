"""The editions: stubs that say what is blank, nothing given away, and the worked source when put back."""

import ast
import os
import re
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from helpers.course import editions
from helpers.course.editions import EditionError, emptied, stub, student, tasks
from helpers.course.execute import execute
from helpers.course.outputs import PNG, code_cells
from tests.course.builders import figure_output, save, small
from tests.hygiene.files import NOTEBOOKS, ROOT, name

TURN = (
    "## Your turn\n\nEach exercise ships with its solution. To try it yourself, delete the lines between "
    "`### BEGIN\nSOLUTION` and `### END SOLUTION`, write your own, and run the cell: the check says.\n\n"
    "### Exercise 1 · Pool\n\n**Minutes:**\n8\n\nSee [00](00_start.ipynb#Words), [data](../data.csv) "
    "and [arXiv](https://arxiv.org/abs/1)."
)
EXERCISE = """\
from helpers.teaching.exercises import check_perplexity


def mine(losses, counts):
    \"\"\"Perplexity.\"\"\"
    ### BEGIN SOLUTION
    return ((losses * counts).sum() / counts.sum()).exp().item()
    ### END SOLUTION


check_perplexity(mine)"""
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=name)


def toy():
    """A notebook with a start, a guess, its answer, an exercise with a picture, and an open task."""
    notebook = small("1", "2", number="01")
    notebook.cells.insert(2, new_markdown_cell("## 1 · Part\n\n**Guess first.** How much?"))
    code = new_code_cell(EXERCISE, outputs=[new_output("stream", text="✓ perplexity_of_windows: fine.\n")])
    drawn = figure_output("A line that rises.")
    drawn.data[PNG] = "cGljdHVyZQ=="
    code.outputs.append(drawn)
    notebook.cells += [new_markdown_cell(TURN), code, new_markdown_cell("### Open task · More\n\nTry.")]
    for number, cell in enumerate(code_cells(notebook), start=1):
        cell.execution_count = number
        cell.outputs = cell.outputs or [new_output("stream", text=f"answer {number}")]
    return notebook


@cache
def stored(path: Path):
    return nbformat.read(path, as_version=4)


@cache
def handed_out() -> dict[Path, str]:
    return dict(editions.students())


def put_back(worked, copy):
    """The student's code cells with the solutions where the stubs are."""
    by_function = {task.function: task for task in tasks(worked)}
    for cell in code_cells(copy):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.FunctionDef) and node.name in by_function and "raise Not" in cell.source:
                task = by_function[node.name]
                solution = editions.SOLUTION.search(worked.cells[task.place].source)
                cell.source = cell.source.replace(stub(task, solution[1]), solution[0])
    return copy


def test_a_students_copy_gives_nothing_away():
    made = student(toy(), "01_toy", {"00_start.ipynb", "01_toy.ipynb"})
    text = nbformat.writes(made)
    assert made.cells[0].source.startswith("# 01 · A title (student edition)\n")
    assert "SOLUTION" not in text and "losses * counts" not in text
    shown = [output.text for cell in code_cells(made) for output in cell.outputs]
    assert shown == ["answer 1"], "outputs end where the first guess begins"
    assert [cell.execution_count for cell in code_cells(made)] == [1, None, None]
    turn = next(cell.source for cell in made.cells if "## Your turn" in cell.source)
    assert editions.BLANKS in turn
    for link in ("(00_start.ipynb#Words)", "(../../data.csv)", "(https://arxiv.org/abs/1)"):
        assert link in turn
    nbformat.validate(made)
    assert made.metadata.jupytext == {"formats": "ipynb"}, "saving it writes no source elsewhere"


def test_what_is_expected_is_shown_beside_the_blank():
    made = student(toy(), "01_toy", set())
    places = [place for place, cell in enumerate(made.cells) if "raise NotImplementedError" in cell.source]
    shown = made.cells[places[0] + 1]
    assert "✓ perplexity_of_windows: fine." in shown.source and "Exercise 1 · Pool" in shown.source
    assert "![A line that rises.](attachment:expected-2.png)" in shown.source
    assert shown.attachments == {"expected-2.png": {PNG: "cGljdHVyZQ=="}}
    assert "| `losses` | 5 numbers: " in shown.source and "| **right answer** | " in shown.source
    from helpers.teaching.exercises import check_perplexity

    right = float(check_perplexity.right(*check_perplexity.draw(0)))
    assert f"| **right answer** | {right:.3g} |" in shown.source


def test_a_blank_says_which_exercise_it_is(capsys):
    task = tasks(toy())[0]
    assert (task.number, task.minutes, task.function, task.check) == (1, 8, "mine", "check_perplexity")
    exec(emptied(EXERCISE, task), {})
    said = capsys.readouterr().out
    assert said.startswith(
        "… perplexity_of_windows is still blank. Exercise 1 · Pool. Write the lines of mine"
    )


def test_a_solution_without_heading_or_check_is_refused():
    for source in (EXERCISE.replace("check_perplexity(mine)", ""), EXERCISE.replace("def mine", "def other")):
        notebook = toy()
        notebook.cells[5].source = source
        with pytest.raises(EditionError, match="its check"):
            tasks(notebook)
    notebook = toy()
    notebook.cells[4].source = TURN.replace("Each exercise ships", "Exercises ship")
    with pytest.raises(EditionError, match="still speaks of a solution"):
        student(notebook, "01_toy", set())


def test_the_instructors_copy_has_minutes_errors_questions_and_rubric():
    own = {"discussion": ["Why?"], "hear": ["Because."], "rubric": ["A family."]}
    notes = {"common": {"rubric": ["A control."]}, "01": own}
    notebook = toy()
    made = editions.instructor(notebook, "01_toy", {"00_start.ipynb"}, notes)
    text = "\n".join(cell.source for cell in made.cells)
    assert "(instructor's edition)" in text and editions.RULE in text
    assert "- Why? *Listen for:* Because." in text
    assert "- A control.\n- A family." in text and EXERCISE in text
    from helpers.teaching.exercises import check_perplexity

    assert all(f"- {mistake.help}" in text for mistake in check_perplexity.mistakes)
    assert "(../../notebooks/../data.csv)" in text
    minutes = editions.sections(notebook)
    assert minutes == {"opening": 1, "1 · Part": 3, "Your turn": 40}, "8 for the exercise, 1 figure, 30 open"
    assert "| **all** | **44** |" in text
    assert "| 0:04 | 8 | Exercise 1 ·" in text and "93 minutes are to spare, enough" in text
    nbformat.validate(made)


def test_two_hours_that_leave_no_time_for_an_exercise_are_refused():
    notebook = toy()
    notebook.cells[2].source += " word" * 130 * 100
    with pytest.raises(EditionError, match="no exercise fits"):
        editions.session(notebook)
    assert sum(minutes for minutes, _ in editions.session(notebook, ["1 · Part"])) <= editions.ROOM
    notebook.cells[2].source = "## 1 · Part\n\n" + " word" * editions.WORDS_A_MINUTE * 60
    rows = [what for _, what in editions.session(notebook)]
    assert rows.index("break") == rows.index("1 · Part") + 1, "after the row in which half the time is over"
    with pytest.raises(EditionError, match=r"no section 9 · None; there are: opening, 1 · Part"):
        editions.session(notebook, ["9 · None"])


def test_copies_are_written_once_and_strays_removed(tmp_path):
    save(toy(), tmp_path / "01_toy.ipynb")
    save(small("1"), tmp_path / "student" / "02_gone.ipynb")
    changed = editions.write_students(tmp_path)
    assert [path.name for path in changed] == ["01_toy.ipynb", "README.md", "02_gone.ipynb"]
    assert "| [01_toy](01_toy.ipynb) | Pool | 8 |" in (tmp_path / "student" / "README.md").read_text()
    assert editions.write_students(tmp_path) == []
    editions.write_instructors(tmp_path, tmp_path / "build")
    assert "[01_toy](01_toy.ipynb), **44 minutes**" in (tmp_path / "build" / "index.md").read_text()


# --- the stored notebooks -----------------------------------------------------------------------------------
def test_no_copy_has_drifted_from_its_notebook():
    there = {path: path.read_text(encoding="utf-8") for path in (ROOT / "notebooks/student").glob("*")}
    wrong = [path.name for path in {*there, *handed_out()} if there.get(path) != handed_out().get(path)]
    assert not wrong, f"{', '.join(sorted(wrong))}: run `make editions`"


@every_notebook
def test_with_the_solutions_put_back_it_is_the_worked_notebook(path: Path):
    worked, copy = stored(path), nbformat.reads(handed_out()[path.parent / "student" / path.name], 4)
    blanks = sum("raise NotImplementedError(" in cell.source for cell in code_cells(copy))
    assert blanks == len(tasks(worked)) >= 2
    back = [cell.source for cell in code_cells(put_back(worked, copy))]
    assert back == [cell.source for cell in code_cells(worked)]


@every_notebook
def test_its_exercises_meet_a_blank_and_a_solution(path: Path, capsys):
    """In the student's copy each is still blank and says so; the worked lines pass. Neither wants a model."""
    worked, copy = stored(path), nbformat.reads(handed_out()[path.parent / "student" / path.name], 4)
    start = "import torch\nfrom torch.nn.functional import logsigmoid\n"
    for notebook, wanted in ((copy, "is still blank. Exercise"), (worked, "✓ ")):
        scope: dict = {}
        exec(start, scope)
        for cell in code_cells(notebook):
            if re.search(r"^check_\w+\(", cell.source, re.MULTILINE):
                exec(cell.source, scope)
                assert wanted in capsys.readouterr().out


@every_notebook
def test_every_link_of_a_students_copy_leads_somewhere(path: Path):
    copy = nbformat.reads(handed_out()[path.parent / "student" / path.name], 4)
    for cell in copy.cells:
        if cell.cell_type == "markdown":
            for _, target, _ in editions.LINK.findall(cell.source):
                assert (ROOT / "notebooks" / "student" / target).resolve().exists(), target


def test_the_letter_to_learners_leads_somewhere():
    folder = ROOT / "notebooks" / "student"
    text = (folder / "README.md").read_text(encoding="utf-8")
    targets = [target for _, target, _ in editions.LINK.findall(text)]
    assert len(targets) >= len(NOTEBOOKS) and all((folder / target).exists() for target in targets)


@every_notebook
def test_it_has_an_open_task_with_questions_and_a_rubric(path: Path):
    notes, text = editions.read_notes(), "\n".join(cell.source for cell in stored(path).cells)
    assert notes["common"]["rubric"]
    if editions.OPEN_TASK.search(text) or path.name[:2] in notes:
        assert editions.OPEN_TASK.search(text)
        own = notes[path.name[:2]]
        assert len(own["rubric"]) >= 2 and len(own["discussion"]) == len(own["hear"]) >= 2
        assert sum(minutes for minutes, _ in editions.session(stored(path), own.get("home", []))) <= 120
        asked = re.search(r"\*\*For a seminar\.\*\*\n\n((?:\d\. .+\n(?:   .+\n)*)+)", text + "\n")
        wanted = len(re.findall(r"^\d\. ", asked[1], re.MULTILINE)) if asked else 0
        assert len(own.get("seminar", [])) == wanted
        assert not any(row in text for row in notes[path.name[:2]]["rubric"]), "the rubric is the teacher's"


def test_a_students_copy_runs_to_its_first_blank(tmp_path):
    path = ROOT / "notebooks" / "student" / "00_start_here.ipynb"
    copy = nbformat.read(path, as_version=4)
    first = next(
        place for place, cell in enumerate(copy.cells) if "raise NotImplementedError(" in cell.source
    )
    copy.cells = copy.cells[: first + 1]
    outcome = execute(copy, path.parent, {**os.environ, "TOXICITY_LAB_BUILD": str(tmp_path)})
    assert outcome.failure is None, outcome.failure
    said = "".join(output.text for output in copy.cells[-1].outputs)
    assert "next_token_probability is still blank. Exercise 1 · " in said
    assert not (tmp_path / "guesses").exists(), "nobody guessed"
