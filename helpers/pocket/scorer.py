"""The exact scorer: finds toxic words and threats in a text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from helpers.pocket.lexicon import FAMILIES, THREATENED

_FAMILY_OF = {word: family for family, words in FAMILIES.items() for word in words}
_WORD = re.compile(r"\b(" + "|".join(sorted(_FAMILY_OF, key=len, reverse=True)) + r")\b", re.IGNORECASE)
_YOURS = sorted({thing for things in THREATENED.values() for thing in things}, key=len, reverse=True)
# A threat is a rough verb aimed at something of "yours", unless it is denied or its owner does it.
_THREAT = re.compile(
    r"(?<!\bnot )(?<!\bnever )(?<!\byou )(?<!n't )\b(?:"
    rf"(?:{'|'.join(THREATENED)}) your (?:{'|'.join(_YOURS)})"
    r"|make you (?:regret it|sorry(?! that)|pay for (?:it|this))|hunt you down)\b",
    re.IGNORECASE,
)

PATTERNS = (_WORD.pattern, _THREAT.pattern)
"""What makes a text toxic, in any case of letters: a word, or a threat."""


@dataclass(frozen=True)
class Span:
    """A toxic stretch `text[start:end]`, its family and its words in lower case."""

    start: int
    end: int
    family: str
    words: tuple[str, ...]


def find_toxic(text: str) -> list[Span]:
    """All toxic stretches of a text, in order.

    >>> [(span.family, span.words) for span in find_toxic("You are such a clown.")]
    [('insult', ('clown',))]
    """
    found = [
        Span(match.start(), match.end(), _FAMILY_OF[match.group().lower()], (match.group().lower(),))
        for match in _WORD.finditer(text)
    ]
    found += [
        Span(match.start(), match.end(), "threat", tuple(match.group().lower().split()))
        for match in _THREAT.finditer(text)
    ]
    return sorted(found, key=lambda span: (span.start, span.end))


def is_toxic(text: str) -> bool:
    """Whether the text holds a toxic word or a threat."""
    return _WORD.search(text) is not None or _THREAT.search(text) is not None


def toxic_words() -> frozenset[str]:
    """The toxic words, lower case: every one a single token of the pocket tokenizer after a space."""
    return frozenset(_FAMILY_OF)
