"""The frame of the exercise checks: blank, wrong, in place, unrepeatable; rules that every exercise keeps."""

import pytest
import torch
from torch import Tensor

from helpers.teaching import exercises
from helpers.teaching.exercises.checks import ROUNDS, CheckFailed, Exercise, Mistake
from helpers.teaching.exercises.vectors import TinyWeights

double = Exercise(
    name="double",
    inputs=lambda generator: (torch.randn(3, 2, generator=generator), 2.0),
    right=lambda x, factor: factor * x,
    mistakes=(Mistake(lambda x, factor: x + factor, "this adds. Multiply."),),
    passed="twice as much.",
)
ALL = {name: getattr(exercises, name) for name in exercises.__all__}


TINY = Exercise(
    name="tiny",
    inputs=lambda generator: (TinyWeights(*torch.rand(2, 1, 2, 3, generator=generator).unbind()),),
    right=lambda weights: weights.W_out.sum(dim=-1),
    mistakes=(),
    passed="",
)


def in_place(x, factor):
    return x.mul_(factor)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x, f: x + f, "double: this adds. Multiply."),
        (in_place, "changed its inputs in place"),
        (lambda x, f: (f * x)[:, 0], r"shape \(3,\), wanted \(3, 2\)"),
        (lambda x, f: f * x + torch.tensor(float("nan")), "nan or infinity"),
        (lambda x, f: f * x + torch.eye(3)[:, :2], r"off by up to 1 at index \(0, 0\): wanted"),
        (lambda x, f: "four", "returned a str: 'four'"),
        (lambda x, f: f * x * (1 + 1e-9 * torch.rand(())) + 1e-6 * torch.rand(3, 2), None),
    ],
)
def test_wrong_answers_get_a_word_that_helps(answer, words, capsys):
    if words is None:  # rounding noise is no mistake
        double(answer)
        assert capsys.readouterr().out.startswith("✓")
        return
    with pytest.raises(CheckFailed, match=words):
        double(answer)
    assert capsys.readouterr().out == ""


def test_an_answer_that_changes_from_call_to_call_is_refused():
    loose = Exercise("loose", double.inputs, double.right, (), "", agree=lambda one, other: True)
    with pytest.raises(CheckFailed, match="asked twice"):
        loose(lambda x, factor: torch.rand(3))


def test_a_model_changed_in_place_is_noticed():
    with pytest.raises(CheckFailed, match="in place"):
        TINY(lambda weights: weights.W_out.sub_(1).sum(dim=-1) + 3)


def test_a_mistake_is_named_only_where_it_fits_every_round():
    def sometimes(x, factor):
        return x + factor if x[0, 0] > 0 else x - factor

    with pytest.raises(CheckFailed, match="off by up to"):
        double(sometimes)


def test_a_mistake_may_have_a_rule_of_its_own_for_what_counts_as_it():
    turned = Mistake(double.right, "the sign.", agree=lambda one, other: bool((one + other == 0).all()))
    exercise = Exercise("turned", double.inputs, lambda x, factor: x, (turned,), "")
    with pytest.raises(CheckFailed, match="turned: the sign."):
        exercise(lambda x, factor: -factor * x)


def test_demands_are_tried_once_all_rounds_are_right():
    def scales(answer, inputs):
        x, _ = inputs
        return None if torch.equal(answer(x, 3.0), 3 * x) else "`factor` makes no difference."

    exercise = Exercise("double", double.inputs, double.right, (), "twice.", demands=(scales,))
    exercise(lambda x, factor: factor * x)
    with pytest.raises(CheckFailed, match="`factor` makes no difference"):
        exercise(lambda x, factor: 2 * x)
    with pytest.raises(CheckFailed, match="off by"):
        exercise(lambda x, factor: x)


@pytest.mark.parametrize(
    "kind", [list, tuple, Tensor.numpy, Tensor.tolist, Tensor.double, lambda x: x.numpy()[::-1][::-1]]
)
def test_numbers_may_come_in_any_kind(kind, capsys):
    double(lambda x, factor: kind(factor * x))
    assert capsys.readouterr().out.startswith("✓")


def test_a_blank_is_met_kindly(capsys):
    def stub(x, factor):
        raise NotImplementedError

    for blank in (stub, lambda x, factor: None):
        double(blank)
        assert capsys.readouterr().out.startswith("… double is still blank")


def test_other_errors_of_the_reader_are_shown_as_they_are():
    with pytest.raises(ZeroDivisionError) as raised:
        double(lambda x, factor: 1 / 0)
    assert raised.value.__notes__ == ["double was called with shape (3, 2), a float."]


def test_the_message_stands_alone_in_a_notebook():
    assert CheckFailed("try again")._render_traceback_() == ["✗ try again"]


@pytest.mark.parametrize("exercise", ALL.values(), ids=ALL)
def test_inputs_differ_between_rounds_and_not_between_runs(exercise):
    rounds = [*range(ROUNDS), 0]
    answers = [
        torch.as_tensor(exercise.right(*exercise.draw(place)), dtype=torch.float64) for place in rounds
    ]
    assert torch.equal(answers[0], answers.pop())
    # An answer that is a place in a list may come out the same from other inputs; these must differ then.
    drawn = [repr(exercise.draw(place)) for place in rounds]
    assert drawn[0] == drawn.pop()
    same = [place for place, other in enumerate(answers) if place and torch.equal(answers[0], other)]
    assert not any(drawn[place] == drawn[0] for place in same)
    assert len(same) < len(answers) - 1, "all rounds have one answer, which could be typed in"


@pytest.mark.parametrize("exercise", ALL.values(), ids=ALL)
def test_every_known_mistake_is_told_from_the_right_answer_and_named(exercise):
    assert len(exercise.mistakes) >= 2
    for mistake in exercise.mistakes:
        with pytest.raises(CheckFailed) as caught:
            exercise(mistake.wrong)
        assert mistake.help in str(caught.value)


@pytest.mark.parametrize("exercise", ALL.values(), ids=ALL)
def test_a_blank_and_the_plain_solution(exercise, capsys):
    exercise(lambda *given: None)
    assert "still blank" in capsys.readouterr().out
    exercise(exercise.right)
    assert capsys.readouterr().out.startswith("✓ ")
