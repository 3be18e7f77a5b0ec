"""Finds the value vectors that point along a direction, and reads vectors in the vocabulary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

from helpers.language.models import LanguageModel
from helpers.runtime import generator

LOGITS_AT_ONCE = 25_000_000
"""How many vocabulary logits are held at one time: 100 MB."""


@dataclass(frozen=True, order=True, slots=True)
class Neuron:
    """One MLP neuron: its layer and its index in it, both from 0; written `L19.770`.

    Example:
        >>> Neuron.parse("L19.770")
        Neuron(layer=19, index=770)
        >>> str(Neuron(19, 770))
        'L19.770'
    """

    layer: int
    index: int

    def __post_init__(self) -> None:
        if self.layer < 0 or self.index < 0:
            raise ValueError(
                f"A neuron's layer and index count from 0; got layer {self.layer}, index {self.index}."
            )

    def __str__(self) -> str:
        return f"L{self.layer}.{self.index}"

    @classmethod
    def parse(cls, text: str) -> Neuron:
        """Reads `L19.770`: capital L, layer, dot, index."""
        found = re.fullmatch(r"L([0-9]+)\.([0-9]+)", text.strip())
        if found is None:
            raise ValueError(
                f'{text!r} names no neuron; the form is "L<layer>.<index>", for example L19.770.'
            )
        return cls(int(found[1]), int(found[2]))


def cosines(
    vectors: Float[Tensor, "*vectors d_model"], direction: Float[Tensor, " d_model"]
) -> Float[Tensor, "*vectors"]:
    """The cosine of each vector with a direction, e.g. `cosines(model.value_vectors, probe.direction)`.

    Both are taken raw. Subtracting the mean of each value vector first, as TransformerLens does by default,
    would change the cosines and their order. A vector of zeros has cosine 0.
    """
    direction = direction.to(vectors.device)
    length = direction.norm()
    if not (length.isfinite() and length > 0):
        raise ValueError("The direction is zero or not finite; no cosine with it is defined.")
    along = einsum(vectors, direction / length, "... d_model, d_model -> ...")
    norms = torch.linalg.vector_norm(vectors, dim=-1)
    return torch.where(norms > 0, along / norms.clamp_min(torch.finfo(norms.dtype).tiny), 0.0)


def top_neurons(scores: Float[Tensor, "layer neuron"], k: int, *, largest: bool = True) -> list[Neuron]:
    """The k neurons of highest (or lowest) score over all layers, best first.

    Ties go to the lower layer, then the lower index. Raises ValueError for NaN among the scores, or for more
    neurons than there are.
    """
    if not 1 <= k <= scores.numel():
        raise ValueError(f"k must lie between 1 and the {scores.numel()} neurons there are, not {k}.")
    if scores.isnan().any():
        raise ValueError(f"{int(scores.isnan().sum())} scores are NaN; they cannot be ranked.")
    order = torch.sort(scores.flatten(), descending=largest, stable=True).indices[:k].tolist()
    return [Neuron(*divmod(place, scores.shape[1])) for place in order]


def vectors_of(
    vectors: Float[Tensor, "layer neuron d_model"], neurons: Sequence[Neuron]
) -> Float[Tensor, "n d_model"]:
    """The vectors of some neurons, one row each, in their order."""
    _check_inside(neurons, *vectors.shape[:2])
    return vectors[[neuron.layer for neuron in neurons], [neuron.index for neuron in neurons]]


def layer_histogram(neurons: Iterable[Neuron], n_layers: int) -> Int[Tensor, " layer"]:
    """How many of the neurons sit in each layer."""
    counts = Counter(neuron.layer for neuron in neurons)
    if counts and max(counts) >= n_layers:
        raise ValueError(f"A neuron of layer {max(counts)} in a model of layers 0 to {n_layers - 1}.")
    return torch.tensor([counts[layer] for layer in range(n_layers)])


@torch.no_grad()
def project_to_vocabulary(
    model: LanguageModel, vectors: Float[Tensor, "*vectors d_model"]
) -> Float[Tensor, "*vectors vocab"]:
    """The logits that a vector adds per unit of strength, up to a factor that is the same for every token.

    The model reads the residual stream x through its final LayerNorm, γ ⊙ (x − mean x) / σ(x) + β, and W_U.
    Added to x with σ(x) held still, a vector v changes the logits by W_U (γ ⊙ (v − mean v)) / σ(x). This
    returns that without 1/σ(x), which depends on the text but not on the token, so ranks are exact. Left
    out besides: β, which belongs to no vector, and the effect of v on σ(x), which vanishes for small v at
    right angles to x − mean x and for all else scales the logits that x had already.

    Lee et al. 2024 §3.2 write W_U v: the same without γ and without taking the mean off.

    Args:
        vectors: one or many, in raw residual coordinates. The sign counts: −v promotes what v suppresses.

    Example:
        logits = project_to_vocabulary(model, probe.direction)
        model.token_strings(top_tokens(logits, 10, used))
    """
    gain, unembedding = model.bridge.ln_final.weight, model.bridge.W_U
    vectors = vectors.to(gain.device)
    centred = vectors - vectors.mean(dim=-1, keepdim=True)
    return einsum(centred * gain, unembedding, "... d_model, d_model vocab -> ... vocab")


def top_tokens(
    logits: Float[Tensor, "*vectors vocab"], k: int, used: Bool[Tensor, " vocab"], *, largest: bool = True
) -> Int[Tensor, "*vectors k"]:
    """Ids of the k used tokens of highest (or lowest: what a vector suppresses) logit, extreme first.

    Args:
        used: which tokens count; see `used_vocabulary`.
    """
    if not 1 <= k <= int(used.sum()):
        raise ValueError(f"k must lie between 1 and the {int(used.sum())} used tokens, not {k}.")
    unused = -torch.inf if largest else torch.inf
    return logits.masked_fill(~used.to(logits.device), unused).topk(k, dim=-1, largest=largest).indices


def used_vocabulary(
    texts: Iterable[Sequence[int]], vocab_size: int, *, at_least: int = 1
) -> Bool[Tensor, " vocab"]:
    """Which tokens occur in a corpus at least so many times.

    A tokenizer holds fragments that no text ever ends up with. Their embeddings mean nothing, and they
    crowd the top tokens of any vector.

    Args:
        texts: lists of token ids.
    """
    counts = Counter(token for text in texts for token in text)
    if counts and not (min(counts) >= 0 and max(counts) < vocab_size):
        raise ValueError(
            f"Token ids run from {min(counts)} to {max(counts)}, outside a vocabulary of {vocab_size}: "
            "these texts were tokenised for another model."
        )
    return torch.tensor([counts[token] >= at_least for token in range(vocab_size)])


def toxic_share(
    model: LanguageModel,
    vectors: Float[Tensor, "n d_model"],
    toxic: Bool[Tensor, " vocab"],
    used: Bool[Tensor, " vocab"],
    k: int = 10,
) -> Float[Tensor, " n"]:
    """The share of toxic tokens among the k used tokens that each vector promotes most.

    Only the vocabulary projection is looked at, not what the neuron does in a text. Read it beside the same
    figure for `matched_random` neurons. With the tokens of one family for `toxic` it is that family's share.
    """
    rows = max(1, LOGITS_AT_ONCE // model.vocab_size)
    shares = [
        toxic[top_tokens(project_to_vocabulary(model, part), k, used).cpu()].float().mean(dim=-1)
        for part in vectors.split(rows)
    ]
    return torch.cat(shares)


def svd_directions(
    vectors: Float[Tensor, "n d_model"], toward: Float[Tensor, " d_model"], k: int
) -> Float[Tensor, "k d_model"]:
    """The k directions that vectors share most: right singular vectors of the rows, each of unit norm.

    The rows are not centred: what all have in common is wanted, and it is mostly in the first direction.
    Singular vectors have no sign of their own; each is turned so that its product with `toward` is not
    negative. After Lee et al. 2024 §3.2, who call them U_toxic[0], U_toxic[1] ….

    Returns:
        Unit vectors, the strongest first.
    """
    n, d_model = vectors.shape
    if not 1 <= k <= min(n, d_model):
        raise ValueError(
            f"{n} vectors of {d_model} numbers have at most {min(n, d_model)} directions, not {k}."
        )
    norms = vectors.norm(dim=-1, keepdim=True)
    if not (norms > 0).all():
        raise ValueError(f"Vector {int((norms == 0).nonzero()[0, 0])} is zero and has no direction.")
    directions = torch.linalg.svd(vectors / norms, full_matrices=False).Vh[:k]
    sign = torch.where(directions @ toward.to(vectors.device) < 0, -1.0, 1.0)
    return directions * sign[:, None]


def matched_random(
    neurons: Sequence[Neuron],
    *,
    d_mlp: int,
    seed: int,
    exclude: Iterable[Neuron] = (),
    norms: Float[Tensor, "layer neuron"] | None = None,
    nearest: int = 16,
) -> list[Neuron]:
    """A control set: for each neuron another of its layer, drawn at random, none twice and none of the set.

    Args:
        neurons: the set to match, without repeats.
        d_mlp: neurons per layer.
        exclude: further neurons not to be drawn, e.g. all toxic ones when only some are matched.
        norms: if given (of the value vectors, say), each match is one of the `nearest` free ones in norm.

    Returns:
        One neuron per neuron given, in their order; the same for the same seed.

    Raises ValueError if a layer has not enough neurons left.
    """
    if len(set(neurons)) != len(neurons):
        raise ValueError("The neurons to match contain repeats.")
    _check_inside(neurons, norms.shape[0] if norms is not None else None, d_mlp)
    stream = generator(seed, "matched random neurons")
    others: dict[int, Bool[Tensor, " neuron"]] = {
        layer: torch.ones(d_mlp, dtype=torch.bool) for layer in {neuron.layer for neuron in neurons}
    }
    for taken in (*neurons, *exclude):
        if taken.layer in others:
            others[taken.layer][taken.index] = False
    free = {layer: mask.nonzero().flatten() for layer, mask in others.items()}
    drawn = []
    for neuron in neurons:
        candidates = free[neuron.layer]
        if len(candidates) == 0:
            raise ValueError(f"Layer {neuron.layer} has no neuron left to match {neuron} with.")
        if norms is None:
            place = int(torch.randint(len(candidates), (), generator=stream))
        else:
            own = norms[neuron.layer].cpu()
            near = (own[candidates] - own[neuron.index]).abs().argsort(stable=True)[:nearest]
            place = int(near[torch.randint(len(near), (), generator=stream)])
        drawn.append(Neuron(neuron.layer, int(candidates[place])))
        free[neuron.layer] = torch.cat([candidates[:place], candidates[place + 1 :]])
    return drawn


def cosine_matched(
    vectors: Float[Tensor, "layer neuron d_model"],
    neurons: Sequence[Neuron],
    direction: Float[Tensor, " d_model"],
    *,
    seed: int,
    exclude: Iterable[Neuron] = (),
) -> Float[Tensor, "n d_model"]:
    """Null vectors that share with some neurons' only how far they point along a direction.

    Each keeps its vector's norm and its component along `direction`; what it has besides is taken from
    another neuron of the same layer, drawn as in `matched_random`, and scaled to the length that is left.
    Vectors that were picked for their cosine say something of the model only where they differ from these.

    Args:
        exclude: further neurons that no remainder is taken from.

    Returns:
        One vector per neuron, in their order; the same for the same seed.

    Raises ValueError if a layer has not enough neurons left, or one taken has nothing besides the direction.

    Example:
        nulls = cosine_matched(model.value_vectors, toxic, probe.direction, seed=draw)
    """
    donors = matched_random(neurons, d_mlp=vectors.shape[1], seed=seed, exclude=exclude)
    own, other = (vectors_of(vectors, some).double().cpu() for some in (neurons, donors))
    unit = direction.double().cpu() / direction.double().cpu().norm()
    along = own @ unit
    rest = other - torch.outer(other @ unit, unit)
    left = (own.square().sum(dim=-1) - along.square()).clamp_min(0).sqrt()
    lengths = rest.norm(dim=-1)
    if not (lengths > 1e-6 * other.norm(dim=-1)).all():
        parallel = donors[int(lengths.argmin())]
        raise ValueError(f"{parallel} points along the direction alone and has no remainder; draw anew.")
    return (torch.outer(along, unit) + rest * (left / lengths)[:, None]).to(vectors)


def _check_inside(neurons: Iterable[Neuron], n_layers: int | None, d_mlp: int) -> None:
    for neuron in neurons:
        if neuron.index >= d_mlp or (n_layers is not None and neuron.layer >= n_layers):
            layers = "" if n_layers is None else f"layers 0 to {n_layers - 1}, "
            raise ValueError(f"There is no {neuron}: the model has {layers}neurons 0 to {d_mlp - 1} in each.")
