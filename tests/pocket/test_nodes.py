"""The grammar's probabilities: they add up, and they are those of the drawing."""

import random
from collections import Counter

import pytest

from helpers.pocket.nodes import (
    Chain,
    Choice,
    Literal,
    Mark,
    Pen,
    Remember,
    Topic,
    Unrepeated,
    Words,
    probability,
    template,
    templates,
)


def _all_texts(node, n=20_000):
    rng = random.Random(0)
    counts = Counter()
    for _ in range(n):
        pen = Pen(rng)
        node.draw(pen)
        counts[pen.text] += 1
    return counts


TWO = Words(["x", "yy"])
NODES = {
    "ambiguous": Chain([Choice([Literal("a"), Literal("ab")], [1, 3]), Words(["bc", "c"])]),
    "repeated words": Words(["p", "p", "q"]),
    "remember": Chain([Remember("name", TWO), Literal("-"), Remember("name", TWO)]),
    "topic": Chain([Topic({"one": Words(["a", "b"]), "two": Words(["c"])}),
                    Topic({"one": Words(["d"]), "two": Words(["d", "e"])})]),
    "unrepeated": Chain([Unrepeated("n", [Literal("1"), Literal("2"), TWO]),
                         Unrepeated("n", [Literal("1"), Literal("2"), TWO])]),
    "template": template("a [red|{size}|] hat", lambda _: TWO),
    "marked": Mark("kind", "value", Choice([TWO, Literal("z")], [0.2, 0.8])),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_probabilities_of_all_texts_add_up_to_one_and_match_the_draws(name):
    counts = _all_texts(NODES[name])
    chances = {text: probability(NODES[name], text) for text in counts}
    assert sum(chances.values()) == pytest.approx(1.0)
    for text, count in counts.items():
        assert count / 20_000 == pytest.approx(chances[text], abs=0.02)


def test_ambiguous_text_gets_the_sum_of_its_derivations():
    # "abc" is a + bc and ab + c
    assert probability(NODES["ambiguous"], "abc") == pytest.approx(0.25 * 0.5 + 0.75 * 0.5)


def test_what_is_remembered_must_come_back():
    assert probability(NODES["remember"], "x-x") == pytest.approx(0.5)
    assert probability(NODES["remember"], "x-yy") == 0.0


def test_nothing_comes_twice_until_all_is_used():
    assert probability(NODES["unrepeated"], "11") == 0.0
    assert probability(NODES["unrepeated"], "12") == pytest.approx(1 / 6)


def test_marks_say_where_they_are():
    pen = Pen(random.Random(0))
    Chain([Literal("ab"), Mark("k", "v", Literal("cde"))]).draw(pen)
    assert pen.marks == [(2, 5, "k", "v")]


def test_unknown_slot_is_named():
    from helpers.pocket.grammar import slot

    with pytest.raises(KeyError, match="nonsense"):
        templates(["a {nonsense}"], slot)


def test_bad_weights_are_refused():
    with pytest.raises(ValueError, match="weight"):
        Choice([Literal("a")], [1, 2])
