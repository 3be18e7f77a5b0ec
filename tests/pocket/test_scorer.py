"""The exact scorer on hand-written near misses: right where it can be, wrong where a lexicon must be."""

import json
from collections import Counter
from pathlib import Path

from helpers.pocket.scorer import find_toxic, is_toxic, toxic_words

NEAR_MISSES = [
    json.loads(line) for line in (Path(__file__).parent / "near_misses.jsonl").read_text().splitlines()
]


def test_there_are_enough_near_misses_of_both_labels():
    labels = Counter(case["toxic"] for case in NEAR_MISSES)
    assert len(NEAR_MISSES) >= 60 and min(labels.values()) >= 20
    assert len({case["text"] for case in NEAR_MISSES}) == len(NEAR_MISSES)


def test_scorer_is_right_where_words_decide():
    for case in NEAR_MISSES:
        if case["kind"] in ("civil", "plain case", "benign threat verb"):
            assert is_toxic(case["text"]) == case["toxic"], case["text"]


def test_scorer_is_wrong_where_only_meaning_decides():
    # The limit of any lexicon, kept visible: benign uses of its words are called toxic, toxic meaning without
    # its words is missed.
    for case in NEAR_MISSES:
        if case["kind"] in ("benign use", "without lexicon"):
            assert is_toxic(case["text"]) != case["toxic"], case["text"]


def test_spans_hold_the_words_they_name():
    text = "You damn clown, I will smash your windows."
    spans = find_toxic(text)
    assert [span.family for span in spans] == ["oath", "insult", "threat"]
    for span in spans:
        assert tuple(text[span.start : span.end].lower().split()) == span.words


def test_words_are_found_whole_in_any_case_and_not_inside_others():
    assert is_toxic("CLOWN!") and is_toxic('"clown"') and is_toxic("You clowns.")
    assert not is_toxic("shellfish, brattice, fooling around, hello")


def test_toxic_words_are_single_lower_case_words():
    for word in toxic_words():
        assert word == word.lower() and word.isalpha() and is_toxic(word)
