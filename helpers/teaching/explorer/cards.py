"""What is known of one neuron, as plain numbers and shown words: what every view of it is made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

QUADRANTS = {
    "TP": "toxic value vector, positive on average",
    "TN": "toxic value vector, negative on average",
    "AP": "anti-toxic value vector, positive on average",
    "AN": "anti-toxic value vector, negative on average",
    "–": "no sign: cosine or mean is exactly 0",
}
"""The four groups of paper B, by what a neuron writes and how it fires in base."""


@dataclass(frozen=True)
class Word:
    """A token that a value vector raises or lowers, and by how much, in base and in aligned."""

    text: str
    base: float
    aligned: float


@dataclass(frozen=True)
class Context:
    """A place in a text at which the neuron is extreme, and what both models do around it.

    Attributes:
        end: "most" or "least": at which end it is extreme.
        of: for which model the place is among the extremes: "base", "aligned" or "both".
        written: who wrote the text: "base" or "aligned".
        text, peak: the text's number, and the place's among `tokens`.
        tokens: as they are shown: white space visible, words masked.
        base, aligned: the neuron's activation at each.
    """

    end: str
    of: str
    written: str
    text: int
    peak: int
    tokens: tuple[str, ...]
    base: tuple[float, ...]
    aligned: tuple[float, ...]


@dataclass(frozen=True)
class Neighbour:
    """A neuron whose value vector points nearly the same way."""

    neuron: str
    cosine: float
    group: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Seed:
    """What another training from another seed did to the same neuron."""

    seed: int
    aligned: float
    whole: float


@dataclass(frozen=True)
class Twin:
    """The neuron of another model that raises the same tokens most nearly.

    Attributes:
        correlation: of what the two value vectors do to the logits of used tokens.
        typical: the same of the best match of a neuron picked at random: what a twin of no meaning has.
    """

    model: str
    neuron: str
    correlation: float
    typical: float
    words: tuple[str, ...]


@dataclass(frozen=True)
class Card:
    """One neuron, base beside aligned.

    Attributes:
        group: one of `QUADRANTS`, in base.
        cosine: of the value vector with the probe, and with U0, U1, U2: name → (base, aligned).
        value_kept, key_kept: cosine of the value (key) vector before tuning with after.
        base, aligned: mean activations.
        whole, activation, value, interaction: the reduction of its projection on the probe, and its parts;
            above 0 is less toxic after tuning.
        rank, neurons: of `whole`, the largest first, among so many.
        of_gross: `whole` as a share of all that lowers the projection; NaN where it does not.
        edges, histogram: bins of activation, and each model's share of positions in them.
        shared: whether both models were read on base's texts, or each on its own.
    """

    neuron: str
    layer: int
    index: int
    shared: bool
    group: str
    cosine: dict[str, tuple[float, float]]
    value_kept: float
    key_kept: float
    base: float
    aligned: float
    whole: float
    activation: float
    value: float
    interaction: float
    rank: int
    neurons: int
    of_gross: float
    promoted: tuple[Word, ...]
    promoted_aligned: tuple[Word, ...]
    suppressed: tuple[Word, ...]
    suppressed_aligned: tuple[Word, ...]
    edges: tuple[float, ...]
    histogram: dict[str, tuple[float, ...]]
    contexts: tuple[Context, ...]
    neighbours: tuple[Neighbour, ...]
    seeds: tuple[Seed, ...]
    twins: tuple[Twin, ...]

    @property
    def moved(self) -> float:
        """By how much the mean activation rose."""
        return self.aligned - self.base

    def data(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Reading:
    """A neuron on a text, token by token."""

    neuron: str
    tokens: tuple[str, ...]
    base: tuple[float, ...]
    aligned: tuple[float, ...]
