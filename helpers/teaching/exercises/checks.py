"""How an exercise is checked: on random inputs, with a helpful word where the mistake is a known one."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

Answer = Callable[..., Any]
Inputs = tuple[Any, ...]
Agree = Callable[[Tensor, Tensor], bool]
Demand = Callable[[Answer, Inputs], str | None]
ROUNDS = 5


class CheckFailed(AssertionError):
    """An exercise's answer is not right yet; the message says what to look at."""

    def _render_traceback_(self) -> list[str]:
        """In a notebook, the message alone: the lines of this file would not help."""
        return [f"✗ {self}"]


def close(one: Tensor, other: Tensor) -> bool:
    """Equal in shape, and in value up to rounding in float32."""
    if one.shape != other.shape:
        return False
    return bool(torch.isclose(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max())).all())


@dataclass(frozen=True)
class Mistake:
    """A wrong answer somebody may well give, and the sentence that helps them on.

    `agree` says when an answer counts as this one, where that is more than the exercise's own rule: an
    answer that left its sign to chance, say, is known by its line.
    """

    wrong: Answer
    help: str
    agree: Agree | None = None


@dataclass(frozen=True)
class Exercise:
    """One exercise's check: call it with the reader's function.

    Args:
        name: what the exercise's function is called.
        inputs: draws fresh inputs from a generator; they must tell every mistake from the right answer.
        right: a slow, obvious version of the answer.
        mistakes: wrong answers that are recognised, the likeliest first.
        passed: what the reader has shown, said when the answer is right.
        agree: when an answer counts as equal to another; default up to rounding.
        demands: what else a right answer does, tried on the first round's inputs once all rounds are right;
            each calls the answer as it likes, and returns the sentence that helps where it does not hold.

    Example, in a module of `exercises`:
        `check_auroc = Exercise("auroc", _scores, _auroc, (Mistake(_reversed, "…"),), "…")`
    and in a notebook: `check_auroc(my_function)`.
    """

    name: str
    inputs: Callable[[torch.Generator], Inputs]
    right: Answer
    mistakes: tuple[Mistake, ...]
    passed: str
    agree: Agree = close
    demands: tuple[Demand, ...] = ()

    def __call__(self, student: Answer) -> None:
        """Prints one line if the answer is right, or still blank.

        Raises:
            CheckFailed: the answer is wrong.
        """
        for round_number in range(ROUNDS):
            inputs = self.draw(round_number)
            given = copy.deepcopy(inputs)
            said = "Write its lines, return a result, run this cell again."
            try:
                answer = student(*given)
            except NotImplementedError as blank:  # a stub may say which exercise it stands for
                answer, said = None, str(blank) or said
            except Exception as error:  # the reader's own, shown as it is, and beside it what was handed over
                error.add_note(f"{self.name} was called with {', '.join(map(_size, given))}.")
                raise
            if answer is None:
                print(f"… {self.name} is still blank. {said}")
                return
            if not all(map(_same, given, inputs)):
                raise CheckFailed(
                    f"{self.name} changed its inputs in place. Work on a copy: the caller may "
                    f"need them again."
                )
            got, wanted = numbers(answer), numbers(self.right(*inputs))
            if not self.agree(got, wanted):
                raise CheckFailed(f"{self.name}{self._recognise(student) or _difference(got, wanted)}")
            if not close(got, self._again(student, inputs)):
                raise CheckFailed(
                    f"{self.name} answers differently when asked twice. Use the seed it is given."
                )
        for demand in self.demands:
            if help_on := demand(student, self.draw(0)):
                raise CheckFailed(f"{self.name}: {help_on}")
        print(f"✓ {self.name}: {self.passed}")

    def draw(self, round_number: int) -> Inputs:
        """The inputs of one round, the same on every machine."""
        return self.inputs(torch.Generator().manual_seed(20_240_103 + round_number))

    def _again(self, student: Answer, inputs: Inputs) -> Tensor:
        return numbers(student(*copy.deepcopy(inputs)))

    def _recognise(self, student: Answer) -> str | None:
        """The help of the mistake that gives the same answers in *every* round: in one, others may too."""
        rounds = [self.draw(number) for number in range(ROUNDS)]
        answered = [(inputs, self._again(student, inputs)) for inputs in rounds]
        for mistake in self.mistakes:
            same = mistake.agree or self.agree
            if all(same(got, numbers(mistake.wrong(*inputs))) for inputs, got in answered):
                return f": {mistake.help}"
        return None


def _difference(got: Tensor, wanted: Tensor) -> str:
    """What is wrong with an answer whose mistake is not a known one."""
    if got.shape != wanted.shape:
        return (
            f" returned shape {tuple(got.shape)}, wanted {tuple(wanted.shape) or 'a single number'}. "
            "Which axis should have been summed over, or kept?"
        )
    if not got.isfinite().all():
        return " returned nan or infinity. Is something divided by zero, or the logarithm of zero taken?"
    gap = (got - wanted).abs()
    where = tuple(int(place) for place in torch.unravel_index(gap.argmax(), gap.shape))
    place = f" at index {where}" if where else ""
    return (
        f" is off by up to {gap.max():.3g}{place}: wanted {wanted[where]:.4g}, "
        f"got {got[where]:.4g}. Try it by hand on the smallest input you can think of."
    )


def numbers(answer: Any) -> Tensor:
    """A number, an array, a tensor, or a tuple or list of such as float64."""
    if isinstance(answer, Tensor):
        return answer.detach().double().cpu()
    try:
        if isinstance(answer, tuple | list):
            return torch.stack([numbers(part) for part in answer])
        return torch.from_numpy(np.array(answer, dtype=np.float64))
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(answer).__name__
        raise CheckFailed(
            f"Return numbers (a tensor or a float); this returned a {kind}: {answer!r}."
        ) from error


def _size(given: Any) -> str:
    """An input by its shape, or its kind where it has none."""
    shape = getattr(given, "shape", None)
    return f"a {type(given).__name__}" if shape is None else f"shape {tuple(shape)}"


def _same(given: Any, kept: Any) -> bool:
    if isinstance(given, Tensor):
        return torch.equal(given, kept)
    if is_dataclass(given):
        return all(_same(part, vars(kept)[name]) for name, part in vars(given).items())
    return bool(given == kept)
