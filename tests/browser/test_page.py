"""The explorer's page, driven in a headless Chromium on a tiny model with the network cut."""

import pytest

from helpers.course.browser import _contexts, _speed, check_page
from helpers.course.chromium import Page
from helpers.course.explorer_page import EXPLORER, NoPage, explorer_page, write_explorer
from helpers.course.same_figures import _settled, compare_figures, in_notebook
from helpers.mechanism.vectors import Neuron
from helpers.teaching.explorer.atlas import Atlas
from helpers.teaching.figures.figure import browser


def test_a_reader_is_served_and_the_models_are_pytorchs(lab, tmp_path):
    chromium = browser()
    if chromium is None:
        pytest.skip("no Chromium or Chrome on this machine")
    found = check_page(write_explorer(lab, tmp_path), lab, str(chromium), tmp_path / "pictures")
    assert found.neurons == lab.base.n_layers * lab.base.d_mlp
    assert (tmp_path / "pictures" / "light.png").stat().st_size > 10_000


def test_whole_numbers_of_a_page_are_taken(monkeypatch):
    page = Page.__new__(Page)
    monkeypatch.setattr(page, "ask", lambda script: 128 if script == "told.shape.context" else 0)
    assert _contexts(page) == 0.0
    assert _speed(page) == {"base": 0.0, "aligned": 0.0}


def test_the_page_asks_for_nothing_and_ends_its_scripts_where_it_should(lab):
    page = explorer_page(lab)
    assert page.count("</script>") == page.count("<script")
    assert 'src="' not in page and "import(" not in page and "fetch(" not in page
    assert len(page) < 30_000_000


def test_a_model_too_large_has_no_page(lab, monkeypatch):
    monkeypatch.setattr("helpers.course.explorer_page.LARGEST", 10)
    with pytest.raises(NoPage, match="at most 10"):
        explorer_page(lab)
    assert EXPLORER == "explorer.html"


def test_rounding_alone_may_order_words():
    words = [["b", "0.2"], ["d", "0.1"], ["c", "0.1"]]
    assert _settled(words) == _settled([words[0], words[2], words[1]]) == ["b 0.2", "c 0.1", "d 0.1"]
    assert _settled(words) != _settled([*words[:2], ["c", "0.09"]])


def test_a_figure_shown_otherwise_is_found(lab, monkeypatch):
    here = in_notebook(Atlas(lab), Neuron(0, 3), shared=True)
    monkeypatch.setattr("helpers.course.same_figures.in_page", lambda *asked, **on: here | {"cosine": "+9"})
    compared, differ = compare_figures(Page.__new__(Page), lab, [Neuron(0, 3)])
    assert compared == 2 * len(here) and len(here) > 50
    assert any(one.startswith("L0.3, cosine: ") for one in differ)
