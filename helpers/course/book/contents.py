"""What a finished page holds: its title, its sections and their text, read back from its HTML."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path

MAIN = re.compile(r'<main id="book-main">(.*)</main>', re.DOTALL)
UNREAD = re.compile(
    r'<(script|style|noscript)\b.*?</\1>|<span class=.tip.*?</span><!--/tip-->'
    r'|<a [^>]*class="anchor-link".*?</a>|<annotation\b.*?</annotation>'
    r'|<div class="prompt.*?</div>',
    re.DOTALL,
)
HEADING = re.compile(r'<h([1-3])(?: id="([^"]*)")?[^>]*>(.*?)</h\1>', re.DOTALL)


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it, up to the next one. The title is HTML, the text is plain."""

    anchor: str
    level: int
    title: str
    text: str


@dataclass(frozen=True)
class Page:
    """A page of the book by its file's name without ending."""

    name: str
    title: str
    sections: tuple[Section, ...]


def plain(markup: str) -> str:
    """The text of some HTML, with single spaces."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def read_page(path: Path) -> Page | None:
    """A page as it stands in the folder; None where the file is not one of ours, or damaged."""
    found = MAIN.search(path.read_text(encoding="utf-8", errors="replace"))
    return parse(path.stem, found[1]) if found else None


def parse(name: str, body: str) -> Page:
    """A page from the HTML of its body."""
    body = UNREAD.sub("", body)
    heads = list(HEADING.finditer(body))
    ends = [head.start() for head in heads[1:]] + [len(body)]
    sections = tuple(
        Section(html.unescape(head[2] or ""), int(head[1]), head[3].strip(), plain(body[head.end() : end]))
        for head, end in zip(heads, ends, strict=True)
    )
    first = next((section for section in sections if section.level == 1), None)
    return Page(name, plain(first.title) if first else name, sections)
