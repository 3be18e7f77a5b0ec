"""A reader's guesses: kept, drawn, judged honestly, and silent where nobody guessed."""

import json
import math

import pytest
import torch

from helpers.teaching import guesses
from helpers.teaching.figures import plots
from helpers.teaching.guesses import Guesses, GuessWarning, Question

WORDS = {"title": "The finding", "x_label": "layer", "y_label": "share", "alt": "A line that rises."}
SHARE = {"low": 0.0, "high": 1.0}


def drawn(figure) -> str:
    return figure.figure.to_json()


def asked(folder, **numbers):
    """A book of notebook 03 in which these numbers, by id, were guessed and answered."""
    book = Guesses(folder, "03_steering")
    for name, (value, answer) in numbers.items():
        id = f"03.{name[1:]}"
        book.ask(id, "How much?", value=value)
        book.answer(id, answer)
    return book


def test_without_a_guess_nothing_is_shown_drawn_or_written(tmp_path, capsys):
    book = Guesses(tmp_path / "guesses", "03_steering")
    guess = book.ask("03.1", "How much?", **SHARE)
    book.answer("03.1", 0.4)
    assert capsys.readouterr().out == "" and not (tmp_path / "guesses").exists()
    assert guess.value is None and guess.mark == {}
    with_it = plots.line([0, 1], {"base": [0.1, 0.2]}, guess=guess, **WORDS)
    assert drawn(with_it) == drawn(plots.line([0, 1], {"base": [0.1, 0.2]}, **WORDS))


def test_a_guess_is_kept_and_found_again(tmp_path, capsys):
    Guesses(tmp_path, "03_steering").ask("03.1", "How much?", value=0.3, **SHARE)
    again = Guesses(tmp_path, "03_steering")
    assert again.ask("03.1", "How much?", **SHARE).value == 0.3
    again.answer("03.1", torch.tensor(0.25))
    assert "you guessed 0.3; measured: 0.25" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["03_steering.json"], "written whole, nothing beside"


def test_the_first_guess_that_met_its_answer_counts(tmp_path, capsys):
    book = asked(tmp_path, q1=(0.3, 0.25))
    assert book.ask("03.1", "How much?", value=0.25).value == 0.3
    assert "the first guess counts: 0.3" in capsys.readouterr().out
    book.clear()
    assert book.ask("03.1", "How much?", value=0.2).value == 0.2
    assert book.ask("03.1", "How much?", value=0.1).value == 0.1, "no answer yet: it may be changed"


def test_a_question_that_asks_something_else_by_now_forgets_the_guess(tmp_path):
    asked(tmp_path, q1=(0.3, 0.25))
    assert Guesses(tmp_path, "03_steering").ask("03.1", "How many?").value is None


def test_two_readers_and_two_notebooks_do_not_meet(tmp_path):
    asked(tmp_path / "one", q1=(0.3, 0.25))
    assert Guesses(tmp_path / "two", "03_steering").ask("03.1", "How much?").value is None
    other = Guesses(tmp_path / "one", "04_pairs")
    other.ask("04.1", "How many?", value=3)
    other.answer("04.1", 4)
    assert json.loads((tmp_path / "one" / "03_steering.json").read_text())[0]["value"] == 0.3
    assert "Numbers: 2 guessed" in other.calibration().text


@pytest.mark.parametrize(
    "content", ["{", "3", '[{"question": 3}]', '[{"question": {"id": "x"}, "value": 1}]', "\x00"]
)
def test_a_damaged_file_is_set_aside_with_a_warning(tmp_path, content):
    path = tmp_path / "03_steering.json"
    path.write_text(content)
    with pytest.warns(GuessWarning, match="set aside as 03_steering.damaged"):
        book = Guesses(tmp_path, "03_steering")
    assert (tmp_path / "03_steering.damaged").read_text() == content
    assert book.ask("03.1", "How much?", value=1).value == 1


@pytest.mark.parametrize("value", [1.5, -0.1, math.nan, math.inf, "much"])
def test_a_number_out_of_range_is_refused_with_the_range(tmp_path, value):
    with pytest.raises(ValueError, match="03.1 wants a number from 0 to 1"):
        Guesses(tmp_path, "03_steering").ask("03.1", "How much?", value=value, **SHARE)
    assert not list(tmp_path.iterdir())


def test_a_choice_must_be_one_of_them(tmp_path):
    book = Guesses(tmp_path, "03_steering")
    with pytest.raises(ValueError, match="'W', 'U0'"):
        book.ask("03.1", "Which?", choices=("W", "U0"), value="V")
    book.ask("03.1", "Which?", choices=("W", "U0"), value="W")
    with pytest.raises(ValueError, match="none of its choices"):
        book.answer("03.1", "V")


def test_questions_are_called_by_their_notebook_and_asked_before_they_are_answered(tmp_path):
    book = Guesses(tmp_path, "03_steering")
    with pytest.raises(ValueError, match="03.1, 03.2"):
        book.ask("04.1", "How much?")
    with pytest.raises(KeyError, match="run the cell"):
        book.answer("03.1", 1.0)
    for wrong in ({"id": "3.1"}, {"choices": ("a", "b"), "low": 0.0}):
        with pytest.raises(ValueError):
            Question(**{"id": "03.1", "text": "?", **wrong})


def test_a_number_stands_in_every_kind_of_figure(tmp_path):
    guess = Guesses(tmp_path, "03_steering").ask("03.1", "How much?", value=0.123)
    figures = {
        "line": plots.line([0, 1], {"base": [0.1, 0.2]}, reference={"chance": 0.5}, guess=guess, **WORDS),
        "bar": plots.bar(["W", "U0"], {"base": [0.4, 0.2]}, guess=guess, **WORDS),
        "histogram": plots.histogram({"base": [0.0, 0.1, 0.4]}, guess=guess, **WORDS),
    }
    for name, figure in figures.items():
        marks = [note.text for note in figure.figure.layout.annotations]
        assert "your guess" in marks, name
    lines = [shape.y0 for shape in figures["line"].figure.layout.shapes]
    assert lines == [0.5, 0.123], "the figure keeps its own reference"
    assert [note.x for note in figures["histogram"].figure.layout.annotations] == [0.123]


def test_a_choice_is_named_where_it_stands(tmp_path):
    guess = Guesses(tmp_path, "03_steering").ask("03.1", "Which?", choices=("W", "U0"), value="U0")
    bars = plots.bar(["W", "U0"], {"base": [0.4, 0.2]}, guess=guess, **WORDS)
    assert list(bars.figure.data[0].x) == ["W", "U0 (your guess)"]
    lines = plots.line([0, 1], {"W": [0.1, 0.2], "U0": [0.2, 0.3]}, guess=guess, **WORDS)
    assert [trace.name for trace in lines.figure.data] == ["W", "U0 (your guess)"]
    assert not lines.figure.layout.shapes


def test_calibration_counts_errors_ranks_and_directions(tmp_path):
    book = asked(tmp_path, q1=(1.5, 1.0), q2=(2.2, 2.0), q3=(3.0, 4.0), q4=(5.0, 5.0), q5=(6.0, 4.0))
    text = book.calibration().text
    assert "Numbers: 5 guessed; half of them are off by 25% or less; 3 too high, 1 too low." in text
    assert "too few" not in text
    ranks = {line.split()[0]: line.split()[-1] for line in text.splitlines() if line.startswith("03.")}
    assert ranks["03.4"] == "1" and ranks["03.2"] == "2" and ranks["03.3"] == "3"
    assert "off by" in book.calibration().html


def test_calibration_is_honest_about_few_zeros_and_what_was_not_measured(tmp_path):
    empty = Guesses(tmp_path / "none", "00_start_here").calibration()
    assert "No guess has met its answer yet" in empty.text and "No guess" in empty.html
    book = asked(tmp_path, q1=(0.3, 0.0), q2=(0.3, None), q3=(0.3, math.nan))
    text = book.calibration().text
    assert "Numbers: 1 guessed; 1 too high" in text and "too few" in text and "the answer is 0" in text
    assert "nan" not in text


def test_calibration_of_choices_is_a_rate_with_an_interval_beside_chance(tmp_path):
    book = Guesses(tmp_path, "03_steering")
    for number, (guess, answer) in enumerate([("a", "a"), ("a", "b"), ("b", "b")], start=1):
        book.ask(f"03.{number}", "Which?", choices=("a", "b"), value=guess)
        book.answer(f"03.{number}", answer)
    text = book.calibration().text
    assert "Choices: 2 of 3 right, a rate of 0.667 [" in text and "blind picking gets 1.5" in text
    assert "says nearly nothing" in text


def test_a_box_asks_only_where_somebody_sits(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(guesses, "display", shown.append)
    book = Guesses(tmp_path, "03_steering")
    book.ask("03.1", "How much?", **SHARE)
    assert shown == []
    monkeypatch.setattr(guesses, "somebody_is_there", lambda: True)
    guess = book.ask("03.1", "How much?", **SHARE)
    row = shown[0].children[1]
    entry, button = row.children
    entry.value = "much"
    button.click()
    assert guess.value is None and "a number from 0 to 1" in shown[0].children[2].value
    entry.value = "0.4"
    button.click()
    assert guess.value == 0.4 and Guesses(tmp_path, "03_steering").kept["03.1"].value == 0.4
    book.ask("03.2", "Which?", choices=("W", "U0"))
    entry, button = shown[1].children[1].children
    button.click()
    assert "03.2" not in book.kept
    entry.value = "U0"
    button.click()
    assert book.kept["03.2"].value == "U0"
