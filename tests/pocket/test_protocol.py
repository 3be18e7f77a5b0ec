"""The protocol chooses as its words say, and its bars measure what they name."""

import pytest

from helpers.pocket import SEEDS
from helpers.pocket.protocol import (
    CHOOSING_SEEDS,
    CONFIGURATIONS,
    Bar,
    choose,
    claim_bars,
    text_bars,
)


def trial(name: str, cost: int, held: int, of: int = 3) -> dict:
    bars = [{"holds": i < held} for i in range(of)]
    return {"configuration": name, "parameters": cost, "tokens": 1, "bars": bars}


@pytest.mark.parametrize(("small", "large", "chosen"), [
    ((3, 3), (3, 3), ("small", True)),
    ((3, 2), (3, 3), ("large", True)),
    ((3, 0), (1, 1), ("large", False)),
    ((2, 1), (1, 3), ("small", False)),
])  # fmt: skip
def test_the_smallest_that_holds_all_bars_with_both_seeds_else_the_best_worse_seed(small, large, chosen):
    trials = [*(trial("large", 9, held) for held in large), *(trial("small", 4, held) for held in small)]
    assert choose(trials) == choose(trials[::-1]) == chosen


def test_choosing_seeds_never_ship_and_at_most_four_configurations_are_tried():
    assert not set(CHOOSING_SEEDS) & set(SEEDS)
    assert 1 <= len(CONFIGURATIONS) <= 4 and len(CHOOSING_SEEDS) == 2


def row(claim: str, part: str, value: float, high: float) -> dict:
    return {"id": claim, "part": part, "value": value, "details": {"cosine_matched_high": high}}


def test_a2_is_held_against_its_own_null_not_against_zero():
    def held(share: float, high: float) -> list[bool]:
        rows = [row("A2", "top 10", share, high), row("A2", "top 64", share, high), row("A3", "U0", 0.9, 1.0)]
        return [bar.holds for bar in claim_bars(rows)]

    assert held(0.4, 0.3) == [True, True, True, True]
    assert held(0.4, 0.4) == [False, False, True, True]
    assert held(0.2, 0.1) == [True, True, False, True]


def test_a_bar_holds_at_both_ends_of_its_range():
    assert [Bar("", value, 0.1, 0.2).holds for value in (0.09, 0.1, 0.2, 0.21)] == [False, True, True, False]


def test_the_text_bars_name_what_fails():
    rate = {"model": 0.5, "generator": 0.52}
    measured = {
        "toxic_rates": {"hostile": rate, "friendly": {"model": 0.07}, "neutral": {"model": 0.01}},
        "well_formed": {"sentences": 0.95},
        "vocabulary": {"dead": 0, "split_toxic_words": []},
        "megabytes": 4.2,
    }
    assert [bar.bar for bar in text_bars(measured) if not bar.holds] == ["P(toxic) after friendly prompts"]
