"""Grammar nodes: one tree both draws text and gives the exact probability of a text.

`node.draw(pen)` writes a random derivation. `node.advance(text, states)` pushes a set of states (position in
the text, remembered choices) with their probabilities through the node; summing over states sums over
derivations, so the probability of a text is right even where the grammar is ambiguous.

The nodes are exempt from run-time type checks: a corpus calls them millions of times.
"""

from __future__ import annotations

import random
import re
from bisect import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import no_type_check

Memory = tuple[tuple[str, str], ...]
States = dict[tuple[int, Memory], float]


@no_type_check
@dataclass
class Pen:
    """Where a derivation is written: text parts, remembered choices and labelled stretches of the text."""

    rng: random.Random
    parts: list[str] = field(default_factory=list)
    length: int = 0
    memory: dict[str, str] = field(default_factory=dict)
    marks: list[tuple[int, int, str, str]] = field(default_factory=list)

    def write(self, text: str) -> None:
        self.parts.append(text)
        self.length += len(text)

    @property
    def text(self) -> str:
        return "".join(self.parts)


class Node:
    """A piece of grammar."""

    def draw(self, pen: Pen) -> None:
        raise NotImplementedError

    def advance(self, text: str, states: States) -> States:
        raise NotImplementedError


@no_type_check
class Literal(Node):
    """Fixed text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def draw(self, pen: Pen) -> None:
        pen.write(self.text)

    def advance(self, text: str, states: States) -> States:
        size = len(self.text)
        return {
            (at + size, memory): p for (at, memory), p in states.items() if text.startswith(self.text, at)
        }


@no_type_check
class Chain(Node):
    """One node after the other."""

    def __init__(self, parts: Iterable[Node]) -> None:
        self.parts = tuple(parts)

    def draw(self, pen: Pen) -> None:
        for part in self.parts:
            part.draw(pen)

    def advance(self, text: str, states: States) -> States:
        for part in self.parts:
            states = part.advance(text, states)
            if not states:
                break
        return states


@no_type_check
class Choice(Node):
    """One of several nodes, with the given weights (equal ones by default)."""

    def __init__(self, options: Iterable[Node], weights: Sequence[float | int] | None = None) -> None:
        self.options = tuple(options)
        shares = list(weights) if weights is not None else [1.0] * len(self.options)
        if not self.options or len(shares) != len(self.options) or min(shares) < 0 or sum(shares) <= 0:
            raise ValueError("a Choice needs at least one option and one non-negative weight per option")
        self.shares = [share / sum(shares) for share in shares]
        self._steps = list(accumulate(self.shares))[:-1]

    def draw(self, pen: Pen) -> None:
        self.options[bisect(self._steps, pen.rng.random())].draw(pen)

    def advance(self, text: str, states: States) -> States:
        reached: States = {}
        for option, share in zip(self.options, self.shares, strict=True):
            for state, p in option.advance(text, states).items():
                reached[state] = reached.get(state, 0.0) + share * p
        return reached


@no_type_check
class Words(Node):
    """One of several fixed texts, equally likely: a Choice of literals, but quicker to match."""

    def __init__(self, options: Iterable[str]) -> None:
        self.options = tuple(options)
        self.shares: dict[str, float] = {}
        for option in self.options:
            self.shares[option] = self.shares.get(option, 0.0) + 1 / len(self.options)
        self._sizes = sorted({len(option) for option in self.options})

    def draw(self, pen: Pen) -> None:
        pen.write(self.options[int(pen.rng.random() * len(self.options))])

    def advance(self, text: str, states: States) -> States:
        reached: States = {}
        for (at, memory), p in states.items():
            for size in self._sizes:
                share = self.shares.get(text[at : at + size]) if at + size <= len(text) else None
                if share is not None:
                    reached[(at + size, memory)] = reached.get((at + size, memory), 0.0) + p * share
        return reached


@no_type_check
class Remember(Node):
    """Writes its node the first time and the same text again wherever the same name comes back."""

    def __init__(self, name: str, node: Node) -> None:
        self.name, self.node = name, node

    def draw(self, pen: Pen) -> None:
        if self.name in pen.memory:
            pen.write(pen.memory[self.name])
            return
        before = len(pen.parts)
        self.node.draw(pen)
        pen.memory[self.name] = "".join(pen.parts[before:])

    def advance(self, text: str, states: States) -> States:
        reached: States = {}
        for (at, memory), p in states.items():
            known = dict(memory).get(self.name)
            if known is not None:
                if text.startswith(known, at):
                    reached[(at + len(known), memory)] = p
                continue
            for (end, _), q in self.node.advance(text, {(at, memory): p}).items():
                reached[(end, (*memory, (self.name, text[at:end])))] = q
        return reached


@no_type_check
class Unrepeated(Node):
    """One of several nodes, equally likely, but none twice in a document under the same name."""

    def __init__(self, name: str, options: Iterable[Node]) -> None:
        self.name = name
        self.options = tuple(options)

    def _left(self, used: str) -> list[int]:
        spent = set(used.split())
        return [i for i in range(len(self.options)) if str(i) not in spent] or list(range(len(self.options)))

    def draw(self, pen: Pen) -> None:
        used = pen.memory.get(self.name, "")
        left = self._left(used) if used else range(len(self.options))
        chosen = left[int(pen.rng.random() * len(left))]
        pen.memory[self.name] = f"{used} {chosen}"
        self.options[chosen].draw(pen)

    def advance(self, text: str, states: States) -> States:
        reached: States = {}
        for (at, memory), p in states.items():
            used = dict(memory).get(self.name, "")
            left = self._left(used)
            for chosen in left:
                for (end, later), q in (
                    self.options[chosen].advance(text, {(at, memory): p / len(left)}).items()
                ):
                    kept = tuple(pair for pair in later if pair[0] != self.name)
                    state = (end, (*kept, (self.name, f"{used} {chosen}")))
                    reached[state] = reached.get(state, 0.0) + q
        return reached


@no_type_check
class Topic(Node):
    """A node that depends on a hidden document-wide topic, chosen (unwritten) when it is first needed."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self.nodes = dict(nodes)
        self.names = tuple(self.nodes)

    def draw(self, pen: Pen) -> None:
        topic = pen.memory.get("topic")
        if topic is None:
            topic = pen.memory["topic"] = self.names[int(pen.rng.random() * len(self.names))]
        self.nodes[topic].draw(pen)

    def advance(self, text: str, states: States) -> States:
        by_topic: dict[str, States] = {}
        for (at, memory), p in states.items():
            known = dict(memory).get("topic")
            if known is not None:
                by_topic.setdefault(known, {})[(at, memory)] = p
                continue
            for topic in self.names:
                by_topic.setdefault(topic, {})[(at, (*memory, ("topic", topic)))] = p / len(self.names)
        reached: States = {}
        for topic, waiting in by_topic.items():
            for state, p in self.nodes[topic].advance(text, waiting).items():
                reached[state] = reached.get(state, 0.0) + p
        return reached


@no_type_check
class Mark(Node):
    """Labels what its node writes with a kind and a value."""

    def __init__(self, kind: str, value: str, node: Node) -> None:
        self.kind, self.value, self.node = kind, value, node

    def draw(self, pen: Pen) -> None:
        start, place = pen.length, len(pen.marks)
        self.node.draw(pen)
        pen.marks.insert(place, (start, pen.length, self.kind, self.value))

    def advance(self, text: str, states: States) -> States:
        return self.node.advance(text, states)


def probability(node: Node, text: str) -> float:
    """Probability that `node` writes exactly `text`.

    >>> probability(Words(["a", "b"]), "a")
    0.5
    """
    states = node.advance(text, {(0, ()): 1.0})
    return sum((p for (end, _), p in states.items() if end == len(text)), 0.0)


_PIECE = re.compile(r"\{(\w+)\}|\[([^\[\]]*)\]")


def template(text: str, slot: Callable[[str], Node]) -> Node:
    """Node of a template: `{name}` is a slot, `[a|b|]` one of the alternatives, which may hold slots.

    >>> probability(template("a [red|{size}] hat", lambda name: Words(["big", "small"])), "a big hat")
    0.25
    """
    parts: list[Node] = []
    at = 0
    for found in _PIECE.finditer(text):
        if found.start() > at:
            parts.append(Literal(text[at : found.start()]))
        name, alternatives = found.groups()
        parts.append(
            slot(name) if name else Choice(template(option, slot) for option in alternatives.split("|"))
        )
        at = found.end()
    if at < len(text) or not parts:
        parts.append(Literal(text[at:]))
    return parts[0] if len(parts) == 1 else Chain(parts)


def templates(texts: Sequence[str], slot: Callable[[str], Node]) -> Node:
    """Choice among several templates; plain words become `Words`."""
    if not any(_PIECE.search(text) for text in texts):
        return Words(texts)
    return Choice(template(text, slot) for text in texts)
