"""The chart of a run that is training: it grows with every look and leaves one line behind."""

import xml.etree.ElementTree as ET

import pytest

from helpers.teaching.figures import live

ROWS = [
    {"kind": "look", "step": 0, "validation_loss": 0.69, "toxicity": 0.6, "perplexity": 10.0},
    {"kind": "train", "step": 1, "loss": 0.69, "margin": 0.1, "accuracy": 0.5},
    {"kind": "train", "step": 2, "loss": 0.60, "margin": 0.4, "accuracy": 1.0},
    {"kind": "look", "step": 2, "validation_loss": 0.61, "toxicity": 0.4, "perplexity": 10.2},
]


class Page:
    def __init__(self):
        self.shown = []

    def update(self, thing):
        self.shown.append(thing)


@pytest.fixture
def page(monkeypatch):
    page = Page()
    monkeypatch.setattr(live, "display", lambda *_, **__: page)
    return page


def test_it_is_drawn_with_every_look_and_ends_as_one_line(page):
    with live.live_chart("DPO") as watch:
        for row in ROWS:
            watch(row["step"], 4, row)
        assert len(page.shown) == 2, "once for each look"
    assert page.shown[-1].text == "DPO: 2 steps, 2 looks, dev toxicity 0.4, dev perplexity 10.2"
    assert "svg" not in page.shown[-1].html


def test_a_run_from_the_cache_says_so(page):
    with live.live_chart("DPO"):
        pass
    assert page.shown[-1].text == "DPO: read from the cache."


def test_an_error_in_training_comes_through_and_leaves_the_chart(page):
    with pytest.raises(FloatingPointError), live.live_chart("DPO") as watch:
        watch(0, 4, ROWS[0])
        raise FloatingPointError("loss")
    assert "svg" in page.shown[-1].html


def test_every_panel_is_drawn_to_its_own_scale():
    drawn = ET.fromstring(live.chart("DPO", ROWS, 4).replace("<br>", "<br/>"))
    lines = [line.get("points").split() for line in drawn.iter("polyline")]
    assert [len(line) for line in lines] == [2] * 6
    heights = {tuple(float(point.split(",")[1]) for point in line) for line in lines}
    top, bottom = live.EDGE, live.HEIGHT - live.EDGE
    assert heights == {(top, bottom), (bottom, top)}, "first and last value reach the edges"
    assert all(float(line[-1].split(",")[0]) == live.WIDTH / 2 for line in lines), "2 of 4 steps"


def test_what_is_not_measured_is_left_out():
    rows = [{"kind": "look", "step": 0, "validation_loss": 0.69}]
    assert live.chart("DPO", rows, 4).count("<svg") == 1
    assert live.summary("DPO", rows, 4) == "DPO: step 0 of at most 4"


def test_equal_models_tie_on_every_pair_and_that_is_not_drawn_as_accuracy():
    tie = {"kind": "train", "step": 0, "loss": 0.69, "margin": 0.0, "accuracy": 0.0}
    assert live.chart("DPO", [tie], 4).count("<polyline") == 2, "loss and margin alone"
    assert live.chart("DPO", [tie, *ROWS], 4).count("<polyline") == 6
