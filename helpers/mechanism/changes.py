"""What tuning changed between two models of one shape: weights, the stream's offset, and who writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import layer_norm
from transformers import GPT2LMHeadModel

from helpers.language.models import LanguageModel
from helpers.language.tokens import Tokens
from helpers.mechanism.pooling import TextMeans
from helpers.mechanism.statistics import Statistics
from helpers.mechanism.stream import stream
from helpers.mechanism.vectors import Neuron
from helpers.runtime import generator

PIECE = 2**22
"""How many numbers of a weight tensor are looked at at once."""

CLOSES = 1e-4
"""How far, relative to what they add up to, parts may stand from it: float32 passes round."""


@dataclass(frozen=True)
class TensorChange:
    """How far one weight tensor has moved.

    Attributes:
        cosine: between the tensor before and after, all entries in a row; NaN where it was zero before.
        length: ‖Δ‖.
        relative: ‖Δ‖ / ‖W‖; infinite where it was zero before and is not now.
    """

    name: str
    cosine: float
    length: float
    relative: float


def tensor_changes(before: LanguageModel, after: LanguageModel) -> list[TensorChange]:
    """The change of every weight tensor, in the model's order; shared ones (the unembedding) once.

    Queries, keys and values are one tensor, as in the checkpoint.
    """
    for what in ("n_layers", "d_model", "d_mlp", "vocab_size"):
        one, other = getattr(before, what), getattr(after, what)
        if one != other:
            raise ValueError(f"{before.name} and {after.name} differ in {what}: {one} and {other}.")
    ours, theirs = weights_of(before), weights_of(after)
    return [_change(name, ours[name], theirs[name]) for name in ours]


def weights_of(model: LanguageModel) -> dict[str, Tensor]:
    """A model's weight tensors by their names in the checkpoint: `h.3.mlp.c_fc.weight`."""
    found = {}
    for name, weight in model.bridge.original_model.named_parameters():
        plain = name.replace("._original_component", "").removeprefix("transformer.")
        if not any(f".attn.{part}." in plain for part in "qkv"):  # slices of the one below
            plain = plain.replace(".attn.qkv.", ".attn.c_attn.").replace(".attn.o.", ".attn.c_proj.")
            found[plain] = weight.detach()
    return found


def _change(name: str, before: Tensor, after: Tensor) -> TensorChange:
    sums = torch.zeros(4, dtype=torch.float64)
    # In pieces, so that no float64 copy of a whole embedding is held.
    for was, now in zip(before.flatten().split(PIECE), after.flatten().split(PIECE), strict=True):
        was, now = was.double(), now.double()
        step = now - was
        sums += torch.stack([was @ was, now @ now, step @ step, was @ now]).cpu()
    norm, norm_after, length = sums[:3].sqrt().tolist()
    cosine = float(sums[3] / (norm * norm_after)) if norm else float("nan")
    relative = length / norm if norm else float("inf") if length else 0.0
    return TensorChange(name, cosine, length, relative)


@dataclass(frozen=True, eq=False)
class RowChanges:
    """How far each of many vectors has moved: cosine with what it was, ‖Δ‖, and ‖Δ‖ / ‖v‖."""

    cosine: Float[Tensor, "*rows"]
    length: Float[Tensor, "*rows"]
    relative: Float[Tensor, "*rows"]


def row_changes(before: Float[Tensor, "*rows d"], after: Float[Tensor, "*rows d"]) -> RowChanges:
    """The change of each row, e.g. of `model.value_vectors`. Raises ValueError for a row that was zero."""
    norms = torch.linalg.vector_norm(before, dim=-1)
    if not (norms > 0).all():
        raise ValueError(f"{int((norms == 0).sum())} of the vectors are zero before: they have no direction.")
    length = torch.linalg.vector_norm(after - before, dim=-1)
    return RowChanges(torch.cosine_similarity(before, after, dim=-1), length, length / norms)


def nudge(model: GPT2LMHeadModel, lengths: Mapping[str, float], *, seed: int) -> None:
    """Moves every weight tensor of a model, in place, by a step of random direction and given length.

    Args:
        model: a plain one of one's own, such as `lab.load_plain()` returns.
        lengths: by tensor, named as by `tensor_changes`.
    """
    weights = {name.removeprefix("transformer."): weight for name, weight in model.named_parameters()}
    if weights.keys() != lengths.keys():
        raise ValueError(f"Lengths are given for {len(lengths)} tensors of other names than the model's.")
    with torch.no_grad():
        for name, weight in weights.items():
            step = torch.randn(weight.shape, generator=generator(seed, "nudge", name))
            weight.add_((lengths[name] * step / step.norm()).to(weight))


def mlp_input(
    model: LanguageModel, standardised: Float[Tensor, "layer d_model"]
) -> Float[Tensor, "layer d_model"]:
    """What MLPs read, from the standardised stream: a model's own LayerNorm gains and biases put on."""
    norms = [block.ln2 for block in model.bridge.blocks]
    gains, biases = (torch.stack([getattr(one, name) for one in norms]) for name in ("weight", "bias"))
    return standardised * gains.detach().cpu().double() + biases.detach().cpu().double()


@dataclass(frozen=True, eq=False)
class PreActivationChange:
    """The change of each neuron's mean pre-activation (before the GELU), in parts that add up to it.

    With n the standardised stream, γ and β LayerNorm's gains and biases, k and b the neuron's key and bias,
    and ′ for after: the pre-activation is k · (γ n + β) + b.

    Attributes:
        stream: k · γ (n′ − n): the stream's shift, as base's own LayerNorm and key read it.
        norm: k · ((γ′ − γ) n′ + β′ − β): LayerNorm's own change.
        key: (k′ − k) · (γ′ n′ + β′): the key's change, on the input there is after; so the interaction of the
            two stands here, not in `stream`.
        bias: b′ − b.
    """

    stream: Float[Tensor, "layer neuron"]
    norm: Float[Tensor, "layer neuron"]
    key: Float[Tensor, "layer neuron"]
    bias: Float[Tensor, "layer neuron"]

    @property
    def total(self) -> Float[Tensor, "layer neuron"]:
        """All parts together."""
        return self.stream + self.norm + self.key + self.bias


def split_pre_activations(
    before: LanguageModel, after: LanguageModel, read_before: Statistics, read_after: Statistics
) -> PreActivationChange:
    """Splits the change of mean pre-activations; a mean of products with fixed weights is one with the mean.

    Args:
        read_before, read_after: both models' statistics on the same texts.

    Raises ArithmeticError if the parts do not add up to the change that was read.
    """
    keys, new_keys = (model.key_vectors.cpu().double() for model in (before, after))
    biases = [torch.stack([b.mlp.b_in for b in m.bridge.blocks]).cpu().double() for m in (before, after)]
    read = mlp_input(before, read_before.standardised)
    moved = mlp_input(before, read_after.standardised)  # the new stream through the old LayerNorm
    now = mlp_input(after, read_after.standardised)

    def through(key: Tensor, x: Tensor) -> Tensor:
        return einsum(key, x, "layer neuron d_model, layer d_model -> layer neuron")

    found = PreActivationChange(
        stream=through(keys, moved - read),
        norm=through(keys, now - moved),
        key=through(new_keys - keys, now),
        bias=biases[1] - biases[0],
    )
    _check_sum(found.total, read_after.pre_activations - read_before.pre_activations, "pre-activations")
    return found


@dataclass(frozen=True, eq=False)
class OffsetSources:
    """The mean offset of the stream before a layer's MLP, by who writes it; all vectors in the raw stream.

    Of each MLP below, with activations m and value vectors v:

    Attributes:
        offset: mean stream after minus before.
        embedding: from token and position embeddings.
        attention: from each attention up to the layer's own.
        activation: Σ (m′ − m) v: neurons fire otherwise.
        value: Σ m (v′ − v): they write otherwise.
        interaction: Σ (m′ − m)(v′ − v).
        bias: the output biases.
        neurons: each neuron's share in `value`, along the offset and in units of its length: sums to the
            value part of `along`.
        shifts: each value vector's shift along the offset, in the same unit; `neurons` is m times this.
        cosine: of each value vector's shift with the offset.
        activations: m, the mean activations before.
    """

    offset: Float[Tensor, " d_model"]
    embedding: Float[Tensor, " d_model"]
    attention: Float[Tensor, "layer d_model"]
    activation: Float[Tensor, "below d_model"]
    value: Float[Tensor, "below d_model"]
    interaction: Float[Tensor, "below d_model"]
    bias: Float[Tensor, "below d_model"]
    neurons: Float[Tensor, "below neuron"]
    shifts: Float[Tensor, "below neuron"]
    cosine: Float[Tensor, "below neuron"]
    activations: Float[Tensor, "below neuron"]

    def along(self) -> dict[str, float]:
        """Each source's part of the offset along the offset itself; the parts add up to 1."""
        unit = self.offset / self.offset.square().sum()
        names = ("embedding", "attention", "activation", "value", "interaction", "bias")
        return {name: float((getattr(self, name) @ unit).sum()) for name in names}

    def shuffled(self, draws: int, seed: int) -> Float[Tensor, " draw"]:
        """The value part where activations and shifts are paired anew at random within each layer."""
        found = []
        for draw in range(draws):
            noise = generator(seed, "pairing", draw)
            orders = [torch.randperm(self.shifts.shape[1], generator=noise) for _ in self.shifts]
            pairs = zip(self.activations, self.shifts, orders, strict=True)
            found.append(sum((m @ shift[order] for m, shift, order in pairs), torch.zeros(()).double()))
        return torch.stack(found)


def offset_sources(
    before: LanguageModel,
    after: LanguageModel,
    read_before: Statistics,
    read_after: Statistics,
    layer: int = -1,
) -> OffsetSources:
    """Who writes the mean offset of the stream that a layer's MLP reads (`hook_resid_mid`), source by source.

    Args:
        read_before, read_after: both models' statistics on the same texts.

    Raises:
        ValueError: the models do not differ there, or no MLP lies below.
        ArithmeticError: the sources do not add up to the offset that was read.
    """
    layer = range(before.n_layers)[layer]
    offset = read_after.mid[layer] - read_before.mid[layer]
    if layer < 1 or not offset.norm() > 0:
        raise ValueError(
            "There is no MLP below layer 0." if layer < 1 else f"Before layer {layer}'s MLP nothing differs."
        )
    values, new_values = (model.value_vectors[:layer].cpu().double() for model in (before, after))
    biases = [torch.stack([b.mlp.b_out for b in m.bridge.blocks])[:layer].cpu() for m in (before, after)]
    m, new_m = read_before.activations[:layer], read_after.activations[:layer]
    shift, unit = new_values - values, offset / offset.square().sum()

    def written(activations: Tensor, vectors: Tensor) -> Tensor:
        return einsum(activations, vectors, "layer neuron, layer neuron d_model -> layer d_model")

    shifts = shift @ unit
    lengths = torch.linalg.vector_norm(shift, dim=-1)
    found = OffsetSources(
        offset=offset,
        embedding=read_after.embedding - read_before.embedding,
        attention=(read_after.attention - read_before.attention)[: layer + 1],
        activation=written(new_m - m, values),
        value=written(m, shift),
        interaction=written(new_m - m, shift),
        bias=(biases[1] - biases[0]).double(),
        neurons=m * shifts,
        shifts=shifts,
        cosine=torch.where(lengths > 0, shifts * offset.norm() / lengths.clamp_min(1e-30), 0.0),
        activations=m,
    )
    parts = (found.attention, found.activation, found.value, found.interaction, found.bias)
    _check_sum(found.embedding + sum(part.sum(dim=0) for part in parts), offset, "sources of the offset")
    return found


def text_streams(
    model: LanguageModel,
    tokens: Tokens,
    counted: Bool[Tensor, "text pos"],
    *,
    sites: Sequence[str],
    batch_size: int = 32,
) -> Float[Tensor, "site text d_model"]:
    """The stream of each text, averaged over its counted positions. Two models' difference is the offset.

    Args:
        sites: where, such as `blocks.19.hook_resid_mid`.

    Raises ValueError for a text of which no position counts.
    """
    if not (counted & tokens.mask).any(dim=1).all():
        raise ValueError("Of some text no position counts; leave it out.")
    rows = {site: TextMeans(torch.empty(len(tokens), model.d_model)) for site in sites}
    found = stream(model, tokens, rows, counted=counted, batch_size=batch_size)
    return torch.stack([found[site] for site in sites])


@dataclass(frozen=True, eq=False)
class Spectrum:
    """How near a set of vectors is to one direction; they are not centred, so a common offset counts.

    Attributes:
        shares: of the sum of squares, by singular direction, the strongest first.
        to_mean: cosine of each vector with the mean vector.
    """

    shares: Float[Tensor, " direction"]
    to_mean: Float[Tensor, " text"]

    @property
    def directions(self) -> float:
        """The participation ratio, 1 / Σ share²: how many equally strong directions would spread as much."""
        return float(1 / self.shares.square().sum())


def spectrum(vectors: Float[Tensor, "text d_model"]) -> Spectrum:
    """The spectrum of vectors, such as of texts' offsets. Raises ValueError if all are zero."""
    squares = torch.linalg.svdvals(vectors.double()).square()
    if not squares.sum() > 0:
        raise ValueError("All vectors are zero: there is no direction to find.")
    mean = vectors.mean(dim=0, keepdim=True)
    return Spectrum(squares / squares.sum(), torch.cosine_similarity(vectors, mean, dim=-1))


@torch.no_grad()
def pre_activation(
    model: LanguageModel, neuron: Neuron, stream: Float[Tensor, "*points d_model"]
) -> Float[Tensor, "*points"]:
    """What goes into a neuron's GELU where the stream before its MLP is this. It fires where this is > 0."""
    model.value_vector(neuron)  # raises for a neuron that is not there
    block = model.bridge.blocks[neuron.layer]
    norm, bias = block.ln2, block.mlp.b_in[neuron.index]
    x = layer_norm(stream.to(norm.weight), norm.weight.shape, norm.weight, norm.bias, norm.eps)
    return x @ block.mlp.W_in[:, neuron.index] + bias


def _check_sum(parts: Tensor, whole: Tensor, what: str) -> None:
    scale = float(torch.linalg.vector_norm(whole)) or 1.0
    apart = float(torch.linalg.vector_norm(parts - whole)) / scale
    if not apart <= CLOSES:
        raise ArithmeticError(
            f"The {what} do not add up: {apart:.1e} of the change is missing. Were both models read on the "
            "same texts, without interventions?"
        )
