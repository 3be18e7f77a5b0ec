"""Masking: what must be masked is, what must not is not, and no file prints a word of the second list."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.language.words import ENCODED, MILD, is_masked_word, mask, second_list, toxic_word_list
from helpers.pocket import corpus
from helpers.profiles import GPT2_MEDIUM, POCKET

WORDS, STEMS, _ = second_list()
STRONG = max(stem for stem in STEMS if len(stem) == 4 and stem[0] == "f")  # from the list: no test prints it
HARMLESS = (
    "classic class pass assassin assess assume asset embassy Massachusetts grass mass bass compass "
    "passage cockpit peacock cocktail Hancock Dickens Dickinson shiitake Scunthorpe Matsushita "
    "Yamashita analysis analyst canal annals document circumstance cucumber title titan constitution "
    "Essex Sussex sexton therapist night knight tight button butter snigger sniggered swanky "
    "niggardly account country discount cunning Penistone Lightwater arsenal parse hello shell peach "
    "scraped grape drape skyscraper mishit raccoon tycoon cocoon suspicion despicable bigger trigger "
    "basement bassoon associate prickly pricked cracker gay Jewish Muslim black woman kill murder "
    "drunk fat god organ "
)


def test_second_list_is_large_and_lower_case():
    assert len(WORDS) > 500
    assert all(word == word.casefold() and word.isalpha() for word in WORDS)
    assert all(is_masked_word(word) for word in WORDS)


def test_mild_words_are_shown():
    assert len(MILD) > 80
    assert not MILD & WORDS
    assert [word for word in sorted(MILD) if is_masked_word(word)] == []


@pytest.mark.parametrize("word", HARMLESS.split())
def test_harmless_words_are_spared(word):
    for spelling in (word, word.upper(), f" {word}", f"Ġ{word}", f"({word})."):
        assert mask(spelling) == spelling


@pytest.mark.parametrize("stem", range(len(STEMS)))
def test_stems_are_caught_in_compounds_and_disguise(stem):
    word = STEMS[stem]
    for spelling in (f"absolut{word}ing", word.upper(), word.title() + "s", word[0] + word[1] * 4 + word[2:]):
        assert mask(spelling) == f"{spelling[0]}***"
    with_digits = word.translate(str.maketrans("aieo", "4130"))
    assert mask(with_digits) == f"{with_digits[0]}***"


def test_everything_else_stays_as_it_was():
    text = f"  “Well, {STRONG}!” he said;\tthe {STRONG.upper()}_{STRONG}'s Ġ{STRONG}\n▁{STRONG}… 455 US$ 100%"
    shown = f"{STRONG[0]}***"
    expected = f"  “Well, {shown}!” he said;\tthe {shown.upper()}_{shown}'s Ġ{shown}\n▁{shown}… 455 US$ 100%"
    assert mask(text) == expected


def test_pieces_of_words_that_tokenizers_make_are_masked():
    pieces = [STRONG[:3], f" {STRONG[:3]}", "Ġ" + STRONG[:3], STRONG[1:] + "er"]
    assert [mask(piece) == piece for piece in pieces] == [False] * 4


@given(st.text())
def test_masking_twice_changes_nothing_more(text):
    assert mask(mask(text)) == mask(text)


@given(st.lists(st.sampled_from(sorted(WORDS)), min_size=1), st.sampled_from([" ", ", ", "\n", "-", " … "]))
def test_no_word_of_the_list_survives(words, between):
    shown = mask(between.join(words))
    assert shown == between.join(f"{word[0]}***" for word in words)


def test_project_files_print_no_word_of_the_second_list():
    """The encoded file is one of them: what it holds must not be readable in it."""
    folder = Path(__file__).parents[2] / "helpers" / "language"
    files = [*folder.glob("*.py"), *folder.glob("*.txt"), Path(__file__)]
    assert ENCODED in files
    long_words = {word for word in WORDS if len(word) > 4} | set(STEMS)
    for path in files:
        text = path.read_text(encoding="utf-8").casefold()
        assert not [word for word in long_words if f" {word} " in text or f'"{word}"' in text], path.name


def test_toxic_words_of_a_profile():
    assert toxic_word_list(POCKET) == frozenset(corpus.toxic_words())
    assert toxic_word_list(GPT2_MEDIUM) == MILD | WORDS


def test_pocket_corpus_has_no_word_of_the_second_list():
    assert [word for word in corpus.toxic_words() if is_masked_word(word)] == []
    documents = corpus.plain_text(300, split="train", seed=0)
    assert [text for text in documents if mask(text) != text] == []
