"""HTML pages that need no network: interactive figures, equations as MathML, light and dark."""

from __future__ import annotations

import copy
import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from plotly.offline import get_plotlyjs
from pygments.formatters import HtmlFormatter

from helpers.artifacts import write_whole
from helpers.course.book import glossary
from helpers.course.book.glossary import Marker, Term
from helpers.course.mathml import to_mathml
from helpers.course.outputs import PLOTLY, PNG, WIDGET, alt_text
from helpers.course.series import NOTEBOOKS, heading
from helpers.course.tables import rewrite

HERE = Path(__file__).parent
PLOTLY_SCRIPT = "plotly.min.js"
EXPLORER = "explorer.html"
RECORDS = re.compile(r"claims\.record\(\s*[\"']([ABN]\d+)[\"']")
"""A cell that settles claims says so by this call."""

NAMED = re.compile(r"\b[ABN]\d+\b")
"""In a cell that records claims in a loop, those that it names anywhere."""


def claims_of(source: str) -> list[str]:
    """The claims that a code cell settles, in its order."""
    if "claims.record(" not in source:
        return []
    calls = RECORDS.findall(source)
    by_name = len(calls) == source.count("claims.record(")
    return list(dict.fromkeys(calls if by_name else NAMED.findall(source)))


class Renderer(IPythonRenderer):
    """Markdown to HTML with MathML equations, and links between notebooks turned into links between pages."""

    def block_math(self, body: str) -> str:
        """An equation of its own."""
        return to_mathml(body, display=True)

    def inline_math(self, body: str) -> str:
        """An equation in the text."""
        return to_mathml(body, display=False)

    def latex_environment(self, name: str, body: str) -> str:
        """A bare environment, such as `align`."""
        return to_mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True)

    def heading(self, text: str, level: int, **attributes: Any) -> str:
        """A heading with a link to itself; nbconvert's way of adding it breaks equations in headings."""
        name = html.escape(re.sub(r"\s+", "-", re.sub(r"<[^>]*>", "", text).strip()), quote=True)
        mark = f'<a class="anchor-link" href="#{name}" aria-label="Link to this section">¶</a>'
        return f'<h{level} id="{name}">{text}{mark}</h{level}>\n'

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """`02_x.ipynb` beside this notebook becomes `02_x.html` beside this page."""
        return super().link(text, re.sub(r"^(?!\w+:)([\w./-]+)\.ipynb(?=#|$)", r"\1.html", url), title)


class PageExporter(HTMLExporter):
    """nbconvert's bare template with our Markdown renderer: no theme, no script, nothing from a network."""

    def __init__(self, terms: Sequence[Term] = (), **options: Any) -> None:
        super().__init__(template_name="basic", **options)
        self.marker = Marker(terms, inline)

    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:
        """The template's filter for Markdown cells and outputs."""
        attachments = context.get("cell", {}).get("attachments", {})
        return self.marker.mark(markdown(source, attachments=attachments))


def markdown(source: str, **options: Any) -> str:
    """Markdown as HTML, with the book's equations, headings and links."""
    return str(MarkdownWithMath(renderer=Renderer(escape=False, **options)).render(source))


def inline(source: str) -> str:
    """A line of Markdown as HTML that fits into a sentence."""
    return markdown(source).strip().removeprefix("<p>").removesuffix("</p>")


def figure_html(figure: Mapping[str, Any], alt: str, name: str) -> str:
    """The place of a figure with its data; `figures.js` draws it, a reader without scripts gets the text."""
    data = json.dumps({"data": figure["data"], "layout": figure.get("layout", {})}).replace("</", "<\\/")
    text = html.escape(alt, quote=True)
    return (
        f'<div class="figure" role="figure" aria-label="{text}"><div class="plot" id="{name}"></div>'
        f"<noscript><p>{text}</p></noscript></div>"
        f'<script type="application/json" id="{name}-data">{data}</script>'
    )


def for_page(notebook: NotebookNode) -> NotebookNode:
    """A copy with outputs that a plain page can show: figures as data, equations as MathML, no widgets.

    Above a cell that records claims stands a line that names them, with an anchor each ("claim-A7").
    """
    shown, number = copy.deepcopy(notebook), 0
    shown.metadata.pop("widgets", None)
    seen = set[str]()
    shown.cells = [cell for one in shown.cells for cell in (*settled(one, seen), one)]
    for cell in shown.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if PLOTLY in data:
                number += 1
                output.data = NotebookNode(
                    {"text/html": figure_html(data[PLOTLY], alt_text(output), f"figure-{number}")}
                )
            elif WIDGET in data:
                output.data = NotebookNode(
                    {"text/html": '<p class="widget-note">An interactive control stands here in Jupyter.</p>'}
                )
            elif "text/latex" in data and "text/html" not in data:
                output.data = NotebookNode(
                    {"text/html": to_mathml(data["text/latex"].strip().strip("$"), display=True)}
                )
            elif PNG in data:
                output.metadata[PNG] = {**output.metadata.get(PNG, {}), "alt": alt_text(output)}
    return shown


def settled(cell: NotebookNode, seen: set[str]) -> list[NotebookNode]:
    """The line above a cell that records claims, else nothing; the first to record one is its anchor."""
    ids = claims_of(cell.source) if cell.cell_type == "code" else []
    anchors = {one: "" if one in seen else f'id="claim-{one}" ' for one in ids}
    links = ", ".join(f'<a {anchors[one]}href="claims.html#{one}">{one}</a>' for one in ids)
    seen.update(ids)
    return [new_markdown_cell(f'<p class="settles">This cell settles {links}</p>')] if ids else []


def style() -> str:
    """The page's own rules, and the colours of code for light and for dark."""
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    own_ground = ".highlight, .highlight pre { background: transparent; }"
    page = (HERE / "page.css").read_text(encoding="utf-8")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{own_ground}\n{page}"


def page(title: str, body: str, navigation: str, scripts: str = "") -> str:
    """A whole document."""
    template = Template((HERE / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=html.escape(title), css=style(), scripts=scripts, navigation=navigation, body=body
    )


def scripts_for(body: str) -> str:
    """What draws the figures of a page; nothing where it has none."""
    if 'class="plot"' not in body:
        return ""
    own = (HERE / "figures.js").read_text(encoding="utf-8")
    return f'<script src="{PLOTLY_SCRIPT}"></script>\n<script>{own}</script>'


def notebook_page(notebook: NotebookNode, name: str, terms: Sequence[Term] = ()) -> str:
    """One notebook as a document that needs `plotly.min.js` beside it if it has figures.

    Args:
        terms: what the glossary explains; each is marked where the page first uses it.
    """
    body, _ = PageExporter(terms).from_notebook_node(for_page(notebook))
    said = heading(notebook, name).title
    return page(said, body, '<a href="index.html">All notebooks</a>', scripts_for(body))


def write_page(notebook: NotebookNode, name: str, folder: Path) -> Path:
    """Writes `name`.html, and the shared script once; `bind` puts it into the book."""
    rewrite(folder / PLOTLY_SCRIPT, get_plotlyjs())
    target = folder / f"{name}.html"
    terms = glossary.read(NOTEBOOKS / "00_start_here.ipynb")
    write_whole(target, notebook_page(notebook, name, terms))
    return target
