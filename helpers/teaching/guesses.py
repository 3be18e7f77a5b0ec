"""A reader's guesses: asked before the figure that answers them, kept in their folder, judged at the end."""

from __future__ import annotations

import json
import math
import os
import re
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, SupportsFloat

from IPython import get_ipython
from IPython.display import display

from helpers.artifacts import write_json
from helpers.intervals import wilson
from helpers.teaching.display.display import Display
from helpers.teaching.display.show import Html, number_text

YOURS = "your guess"
FEW = 5
"""Fewer numbers, or fewer choices, than these say nothing about who guessed."""


class GuessWarning(UserWarning):
    """Guesses that could not be read; says which, and where they are now."""


@dataclass(frozen=True)
class Question:
    """What is asked: a number within a range, or one of several choices.

    Args:
        id: the notebook's number and one of the question, such as "03.2".
        text: the question, as the reader sees it.
        unit: of the number, or "".
        low: the least number that makes sense, or None.
        high: the largest, or None.
        choices: what may be chosen; none asks for a number.

    Raises:
        ValueError: the id is of another form, or there are choices and a unit or range.
    """

    id: str
    text: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d\d\.\d+", self.id):
            raise ValueError(f"A question is called by notebook and number, such as 03.2, not {self.id!r}.")
        number = bool(self.unit) or self.low is not None or self.high is not None
        if self.choices and number:
            raise ValueError(f"{self.id} asks for a choice or for a number with unit and range: not both.")

    def admit(self, value: SupportsFloat | str) -> float | str:
        """The guess as it is kept.

        Raises:
            ValueError: it is none of the choices, no number, or out of range; says what is wanted.
        """
        if self.choices:
            if value not in self.choices:
                raise ValueError(
                    f"{self.id} wants one of {', '.join(map(repr, self.choices))}; got {value!r}."
                )
            return str(value)
        if isinstance(value, str) or not math.isfinite(value):
            raise ValueError(f"{self.id} wants a number{self.range}; got {value!r}.")
        value = float(value)
        below, above = self.low is not None and value < self.low, self.high is not None and value > self.high
        if below or above:
            raise ValueError(f"{self.id} wants a number{self.range}; got {value:g}.")
        return value

    @property
    def range(self) -> str:
        """The range in words, with a space before it; "" where there is none."""
        if self.low is not None and self.high is not None:
            return f" from {self.low:g} to {self.high:g}"
        if self.low is not None:
            return f" of at least {self.low:g}"
        return f" of at most {self.high:g}" if self.high is not None else ""

    def say(self, value: float | str | None) -> str:
        """A guess or an answer, with its unit."""
        if value is None:
            return "not measured"
        text = number_text(value)
        return f"{text} {self.unit}" if self.unit and not isinstance(value, str) else text


@dataclass(frozen=True)
class Kept:
    """One guess as the reader's file holds it: the question, what was guessed, what was found."""

    question: Question
    value: float | str
    answer: float | str | None = None
    answered: bool = False

    @property
    def hit(self) -> bool:
        """Whether the choice was right."""
        return self.value == self.answer

    @property
    def relative_error(self) -> float:
        """How far a number is off, as a share of the answer; NaN where the answer is 0."""
        gap = abs(float(self.value) - float(self.answer))  # type: ignore[arg-type]
        return gap / abs(float(self.answer)) if self.answer else math.nan  # type: ignore[arg-type]


@dataclass(frozen=True)
class Guess:
    """What a reader guesses for one question: hand it to the figure that answers it, as `guess=`.

    `value` is read when it is drawn, so a box filled in after the cell ran counts. None without a guess.
    """

    id: str
    book: Guesses = field(repr=False)

    @property
    def value(self) -> float | str | None:
        """The number or the choice; None while there is none."""
        kept = self.book.kept.get(self.id)
        return kept.value if kept else None

    @property
    def choices(self) -> tuple[str, ...]:
        """What could be chosen."""
        return self.book.asked[self.id].choices

    @property
    def mark(self) -> dict[str, float | str]:
        """A named line for a figure's `reference=`, `limits=` or `marks=`; none without a guess."""
        return {} if self.value is None else {YOURS: self.value}


class Guesses:
    """The guesses of one reader on one model: a file for each notebook, in `folder`.

    Nothing is written before the first guess. The first guess that met its answer counts; later ones are
    told so. `clear()` begins anew.

    Args:
        folder: the reader's own, such as build/guesses/pocket.
        notebook: the notebook's name, whose number its questions begin with.

    Example:
        book = Guesses(folder, "03_steering")
        guess = book.ask("03.1", "Toxicity of the best direction?", low=0, high=1, value=None)
    """

    def __init__(self, folder: Path, notebook: str) -> None:
        self.folder, self.notebook = Path(folder), notebook
        self.path = self.folder / f"{notebook}.json"
        self.asked: dict[str, Question] = {}
        self.kept = read_kept(self.path)

    def ask(
        self,
        id: str,
        text: str,
        *,
        value: SupportsFloat | str | None = None,
        unit: str = "",
        low: SupportsFloat | None = None,
        high: SupportsFloat | None = None,
        choices: Sequence[str] = (),
    ) -> Guess:
        """Asks, and keeps `value` if there is one; where somebody sits at the notebook, a box asks besides.

        Without a value, where nobody is there to answer, nothing is shown and nothing written.

        Raises:
            ValueError: the id is another notebook's, or the value is none that the question allows.
        """
        if id[:2] != self.notebook[:2]:
            raise ValueError(
                f"{self.notebook} asks questions {self.notebook[:2]}.1, {self.notebook[:2]}.2, …"
            )
        least, most = (None if end is None else float(end) for end in (low, high))
        question = Question(id, text, unit, least, most, tuple(choices))
        self.asked[id] = question
        old = self.kept.get(id)
        if old and old.question != question:  # the course asks something else by this name now
            del self.kept[id]
            old = None
        if value is not None:
            print(self.keep(id, value))
        elif old:
            print(f"{id}: {YOURS}, {question.say(old.value)}, is kept.")
        elif somebody_is_there():
            display(box(self, question))
        return Guess(id, self)

    def keep(self, id: str, value: SupportsFloat | str) -> str:
        """Keeps a guess, unless an earlier one has met its answer; returns what became of it, in words."""
        question = self.asked[id]
        given, old = question.admit(value), self.kept.get(id)
        if old and old.answered and old.value != given:
            return f"{id}: the answer was shown, so the first guess counts: {question.say(old.value)}."
        if not old or old.value != given:
            self.kept[id] = Kept(question, given)
            self._write()
        return f"{id}: {YOURS} is {question.say(given)}."

    def answer(self, id: str, value: SupportsFloat | str | None) -> None:
        """Tells the answer that a cell has found, beside the guess; silent where there is no guess.

        Args:
            value: a number (or a tensor of one), the choice that is right, or None where this model has none.

        Raises:
            KeyError: the question was not asked: its cell comes first.
            ValueError: the answer is none of the choices.
        """
        if id not in self.asked:
            raise KeyError(f"{id} was not asked yet: run the cell with lab.guess({id!r}, …) first.")
        question, kept = self.asked[id], self.kept.get(id)
        found: float | str | None = value if isinstance(value, str) or value is None else float(value)
        if question.choices and found is not None and found not in question.choices:
            raise ValueError(
                f"{id} is answered by {found!r}, which is none of its choices {question.choices}."
            )
        if isinstance(found, float) and not math.isfinite(found):
            found = None
        if kept is None:
            return
        if (kept.answer, kept.answered) != (found, True):
            self.kept[id] = replace(kept, answer=found, answered=True)
            self._write()
        print(f"{id}: you guessed {question.say(kept.value)}; measured: {question.say(found)}.")

    def calibration(self) -> Html:
        """How near this reader's guesses on this model came, over all notebooks."""
        rows = [row for path in sorted(self.folder.glob("*.json")) for row in read_kept(path).values()]
        return told(sorted(rows, key=lambda row: row.question.id))

    def clear(self) -> None:
        """Forgets this notebook's guesses."""
        self.kept.clear()
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        write_json(self.path, [asdict(row) for row in self.kept.values()])


def read_kept(path: Path) -> dict[str, Kept]:
    """One notebook's guesses; none, with a warning, where the file is damaged: it is set aside."""
    if not path.is_file():
        return {}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        found = [_row(row) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        aside = path.with_suffix(".damaged")
        os.replace(path, aside)
        said = f"The guesses in {path.name} cannot be read ({error}): set aside as {aside.name}, begun anew."
        warnings.warn(said, GuessWarning, stacklevel=3)
        return {}
    return {row.question.id: row for row in found}


def _row(row: dict[str, Any]) -> Kept:
    asked = row["question"]
    question = Question(**{**asked, "choices": tuple(asked["choices"])})
    answer = row["answer"]
    if not isinstance(row["answered"], bool) or not isinstance(answer, float | int | str | None):
        raise ValueError(f"{question.id} holds no answer")
    return Kept(question, question.admit(row["value"]), answer, row["answered"])


def told(rows: Sequence[Kept]) -> Html:
    """What guesses are worth beside their answers: errors and ranks of numbers, hits of choices."""
    settled = [row for row in rows if row.answer is not None]
    numbers = [row for row in settled if not row.question.choices]
    choices = [row for row in settled if row.question.choices]
    if not settled:
        text = "No guess has met its answer yet: set value=… in the cells that ask, and run on."
        return Html(f"<p>{text}</p>", text)
    errors = {row.question.id: row.relative_error for row in numbers}
    order = sorted((error, id) for id, error in errors.items() if not math.isnan(error))
    rank = {id: place for place, (_, id) in enumerate(order, start=1)}
    table = Display().table(
        [
            {
                "": row.question.id,
                "question": row.question.text,
                YOURS: row.question.say(row.value),
                "measured": row.question.say(row.answer),
                "off by": _off(row, errors),
                "rank": str(rank.get(row.question.id, "")),
            }
            for row in [*numbers, *choices]
        ],
        caption="Your guesses beside what was measured; rank 1 is the nearest number",
    )
    said = [*_of_numbers(numbers, [error for error, _ in order]), *_of_choices(choices)]
    return Html(table.html + "".join(f"<p>{line}</p>" for line in said), "\n".join([table.text, *said]))


def _off(row: Kept, errors: dict[str, float]) -> str:
    if row.question.choices:
        return "hit" if row.hit else "missed"
    error = errors[row.question.id]
    return "the answer is 0" if math.isnan(error) else f"{error:.0%}"


def _of_numbers(rows: Sequence[Kept], errors: Sequence[float]) -> list[str]:
    if not rows:
        return []
    high = sum(float(row.value) > float(row.answer) for row in rows)  # type: ignore[arg-type]
    low = sum(float(row.value) < float(row.answer) for row in rows)  # type: ignore[arg-type]
    middle = f"half of them are off by {statistics.median(errors):.0%} or less; " if errors else ""
    said = [f"Numbers: {len(rows)} guessed; {middle}{high} too high, {low} too low."]
    if len(rows) < FEW:
        said.append(f"Fewer than {FEW} are too few to tell a habit from an accident.")
    return said


def _of_choices(rows: Sequence[Kept]) -> list[str]:
    if not rows:
        return []
    hits, chance = sum(row.hit for row in rows), sum(1 / len(row.question.choices) for row in rows)
    said = [
        f"Choices: {hits} of {len(rows)} right, a rate of {wilson(hits, len(rows))}; blind picking gets "
        f"{chance:.1f} on average."
    ]
    if len(rows) < FEW:
        said.append(f"With fewer than {FEW}, the interval says nearly nothing.")
    return said


def somebody_is_there() -> bool:
    """Whether a person runs the cell: only then does the front end let the kernel ask for input."""
    kernel = getattr(get_ipython(), "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", False)) and os.environ.get("TOXICITY_LAB_AUTHORING") != "1"


def box(book: Guesses, question: Question) -> Any:
    """A widget that asks: a number field or a menu, a button that keeps, and a line that says so."""
    import ipywidgets as widgets

    if question.choices:
        entry: Any = widgets.Dropdown(options=["…", *question.choices], value="…")
    else:
        entry = widgets.Text(placeholder=f"a number{question.range} {question.unit}".strip())
    button, said = widgets.Button(description="Keep my guess"), widgets.Label()
    entry.description = ""

    def keep(_: object) -> None:
        try:
            said.value = book.keep(question.id, entry.value if question.choices else float(entry.value))
        except ValueError:
            wanted = "a choice" if question.choices else f"a number{question.range}"
            said.value = f"This wants {wanted}."

    button.on_click(keep)
    return widgets.VBox(
        [widgets.Label(f"{question.id} · {question.text}"), widgets.HBox([entry, button]), said]
    )
