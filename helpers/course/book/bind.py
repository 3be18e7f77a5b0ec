"""Binds the pages of a run into the book: start, claims, glossary, search, guide, and ways between them."""

from __future__ import annotations

import html
import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
from nbformat import NotebookNode
from nbformat.reader import NotJSONError
from plotly.offline import get_plotlyjs

from helpers.artifacts import write_whole
from helpers.course.book import claims, glossary, teaching
from helpers.course.book.contents import Page, Section, plain, read_page
from helpers.course.outputs import PLOTLY, alt_text, rich_outputs
from helpers.course.pages import PLOTLY_SCRIPT, figure_html, inline, markdown, page, scripts_for
from helpers.course.series import NOTEBOOKS, Heading, heading, running_order
from helpers.course.tables import rewrite
from helpers.teaching.claims import Replication

HERE = Path(__file__).parent
TITLE = "What preference tuning changes inside a language model"
SOURCE, MARK = "03_steering", "Toxicity against perplexity"
"""The notebook of the start page's figure, and how the figure's alternative text begins."""
# Pages beside the notebooks', in the order of the side bar; those that are not in the folder are left out.
OTHERS = {
    "index": "Start", "claims": "The claims", "replication": "Over the training seeds",
    "explorer": "Neuron explorer", "glossary": "Glossary", "teaching": "For teachers", "search": "Search",
}  # fmt: skip
HOME = '<a href="index.html">Toxicity Lab</a>'
SIDE = re.compile(r"<!--side-->.*?<!--/side-->", re.DOTALL)
PAGER = re.compile(r"<!--pager-->.*?<!--/pager-->", re.DOTALL)


@dataclass(frozen=True)
class Run:
    """What a book is made from: executed notebooks, minutes and memory, the ledger and the seeds' table."""

    model: str
    notebooks: Mapping[str, NotebookNode]
    machine: str
    timings: Mapping[str, Mapping[str, Any]]
    entries: Sequence[Mapping[str, Any]]
    seeds: Replication | None
    seeds_are_ours: bool

    def heading(self, name: str) -> Heading:
        """Title and question of one of its notebooks."""
        return heading(self.notebooks[name], name)


def read_run(folder: Path, model: str, notebooks: Path | None = None) -> Run:
    """What a run left in its build folder; with `notebooks` the same folder, what the repository stores."""
    record = json.loads((folder / "timings.json").read_text(encoding="utf-8"))
    found = dict[str, NotebookNode]()
    for path in sorted(running_order(notebooks or folder / "notebooks")):
        try:
            found[path.stem] = nbformat.read(path, as_version=4)
        except NotJSONError:
            warnings.warn(f"{path.name} in {path.parent} is damaged: run it again.", stacklevel=2)
    own = Replication.read(folder / "replication.json")
    seeds = own or Replication.read(NOTEBOOKS / "replication.json")
    entries = json.loads((folder / "claims.json").read_text(encoding="utf-8"))
    if own and (judged := [row for row in own.rows if row["id"] == "N7"]):
        entries = [row for row in entries if row["id"] != "N7"] + judged
    ours = own is not None and notebooks is None
    return Run(model, found, record["machine"], record["notebooks"], entries, seeds, ours)


def bind(run: Run, folder: Path) -> Path:
    """Writes the book's own pages beside the notebooks' and joins all of them; returns the first.

    Args:
        folder: holds the notebooks' pages already, as far as there are any.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [name for name in run.notebooks if (folder / f"{name}.html").is_file()]
    bound = {name: one for name in names if (one := read_page(folder / f"{name}.html"))}
    words = glossary.read(NOTEBOOKS / "00_start_here.ipynb")
    write(folder, "index", TITLE, start(run, names))
    if run.seeds:
        write_replication(run.seeds, folder, ours=run.seeds_are_ours)
    anchors = settled_at(folder, bound)
    head = f"<h1>The claims</h1>{_of_what(run)}{how_to_read()}"
    write(folder, "claims", "The claims", head + claims.table(run.entries, anchors), claims.script())
    write(folder, "glossary", "Glossary", glossary_body(words, bound))
    write(folder, "teaching", "For teachers", teaching.body(run))
    write_search(folder, [*sections_of(bound.values()), *claims.documents(run.entries), *entries_of(words)])
    join(folder, bound, run)
    return folder / "index.html"


def write(folder: Path, name: str, title: str, body: str, scripts: str = "") -> Path:
    """One of the book's own pages, with the shared script where it has a figure."""
    drawing = scripts_for(body)
    if drawing:
        rewrite(folder / PLOTLY_SCRIPT, get_plotlyjs())
    target = folder / f"{name}.html"
    write_whole(target, page(title, body + scripts, HOME, drawing))
    return target


def how_to_read() -> str:
    """What the columns are."""
    return (
        "<p>Statements of the two papers (A, B) and our own (N). Each has a rule that was fixed before it "
        "was measured; the rule, not a person, gives the verdict. <i>Bred for</i> stands where the model was "
        "chosen by what the claim measures, so that its agreement is the weaker for it.</p>"
    )


def _of_what(run: Run) -> str:
    return (
        f'<p class="of">All figures come from one model, <strong>{html.escape(run.model)}</strong>, '
        f"run on {html.escape(run.machine)}.</p>"
    )


def start(run: Run, names: Sequence[str]) -> str:
    """The first page: what the course is, for whom, its main figure, where the claims stand, the series."""
    rows = []
    for name in names:
        said, timing = run.heading(name), run.timings.get(name, {})
        failed = "" if timing.get("finished", True) else ' <span class="failed">(a cell failed)</span>'
        minutes, memory = (f"{timing[key]:.1f}" if key in timing else "–" for key in ("minutes", "peak_gb"))
        rows.append(
            f'<tr><td class="num">{name[:2]}</td>'
            f'<td><a href="{name}.html">{html.escape(said.title)}</a>{failed}<br>{inline(said.question)}</td>'
            f'<td class="num">{minutes}</td><td class="num">{memory}</td></tr>'
        )
    return (
        f"<h1>{TITLE}</h1>{markdown((HERE / 'start.md').read_text(encoding='utf-8'))}"
        f"{main_figure(run)}{_of_what(run)}"
        '<h2 id="series">The series</h2>'
        "<table><thead><tr><th></th><th>notebook and its question</th><th>minutes</th><th>GB at peak</th>"
        "</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
        f'<h2 id="claims">Where the claims stand</h2>{claims.counts(run.entries)}'
        '<p><a href="claims.html">All claims, with the rule of each and the cell that settles it</a></p>'
    )


def main_figure(run: Run) -> str:
    """The figure of 03 that the course turns on, as this run drew it; nothing where 03 has not drawn it."""
    if SOURCE not in run.notebooks:
        return ""
    for _, output in rich_outputs(run.notebooks[SOURCE]):
        if PLOTLY in output.data and alt_text(output).startswith(MARK):
            drawn = figure_html(output.data[PLOTLY], alt_text(output), "figure-1")
            said = html.escape(run.heading(SOURCE).title)
            return f'{drawn}<p class="caption">From <a href="{SOURCE}.html">{SOURCE[:2]} · {said}</a></p>'
    return ""


def settled_at(folder: Path, bound: Mapping[str, Page]) -> dict[str, str]:
    """By claim, the address of the cell that settles it, from the anchors in the notebooks' pages."""
    found = dict[str, str]()
    for name in bound:
        text = (folder / f"{name}.html").read_text(encoding="utf-8")
        for one in re.findall(r'<a [^>]*id="claim-([ABN]\d+)"', text):
            found.setdefault(one, f"{name}.html#claim-{one}")
    if (folder / "replication.html").is_file():
        found["N7"] = "replication.html"
    return found


def glossary_body(words: Sequence[glossary.Term], bound: Mapping[str, Page]) -> str:
    """All terms in order, each with the notebooks that explain it where they use it first."""
    text = {name: " ".join(section.text for section in one.sections).lower() for name, one in bound.items()}
    rows = []
    for term in words:
        word = glossary.written(term.word).lower()
        used = [
            name for name in bound if word and re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text[name])
        ]
        links = ", ".join(f'<a href="{name}.html">{name[:2]}</a>' for name in used)
        also = f' <span class="used">in {links}</span>' if used and len(used) < len(bound) else ""
        rows.append(f'<dt id="{term.anchor}">{inline(term.word)}</dt><dd>{inline(term.meaning)}{also}</dd>')
    return f"<h1>Glossary</h1><p>What each word and sign means in this series.</p><dl>{''.join(rows)}</dl>"


def sections_of(pages: Iterable[Page]) -> list[dict[str, str]]:
    """The notebooks' sections for the search, a document each."""
    return [
        {"page": f"{one.name}.html", "anchor": section.anchor, "title": one.title,
         "section": plain(section.title), "text": section.text}
        for one in pages for section in one.sections
    ]  # fmt: skip


def entries_of(words: Sequence[glossary.Term]) -> list[dict[str, str]]:
    """The glossary for the search, a document a term."""
    return [
        {"page": glossary.PAGE, "anchor": term.anchor, "title": "Glossary",
         "section": plain(inline(term.word)), "text": plain(inline(term.meaning))}
        for term in words
    ]  # fmt: skip


def write_search(folder: Path, documents: Sequence[Mapping[str, str]]) -> None:
    """The search page, its library and what it searches."""
    rewrite(folder / "minisearch.js", (HERE / "minisearch" / "index.js").read_text(encoding="utf-8"))
    rewrite(folder / "search-data.js", claims.as_script("BOOK", documents))
    body = (
        '<h1>Search</h1><form role="search"><label>Words <input type="search" name="q" autofocus></label>'
        "</form>"
        '<p id="count" aria-live="polite"></p><ol id="found"></ol>'
        '<noscript><p>The search needs scripts. Without them, the <a href="glossary.html">glossary</a> '
        "and the contents lead to every section.</p></noscript>"
        '<script src="minisearch.js"></script>\n<script src="search-data.js"></script>\n'
        f"<script>{(HERE / 'search.js').read_text(encoding='utf-8')}</script>"
    )
    write(folder, "search", "Search", body)


def write_replication(found: Replication, folder: Path, *, ours: bool = True) -> Path:
    """The claims over several models, with links to the pages of each one's run where these are at hand."""
    members = "".join(
        f'<li><a href="../replicate/{column.profile}/html/index.html">{html.escape(column.model)}</a></li>'
        for column in found.columns
        if column.minutes is not None
    )
    own = f"<p>Their own pages:</p><ul>{members}</ul>" if ours else "<p>This is the published table.</p>"
    body = (
        "<h1>Which verdicts survive the training seed</h1>"
        f"<p>Each model ran the whole series, on {html.escape(found.machine)}.</p>{own}"
        f'<div class="seeds">{found.table("html")}</div>'
    )
    return write(folder, "replication", "Over the training seeds", body)


def join(folder: Path, bound: Mapping[str, Page], run: Run) -> None:
    """Puts contents, previous and next into every page of the folder."""
    titles = {name: f"{name[:2]} · {run.heading(name).title}" for name in bound}
    others = {name: title for name, title in OTHERS.items() if (folder / f"{name}.html").is_file()}
    order = ["index", *bound]
    for name in [*others, *bound]:
        path = folder / f"{name}.html"
        text = path.read_text(encoding="utf-8")
        side = side_bar(name, titles, others, bound[name].sections if name in bound else ())
        text = put(SIDE, f"<!--side-->{side}<!--/side-->", text)
        turns = pager(name, order, {**others, **titles}) if name in order else ""
        write_whole(path, put(PAGER, f"<!--pager-->{turns}<!--/pager-->", text))


def put(place: re.Pattern[str], made: str, text: str) -> str:
    """The text with what was made in a place, as it stands: a backslash in it means nothing."""
    return place.sub(lambda _: made, text, count=1)


def side_bar(
    here: str, titles: Mapping[str, str], others: Mapping[str, str], sections: Sequence[Section]
) -> str:
    """Search, the series with the sections of this page, and the book's other pages."""
    lines = []
    for name, title in titles.items():
        inside = "".join(
            f'<li class="level-{one.level}">'
            f'<a href="#{quote(one.anchor)}">{one.title}</a></li>'
            for one in sections
            if one.level > 1 and one.anchor
        )
        own = f'<ol class="sections">{inside}</ol>' if name == here and inside else ""
        lines.append(f"<li>{_link(name, title, here)}{own}</li>")
    rest = "".join(
        f"<li>{_link(name, title, here)}</li>"
        for name, title in others.items()
        if name not in ("index", "search")
    )
    return (
        f'<p class="brand">{_link("index", "Toxicity Lab", here)}</p>'
        '<form action="search.html" role="search"><input type="search" name="q" aria-label="Search the book" '
        'placeholder="Search"><button>Find</button></form>'
        f'<ol class="series">{"".join(lines)}</ol><ul class="series">{rest}</ul>'
    )


def _link(name: str, title: str, here: str) -> str:
    current = ' aria-current="page"' if name == here else ""
    return f'<a href="{name}.html"{current}>{html.escape(title)}</a>'


def pager(here: str, order: Sequence[str], titles: Mapping[str, str]) -> str:
    """The page before and the page after."""
    at = order.index(here)
    before = [order[at - 1]] if at else []
    after = list(order[at + 1 : at + 2])
    links = [f'<a rel="prev" href="{name}.html">← {html.escape(titles[name])}</a>' for name in before]
    links += [f'<a rel="next" href="{name}.html">{html.escape(titles[name])} →</a>' for name in after]
    return "".join(links)
