"""How an exercise is checked: on random inputs, with a helpful word where the mistake is a known one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Answer = Callable[..., Any]
Inputs = tuple[Any, ...]
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
    """A wrong answer somebody may well give, and the sentence that helps them on."""

    wrong: Answer
    help: str


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

    Example, in a module of `exercises`:
        `check_auroc = Exercise("auroc", _scores, _auroc, (Mistake(_reversed, "…"),), "…")`
    and in a notebook: `check_auroc(my_function)`.
    """

    name: str
    inputs: Callable[[torch.Generator], Inputs]
    right: Answer
    mistakes: tuple[Mistake, ...]
    passed: str
    agree: Callable[[Tensor, Tensor], bool] = close

    def __call__(self, student: Answer) -> None:
        """Prints one line if the answer is right, or still blank.

        Raises:
            CheckFailed: the answer is wrong.
        """
        for round_number in range(ROUNDS):
            inputs = self.draw(round_number)
            given = tuple(_copy(item) for item in inputs)
            try:
                answer = student(*given)
            except NotImplementedError:
                answer = None
            if answer is None:
                print(f"… {self.name} is still blank. Write its lines, return a result, run this cell again.")
                return
            if not all(map(_same, given, inputs)):
                raise CheckFailed(
                    f"{self.name} changed its inputs in place. Work on a copy: the caller may "
                    f"need them again."
                )
            self._judge(answer, inputs)
            if not close(_tensor(answer), _tensor(student(*map(_copy, inputs)))):
                raise CheckFailed(
                    f"{self.name} answers differently when asked twice. Use the seed it is given."
                )
        print(f"✓ {self.name}: {self.passed}")

    def draw(self, round_number: int) -> Inputs:
        """The inputs of one round, the same on every machine."""
        return self.inputs(torch.Generator().manual_seed(20_240_103 + round_number))

    def _judge(self, answer: Any, inputs: Inputs) -> None:
        wanted, got = _tensor(self.right(*inputs)), _tensor(answer)
        if self.agree(got, wanted):
            return
        for mistake in self.mistakes:
            if self.agree(got, _tensor(mistake.wrong(*inputs))):
                raise CheckFailed(f"{self.name}: {mistake.help}")
        if got.shape != wanted.shape:
            raise CheckFailed(
                f"{self.name} returned shape {tuple(got.shape)}, wanted {tuple(wanted.shape)}. "
                "Which axis should have been summed over, or kept?"
            )
        if not got.isfinite().all():
            raise CheckFailed(f"{self.name} returned nan or infinity. Is something divided by zero?")
        gap = (got - wanted).abs()
        where = tuple(int(place) for place in torch.unravel_index(gap.argmax(), gap.shape))
        place = f" at index {where}" if where else ""
        raise CheckFailed(
            f"{self.name} is off by up to {gap.max():.3g}{place}: wanted {wanted[where]:.4g}, "
            f"got {got[where]:.4g}. Try it by hand on the smallest input you can think of."
        )


def _tensor(answer: Any) -> Tensor:
    """A number, a tuple of numbers, an array or a tensor as float64."""
    if isinstance(answer, Tensor):
        return answer.detach().double().cpu()
    try:
        return torch.as_tensor(answer, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(answer).__name__
        raise CheckFailed(
            f"Return numbers (a tensor or a float); this returned a {kind}: {answer!r}."
        ) from error


def _copy(item: Any) -> Any:
    return item.clone() if isinstance(item, Tensor) else item


def _same(given: Any, kept: Any) -> bool:
    return torch.equal(given, kept) if isinstance(given, Tensor) else given is kept
