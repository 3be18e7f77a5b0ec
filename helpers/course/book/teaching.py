"""The guide for teachers: its text, with the minutes of each course summed from what was measured."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from nbformat import NotebookNode

from helpers.course.pages import markdown

if TYPE_CHECKING:
    from helpers.course.book.bind import Run

HERE = Path(__file__).parent
WORDS_A_MINUTE, CELL_MINUTES = 180, 0.3
"""How fast prose is read, and how long a code cell with what it shows takes to take in: rules of thumb."""
EXERCISE = re.compile(r"\*\*Minutes:\*\*\s+(\d+)\b(?!\s+to\b)")  # the open task says "20 to 40"
# Each session by the notebooks that it works through; the lab course is its exercises alone.
TWO = {
    "What is inside": ("00", "01", "02", "03"),
    "What tuning did, and how it is undone": ("05", "06", "09"),
}
SIX = {
    "A direction": ("00", "01"), "Neurons, and whether they cause it": ("02", "03"),
    "Pairs, and how DPO learns from them": ("04", "05"), "What changed inside": ("06",),
    "Which neurons account for it": ("07", "08"), "How it is undone": ("09", "10"),
}  # fmt: skip


@dataclass(frozen=True)
class Minutes:
    """What a notebook takes: to run, to read aloud or alone, and to solve its exercises."""

    run: float | None
    read: float
    exercises: int


def minutes_of(notebook: NotebookNode, run: float | None) -> Minutes:
    """Counts a notebook's words and code cells, and adds up what its exercises say they take."""
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    read = len(re.findall(r"\w+", prose)) / WORDS_A_MINUTE + cells * CELL_MINUTES
    return Minutes(run, read, sum(map(int, EXERCISE.findall(prose))))


def body(run: Run) -> str:
    """The guide as the body of a page."""
    found = {
        name[:2]: minutes_of(notebook, run.timings.get(name, {}).get("minutes"))
        for name, notebook in run.notebooks.items()
    }
    titles = {name[:2]: (run.heading(name).title, name) for name in run.notebooks}
    text = Template((HERE / "teaching.md").read_text(encoding="utf-8")).substitute(
        machine=html.escape(run.machine),
        words=WORDS_A_MINUTE,
        seconds=round(60 * CELL_MINUTES),
        table=table(found, titles),
        two=sessions(TWO, found, titles),
        six=sessions(SIX, found, titles),
        lab=labs(found, titles),
    )
    return markdown(text)


def table(found: Mapping[str, Minutes], titles: Mapping[str, tuple[str, str]]) -> str:
    """The minutes of every notebook, as a Markdown table."""
    lines = ["| notebook | runs | reading | exercises |", "|---|--:|--:|--:|"]
    for number, one in found.items():
        runs = "–" if one.run is None else f"{one.run:.1f}"
        lines.append(f"| {_named(number, titles)} | {runs} | {_rounded(one.read)} | {one.exercises} |")
    read, solve = sum(one.read for one in found.values()), sum(one.exercises for one in found.values())
    lines.append(f"| all | {sum(one.run or 0 for one in found.values()):.1f} | {_rounded(read)} | {solve} |")
    return "\n".join(lines)


def sessions(
    plan: Mapping[str, Sequence[str]], found: Mapping[str, Minutes], titles: Mapping[str, tuple[str, str]]
) -> str:
    """A course's sessions as a Markdown table; notebooks that are not there are left out."""
    lines = ["| session | notebooks | reading and talk | exercises | runs |", "|---|---|--:|--:|--:|"]
    number = 0
    for title, wanted in plan.items():
        there = [one for one in wanted if one in found]
        if not there:
            continue
        number += 1
        read = _rounded(sum(found[one].read for one in there))
        solve, runs = sum(found[one].exercises for one in there), sum(found[one].run or 0 for one in there)
        named = "<br>".join(_named(one, titles) for one in there)
        lines.append(f"| {number} · {title} | {named} | {read} | {solve} | {runs:.1f} |")
    return "\n".join(lines)


def labs(found: Mapping[str, Minutes], titles: Mapping[str, tuple[str, str]]) -> str:
    """The exercises alone, as a Markdown table: minutes each notebook's take, and their sum."""
    lines = ["| exercises of | minutes |", "|---|--:|"]
    lines += [
        f"| {_named(number, titles)} | {one.exercises} |" for number, one in found.items() if one.exercises
    ]
    lines.append(f"| all | {sum(one.exercises for one in found.values())} |")
    return "\n".join(lines)


def _named(number: str, titles: Mapping[str, tuple[str, str]]) -> str:
    title, name = titles[number]
    return f"[{number} · {title}]({name}.html)"


def _rounded(minutes: float) -> int:
    """To five minutes: it is an estimate."""
    return max(5, 5 * round(minutes / 5))
