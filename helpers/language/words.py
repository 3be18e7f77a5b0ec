"""The two word lists: mild insults, which are shown, and profanity and slurs, which are masked.

Both lie beside this file. The second, masked_words.txt, is compressed and base64-encoded, so that nobody
meets it by browsing or searching the repository. Most of it comes from the MIT-licensed list of the package
better-profanity, without its mild and harmless words and with inflections added.
"""

from __future__ import annotations

import base64
import functools
import re
import unicodedata
import zlib
from pathlib import Path

from helpers.pocket import corpus
from helpers.pocket.lexicon import FAMILIES
from helpers.pocket.scorer import PATTERNS
from helpers.profiles import PocketText, Profile

MILD = frozenset(Path(__file__).with_name("mild_words.txt").read_text(encoding="ascii").split())
"""Mild insults and oaths. They are shown: the lesson cannot be read without them."""

ENCODED = Path(__file__).with_name("masked_words.txt")
WORD = re.compile(r"(?:[^\W_ĠĊ]|[@$])+")  # Ġ and Ċ stand for space and line end in GPT-2's own token strings
MARKS = " \t\n\r\"'“”‘’.,;:!?()[]*-–—_ġċ▁"
LEET = str.maketrans("014357@$", "oiaestas")


def mask(text: str) -> str:
    """The text with each word of the second list cut to its first letter and three stars; all else as it was.

    Finds words whatever their case, punctuation, repeated letters or digits in place of letters, and
    compounds of the strongest ones; spares harmless words that contain them (Scunthorpe).

    Example:
        >>> mask("What an idiot, says the assassin from Scunthorpe.")
        'What an idiot, says the assassin from Scunthorpe.'
    """
    return WORD.sub(lambda found: f"{found[0][0]}***" if is_masked_word(found[0]) else found[0], text)


@functools.lru_cache(maxsize=100_000)
def is_masked_word(word: str) -> bool:
    """Whether one word belongs to the second list; space and marks around it do not matter."""
    words, stems, harmless = second_list()
    plain = unicodedata.normalize("NFKD", word.casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter)).strip(
        " \t\n\r\"'.,;:!?()ġċ▁"
    )
    if not any(letter.isalpha() for letter in plain):
        return False
    spellings = {plain, plain.strip("@$"), plain.translate(LEET)}
    # "loooong" is long or loong; a strong word may also hide behind a letter that is doubled once
    squeezed = {re.sub(r"(.)\1{2,}", kept, one) for one in spellings for kept in (r"\1", r"\1\1")}
    if not words.isdisjoint(spellings | squeezed):
        return True
    if harmless.fullmatch(plain):
        return False
    single = {re.sub(r"(.)\1+", r"\1", one) for one in spellings}
    return any(stem in one for one in spellings | single for stem in stems)


def toxic_word_list(profile: Profile) -> frozenset[str]:
    """The single words, in lower case, that count as toxic when a vector's top tokens are read.

    The generator's own for a profile on the pocket corpus; else both of the project's lists.
    """
    if isinstance(profile.data.comments, PocketText):
        return frozenset(corpus.toxic_words())
    return MILD | second_list()[0]


def toxic_word_families(profile: Profile) -> dict[str, frozenset[str]]:
    """The words of `toxic_word_list` by family: the generator's own, or mild words and profanity apart."""
    if isinstance(profile.data.comments, PocketText):
        return {family: frozenset(words) for family, words in FAMILIES.items()}
    return {"mild insults and oaths": MILD, "profanity and slurs": second_list()[0]}


def toxic_patterns(profile: Profile) -> list[str]:
    """Regular expressions of what counts as toxic in a page that names no profanity, in any case of letters.

    The generator's own rule for a profile on the pocket corpus; else the project's mild words alone.
    """
    if isinstance(profile.data.comments, PocketText):
        return list(PATTERNS)
    return [r"\b(" + "|".join(sorted(MILD, key=len, reverse=True)) + r")\b"]


@functools.cache
def second_list() -> tuple[frozenset[str], tuple[str, ...], re.Pattern[str]]:
    """Words, stems that count inside longer words too, and the pattern of harmless words with a stem."""
    text = zlib.decompress(base64.b64decode(ENCODED.read_text(encoding="ascii"))).decode()
    words, stems, harmless = text.split("\n")
    return frozenset(words.split()), tuple(stems.split()), re.compile("|".join(harmless.split()))
