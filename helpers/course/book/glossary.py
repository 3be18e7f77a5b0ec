"""The words of 00's glossary: read from its table, explained where a page first uses them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup, NavigableString, PageElement, Tag

PAGE = "glossary.html"
TABLE = re.compile(r"^## Glossary\s*\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
# These mean something else in plain prose ("to report", "a group of"), so they are looked up, never marked.
PLAIN_WORDS = {
    "report",
    "sweep",
    "group",
    "family",
    "frame",
    "own text",
    "pair",
    "prompt",
    "claim",
    "comment",
}
QUIET = ("a", "code", "pre", "math", "summary", "h1", "h2", "h3", "h4", "blockquote", "table")


@dataclass(frozen=True)
class Term:
    """A word of the series, with its meaning as Markdown and the anchor of its row in the glossary."""

    word: str
    meaning: str
    anchor: str


@cache
def read(path: Path) -> tuple[Term, ...]:
    """The terms of a notebook's glossary, as it stands in its source; none where it has none."""
    if not path.is_file():
        return ()
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown" and (found := TABLE.search(cell.source)):
            return terms(found[1])
    return ()


def terms(table: str) -> tuple[Term, ...]:
    """Terms from the rows of a Markdown table; "a, b | x; y" is two of them.

    Example: `terms("|x|y|\\n|---|---|\\n| probe | a regression |")`
    """
    rows = [line.strip().strip("|").split(" | ", 1) for line in table.splitlines() if line.startswith("| ")]
    found = []
    for name, meaning in (row for row in rows[1:] if len(row) == 2):
        words, parts = [word.strip() for word in name.split(",")], meaning.strip().split("; ")
        if len(words) == len(parts) > 1:
            shared = words[-1].split(" ", 1)[1:] if all(" " not in word for word in words[:-1]) else []
            words = [" ".join([word, *shared]) for word in words[:-1]] + words[-1:]
            found += list(zip(words, parts, strict=True))
        else:
            found.append((name.strip(), meaning.strip()))
    return tuple(Term(word, meaning, "term-" + slug(word)) for word, meaning in found)


def slug(word: str) -> str:
    """What an anchor may be called."""
    return re.sub(r"\W+", "-", word).strip("-").lower()


class Marker:
    """Explains each term once on a page, where the prose first uses it; without any script.

    The word becomes a link into the glossary; its meaning shows below the paragraph while the word is under
    the pointer or has the keyboard's focus, and is read out as its description.
    """

    def __init__(self, terms: Sequence[Term], render: Callable[[str], str]) -> None:
        self.render = render
        usable = [(written(term.word), term) for term in terms]
        self.terms = {word.lower(): term for word, term in usable if word and word.lower() not in PLAIN_WORDS}
        longest = sorted(map(re.escape, self.terms), key=len, reverse=True)
        self.pattern = re.compile(rf"(?<![\w-])({'|'.join(longest)})(s?)(?![\w-])", re.IGNORECASE)
        self.seen: set[str] = set()

    def mark(self, markup: str) -> str:
        """A piece of the page's HTML with its terms marked."""
        if not self.terms or not self.pattern.search(markup):
            return markup
        tree = BeautifulSoup(markup, "html.parser")
        for block in tree.find_all(["p", "li"]):
            for text in list(block.find_all(string=True)):
                if type(text) is NavigableString and text.find_parent(["p", "li"]) is block:
                    self._mark_text(tree, block, text)
        return str(tree)

    def _mark_text(self, tree: BeautifulSoup, block: Tag, text: NavigableString) -> None:
        if text.find_parent(QUIET):
            return
        pieces, at = list[str | PageElement](), 0
        for found in self.pattern.finditer(text):
            term = self.terms[found[1].lower()]
            if term.anchor in self.seen:
                continue
            self.seen.add(term.anchor)
            pieces += [text[at : found.start()], *self._explained(tree, found[0], term)]
            at = found.end()
        if pieces:
            block["class"] = " ".join([*filter(None, block.get_attribute_list("class")), "explains"])
            text.replace_with(*[piece for piece in [*pieces, text[at:]] if piece])

    def _explained(self, tree: BeautifulSoup, word: str, term: Term) -> list[PageElement]:
        name = f"tip-{term.anchor}"
        markup = (
            f'<a class="term" href="{PAGE}#{term.anchor}" aria-describedby="{name}"></a>'
            f'<span class="tip" role="tooltip" id="{name}"><b>{self.render(term.word)}</b>: '
            f"{self.render(term.meaning)}</span><!--/tip-->"
        )
        made = BeautifulSoup(markup, "html.parser")
        made.find_all("a")[0].append(NavigableString(word))
        return list(made.contents)


def written(word: str) -> str:
    """A term as prose writes it: without its sign, and without a Greek letter that has no name of its own."""
    return " ".join(re.sub(r"\$[^$]*\$|`[^`]*`", "", word).split())
