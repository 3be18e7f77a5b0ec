"""`make editions`: a student's and an instructor's copy of every stored notebook, from one source."""

from __future__ import annotations

import ast
import copy
import json
import math
import re
import sys
import tomllib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from helpers.artifacts import write_whole
from helpers.course.outputs import PNG, alt_text
from helpers.course.series import NOTEBOOKS, ROOT, running_order
from helpers.course.tables import rewrite
from helpers.teaching import exercises
from helpers.teaching.exercises.checks import Exercise, close, numbers

# nbgrader's ClearSolutions knows these markers too. It has one stub for all exercises, so it cannot say which
# one is blank, and it would bring SQLAlchemy, alembic and the classic server along.
SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION$", re.MULTILINE | re.DOTALL)
EXERCISE = re.compile(r"^### Exercise (\d+) · (.+)$", re.MULTILINE)
SHIPPED = re.compile(
    r"Each exercise ships with its solution\.\s+To try it yourself, delete the lines between `### BEGIN\s+"
    r"SOLUTION` and `### END SOLUTION`,\s+write your own, and run the cell:"
)
BLANKS = (
    "Run the set-up cells; the exercises, in their order, need no others. Write your own lines where\n"
    "one raises `NotImplementedError`, and run its cell:"
)
GUESS, OPEN_TASK = "**Guess first.**", re.compile(r"^### Open task\b", re.MULTILINE)
LINK = re.compile(r"(\]\()((?![a-z][a-z+.-]*:)[^)#\s]+)((?:#[^)\s]*)?\))")
BEFORE = (
    "Worked copies with answers; learners get those in [notebooks/student](../../notebooks/student). How "
    "to set up a room, and what goes wrong in it, is in the guide for teachers: `teaching.html` of the book "
    "(`make book`). New to the series? Read [00](00_start_here.ipynb) first: papers, claims, verdicts and "
    "the glossary stand there, and 01 has the probe that all others use."
)
LETTER = """\
# The notebooks to work through

The same notebooks as in [the folder above](..), without solutions and without what stands below
*Guess first*. From the repository's folder, `make lab` opens JupyterLab: begin with
[00_start_here](00_start_here.ipynb). Each notebook runs on its own.

- **A guess** takes a number or a choice, in a box or as `value=…`; leave it empty and nothing waits.
  Notebook 00 says at the end how near you came.
- **An exercise** is a cell that ends in a check. Until you write its lines it raises
  `NotImplementedError` and names itself; a wrong answer is told what it looks like. Below it stands
  what a right answer shows.
- **Stuck?** The [worked copy](..) has the solution between `### BEGIN SOLUTION` and
  `### END SOLUTION`. The open task at the end has none.

These files are made from the worked ones (`make editions` writes over them): save your own under
another name, or copy the folder.
"""
NOTES = Path(__file__).with_name("teaching.toml")
STUDENT, INSTRUCTOR = "student", ROOT / "build" / "instructor"

ROOM, TALK, BREAK, ENOUGH = 120, 15, 5, 15
"""Minutes of a session, of its questions for the room, of its break, and enough to begin something long."""
TURN = "Your turn"
WORDS_A_MINUTE, CODE, FIGURE, GUESSING, OPEN = 130, 0.5, 1.0, 2.0, 30.0
RULE = (
    f"Minutes are counted, not measured: {WORDS_A_MINUTE} words of prose in one, {CODE:g} for a code cell, "
    f"{FIGURE:g} for a figure or table, {GUESSING:g} for a guess, exercises as they say themselves, {OPEN:g} "
    "for the open task; each section rounded up."
)


class EditionError(ValueError):
    """A notebook that no edition can be made of; the message names the cell and what it lacks."""


@dataclass(frozen=True)
class Task:
    """An exercise: its number and title, its minutes, the place of its code cell, its function and check."""

    number: int
    title: str
    minutes: int
    place: int
    function: str
    arguments: tuple[str, ...]
    check: str

    @property
    def said(self) -> str:
        """How the stub and the tables call it."""
        return f"Exercise {self.number} · {self.title}"


def tasks(notebook: NotebookNode) -> list[Task]:
    """The exercises, in order.

    Raises:
        EditionError: a solution without a heading, a function or a check.
    """
    found, heading = [], None
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            for match in EXERCISE.finditer(cell.source):
                minutes = re.search(r"\*\*Minutes:\*\*\s+(\d+)", cell.source[match.end() :])
                heading = (int(match[1]), match[2].strip(), int(minutes[1]) if minutes else 0)
        elif SOLUTION.search(cell.source):
            code = ast.parse(cell.source)
            calls = [node.value for node in code.body if isinstance(node, ast.Expr)]
            check = next((call for call in calls if isinstance(call, ast.Call)), None)
            by_name = {node.name: node for node in code.body if isinstance(node, ast.FunctionDef)}
            function = by_name.get(ast.unparse(check.args[0])) if check and check.args else None
            if heading is None or check is None or function is None:
                raise EditionError(
                    f"Cell {place}: a solution wants its `### Exercise n · title` and its check."
                )
            arguments = tuple(argument.arg for argument in function.args.args)
            found.append(Task(*heading, place, function.name, arguments, ast.unparse(check.func)))
    return found


def stub(task: Task, indent: str = "    ") -> str:
    """What stands in place of a solution: it fails, and says which exercise is blank and what to do."""
    lines = [f"{task.said}.", f"Write the lines of {task.function} in place of this, and run the cell again."]
    first, second = (json.dumps(line, ensure_ascii=False) for line in (lines[0] + " ", lines[1]))
    return f"{indent}raise NotImplementedError(\n{indent}    {first}\n{indent}    {second}\n{indent})"


def emptied(source: str, task: Task) -> str:
    """A code cell with the stub where its solution was."""
    return SOLUTION.sub(lambda match: stub(task, match[1]), source)


def relinked(text: str, siblings: Collection[str], up: str = "../") -> str:
    """Markdown whose relative links work in another folder; those to notebooks with a copy there stay.

    Args:
        up: the way from there to the folder of the worked notebooks.
    """
    return LINK.sub(lambda m: m[0] if m[2] in siblings else f"{m[1]}{up}{m[2]}{m[3]}", text)


def student(worked: NotebookNode, name: str, siblings: Collection[str]) -> NotebookNode:
    """The copy to hand out: stubs for solutions, what each exercise shows when right, no answers.

    Outputs go from the first guess or exercise on, whichever comes first: what stands below *Guess first*
    answers it.

    Args:
        siblings: file names of the notebooks that have a student's copy, this one included.

    Raises:
        EditionError: the notebook has no exercises in the form that the series uses.
    """
    by_place = {task.place: task for task in tasks(worked)}
    cells, shown = [], True
    for place, old in enumerate(worked.cells):
        cell = copy.deepcopy(old)
        if cell.cell_type == "markdown":
            cell.source = SHIPPED.sub(BLANKS, relinked(cell.source, siblings))
            shown = shown and GUESS not in cell.source
        else:
            shown = shown and place not in by_place
            if not shown:
                cell.outputs, cell.execution_count = [], None
        if place in by_place:
            cell.source = emptied(cell.source, by_place[place])
        cells.append(cell)
        if place in by_place:
            cells.append(expected(by_place[place], old))
    first = next(cell for cell in cells if cell.cell_type == "markdown")
    first.source = re.sub(r"^(# .+)$", r"\1 (student edition)", first.source, count=1, flags=re.MULTILINE)
    first.source = first.source.replace(f"/notebooks/{name}.ipynb", f"/notebooks/{STUDENT}/{name}.ipynb")
    left = next((cell.source for cell in cells if "### BEGIN SOLUTION" in cell.source), "")
    if left or any("BEGIN\nSOLUTION" in cell.source for cell in cells):
        raise EditionError(f"{name}: text or code still speaks of a solution that the student's copy lacks.")
    return _notebook(worked, cells)


def _notebook(worked: NotebookNode, cells: Sequence[NotebookNode]) -> NotebookNode:
    """A copy with these cells, which jupytext pairs with nothing."""
    made = copy.deepcopy(worked)
    made.cells = list(cells)
    made.metadata["jupytext"] = {"formats": "ipynb"}
    return made


def expected(task: Task, cell: NotebookNode) -> NotebookNode:
    """A cell to compare with: what the exercise shows when it is right, and one answer of the check's own."""
    parts, attachments = [f"**To compare with** ({task.said}). When it is right, the cell shows:"], {}
    for number, output in enumerate(cell.get("outputs", []), start=1):
        if output.output_type == "stream":
            parts.append(f"```\n{output.text.strip()}\n```")
        elif PNG in output.get("data", {}):
            file = f"expected-{number}.png"
            attachments[file] = {PNG: output.data[PNG]}
            parts.append(f"![{alt_text(output)}](attachment:{file})")
        elif "data" in output:
            table = output.data.get("text/html")
            parts.append(table or f"```\n{output.data.get('text/plain', '').strip()}\n```")
    call = f"{task.function}(*{task.check}.draw(0))"
    parts.append(f"`{call}` should give:\n\n{sample(task)}")
    made = new_markdown_cell("\n\n".join(parts), id=f"expected-{task.number}")
    if attachments:
        made.attachments = attachments
    return made


def sample(task: Task) -> str:
    """A table: the inputs of the check's first round, and the right answer to them."""
    check = _check(task)
    inputs = check.draw(0)
    names = task.arguments if len(task.arguments) == len(inputs) else range(1, len(inputs) + 1)
    rows = [f"| `{name}` | {in_words(given)} |" for name, given in zip(names, inputs, strict=True)]
    answer = in_words(numbers(check.right(*inputs)))
    right = "**right answer**" if check.agree is close else "**right answer**, nearly"
    return "\n".join(["| given | |", "|---|---|", *rows, f"| {right} | {answer} |"])


def _check(task: Task) -> Exercise:
    return getattr(exercises, task.check)


def in_words(value: Any) -> str:
    """A number, or the size of something larger with its first entries.

    >>> in_words(0.123456)
    '0.123'
    """
    shape = tuple(getattr(value, "shape", ()))
    if shape:
        flat = value.flatten().tolist()
        many = "" if len(flat) <= 3 else ", …"
        kind = "truth values" if isinstance(flat[0], bool) else "numbers"
        listed = ", ".join(f"{entry}" if isinstance(entry, bool) else f"{entry:.3g}" for entry in flat[:3])
        return f"{' × '.join(map(str, shape))} {kind}: {listed}{many}"
    if isinstance(value, bool | int | str):
        return f"`{value!r}`"
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"a {type(value).__name__}" if is_dataclass(value) else f"{value}"


# --- the instructor's copy ----------------------------------------------------------------------------------
def sections(notebook: NotebookNode) -> dict[str, int]:
    """Minutes of each section, by its heading, by `RULE`; the part before the first one is "opening"."""
    spent: dict[str, float] = {}
    heading, exercise = "opening", {task.place: task.minutes for task in tasks(notebook)}
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith("## "):
                    heading = line[3:].strip()
                spent[heading] = spent.get(heading, 0.0) + len(line.split()) / WORDS_A_MINUTE
            asked = GUESSING * cell.source.count(GUESS) + OPEN * bool(OPEN_TASK.search(cell.source))
            spent[heading] = spent.get(heading, 0.0) + asked
            continue
        drawn = sum(output.output_type in ("display_data", "execute_result") for output in cell.outputs)
        cost = exercise.get(place, CODE) + FIGURE * drawn
        spent[heading] = spent.get(heading, 0.0) + cost
    return {name: math.ceil(minutes) for name, minutes in spent.items()}


def read_notes(path: Path = NOTES) -> dict[str, dict[str, list[str]]]:
    """Discussion questions and rubrics, by the notebook's number; "common" is for every one."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def instructor(
    worked: NotebookNode, name: str, siblings: Collection[str], notes: dict[str, dict[str, list[str]]]
) -> NotebookNode:
    """The copy to teach from: the worked one, and in it minutes, common errors, rubric and questions."""
    own, by_place = notes.get(name[:2], {}), {task.place: task for task in tasks(worked)}
    cells = []
    for place, old in enumerate(worked.cells):
        cell = copy.deepcopy(old)
        if cell.cell_type == "markdown":
            cell.source = relinked(cell.source, siblings, "../../notebooks/")
        cells.append(cell)
        if place == 0:
            first = re.sub(
                r"^(# .+)$", r"\1 (instructor's edition)", cell.source, count=1, flags=re.MULTILINE
            )
            cell.source = first
            cells.append(new_markdown_cell(plan(worked, own), id="plan"))
        if place in by_place:
            cells.append(new_markdown_cell(errors(by_place[place]), id=f"errors-{by_place[place].number}"))
        if cell.cell_type == "markdown" and OPEN_TASK.search(cell.source):
            rows = [*notes.get("common", {}).get("rubric", []), *own.get("rubric", [])]
            lead = "One point a line, met or not. It asks how the answer was found, not for one answer."
            cells.append(new_markdown_cell(_listed("Rubric of the open task", rows, lead), id="rubric"))
    return _notebook(worked, cells)


def guesses(notebook: NotebookNode) -> dict[str, list[str]]:
    """What each section asks to be guessed, by its heading: "06.1 Length of the change"."""
    found, heading = dict[str, list[str]](), "opening"
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = (re.findall(r"^## (.+)$", cell.source, re.MULTILINE) or [heading])[-1].strip()
            continue
        for call in ast.walk(ast.parse(cell.source)) if "lab.guess(" in cell.source else ():
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "lab.guess":
                said = [one.value for one in call.args if isinstance(one, ast.Constant)]
                found.setdefault(heading, []).append(" ".join(map(str, said)))
    return found


def session(worked: NotebookNode, home: Collection[str] = ()) -> list[tuple[int, str]]:
    """Two hours with one notebook, as minutes and what they are for; exercises as far as there is time.

    Args:
        home: the sections to read at home, by their headings.

    Raises:
        EditionError: the notebook has no such section, or leaves no time for an exercise.
    """
    spent, asked = sections(worked), guesses(worked)
    if strange := sorted({*home} - {*spent}):
        raise EditionError(f"There is no section {', '.join(strange)}; there are: {', '.join(spent)}.")
    kept = {name: minutes for name, minutes in spent.items() if name not in {*home, TURN}}
    left = ROOM - TALK - BREAK - sum(kept.values())
    rows = list[tuple[int, str]]()
    for name in (one for one in spent if one in kept or one == TURN):
        if name == TURN:
            for task in tasks(worked):
                if task.minutes <= left:
                    rows.append((task.minutes, task.said))
                    left -= task.minutes
            continue
        guess = "".join(f"<br>guess {one}" for one in asked.get(name, ()))
        rows.append((kept[name], name + guess))
    ends = accumulate(minutes for minutes, _ in rows)
    if half := [place for place, end in enumerate(ends, start=1) if end >= ROOM / 2 - BREAK]:
        rows.insert(half[0], (BREAK, "break"))
    if not any(name.startswith("Exercise") for _, name in rows):
        raise EditionError(f"Two hours leave {left} minutes: no exercise fits. Name sections for home.")
    return [*rows, (TALK, "the questions below")]


def timetable(worked: NotebookNode, own: dict[str, list[str]]) -> str:
    """The two hours as a table by the clock, with what to prepare and what is left for home."""
    home, at, lines = own.get("home", []), 0, ["| at | minutes | what |", "|--:|--:|---|"]
    for minutes, what in session(worked, home):
        lines.append(f"| {at // 60}:{at % 60:02d} | {minutes} | {what} |")
        at += minutes
    done = {what for _, what in session(worked, home)}
    spare = ROOM - at
    later = [*home, *(task.said for task in tasks(worked) if task.said not in done), "the open task"]
    said = (
        "**Two hours.** The day before, `make run` once on every machine: what takes long is kept, most "
        "cells then take seconds, and every guess is still open. In the room all open their own copy in "
        "`notebooks/student/`, where neither solutions stand nor anything that comes below the first guess. "
        "Guesses come before the cell that answers them: for a choice ask for hands, for a number draw its "
        "range as a line on the board and let them mark it. Sections for home are run, since later ones may "
        "need them, and passed over."
    )
    begin = ", enough to begin the open task in the room" if spare >= ENOUGH else ""
    closing = f"{spare} minutes are to spare{begin}. At home: {'; '.join(later)}."
    return "\n".join([said, "", *lines, "", closing])


def plan(worked: NotebookNode, own: dict[str, list[str]]) -> str:
    """Minutes by section, two hours by the clock, and what to ask the room."""
    spent = sections(worked)
    rows = [f"| {name} | {minutes} |" for name, minutes in spent.items()]
    head = ["## For the instructor", "", "| section | minutes |", "|---|--:|"]
    total = f"| **all** | **{sum(spent.values())}** |"
    pairs = zip(own.get("discussion", []), own.get("hear", []), strict=True)
    asked = [f"{question} *Listen for:* {answer}" for question, answer in pairs]
    return "\n".join(
        [
            *head,
            *rows,
            total,
            "",
            RULE,
            "",
            timetable(worked, own),
            "",
            _listed("Questions for the room", asked) if asked else "",
            "",
            _listed("Answers to its questions for a seminar", own["seminar"]) if "seminar" in own else "",
        ]
    )


def errors(task: Task) -> str:
    """The check's own wrong answers, as common errors with what it says of each."""
    said = list(dict.fromkeys(mistake.help for mistake in _check(task).mistakes))
    lead = f"The check tells these {len(said)} wrong answers apart, the likeliest first, and says:"
    return _listed(f"Common errors in {task.said}", said, lead) + f"\n\n{sample(task)}"


def _listed(title: str, lines: Sequence[str], lead: str = "") -> str:
    return "\n".join([f"**{title}.** {lead}".strip(), "", *(f"- {line}" for line in lines)])


def overview(spent: dict[str, dict[str, int]]) -> str:
    """One page over all notebooks: what each takes, section by section."""
    lines = ["# Instructor's edition", "", BEFORE, "", RULE, ""]
    for name, rows in spent.items():
        listed = "; ".join(f"{heading} {minutes}" for heading, minutes in rows.items())
        lines.append(f"- [{name}]({name}.ipynb), **{sum(rows.values())} minutes**: {listed}")
    return "\n".join(lines) + "\n"


def letter(worked: dict[str, NotebookNode]) -> str:
    """The page that greets a learner in the folder of blanks: where to begin, and what each notebook asks.

    Args:
        worked: notebooks by name, in the order to read them.
    """
    rows = ["| notebook | exercises | their minutes |", "|---|---|--:|"]
    for name, notebook in worked.items():
        found = tasks(notebook)
        titles = "; ".join(task.title for task in found)
        rows.append(f"| [{name}]({name}.ipynb) | {titles} | {sum(task.minutes for task in found)} |")
    return "\n".join([LETTER, *rows]) + "\n"


# --- files --------------------------------------------------------------------------------------------------
def students(folder: Path = NOTEBOOKS) -> Iterator[tuple[Path, str]]:
    """Where each student's copy belongs, and its text, from what `folder` stores."""
    paths = running_order(folder)
    siblings = {path.name for path in paths}
    worked = {path.stem: nbformat.read(path, as_version=4) for path in sorted(paths)}
    for path in paths:
        made = student(worked[path.stem], path.stem, siblings)
        yield folder / STUDENT / path.name, nbformat.writes(made) + "\n"
    yield folder / STUDENT / "README.md", letter(worked)


def write_students(folder: Path = NOTEBOOKS) -> list[Path]:
    """Writes the students' copies that differ, removes those without a notebook; returns what changed."""
    made = dict(students(folder))
    changed = [path for path, text in made.items() if rewrite(path, text)]
    for path in sorted((folder / STUDENT).glob("*.ipynb")):
        if path not in made:
            path.unlink()
            changed.append(path)
    return changed


def write_instructors(folder: Path = NOTEBOOKS, into: Path = INSTRUCTOR) -> None:
    """Writes the instructor's copies and their overview."""
    notes, spent, paths = read_notes(), {}, sorted(running_order(folder))
    siblings = {path.name for path in paths}
    for path in paths:
        worked = nbformat.read(path, as_version=4)
        spent[path.stem] = sections(worked)
        write_whole(into / path.name, nbformat.writes(instructor(worked, path.stem, siblings, notes)) + "\n")
    write_whole(into / "index.md", overview(spent))


def main() -> int:
    """The command's entry: a notebook in another form ends with one clear message."""
    try:
        changed = write_students()
        write_instructors()
    except EditionError as error:
        print(f"make editions: {error}", file=sys.stderr)
        return 1
    where = INSTRUCTOR.relative_to(ROOT).as_posix()
    names = ", ".join(path.relative_to(ROOT).as_posix() for path in changed)
    print(f"Students' copies written: {names or 'none, all are up to date'}. Instructor's: {where}.")
    return 0
