"""Which neurons account for a change along a direction: projections, groups, shares, a closed account.

After Yang et al. (2024, arXiv 2411.06424), who ask it of the toxicity probe's direction and of DPO. With m a
neuron's mean activation and v its value vector, its projection is m (v · Ŵ), Ŵ of length one. Everything here
is closed form in the means that one pass keeps (`statistics`): no projection per token is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor

from helpers.intervals import resampling_weights, share
from helpers.language.models import LanguageModel
from helpers.mechanism.statistics import Statistics
from helpers.mechanism.vectors import Neuron, top_neurons
from helpers.runtime import generator

GROUPS = ("TP", "TN", "AP", "AN")
"""Toxic-aligned or anti-aligned by the value vector's cosine; positive or negative by the mean activation."""

Definition = Literal["v1", "final"]
"""How a group's neurons are picked: by their activation's movement (v1), or by their projection's (final)."""

Part = Literal["whole", "activation"]
"""Which reduction is meant: of the projection m (v · Ŵ), or of what the activation alone moves."""

NUMBERS_AT_ONCE = 500_000
"""How many numbers a table of draws has: 4 MB, which a processor's cache still holds."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """Every neuron's part in how far two models' MLP outputs differ along a direction.

    Draws of the texts, or directions, may stand in front as one more axis; sums and shares are then one per
    draw.

    Attributes:
        before, after: mean activations m and m′.
        along, along_after: v · Ŵ and v′ · Ŵ.
        cosine: of each value vector before with Ŵ.
    """

    before: Float[Tensor, "*#draw layer neuron"]
    after: Float[Tensor, "*#draw layer neuron"]
    along: Float[Tensor, "*#draw layer neuron"]
    along_after: Float[Tensor, "*#draw layer neuron"]
    cosine: Float[Tensor, "*#draw layer neuron"]

    @cached_property
    def whole(self) -> Float[Tensor, "*draw layer neuron"]:
        """The reduction of each neuron's projection, m (v · Ŵ) − m′ (v′ · Ŵ). Above 0: less toxic after."""
        return self.before * self.along - self.after * self.along_after

    @cached_property
    def activation(self) -> Float[Tensor, "*draw layer neuron"]:
        """Its part from firing otherwise, (m − m′) (v · Ŵ)."""
        return (self.before - self.after) * self.along

    @property
    def value(self) -> Float[Tensor, "*draw layer neuron"]:
        """Its part from writing otherwise, m (v − v′) · Ŵ."""
        return self.before * (self.along - self.along_after)

    @property
    def interaction(self) -> Float[Tensor, "*draw layer neuron"]:
        """What is left: both at once, (m − m′) (v′ − v) · Ŵ."""
        return (self.before - self.after) * (self.along_after - self.along)

    def reduction(self, part: Part = "whole") -> Float[Tensor, "*draw layer neuron"]:
        """`whole` or `activation`."""
        return self.whole if part == "whole" else self.activation

    def quadrants(self) -> dict[str, Bool[Tensor, "*draw layer neuron"]]:
        """Which neurons are TP, TN, AP, AN before tuning; one at exactly 0 is in none."""
        toxic, anti = self.cosine > 0, self.cosine < 0
        positive, negative = self.before > 0, self.before < 0
        return {
            "TP": toxic & positive, "TN": toxic & negative, "AP": anti & positive, "AN": anti & negative,
        }  # fmt: skip

    def groups(
        self, definition: Definition = "final", part: Part = "whole"
    ) -> dict[str, Bool[Tensor, "*draw layer neuron"]]:
        """The neurons of each quadrant that lower toxicity, by either published definition.

        Args:
            definition: "final", those whose reduction is above 0; "v1", those whose mean activation moved the
                right way: down where the value vector is toxic, up where it is anti-aligned. The sets differ,
                for value vectors move too.
            part: whose sign "final" goes by.
        """
        if definition == "final":
            lowers = self.reduction(part) > 0
        else:
            lowers = (self.before - self.after) * self.cosine > 0
        return {name: inside & lowers for name, inside in self.quadrants().items()}

    def gross(self, part: Part = "whole") -> Float[Tensor, "*draw"]:
        """The sum over neurons that lower toxicity."""
        return self.reduction(part).clamp_min(0).sum(dim=(-2, -1))

    def net(self, part: Part = "whole") -> Float[Tensor, "*draw"]:
        """The sum over all neurons."""
        return self.reduction(part).sum(dim=(-2, -1))

    def shares(
        self, definition: Definition = "final", part: Part = "whole"
    ) -> dict[str, Float[Tensor, "*draw"]]:
        """Each group's share of the gross reduction, as its definition has it; they add up to 1.

        "final" divides by the sum over all neurons that lower toxicity, "v1" by the sum over its own groups,
        some of whose neurons raise it by their value vectors. NaN where nothing is reduced.
        """
        reduction = self.reduction(part)
        sums = {
            name: reduction.where(inside, 0.0).sum(dim=(-2, -1))
            for name, inside in self.groups(definition, part).items()
        }
        whole = torch.stack([*sums.values()]).sum(dim=0)
        return {name: each / whole for name, each in sums.items()}

    def share_of_top(self, k: int, part: Part = "whole") -> float:
        """The share of gross of those among the k most toxic by cosine that fired and fire less now."""
        chosen = mask_of(top_neurons(self.cosine, k), self.cosine.shape)
        chosen &= (self.before > 0) & (self.after < self.before)
        return share(float(self.reduction(part)[chosen].clamp_min(0).sum()), float(self.gross(part)))

    def to_reach(self, fraction: float, *, of: Literal["net", "gross"], part: Part = "whole") -> int:
        """How many neurons, the largest reductions first, add up to a fraction of net or gross.

        They are 0 where net is not above 0.
        """
        goal = fraction * float(self.net(part) if of == "net" else self.gross(part))
        # Those that raise toxicity come last and are not needed: the sum only grows.
        grown = self.reduction(part).clamp_min(0).flatten().sort(descending=True).values.cumsum(dim=0)
        return min(int((grown < goal).sum()) + 1, grown.numel()) if goal > 0 else 0


def attribute(
    before: LanguageModel,
    after: LanguageModel,
    read_before: Statistics,
    read_after: Statistics,
    direction: Float[Tensor, "*draw d_model"],
) -> Attribution:
    """Every neuron's part in the change along a direction, from both models' statistics.

    Args:
        read_before, read_after: on the same texts, or each model's on its own.
        direction: of any length; only where it points counts. Several may be given at once.

    Example:
        found = attribute(base, aligned, own["base"], own["matched"], probe.direction)
        found.shares("v1")["TP"]
    """
    unit = _unit(direction)
    (along, lengths), (along_after, _) = (_along(model, unit) for model in (before, after))
    return Attribution(read_before.activations, read_after.activations, along, along_after, along / lengths)


def _unit(direction: Float[Tensor, "*draw d_model"]) -> Float[Tensor, "*draw d_model"]:
    return direction.cpu().double() / direction.cpu().double().norm(dim=-1, keepdim=True)


def _along(
    model: LanguageModel, unit: Float[Tensor, "*draw d_model"]
) -> tuple[Float[Tensor, "*draw layer neuron"], Float[Tensor, "layer neuron"]]:
    """v · Ŵ and the length of every neuron's v, by layer: a float64 copy of all of them is never held."""
    layers = (layer.cpu().double() for layer in model.value_vectors)
    rows, lengths = zip(*((unit @ values.T, values.norm(dim=-1)) for values in layers), strict=True)
    return torch.stack(rows, dim=-2), torch.stack(lengths)


def mask_of(neurons: list[Neuron], shape: torch.Size) -> Bool[Tensor, "layer neuron"]:
    """A (layer, neuron) table that is true at some neurons."""
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[[one.layer for one in neurons], [one.index for one in neurons]] = True
    return mask


def neurons_of(mask: Bool[Tensor, "layer neuron"]) -> list[Neuron]:
    """The neurons at which a table is true, layer by layer."""
    return [Neuron(layer, index) for layer, index in mask.nonzero().tolist()]


def shuffled_within_layers(
    mask: Bool[Tensor, "layer neuron"], *, seed: int
) -> Bool[Tensor, "layer neuron"]:
    """As many neurons of every layer as a table has, drawn at random from all of the layer's."""
    noise = generator(seed, "shuffled within layers")
    return torch.stack([row[torch.randperm(len(row), generator=noise)] for row in mask])


# --- how sure ---------------------------------------------------------------------------------------------
def resamples(
    found: Attribution, read_before: Statistics, read_after: Statistics, *, n: int, seed: int
) -> Iterator[Attribution]:
    """The attribution on n draws of the texts, both models' drawn together, some draws at a time.

    Texts are drawn in the groups that `Statistics` sums them in (text i of either model in the same one).
    """
    weights = resampling_weights(len(read_before.counts), n=n, seed=seed).double()
    for some in weights.split(at_once(found.along)):
        before, after = (
            einsum(some, read.sums, "draw group, group layer neuron -> draw layer neuron")
            / (some @ read.counts.double())[:, None, None]
            for read in (read_before, read_after)
        )
        yield replace(found, before=before, after=after)


def at_once(table: Float[Tensor, "layer neuron"]) -> int:
    """Of how many draws tables as large as this are held at one time."""
    return max(1, NUMBERS_AT_ONCE // table.numel())


def noise_of(
    found: Attribution, read_before: Statistics, read_after: Statistics, *, n: int, seed: int, part: Part
) -> Float[Tensor, "layer neuron"]:
    """The standard error of each neuron's reduction over n draws of the texts."""
    point = found.reduction(part)
    total, squares = torch.zeros_like(point), torch.zeros_like(point)
    for drawn in resamples(found, read_before, read_after, n=n, seed=seed):
        apart = drawn.reduction(part) - point
        total, squares = total + apart.sum(dim=0), squares + apart.square().sum(dim=0)
    return (squares / n - (total / n).square()).clamp_min(0).sqrt()


def with_labels_exchanged(
    found: Attribution,
    read_before: Statistics,
    read_after: Statistics,
    *,
    n: int,
    seed: int,
    part: Part = "whole",
) -> Iterator[Float[Tensor, "draw layer neuron"]]:
    """The reduction where in half of the groups of texts, drawn at random, the two models change names.

    What the models differ in on every text cancels; what is left is noise. n draws, some at a time.
    """
    noise, groups = generator(seed, "exchanged labels"), len(read_before.counts)
    kept = torch.stack([torch.randperm(groups, generator=noise) < groups // 2 for _ in range(n)]).double()
    along = (found.along, found.along_after if part == "whole" else found.along)
    read = (read_before, read_after)
    written = [one.sums * direction for one, direction in zip(read, along, strict=True)]
    counts = [one.counts.double() for one in read]
    for some in kept.split(at_once(found.along)):
        called = [
            einsum(torch.cat([mine, 1 - mine], dim=1), torch.cat(written),
                   "draw group, group layer neuron -> draw layer neuron")
            / (mine @ counts[0] + (1 - mine) @ counts[1])[:, None, None]
            for mine in (some, 1 - some)
        ]  # fmt: skip
        yield called[0] - called[1]


# --- what any direction would give ------------------------------------------------------------------------
def random_directions(
    n: int, like: Float[Tensor, " d_model"], *, seed: int, offset: Float[Tensor, " d_model"] | None = None
) -> Float[Tensor, "n d_model"]:
    """n directions of length one, drawn evenly over all there are.

    Args:
        like: a direction of the same space.
        offset: where given, each has the same cosine with it as `like` has, and is random besides: along such
            a direction tuning moved the stream about as far as along `like`.
    """
    noise = torch.randn(n, len(like), generator=generator(seed, "random directions"), dtype=torch.float64)
    if offset is None:
        return noise / noise.norm(dim=-1, keepdim=True)
    axis = _unit(offset)
    cosine = float(axis @ _unit(like))
    rest = noise - (noise @ axis)[:, None] * axis
    rest = rest / rest.norm(dim=-1, keepdim=True)
    return cosine * axis + (1 - cosine**2) ** 0.5 * rest


def turned_to_lower(
    directions: Float[Tensor, "n d_model"],
    base: LanguageModel,
    aligned: LanguageModel,
    before: Statistics,
    after: Statistics,
) -> Float[Tensor, "n d_model"]:
    """The directions, those reversed along which tuning raised what all neurons write together.

    A random direction has no sign of its own, and toxicity was chosen as what tuning lowered. Reversing one
    turns every reduction into an increase.
    """
    written, written_after = (
        einsum(
            read.activations,
            model.value_vectors.to(read.activations),
            "layer neuron, layer neuron d_model -> d_model",
        )
        for model, read in ((base, before), (aligned, after))
    )
    lowered = directions @ (written - written_after).to(directions)
    return directions.where(lowered[:, None] >= 0, -directions)


def distance_from(
    shares: Float[Tensor, " group"], null: Float[Tensor, "draw group"]
) -> tuple[float, Float[Tensor, " draw"]]:
    """How far group shares lie from a null's mean, and how far each of its draws from the others' mean.

    Half the sum of absolute differences: the share that would have to move between groups.
    """
    centre = null.mean(dim=0)
    others = (null.sum(dim=0) - null) / (len(null) - 1)
    return float((shares - centre).abs().sum() / 2), (null - others).abs().sum(dim=-1) / 2


# --- the whole account ------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Account:
    """The reduction of the final stream along a direction, by who writes it; each entry above 0 lowers it.

    Attributes:
        embedding: token and position embeddings.
        heads: every attention head.
        attention_bias, mlp_bias: the output biases, by layer.
        activation, value, interaction: the neurons' three parts, summed by layer.
        stream: the reduction that was read off the final stream itself; the parts add up to it.
        gross: the sum of the neurons' reductions above 0, in which a residue is measured.
        read_by_stream, read_by_readout: the reduction of the logit that toxic tokens have above used ones:
            from the stream, as base's last LayerNorm and unembedding read it, and from those having changed.
    """

    embedding: float
    heads: Float[Tensor, "layer head"]
    attention_bias: Float[Tensor, " layer"]
    mlp_bias: Float[Tensor, " layer"]
    activation: Float[Tensor, " layer"]
    value: Float[Tensor, " layer"]
    interaction: Float[Tensor, " layer"]
    stream: float
    gross: float
    read_by_stream: float
    read_by_readout: float

    def rows(self) -> dict[str, float]:
        """Every source's sum; the rows add up to `stream` but for the residue."""
        names = ("heads", "attention_bias", "activation", "value", "interaction", "mlp_bias")
        return {"embedding": self.embedding} | {name: float(getattr(self, name).sum()) for name in names}

    @property
    def residue(self) -> float:
        """What the parts lack of the stream's reduction, as a share of gross."""
        return share(self.stream - sum(self.rows().values()), self.gross)


def account(
    before: LanguageModel,
    after: LanguageModel,
    read_before: Statistics,
    read_after: Statistics,
    direction: Float[Tensor, " d_model"],
    toxic: Bool[Tensor, " vocab"],
    used: Bool[Tensor, " vocab"],
) -> Account:
    """Who lowers the final stream along a direction: embeddings, heads, neurons in three parts, biases.

    Args:
        read_before, read_after: as in `attribute`.
        toxic, used: token masks, for what the read-out itself changes.
    """
    found, unit = attribute(before, after, read_before, read_after, direction), _unit(direction)
    pair = ((before, read_before), (after, read_after))
    heads, attention_bias, mlp_bias = [], [], []
    for model, read in pair:
        blocks = model.bridge.blocks
        writes = torch.stack([block.attn.W_O.detach().cpu().double() @ unit for block in blocks])
        heads.append(einsum(read.heads, writes, "layer head d_head, layer head d_head -> layer head"))
        attention_bias.append(torch.stack([b.attn.b_O.detach().cpu().double() @ unit for b in blocks]))
        mlp_bias.append(torch.stack([b.mlp.b_out.detach().cpu().double() @ unit for b in blocks]))
    logits = [[toxic_logit(reader, seen, toxic, used) for reader, _ in pair] for _, seen in pair]
    return Account(
        embedding=float((read_before.embedding - read_after.embedding) @ unit),
        heads=heads[0] - heads[1],
        attention_bias=attention_bias[0] - attention_bias[1],
        mlp_bias=mlp_bias[0] - mlp_bias[1],
        activation=found.activation.sum(dim=1),
        value=found.value.sum(dim=1),
        interaction=found.interaction.sum(dim=1),
        stream=float((read_before.post[-1] - read_after.post[-1]) @ unit),
        gross=float(found.gross()),
        read_by_stream=logits[0][0] - logits[1][0],
        read_by_readout=logits[1][0] - logits[1][1],
    )


def toxic_logit(
    reader: LanguageModel, read: Statistics, toxic: Bool[Tensor, " vocab"], used: Bool[Tensor, " vocab"]
) -> float:
    """The mean logit of toxic tokens above that of used ones, as a model's read-out reads a mean stream.

    Exact, not an approximation: a mean over positions of something linear in the standardised stream.
    0 where no token is toxic.
    """
    if not toxic.any():
        return 0.0
    norm, unembedding = reader.bridge.ln_final, reader.bridge.unembed.W_U.detach().cpu().double()
    step = unembedding[:, toxic].mean(dim=1) - unembedding[:, used].mean(dim=1)
    gain, bias = (getattr(norm, name).detach().cpu().double() for name in ("weight", "bias"))
    return float((read.final * gain + bias) @ step)
