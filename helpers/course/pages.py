"""HTML pages that need no network: interactive figures, equations as MathML, light and dark."""

from __future__ import annotations

import copy
import html
import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import nbformat
from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from nbformat.reader import NotJSONError
from plotly.offline import get_plotlyjs
from pygments.formatters import HtmlFormatter

from helpers.artifacts import write_whole
from helpers.course.mathml import to_mathml
from helpers.course.outputs import PLOTLY, PNG, WIDGET, alt_text
from helpers.course.series import heading, running_order
from helpers.course.tables import rewrite
from helpers.teaching.claims import Replication, render_table

HERE = Path(__file__).parent
PLOTLY_SCRIPT = "plotly.min.js"


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

    def __init__(self, **options: Any) -> None:
        super().__init__(template_name="basic", **options)

    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:
        """The template's filter for Markdown cells and outputs."""
        attachments = context.get("cell", {}).get("attachments", {})
        return MarkdownWithMath(renderer=Renderer(escape=False, attachments=attachments)).render(source)


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
    """A copy with outputs that a plain page can show: figures as data, equations as MathML, no widgets."""
    shown, number = copy.deepcopy(notebook), 0
    shown.metadata.pop("widgets", None)
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


def notebook_page(notebook: NotebookNode, name: str) -> str:
    """One notebook as a document that needs `plotly.min.js` beside it if it has figures."""
    body, _ = PageExporter().from_notebook_node(for_page(notebook))
    scripts = ""
    if 'class="plot"' in body:
        own = (HERE / "figures.js").read_text(encoding="utf-8")
        scripts = f'<script src="{PLOTLY_SCRIPT}"></script>\n<script>{own}</script>'
    return page(heading(notebook, name).title, body, '<a href="index.html">All notebooks</a>', scripts)


def write_page(notebook: NotebookNode, name: str, folder: Path) -> Path:
    """Writes `name`.html, and the shared script once."""
    rewrite(folder / PLOTLY_SCRIPT, get_plotlyjs())
    target = folder / f"{name}.html"
    write_whole(target, notebook_page(notebook, name))
    return target


def write_index(build: Path, model: str) -> Path:
    """The notebooks with measured minutes and memory, and all claims, from what a run left in `build`."""
    record = json.loads((build / "timings.json").read_text(encoding="utf-8"))
    rows = []
    for path in sorted(running_order(build / "notebooks")):
        if not (build / "html" / f"{path.stem}.html").is_file():
            continue  # interrupted before its page was made
        try:
            said = heading(nbformat.read(path, as_version=4), path.stem)
        except NotJSONError:
            warnings.warn(f"{path.name} in {path.parent} is damaged: run it again.", stacklevel=2)
            continue
        timing = record["notebooks"].get(path.stem, {})
        failed = "" if timing.get("finished", True) else ' <span class="failed">(a cell failed)</span>'
        rows.append(
            f'<tr><td class="num">{path.stem[:2]}</td>'
            f'<td><a href="{path.stem}.html">{html.escape(said.title)}</a>{failed}<br>'
            f'{html.escape(said.question)}</td><td class="num">{timing.get("minutes", 0):.1f}</td>'
            f'<td class="num">{timing.get("peak_gb", 0):.1f}</td></tr>'
        )
    entries = json.loads((build / "claims.json").read_text(encoding="utf-8"))
    family = ""
    if found := Replication.read(build / "replication.json"):
        where = write_replication(found, build).name
        family = f'<p><a href="{where}">The same claims over several models</a></p>'
    body = (
        "<h1>Toxicity Lab</h1>"
        f"<p>All figures on these pages come from one model, <strong>{html.escape(model)}</strong>, "
        f"run on {html.escape(record['machine'])}.</p>"
        "<table><thead><tr><th></th><th>notebook</th><th>minutes</th><th>GB at peak</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
        f"<h2>The claims of the papers</h2>{render_table(entries, format='html')}{family}"
    )
    target = build / "html" / "index.html"
    write_whole(target, page("Toxicity Lab", body, "<strong>Toxicity Lab</strong>"))
    return target


def write_replication(found: Replication, build: Path) -> Path:
    """The claims over several models, with links to the pages of each one's run."""
    members = "".join(
        f'<li><a href="../replicate/{column.profile}/html/index.html">{html.escape(column.model)}</a></li>'
        for column in found.columns
        if column.minutes is not None
    )
    body = (
        "<h1>Which verdicts survive the training seed</h1>"
        f"<p>Each model ran the whole series, on {html.escape(found.machine)}. Their own pages:</p>"
        f"<ul>{members}</ul>{found.table('html')}"
    )
    target = build / "html" / "replication.html"
    write_whole(target, page("Over the training seeds", body, '<a href="index.html">All notebooks</a>'))
    return target
