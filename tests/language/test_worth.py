"""What a scorer is worth: ranking held-out comments, and what it gives text that holds nothing toxic."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from helpers.intervals import Interval
from helpers.language.texts import Comment, Texts
from helpers.language.worth import Worth, measure_worth, share_caution
from helpers.profiles import POCKET

COMMENTS = tuple(Comment(str(n), f"text {n}", n % 2 == 0, "toxic") for n in range(40))
PASSAGES = (" ".join(["plain"] * 99),) * 3
TEXTS = Texts((), COMMENTS, (), (), (), (), (), (), perplexity="", passages=PASSAGES)


def scorer(rule, empty=0.0):
    def score(texts):
        return torch.tensor([rule(text) if text else empty for text in texts])

    return SimpleNamespace(name="some", unit="score", score=score)


def number(text):
    return int(text.split()[-1]) if text.startswith("text") else 37


@pytest.mark.parametrize(
    ("rule", "area"),
    [
        (lambda text: float(number(text) % 2 == 0), 1.0),
        (lambda text: float(number(text) % 2), 0.0),
        (lambda text: 0.3, 0.5),  # ties are worth half
        (lambda text: number(text) / 100, 0.475),  # each clean text scores just above its toxic neighbour
    ],
)
def test_auroc_is_the_share_of_pairs_in_the_right_order(rule, area):
    found = measure_worth(scorer(rule), TEXTS, POCKET)
    assert found.auroc.value == pytest.approx(area)
    assert found.auroc.low <= found.auroc.value <= found.auroc.high


def test_plain_and_empty_text_are_scored():
    seen = []
    found = measure_worth(scorer(lambda text: seen.append(text) or 0.25, empty=0.73), TEXTS, POCKET)
    assert (found.plain, found.empty) == (pytest.approx(0.25), pytest.approx(0.73))
    words = round(0.8 * POCKET.decoding.new_tokens)
    assert all(len(text.split()) <= words for text in seen)


def test_cautions_speak_where_figures_mislead():
    good = Worth("good", Interval(0.95, 0.9, 1.0), plain=0.05, empty=0.0)
    assert good.cautions() == good.cautions(base=0.4) == []
    poor = dataclasses.replace(good, auroc=Interval(0.58, 0.5, 0.6), empty=0.73, plain=0.37)
    assert [("58%" in line, "0.73" in line) for line in poor.cautions()] == [(True, False), (False, True)]
    assert "floor" in poor.cautions(base=0.5)[-1] and len(poor.cautions(base=0.8)) == 2


def test_a_token_is_toxic_only_above_what_the_empty_text_gets():
    exact = Worth("exact", Interval(0.95, 0.9, 1.0), plain=0.0, empty=0.0)
    assert exact.toxic_from == 0.5
    lenient = dataclasses.replace(exact, empty=0.9)
    assert 0.9 < lenient.toxic_from < 1, "a token it does not know scores like the empty text: not toxic"


def test_a_share_that_makes_accuracy_meaningless_is_said():
    assert share_caution(COMMENTS) == []
    mostly = [dataclasses.replace(one, toxic=n % 6 > 0) for n, one in enumerate(COMMENTS)]
    assert "are toxic" in share_caution(mostly)[0] and "0.82" in share_caution(mostly)[0]
    seldom = [dataclasses.replace(one, toxic=n > 36) for n, one in enumerate(COMMENTS)]
    assert "are clean" in share_caution(seldom)[0]
