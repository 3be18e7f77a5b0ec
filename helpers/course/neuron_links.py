"""Names of neurons in finished pages become links into the explorer's page, those of figures below them."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape
from html.parser import HTMLParser
from pathlib import Path

from helpers.artifacts import write_whole

NAMED = re.compile(r"(?<![\w.#])L(\d{1,3})\.(\d{1,5})(?![\w]|\.\d)")
LEFT_ALONE = frozenset(
    ("a", "script", "style", "title", "svg", "math", "textarea", "button", "select", "head")
)
IN_FIGURE = 12
"""So many neurons of a figure are listed below it."""

Exists = Callable[[int, int], bool]


class Linker(HTMLParser):
    """Copies a document as it is written, but for its text, in which names of neurons become links."""

    def __init__(self, target: str, exists: Exists) -> None:
        super().__init__(convert_charrefs=False)
        self.target, self.exists = target, exists
        self.parts: list[str] = []
        self.inside: list[str] = []
        self.data_of_figure = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts.append(self.get_starttag_text() or "")
        if tag in LEFT_ALONE:
            self.inside.append(tag)
        self.data_of_figure = tag == "script" and dict(attrs).get("type") == "application/json"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts.append(self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(f"</{tag}>")
        if tag in self.inside:
            del self.inside[len(self.inside) - 1 - self.inside[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        self.parts.append(data if self.inside else NAMED.sub(self._link, data))
        if self.data_of_figure:
            self.data_of_figure = False
            found = dict.fromkeys(name[0] for name in NAMED.finditer(data) if self._is_one(name))
            if found:
                links = ", ".join(NAMED.sub(self._link, name) for name in list(found)[:IN_FIGURE])
                more = f" and {len(found) - IN_FIGURE} more" if len(found) > IN_FIGURE else ""
                self.parts.append("\0" + f'<p class="neurons">In this figure: {links}{more}.</p>')

    def handle_entityref(self, name: str) -> None:
        self.parts.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.parts.append(f"&#{name};")

    def handle_comment(self, data: str) -> None:
        self.parts.append(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self.parts.append(f"<!{decl}>")

    def _is_one(self, found: re.Match[str]) -> bool:
        return self.exists(int(found[1]), int(found[2]))

    def _link(self, found: re.Match[str]) -> str:
        if not self._is_one(found):
            return found[0]
        return f'<a href="{escape(self.target)}#{found[0]}">{found[0]}</a>'

    def document(self) -> str:
        """What was read, with links. What stands below a figure follows the end of its data's element."""
        text = "".join(self.parts)
        return re.sub(r"\0(<p class=\"neurons\">.*?</p>)(</script>)", r"\2\1", text)


def with_links(document: str, target: str, exists: Exists) -> str:
    """A page whose neurons link to `target`; a page that has such links already stays as it is.

    Args:
        exists: whether there is a neuron of a layer and index.

    Example:
        >>> with_links("<p>See L2.7.</p>", "explorer.html", lambda layer, index: True)
        '<p>See <a href="explorer.html#L2.7">L2.7</a>.</p>'
    """
    if f'href="{target}#L' in document:
        return document
    linker = Linker(target, exists)
    linker.feed(document)
    linker.close()
    return linker.document()


def link_pages(folder: Path, target: str) -> None:
    """Links the pages of a folder to the explorer's page in it, by what neurons that one has."""
    head = (folder / target).read_text(encoding="utf-8")
    shape = re.search(r'"shape": \{"layers": (\d+),[^}]*?"neurons": (\d+)', head)
    if shape is None:
        raise ValueError(f"{target} does not say which neurons it has.")
    layers, neurons = int(shape[1]), int(shape[2])
    for page in sorted(folder.glob("*.html")):
        if page.name != target:
            before = page.read_text(encoding="utf-8")
            after = with_links(before, target, lambda layer, index: layer < layers and index < neurons)
            if after != before:
                write_whole(page, after)
