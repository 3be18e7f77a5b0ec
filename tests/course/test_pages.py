"""Pages for a browser without network: equations typeset, figures drawn, nothing fetched."""

import json
import re

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers.course.mathml import EquationError, to_mathml
from helpers.course.outputs import PNG, WIDGET
from helpers.course.pages import for_page, notebook_page
from tests.course.builders import figure_output, small

DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def with_output(*outputs):
    notebook = small("cell")
    notebook.cells[1].outputs = list(outputs)
    return notebook


def with_markdown(text: str):
    return new_notebook(cells=[new_markdown_cell(text)])


@pytest.mark.parametrize(
    "latex",
    [
        r"x^{\text{final}} = e + \sum_{\ell} a^{\ell}",
        r"\hat W = \frac{w}{\lVert w\rVert}",
        r"-\mathbb{E}_{x\sim\mathcal{D}}\left[\log\sigma\left(\beta\log\frac{\pi_\theta}{\pi_{\text{ref}}}\right)\right]",
        r"\begin{aligned} a &= b \\ &\ge c \end{aligned}",
        r"\begin{cases} 1 & x > 0 \\ 0 & \text{else} \end{cases}",
        r"\operatorname{softmax}(z)_i",
    ],
)
def test_equations_become_mathml(latex: str) -> None:
    markup = to_mathml(latex, display=True)
    assert markup.startswith("<math") and "\\" not in markup


def test_an_unknown_command_is_an_error_not_a_page() -> None:
    with pytest.raises(EquationError, match="nosuchthing"):
        to_mathml(r"a + \nosuchthing{b}", display=False)
    with pytest.raises(EquationError):
        notebook_page(with_markdown(r"$\nosuchthing$"), "x")


def test_equations_are_found_in_prose_and_headings_but_not_in_code() -> None:
    page = notebook_page(
        with_markdown("## The stream $x^2$\n\nand $$y^2$$ but `$z^2$`\n\n```\n$q^2$\n```\n"), "x"
    )
    assert page.count("<math") == 2 and 'display="block"' in page
    assert re.search(r"<h2[^>]*>The stream <math", page)
    assert "$z^2$" in page and "$q^2$" in page and "$x^2$" not in page


def test_a_figure_is_data_for_the_shared_script_with_its_text() -> None:
    page = notebook_page(with_output(figure_output('A "line" that rises.')), "x")
    assert '<script src="plotly.min.js"></script>' in page
    assert re.search(r"""aria-label=(?:'A "line" that rises\.'|"A &quot;line&quot; that rises\.")""", page)
    stored = re.search(r'<script id="figure-1-data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert stored, "the figure's data must survive a </script> inside it"
    assert json.loads(stored[1])["data"][0]["y"] == [1, 2, 1]


def test_a_page_without_figures_loads_nothing() -> None:
    page = notebook_page(small("1"), "x")
    assert "<script" not in page


def test_nothing_is_fetched() -> None:
    notebook = with_output(figure_output(), new_output("display_data", {"text/html": "<b>bold</b>"}))
    notebook.cells.append(new_markdown_cell("```mermaid\ngraph\n```\n\n[link](https://example.org/page)"))
    notebook.cells.append(new_code_cell("1"))
    page = notebook_page(notebook, "x")
    assert set(re.findall(r'<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="([^"]+)"', page)) == {
        "plotly.min.js"
    }
    for host in ("cdnjs", "unpkg", "jsdelivr", "mathjax", "require.js"):
        assert host not in page.lower()


def test_pictures_carry_their_text() -> None:
    page = notebook_page(
        with_output(new_output("display_data", {PNG: DOT}, metadata={PNG: {"alt": "A dot"}})), "x"
    )
    assert re.search(r'<img[^>]*alt="A dot"', page)


def test_widgets_become_a_remark() -> None:
    widget = new_output("display_data", {WIDGET: {"model_id": "x"}, "text/plain": "IntSlider()"})
    notebook = with_output(widget)
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}
    page = notebook_page(notebook, "x")
    assert "An interactive control stands here" in page and "widget-state" not in page


def test_links_lead_from_page_to_page() -> None:
    page = notebook_page(with_markdown("[next](02_two.ipynb#part) [far](https://example.org/a.ipynb)"), "x")
    assert 'href="02_two.html#part"' in page and 'href="https://example.org/a.ipynb"' in page


def test_the_notebook_itself_is_left_alone() -> None:
    notebook = with_output(figure_output())
    before = json.dumps(notebook)
    for_page(notebook)
    assert json.dumps(notebook) == before


def test_light_and_dark_are_both_there() -> None:
    page = notebook_page(small("print(1)"), "x")
    assert page.count("prefers-color-scheme: dark") >= 2
    assert '<html lang="en">' in page and "<title>A title</title>" in page
