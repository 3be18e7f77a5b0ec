"""Exercises of notebook 03: an edit at every position, and perplexity weighted by tokens."""

import torch
from torch import Generator, Tensor

from helpers.teaching.exercises.checks import Exercise, Inputs, Mistake
from helpers.teaching.exercises.draws import normal


def _edit(generator: Generator) -> Inputs:
    # A cached generation step has one position; directions are shorter and longer than one.
    positions = int(torch.randint(1, 6, (1,), generator=generator))
    length, strength = (0.3 + 4 * torch.rand(2, generator=generator)).tolist()
    direction = normal(generator, 4)
    return normal(generator, 2, positions, 4), length * direction / direction.norm(), strength


def _at_last(resid: Tensor, direction: Tensor, strength: float) -> Tensor:
    edited = resid.clone()
    edited[:, -1] -= strength * direction / direction.norm()
    return edited


def _without(resid: Tensor, direction: Tensor, strength: float) -> Tensor:
    unit = direction / direction.norm()
    return resid - strength * (resid @ unit)[..., None] * unit


_PROJECTED = (
    "the stream's own component was taken out, more where it was larger. That is a projection; the task is "
    "a subtraction, of the same vector everywhere."
)

check_subtract_everywhere = Exercise(
    name="subtract_everywhere",
    inputs=_edit,
    right=lambda resid, direction, strength: resid - strength * direction / direction.norm(),
    mistakes=(
        Mistake(
            lambda resid, direction, strength: resid - strength * direction,
            "the direction keeps its length, so `strength` means nothing. Divide it by its norm.",
        ),
        Mistake(
            lambda resid, direction, strength: resid + strength * direction / direction.norm(),
            "the direction was added. Subtract it.",
        ),
        Mistake(_at_last, "only the last position was edited. Every position must change."),
        Mistake(
            _without,
            _PROJECTED,
        ),
        Mistake(
            lambda resid, direction, strength: _without(resid, direction, 1.0),
            _PROJECTED,
        ),
        Mistake(
            lambda resid, direction, strength: resid - strength * direction / direction.norm() ** 2,
            "the direction was divided by its squared length. Once is enough.",
        ),
        Mistake(
            lambda resid, direction, strength: resid - direction / direction.norm(),
            "`strength` makes no difference. It says how many unit vectors are subtracted.",
        ),
        Mistake(
            lambda resid, direction, strength: resid - strength * direction / direction.abs().sum(),
            "the entries were divided by the sum of their sizes. A unit vector's *squares* sum to one.",
        ),
    ),
    passed="every position moves by the same vector, and the stream given is left as it was.",
)


def _windows(generator: Generator) -> Inputs:
    losses = 2 + 2 * torch.rand(5, generator=generator)
    counts = torch.randint(5, 128, (5,), generator=generator).float()
    counts[-1] = 3.0  # the last window of a text is short
    return losses, counts


check_perplexity = Exercise(
    name="perplexity_of_windows",
    inputs=_windows,
    right=lambda losses, counts: (
        sum(a * n for a, n in zip(losses, counts, strict=True)).div(counts.sum()).exp()
    ),
    mistakes=(
        Mistake(
            lambda losses, counts: losses.mean().exp(),
            "every window has the same weight. Weight each mean loss by the number of its tokens.",
        ),
        Mistake(
            lambda losses, counts: losses.exp().mean(),
            "this is a mean of perplexities. Average the losses first, by tokens; exponentiate last.",
        ),
        Mistake(
            lambda losses, counts: (losses.exp() * counts).sum() / counts.sum(),
            "this is a mean of perplexities, if a weighted one. Average the losses; exponentiate last.",
        ),
        Mistake(
            lambda losses, counts: (losses * counts).sum() / counts.sum(),
            "this is the mean loss. Perplexity is its exponential.",
        ),
        Mistake(
            lambda losses, counts: (losses.sum() / counts.sum()).exp(),
            "the losses given are means already. Multiply each by its number of tokens before summing.",
        ),
        Mistake(
            lambda losses, counts: (losses * counts).sum().exp(),
            "this is one over the probability of the whole text. Divide by the number of tokens before exp.",
        ),
        Mistake(
            lambda losses, counts: 2 ** ((losses * counts).sum() / counts.sum()),
            "the base is 2, but the losses are natural logarithms.",
        ),
        Mistake(
            lambda losses, counts: (-(losses * counts).sum() / counts.sum()).exp(),
            "the sign is lost: this is a probability per token. Perplexity is at least one.",
        ),
    ),
    passed="it is the exponential of the mean loss per token, whatever the windows hold.",
)
