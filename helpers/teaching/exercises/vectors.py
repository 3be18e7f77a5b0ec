"""Exercises of notebook 02: cosines of value vectors, the MLP as a sum, a shared direction with a sign."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn.functional import gelu

from helpers.teaching.exercises.checks import Answer, Exercise, Inputs, Mistake, close, numbers
from helpers.teaching.exercises.draws import normal


@dataclass(frozen=True)
class TinyWeights:
    """Value vectors (`W_out`) and key vectors (`W_in`) of a tiny model, one row per neuron."""

    W_out: Float[Tensor, "layer neuron d_model"]
    W_in: Float[Tensor, "layer neuron d_model"]


def _weights(generator: Generator) -> Inputs:
    # Lengths differ from neuron to neuron, or an un-normalised product would rank like a cosine.
    lengths = 0.2 + 3 * torch.rand(3, 8, 1, generator=generator)
    weights = TinyWeights(lengths * normal(generator, 3, 8, 5), normal(generator, 3, 8, 5))
    return weights, 4 * normal(generator, 5)


def _cosines(vectors: Tensor, direction: Tensor) -> Tensor:
    return torch.cosine_similarity(vectors, direction.expand_as(vectors), dim=-1)


check_cosine_to_probe = Exercise(
    name="cosine_to_probe",
    inputs=_weights,
    right=lambda weights, direction: _cosines(weights.W_out, direction),
    mistakes=(
        Mistake(
            lambda weights, direction: _cosines(weights.W_in, direction),
            "these are the key vectors: they say when a neuron fires. What it writes is its "
            "value vector, in W_out.",
        ),
        Mistake(
            lambda weights, direction: weights.W_out @ direction,
            "this is the dot product: long vectors win. Divide by the length of each vector and "
            "of the direction.",
        ),
        Mistake(
            lambda weights, direction: weights.W_out @ direction / direction.norm(),
            "only the direction was given length one. Divide by the length of each value vector too.",
        ),
        Mistake(
            lambda weights, direction: weights.W_out @ direction / weights.W_out.norm(dim=-1),
            "only the value vectors were given length one. Divide by the length of the direction too.",
        ),
        Mistake(
            lambda weights, direction: weights.W_in @ direction,
            "these are dot products with the key vectors. Take the value vectors, W_out, and "
            "divide by both lengths.",
        ),
        Mistake(
            lambda weights, direction: _cosines(weights.W_out, direction).abs(),
            "the sign is lost: a vector of cosine −1 writes the opposite of toxicity.",
        ),
        Mistake(
            lambda weights, direction: weights.W_out @ direction / weights.W_out.norm() / direction.norm(),
            "one length was taken of all value vectors together. Each has its own.",
        ),
        Mistake(
            lambda weights, direction: _cosines(
                weights.W_out - weights.W_out.mean(dim=-2, keepdim=True), direction
            ),
            "the layer's mean was subtracted first. Compare the value vectors as they are.",
        ),
        Mistake(
            lambda weights, direction: 1 - _cosines(weights.W_out, direction),
            "this is the cosine distance, small where vectors agree. Return the cosine.",
        ),
    ),
    passed="value vectors are compared by direction, with their sign.",
)


def _mlp(generator: Generator) -> Inputs:
    activations = gelu(2 * normal(generator, 6, 9), approximate="tanh")
    return activations, normal(generator, 9, 4), normal(generator, 4)


def _sum_over_neurons(activations: Tensor, W_out: Tensor, b_out: Tensor) -> Tensor:
    return torch.stack([sum((m * v for m, v in zip(row, W_out, strict=True)), b_out) for row in activations])


check_mlp_as_sum = Exercise(
    name="mlp_as_sum",
    inputs=_mlp,
    right=_sum_over_neurons,
    mistakes=(
        Mistake(
            lambda activations, W_out, b_out: activations @ W_out,
            "the output bias is missing. It belongs to no neuron, but the layer writes it all the same.",
        ),
        Mistake(
            lambda activations, W_out, b_out: gelu(activations, approximate="tanh") @ W_out + b_out,
            "the GELU was applied again. The activations given are those after it.",
        ),
        Mistake(
            lambda activations, W_out, b_out: gelu(activations) @ W_out + b_out,
            "the GELU was applied again. The activations given are those after it.",
        ),
        Mistake(
            lambda activations, W_out, b_out: activations @ W_out + len(W_out) * b_out,
            "the bias was added once for each neuron. The layer adds it once.",
        ),
        Mistake(
            lambda activations, W_out, b_out: (activations @ W_out + b_out).sum(dim=0),
            "positions were summed as well. Sum over neurons only: every position has its own output.",
        ),
        Mistake(
            lambda activations, W_out, b_out: (activations @ W_out + b_out) / len(W_out),
            "this is a mean over neurons. The layer writes the sum.",
        ),
        Mistake(
            lambda activations, W_out, b_out: activations @ W_out / len(W_out) + b_out,
            "this is a mean over neurons. The layer writes the sum.",
        ),
        Mistake(
            lambda activations, W_out, b_out: activations.relu() @ W_out + b_out,
            "neurons below zero were left out. After a GELU they still write a little.",
        ),
    ),
    passed="the layer's output is the sum over its neurons, plus a bias that no neuron owns.",
)


def _vectors(generator: Generator) -> Inputs:
    # Two shared directions; the long rows lie along one, most rows along the other.
    main, other = normal(generator, 6), normal(generator, 6)
    rows = 0.6 * normal(generator, 20, 6)
    rows[:14] += 2 * main / main.norm()
    rows[14:] = 8 * (rows[14:] + 1.5 * other / other.norm())
    return rows, normal(generator, 6)


def _unit_rows(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True)


def _first(vectors: Tensor, toward: Tensor, *, scaled: bool = True, centred: bool = False) -> Tensor:
    rows = _unit_rows(vectors) if scaled else vectors
    rows = rows - rows.mean(dim=0) if centred else rows
    direction = torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -1]
    return direction if direction @ toward > 0 else -direction


def _up_to_sign(one: Tensor, other: Tensor) -> bool:
    return close(one, other) or close(-one, other)


def _parallel(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and _up_to_sign(_unit_rows(one), _unit_rows(other))


def _turns(answer: Answer, inputs: Inputs) -> str | None:
    """Any sign that is not taken from `toward` is the wrong one for `toward` or for its opposite."""
    vectors, toward = inputs
    there, back = (numbers(answer(vectors.clone(), sign * toward)) for sign in (1, -1))
    return None if close(there, -back) else _SIGN


_SIGN = (
    "the line is right, its sign is left to chance or taken from elsewhere. A singular vector has no sign of "
    "its own: turn it to the side of `toward`."
)

check_first_svd_direction = Exercise(
    name="first_svd_direction",
    inputs=_vectors,
    right=_first,
    mistakes=(
        Mistake(
            lambda vectors, toward: -_first(vectors, toward),
            "it points away from `toward`. What does a negative product of the two say?",
        ),
        Mistake(
            lambda vectors, toward: torch.linalg.svd(_unit_rows(vectors), full_matrices=False).Vh[0],
            _SIGN,
            agree=_up_to_sign,
        ),
        Mistake(
            lambda vectors, toward: 2 * _first(vectors, toward),
            "its length is not one. A singular *vector* was asked for, without its value.",
            agree=_parallel,
        ),
        Mistake(
            lambda vectors, toward: _first(vectors, toward, centred=True),
            "the mean was subtracted first. What all vectors share is the very thing looked for: "
            "leave it in.",
            agree=_up_to_sign,
        ),
        Mistake(
            lambda vectors, toward: _first(vectors, toward, scaled=False),
            "the rows keep their lengths, so long vectors dominate. Scale each row to length one.",
            agree=_up_to_sign,
        ),
        Mistake(
            lambda vectors, toward: _first(vectors / vectors.norm(dim=0), toward, scaled=False),
            "columns were scaled. Each *row* is a value vector, and should have length one.",
            agree=_up_to_sign,
        ),
        Mistake(
            lambda vectors, toward: torch.linalg.svd(_unit_rows(vectors), full_matrices=False).Vh[:, 0],
            "this is the first *column* of what torch returns: one entry of each singular vector. "
            "Which axis tells the vectors apart?",
            agree=_up_to_sign,
        ),
        Mistake(
            lambda vectors, toward: _unit_rows(_unit_rows(vectors).mean(dim=0)),
            "this is the mean of the rows, in which opposite rows cancel. Take the first singular vector.",
            agree=_up_to_sign,
        ),
        Mistake(
            lambda vectors, toward: torch.linalg.svd(_unit_rows(vectors), full_matrices=False).Vh[-1],
            "this is the last singular vector, the least shared. At which end are the large values?",
            agree=_up_to_sign,
        ),
    ),
    passed="rows of length one, mean left in, sign fixed: the direction most vectors share.",
    demands=(_turns,),
)
