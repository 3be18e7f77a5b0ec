"""Which neurons account for a change along a direction: projections, groups, shares, a closed account.

After Yang et al. (2024, arXiv 2411.06424), who ask it of the toxicity probe's direction and of DPO. With m a
neuron's mean activation and v its value vector, its projection is m (v · Ŵ), Ŵ of length one. Everything here
is closed form in the means that one pass keeps (`statistics`): no projection per token is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor

from helpers.intervals import resampling_weights, share
from helpers.language.models import LanguageModel
from helpers.mechanism.statistics import Statistics
from helpers.mechanism.vectors import Neuron, cosines, top_neurons
from helpers.runtime import generator

GROUPS = ("TP", "TN", "AP", "AN")
"""Toxic-aligned or anti-aligned by the value vector's cosine; positive or negative by the mean activation."""

Definition = Literal["v1", "final"]
"""How a group's neurons are picked: by their activation's movement (v1), or by their projection's (final)."""

Part = Literal["whole", "activation"]
"""Which reduction is meant: of the projection m (v · Ŵ), or of what the activation alone moves."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """Every neuron's part in how far two models' MLP outputs differ along a direction.

    Attributes:
        before, after: mean activations m and m′.
        along, along_after: v · Ŵ and v′ · Ŵ.
        cosine: of each value vector before with Ŵ.
    """

    before: Float[Tensor, "layer neuron"]
    after: Float[Tensor, "layer neuron"]
    along: Float[Tensor, "layer neuron"]
    along_after: Float[Tensor, "layer neuron"]
    cosine: Float[Tensor, "layer neuron"]

    @cached_property
    def whole(self) -> Float[Tensor, "layer neuron"]:
        """The reduction of each neuron's projection, m (v · Ŵ) − m′ (v′ · Ŵ). Above 0: less toxic after."""
        return self.before * self.along - self.after * self.along_after

    @cached_property
    def activation(self) -> Float[Tensor, "layer neuron"]:
        """Its part from firing otherwise, (m − m′) (v · Ŵ)."""
        return (self.before - self.after) * self.along

    @property
    def value(self) -> Float[Tensor, "layer neuron"]:
        """Its part from writing otherwise, m (v − v′) · Ŵ."""
        return self.before * (self.along - self.along_after)

    @property
    def interaction(self) -> Float[Tensor, "layer neuron"]:
        """What is left: both at once, (m − m′) (v′ − v) · Ŵ."""
        return (self.before - self.after) * (self.along_after - self.along)

    def reduction(self, part: Part = "whole") -> Float[Tensor, "layer neuron"]:
        """`whole` or `activation`."""
        return self.whole if part == "whole" else self.activation

    def quadrants(self) -> dict[str, Bool[Tensor, "layer neuron"]]:
        """Which neurons are TP, TN, AP, AN before tuning; one at exactly 0 is in none."""
        toxic, anti = self.cosine > 0, self.cosine < 0
        positive, negative = self.before > 0, self.before < 0
        return {
            "TP": toxic & positive, "TN": toxic & negative, "AP": anti & positive, "AN": anti & negative,
        }  # fmt: skip

    def groups(
        self, definition: Definition = "final", part: Part = "whole"
    ) -> dict[str, Bool[Tensor, "layer neuron"]]:
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
            lowers = (self.before - self.after) * self.cosine.sign() > 0
        return {name: inside & lowers for name, inside in self.quadrants().items()}

    def gross(self, part: Part = "whole") -> float:
        """The sum over neurons that lower toxicity."""
        return float(self.reduction(part).clamp_min(0).sum())

    def net(self, part: Part = "whole") -> float:
        """The sum over all neurons."""
        return float(self.reduction(part).sum())

    def shares(self, definition: Definition = "final", part: Part = "whole") -> dict[str, float]:
        """Each group's share of the gross reduction, as its definition has it; they add up to 1.

        "final" divides by the sum over all neurons that lower toxicity, "v1" by the sum over its own groups,
        some of whose neurons raise it by their value vectors. NaN where nothing is reduced.
        """
        reduction = self.reduction(part)
        sums = {
            name: float(reduction[inside].sum()) for name, inside in self.groups(definition, part).items()
        }
        return {name: share(each, sum(sums.values())) for name, each in sums.items()}

    def share_of_top(self, k: int, part: Part = "whole") -> float:
        """The share of gross of those among the k most toxic by cosine that fired and fire less now."""
        chosen = mask_of(top_neurons(self.cosine, k), self.cosine.shape)
        chosen &= (self.before > 0) & (self.after < self.before)
        return share(float(self.reduction(part)[chosen].clamp_min(0).sum()), self.gross(part))

    def to_reach(self, fraction: float, *, of: Literal["net", "gross"], part: Part = "whole") -> int:
        """How many neurons, the largest reductions first, add up to a fraction of net or gross.

        They are 0 where net is not above 0.
        """
        goal = fraction * (self.net(part) if of == "net" else self.gross(part))
        largest = self.reduction(part).flatten().sort(descending=True).values.cumsum(dim=0)
        return int((largest < goal).sum()) + 1 if goal > 0 else 0


def attribute(
    before: LanguageModel,
    after: LanguageModel,
    read_before: Statistics,
    read_after: Statistics,
    direction: Float[Tensor, " d_model"],
) -> Attribution:
    """Every neuron's part in the change along a direction, from both models' statistics.

    Args:
        read_before, read_after: on the same texts, or each model's on its own.
        direction: of any length; only where it points counts.

    Example:
        found = attribute(base, aligned, own["base"], own["matched"], probe.direction)
        found.shares("v1")["TP"]
    """
    unit = (direction / direction.norm()).cpu().double()
    along, along_after = (
        einsum(model.value_vectors.cpu().double(), unit, "layer neuron d_model, d_model -> layer neuron")
        for model in (before, after)
    )
    cosine = cosines(before.value_vectors, direction).cpu()
    return Attribution(read_before.activations, read_after.activations, along, along_after, cosine)


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
    """The attribution on n draws of the texts, both models' drawn together: groups, gross and all anew.

    Texts are drawn in the groups that `Statistics` sums them in (text i of either model in the same one).
    """
    weights = resampling_weights(len(read_before.counts), n=n, seed=seed).double()
    for row in weights:
        means = [
            einsum(row, read.sums, "group, group layer neuron -> layer neuron") / (row @ read.counts.double())
            for read in (read_before, read_after)
        ]
        yield Attribution(*means, found.along, found.along_after, found.cosine)


def noise_of(
    found: Attribution, read_before: Statistics, read_after: Statistics, *, n: int, seed: int, part: Part
) -> Float[Tensor, "layer neuron"]:
    """The standard error of each neuron's reduction over draws of the texts, in memory for two tables."""
    total = torch.zeros_like(found.whole)
    squares = torch.zeros_like(found.whole)
    for drawn in resamples(found, read_before, read_after, n=n, seed=seed):
        apart = drawn.reduction(part) - found.reduction(part)
        total, squares = total + apart, squares + apart.square()
    return (squares / n - (total / n).square()).clamp_min(0).sqrt()


def with_labels_exchanged(
    found: Attribution, read_before: Statistics, read_after: Statistics, *, seed: int, part: Part = "whole"
) -> Float[Tensor, "layer neuron"]:
    """The reduction where in half of the groups of texts, drawn at random, the two models change names.

    What the models differ in on every text cancels; what is left is noise.
    """
    order = torch.randperm(len(read_before.counts), generator=generator(seed, "exchanged labels"))
    kept = order < len(order) // 2
    along = (found.along, found.along_after if part == "whole" else found.along)
    called = []
    for mine in (kept, ~kept):
        sums = torch.zeros_like(found.whole)
        count = 0
        for read, direction, here in zip((read_before, read_after), along, (mine, ~mine), strict=True):
            sums += read.sums[here].sum(dim=0) * direction
            count += int(read.counts[here].sum())
        called.append(sums / max(1, count))
    return called[0] - called[1]


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
    axis = offset.cpu().double() / offset.norm().cpu().double()
    cosine = float(axis @ like.cpu().double() / like.norm().cpu().double())
    rest = noise - (noise @ axis)[:, None] * axis
    rest = rest / rest.norm(dim=-1, keepdim=True)
    return cosine * axis + (1 - cosine**2) ** 0.5 * rest


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
    found = attribute(before, after, read_before, read_after, direction)
    unit = (direction / direction.norm()).cpu().double()
    pair = ((before, read_before), (after, read_after))
    heads, attention_bias, mlp_bias = [], [], []
    for model, read in pair:
        blocks = model.bridge.blocks
        writes = torch.stack([block.attn.W_O.detach().cpu().double() @ unit for block in blocks])
        heads.append(einsum(read.heads, writes, "layer head d_head, layer head d_head -> layer head"))
        attention_bias.append(torch.stack([b.attn.b_O.detach().cpu().double() @ unit for b in blocks]))
        mlp_bias.append(torch.stack([b.mlp.b_out.detach().cpu().double() @ unit for b in blocks]))
    read = [[toxic_logit(reader, seen, toxic, used) for reader, _ in pair] for _, seen in pair]
    return Account(
        embedding=float((read_before.embedding - read_after.embedding) @ unit),
        heads=heads[0] - heads[1],
        attention_bias=attention_bias[0] - attention_bias[1],
        mlp_bias=mlp_bias[0] - mlp_bias[1],
        activation=found.activation.sum(dim=1),
        value=found.value.sum(dim=1),
        interaction=found.interaction.sum(dim=1),
        stream=float((read_before.post[-1] - read_after.post[-1]) @ unit),
        gross=found.gross(),
        read_by_stream=read[0][0] - read[1][0],
        read_by_readout=read[1][0] - read[1][1],
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
