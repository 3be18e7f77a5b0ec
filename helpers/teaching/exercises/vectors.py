"""Exercises of notebook 02: cosines of value vectors, the MLP as a sum, a shared direction with a sign."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn.functional import gelu

from helpers.teaching.exercises.checks import Exercise, Inputs, Mistake
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
    ),
    passed="the layer's output is the sum over its neurons, plus a bias that no neuron owns.",
)


def _vectors(generator: Generator) -> Inputs:
    # Two shared directions; the long rows lie along one, most rows along the other.
    main, other = normal(generator, 6), normal(generator, 6)
    rows = 0.6 * normal(generator, 20, 6)
    rows[:14] += 2 * main / main.norm()
    rows[14:] = 8 * (rows[14:] + 1.5 * other / other.norm())
    first = torch.linalg.svd(rows / rows.norm(dim=-1, keepdim=True), full_matrices=False).Vh[0]
    # Whatever sign the decomposition happens to give is the wrong one here.
    return rows, -first + 0.3 * normal(generator, 6) / 6


def _first(vectors: Tensor, toward: Tensor, *, scaled: bool = True, centred: bool = False) -> Tensor:
    rows = vectors / vectors.norm(dim=-1, keepdim=True) if scaled else vectors
    rows = rows - rows.mean(dim=0) if centred else rows
    direction = torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -1]
    return direction if direction @ toward > 0 else -direction


check_first_svd_direction = Exercise(
    name="first_svd_direction",
    inputs=_vectors,
    right=_first,
    mistakes=(
        Mistake(
            lambda vectors, toward: -_first(vectors, toward),
            "it points away from `toward`. A singular vector has no sign of its own: turn it if "
            "the product is negative.",
        ),
        Mistake(
            lambda vectors, toward: _first(vectors, toward, centred=True),
            "the mean was subtracted first. What all vectors share is the very thing looked for: "
            "leave it in.",
        ),
        Mistake(
            lambda vectors, toward: -_first(vectors, toward, centred=True),
            "the mean was subtracted first, and the sign was left to chance. Leave the mean in; "
            "turn toward `toward`.",
        ),
        Mistake(
            lambda vectors, toward: _first(vectors, toward, scaled=False),
            "the rows keep their lengths, so long vectors dominate. Scale each row to length one.",
        ),
        Mistake(
            lambda vectors, toward: -_first(vectors, toward, scaled=False),
            "the rows keep their lengths, and the sign was left to chance. Scale each row; turn "
            "toward `toward`.",
        ),
        Mistake(
            lambda vectors, toward: _first(vectors / vectors.norm(dim=0), toward, scaled=False),
            "columns were scaled. Each *row* is a value vector: divide by `norm(dim=-1, keepdim=True)`.",
        ),
    ),
    passed="rows of length one, mean left in, sign fixed: the direction most vectors share.",
)
