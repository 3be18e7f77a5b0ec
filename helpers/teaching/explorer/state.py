"""What a view of the explorer depends on: plain values that go into a dict and come back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from helpers.mechanism.vectors import Neuron
from helpers.teaching.explorer.views import MODES

LONGEST = 2_000
"""Characters of a reader's own text; a model's context is shorter than that."""
PARTS, MODELS = ("activation", "key"), ("base", "aligned")
GROUPS = ("TP", "TN", "AP", "AN")
SORTS = ("cosine", "base", "aligned", "moved", "whole", "activation", "value", "layer")
TOXIC = re.compile(r"([0-9]{1,4}) most toxic")
STRONGEST = 1_000.0


class Refused(ValueError):
    """What a reader asked for cannot be done as it stands; the message says what would do."""


@dataclass(frozen=True)
class Edit:
    """An intervention: a factor on the activations, or on the keys, of some neurons of one model.

    Attributes:
        model: "base" or "aligned".
        part: "activation" (0 ablates), or "key".
        which: "this"; names such as "L2.287, L0.3"; a group, "TP", of those that lower toxicity; or
            "7 most toxic" by the model's own value vectors.
        factor: 1 changes nothing.
    """

    model: str = "base"
    part: str = "activation"
    which: str = "this"
    factor: float = 1.0

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise Refused(f"There is no model {self.model!r} to edit: base or aligned.")
        if self.part not in PARTS:
            raise Refused(f"There is no part {self.part!r} of a neuron to scale: activation or key.")
        if not -STRONGEST <= self.factor <= STRONGEST:  # False for NaN
            raise Refused(f"A factor lies between −{STRONGEST:g} and {STRONGEST:g}, not {self.factor}.")
        self.named()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Edit:
        """An edit from plain values. Raises Refused for a name there is not."""
        if astray := set(data) - {one.name for one in fields(cls)}:
            raise Refused(f"An edit has no {', '.join(sorted(astray))}: model, part, which, factor.")
        return cls(**{**data, **({"factor": float(data["factor"])} if "factor" in data else {})})

    def named(self) -> list[Neuron] | None:
        """The neurons that `which` names one by one; None where it is a word for them."""
        asked = self.which.strip()
        if asked == "this" or asked in GROUPS or TOXIC.fullmatch(asked):
            return None
        try:
            return [Neuron.parse(one) for one in re.split(r"[,;\s]+", asked) if one]
        except ValueError as problem:
            raise Refused(
                f"{self.which[:60]!r} names no neurons. Write this, names such as L2.287, L0.3, a group "
                f"({', '.join(GROUPS)}), or 7 most toxic."
            ) from problem

    def __str__(self) -> str:
        scaled = "keys" if self.part == "key" else "activations"
        who = "this neuron" if self.which == "this" else self.which
        done = f"{scaled} × {self.factor:g}" if self.factor or self.part == "key" else "ablated"
        return f"{self.model}, {who}: {done}"


@dataclass(frozen=True)
class State:
    """What the explorer shows: a neuron, how it is read, the reader's text, two edits, and the table.

    Attributes:
        neuron: such as "L2.287".
        shared: both models on base's texts; else each on its own.
        mode: of contexts and text: "both", "base", "aligned" or "difference".
        text: the reader's own.
        first, second: interventions, side by side.
        seed: of the noise that continuations are drawn with.
        sort, descending, group, layer, lowers, token: order and filters of the table; "" and None filter
            nothing.
    """

    neuron: str
    text: str
    shared: bool = True
    mode: str = "both"
    first: Edit = field(default_factory=Edit)
    second: Edit = field(default_factory=lambda: Edit(model="aligned"))
    seed: int = 0
    sort: str = "whole"
    descending: bool = True
    group: str = ""
    layer: int | None = None
    lowers: bool = False
    token: str = ""

    def __post_init__(self) -> None:
        jump(self.neuron)
        if self.mode not in MODES:
            raise Refused(f"There is no view {self.mode!r}: {', '.join(MODES)}.")
        if self.sort not in SORTS:
            raise Refused(f"The table cannot be sorted by {self.sort!r}: {', '.join(SORTS)}.")
        if self.group not in ("", *GROUPS):
            raise Refused(f"There is no group {self.group!r}: {', '.join(GROUPS)}.")
        check_text(self.text)

    def data(self) -> dict[str, Any]:
        """All of it as plain values; `State.of` takes it back."""
        return asdict(self)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> State:
        """A state from plain values. Raises Refused for a name there is not."""
        known = {one.name for one in fields(cls)}
        if astray := set(data) - known:
            raise Refused(f"A state has no {', '.join(sorted(astray))}; it has {', '.join(sorted(known))}.")
        edits = {
            name: Edit.of(value) if isinstance(value, Mapping) else value
            for name, value in data.items()
            if name in ("first", "second")
        }
        return cls(**{**data, **edits})

    def but(self, **changes: Any) -> State:
        """The same state with some values changed."""
        return replace(self, **changes)


def jump(text: str) -> Neuron:
    """The neuron that a reader names; spaces, a small l and a missing L are forgiven."""
    plain = text.strip()
    plain = f"L{plain[1:]}" if plain[:1] in "lL" else f"L{plain}"
    try:
        return Neuron.parse(plain)
    except ValueError as problem:
        raise Refused(
            f"{text[:40]!r} names no neuron: write its layer and its index, as in L2.287."
        ) from problem


def check_text(text: str) -> None:
    """Refuses a text that is empty, or longer than any model here reads."""
    if not text.strip():
        raise Refused("The text is empty. Write a few words.")
    if len(text) > LONGEST:
        raise Refused(f"The text has {len(text):,} characters. Keep to {LONGEST:,}.")
