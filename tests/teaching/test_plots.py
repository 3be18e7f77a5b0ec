"""Figures: what they require, what they store, that nothing is cut, covered or unmasked."""

import json
import re
import struct
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.intervals import Interval
from helpers.teaching.figures import labels as plot_labels
from helpers.teaching.figures import parts, plots
from helpers.teaching.figures.figure import (
    AXIS_LETTER,
    HEIGHT,
    PLOTLY_MIME,
    TEMPLATE,
    TICK_LINE,
    TITLE_CHARACTERS,
    Figure,
    browser,
    wrap,
)
from helpers.teaching.figures.palette import NO_VALUE

WORDS = {
    "title": "The finding",
    "x_label": "layer",
    "y_label": "accuracy (share)",
    "alt": "A line that rises.",
}
SWEAR = "".join(map(chr, (115, 104, 105, 116)))  # one word of the masked list, not spelled here
MAKERS = {
    "line": lambda **words: plots.line([0, 1, 2], {"base": [1, 2, 3], "aligned": [3, 2, 1]}, **words),
    "scatter": lambda **words: plots.scatter({"base": ([0, 1], [1, 2])}, **words),
    "bar": lambda **words: plots.bar(["W", "U0"], {"base": [0.4, 0.2]}, **words),
    "heatmap": lambda **words: plots.heatmap([[1.0, -2.0]], value_label="projection", **words),
    "histogram": lambda **words: plots.histogram({"base": [1.0, 2.0, 4.0]}, **words),
}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


@pytest.mark.parametrize("name", WORDS)
def test_every_figure_needs_title_labels_and_alt(make, name):
    with pytest.raises(ValueError, match=f"{name} is empty"):
        make(**(WORDS | {name: "  "}))


def test_the_words_are_keywords_without_default(make):
    with pytest.raises(TypeError, match="alt"):
        make(**{name: text for name, text in WORDS.items() if name != "alt"})


def test_what_a_notebook_stores(make, monkeypatch):
    monkeypatch.delenv("TOXICITY_LAB_PNG", raising=False)
    data, metadata = make(**WORDS)._repr_mimebundle_()
    assert set(data) == {PLOTLY_MIME, "text/plain"} == set(metadata)
    assert data["text/plain"] == "A line that rises."
    assert all(entry["alt"] == "A line that rises." for entry in metadata.values())
    layout = data[PLOTLY_MIME]["layout"]
    assert (
        layout["xaxis"]["title"]["text"] == "layer" and layout["yaxis"]["title"]["text"] == "accuracy (share)"
    )
    assert (
        layout["title"]["text"] == "The finding"
        and layout["template"]["layout"]["paper_bgcolor"] == "#ffffff"
    )
    assert len(json.dumps(data)) < 4000


def test_template_is_compact_and_letters_are_large():
    assert len(json.dumps(TEMPLATE)) < 1000
    assert TEMPLATE["layout"]["font"]["size"] >= 13


def test_colab_gets_a_page_of_its_own(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", object())
    assert "cdn" in MAKERS["bar"](**WORDS)._repr_mimebundle_()[0]["text/html"]


def test_figure_refuses_empty_alt():
    with pytest.raises(ValueError, match="alternative text"):
        Figure(MAKERS["bar"](**WORDS).figure, " ")


def test_png_without_browser_says_what_to_do(monkeypatch):
    monkeypatch.setattr("helpers.teaching.figures.figure.browser", lambda: None)
    with pytest.raises(RuntimeError, match="TOXICITY_LAB_PNG"):
        MAKERS["bar"](**WORDS).to_png()


@pytest.mark.skipif(browser() is None, reason="no Chromium or no kaleido here")
def test_png_twin_is_stored_on_request(monkeypatch):
    monkeypatch.setenv("TOXICITY_LAB_PNG", "1")
    import base64

    data, metadata = MAKERS["line"](**WORDS)._repr_mimebundle_()
    image = base64.b64decode(data["image/png"])
    assert image.startswith(b"\x89PNG") and struct.unpack(">II", image[16:24]) == (1080, 630)
    assert metadata["image/png"] == {"alt": "A line that rises.", "width": 720, "height": 420}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text("abcdefgh", min_size=1, max_size=20), min_size=1, max_size=40))
def test_wrapping_keeps_every_word_and_every_line_short(words):
    lines = wrap(" ".join(words), TITLE_CHARACTERS, unmask=True).split("<br>")
    assert " ".join(lines).split() == words
    assert max(map(len, lines)) <= TITLE_CHARACTERS


def test_long_titles_get_room():
    short, long = MAKERS["bar"](**WORDS), MAKERS["bar"](**(WORDS | {"title": "word " * 40}))
    assert long.figure.layout.title.text.count("<br>") == 2
    assert long.figure.layout.margin.t > short.figure.layout.margin.t
    assert long.figure.layout.height == HEIGHT + 48


def test_legend_stands_below_the_axis_title_only_where_needed():
    one = plots.line([0, 1], {"base": [1, 2]}, **WORDS).figure.layout
    many = plots.line(
        [0, 1], {name * 9: [1, 2] for name in ("one ", "two ", "three ", "four ")}, **WORDS
    ).figure.layout
    assert not one.showlegend and many.showlegend
    assert many.margin.b > one.margin.b + 26


@pytest.mark.parametrize("make_one", [
    lambda word, **k: plots.line([0, 1], {word: [1, 2], "b": [1, 2]}, reference={word: 1.0}, **k),
    lambda word, **k: plots.scatter({word: ([0, 1], [1, 2]), "b": ([0], [1])}, outliers={word: (0, 1)}, **k),
    lambda word, **k: plots.bar([word, "b"], {word: [1, 2], "c": [1, 2]}, **k),
    lambda word, **k: plots.heatmap([[1.0]], value_label=word, x_names=[word], y_names=[word], **k),
    lambda word, **k: plots.histogram({word: [1.0, 2.0], "b": [1.0]}, marks={word: 1.5}, **k),
])  # fmt: skip
def test_nothing_unmasked_reaches_a_figure(make_one):
    words = {name: f"{text} {SWEAR}" for name, text in WORDS.items()}
    data, metadata = make_one(SWEAR, **words)._repr_mimebundle_()
    assert SWEAR not in json.dumps([data, metadata])
    assert SWEAR in json.dumps(make_one(SWEAR, unmask=True, **words)._repr_mimebundle_()[0])


def test_a_token_that_looks_like_a_tag_is_shown_as_it_is():
    figure = plots.bar(["<|endoftext|>"], {"base": [1]}, **WORDS).figure
    assert figure.data[0].x == ("&lt;|endoftext|&gt;",)


def test_line_takes_tensors_intervals_and_curves_of_their_own():
    ends = [Interval(2.0, 0.0, 2.0), Interval(3.0, 1.0, 3.0)]
    figure = plots.line({"a": [5, 6], "b": [7, 8]}, {"a": ends, "b": torch.ones(2)}, **WORDS).figure
    assert [trace.x for trace in figure.data] == [(5, 6, 6, 5), (5, 6), (7, 8)]
    assert figure.data[0].y == (2, 3, 1, 0)
    assert figure.data[1].y == (2, 3) and figure.data[2].y == (1, 1)


def test_line_marks_limits_and_leaves_points_unjoined():
    figure = plots.line(
        [1, 10],
        {"a": [1, 2], "random": [2, 1]},
        limits={"budget": 5},
        points=("random",),
        log_x=True,
        log_y=True,
        **WORDS,
    ).figure
    assert [trace.mode for trace in figure.data] == ["lines+markers", "markers"]
    assert figure.layout.shapes[0].x0 == 5 and figure.layout.annotations[0].text == "budget"
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"


def test_lengths_must_match():
    with pytest.raises(ValueError, match="'base' has 2 values for 3 positions"):
        plots.line([0, 1, 2], {"base": [1, 2]}, **WORDS)
    with pytest.raises(ValueError, match="3 names for 2"):
        plots.heatmap([[1.0, 2.0]], value_label="v", x_names=list("abc"), **WORDS)


def test_many_points_become_one_density_that_counts_them_all():
    x = np.random.default_rng(0).normal(size=(2, 20_000))
    figure = plots.scatter({"neurons": (x[0], x[1])}, outliers={"L3.1": (6.0, 0.0)}, **WORDS).figure
    logs = np.array(figure.data[0].z, dtype=float)
    assert np.nansum(10**logs) == pytest.approx(20_000, rel=1e-3)
    assert len(figure.to_json()) < 80_000
    with pytest.raises(ValueError, match="one figure for each density"):
        plots.scatter({"a": (x[0], x[1]), "b": (x[0], x[1])}, **WORDS)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=10, unique=True))
def test_outlier_labels_keep_apart_in_order_and_inside(points):
    named = {f"L{place}.7": point for place, point in enumerate(points)}
    layout = plot_labels.outlier_labels(named, [([-1, 1], [-1, 1])], False, 600)
    low, high = layout["yaxis"]["range"]
    pixel = (high - low) / parts.AREA_HEIGHT
    assert len(layout["annotations"]) == len(points)
    for side in ("left", "right"):
        labels = [label for label in layout["annotations"] if label["xanchor"] == side]
        heights = [label["ay"] for label in labels]
        assert [label["y"] for label in labels] == sorted(label["y"] for label in labels)
        assert all(b - a >= 0.99 * parts.GAP * pixel for a, b in zip(heights, heights[1:], strict=False))
        assert all(low <= height <= high for height in heights)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=10, unique=True))
def test_no_arrow_on_the_axis_runs_through_a_label(values):
    labels = plot_labels.axis_marks(
        {f"L{place}.77": value for place, value in enumerate(values)}, 0.0, 1.0, False
    )
    scale = parts.AREA_WIDTH
    for label in labels:
        width = parts.LETTER * len(label["text"])
        at = label["x"] * scale
        start, end = (at - width, at) if label["xanchor"] == "right" else (at, at + width)
        for other in labels:
            crosses = other is not label and -other["ay"] >= -label["ay"]
            same_half = other["xanchor"] == label["xanchor"]
            assert not (crosses and same_half and start + 1 < other["x"] * scale < end - 1)


def test_histogram_areas_are_one_and_bins_are_shared():
    figure = plots.histogram({"base": [0.0, 1.0, 1.0], "aligned": [3.0, 4.0]}, bins=8, **WORDS).figure
    assert figure.data[0].x == figure.data[1].x
    for trace in figure.data:
        assert sum(np.diff(trace.x) * np.array(trace.y[:-1])) == pytest.approx(1.0, rel=1e-4)
    with pytest.raises(ValueError, match="at least one value"):
        plots.histogram({"base": []}, **WORDS)


def test_log_histogram_counts():
    figure = plots.histogram({"neurons": [0.0] * 9 + [1.0]}, bins=4, log_y=True, **WORDS).figure
    assert [y for y in figure.data[0].y if y >= 1] == [9, 1, 1]
    ground = 10 ** figure.layout.yaxis.range[0]
    assert figure.data[0].y[1] == pytest.approx(ground, rel=1e-4), "an empty bin lies on the ground"


def test_bar_errors_reach_from_low_to_high():
    figure = plots.bar(["W"], {"base": [Interval(0.4, 0.3, 0.6)]}, reference={"DPO": 0.2}, **WORDS).figure
    error = figure.data[0].error_y
    assert (error.array[0], error.arrayminus[0]) == pytest.approx((0.2, 0.1))
    assert figure.layout.shapes[0].y0 == 0.2
    with pytest.raises(ValueError, match="same name"):
        plots.bar(["W", "W"], {"base": [1, 2]}, **WORDS)


def test_names_under_bars_stand_upright_where_their_words_have_room():
    names = ["W, neutral prompts (n = 576)", "random directions, neutral (n = 288)", "base"]
    figure = plots.bar(names, {"base": [1, 2, 3]}, **WORDS).figure
    lines = [name.split("<br>") for name in figure.data[0].x]
    assert [" ".join(name).replace("\u00a0", " ") for name in lines] == names, "no word is lost"
    assert len(lines[1]) == 2 and lines[2] == ["base"] and "(n\u00a0=\u00a0288)" in lines[1][1]
    alone = plots.bar(["a", "b", "c"], {"base": [1, 2, 3]}, **WORDS).figure
    assert figure.layout.height - alone.layout.height == TICK_LINE
    slanted = plots.bar([f"unbreakable{k}" for k in range(12)], {"base": range(12)}, **WORDS).figure
    assert "<br>" not in slanted.data[0].x[0] and slanted.layout.height > alone.layout.height


def test_the_title_of_an_axis_is_no_longer_than_the_axis():
    words = {**WORDS, "y_label": "a share of the base and aligned gap " * 4}
    layout = plots.bar(["a"], {"base": [1]}, **words).figure.layout
    length = layout.height - layout.margin.t - layout.margin.b
    assert all(len(line) * AXIS_LETTER <= length for line in layout.yaxis.title.text.split("<br>"))


def test_on_a_logarithmic_axis_a_line_and_its_name_are_at_one_place():
    drawn = {"log_x": True, "log_y": True, "reference": {"r": 100.0, "0": 0.0}, "limits": {"l": 10.0}}
    layout = plots.line([1, 10, 100], {"base": [1, 10, 100]}, **drawn, **WORDS).figure.layout
    assert [line.y0 for line in layout.shapes] == [100.0, 0] and len(layout.annotations) == 2
    assert [layout.annotations[0].y, layout.annotations[1].x] == [2, 1], "texts count in powers of ten"


def test_heatmap_is_centred_and_keeps_repeated_tokens():
    figure = plots.heatmap([[1.0, -4.0, 2.0]], value_label="v", x_names=[" the", "x", " the"], **WORDS).figure
    trace = figure.data[0]
    assert (trace.zmin, trace.zmax) == (-4.0, 4.0)
    assert figure.layout.xaxis.ticktext == (" the", "x", " the")
    assert plots.heatmap([[1.0, 3.0]], value_label="v", centre=2.0, **WORDS).figure.data[0].zmin == 1.0
    assert plots.heatmap([[1.0]], value_label="v", centre=None, **WORDS).figure.data[0].zmin is None
    with pytest.raises(ValueError, match="rows × columns"):
        plots.heatmap([1.0], value_label="v", **WORDS)


def test_a_cell_without_a_value_does_not_look_like_one_at_the_centre():
    figure = plots.heatmap([[0.0, float("nan"), 1.0]], value_label="v", **WORDS).figure
    at_the_centre = figure.data[0].colorscale[2][1]
    assert figure.layout.plot_bgcolor == NO_VALUE != at_the_centre
    assert plots.heatmap([[0.0, 1.0]], value_label="v", **WORDS).figure.layout.plot_bgcolor != NO_VALUE


def test_at_most_six_kinds_of_figure():
    public = [name for name, thing in vars(plots).items() if re.match(r"[a-z]", name)
              and getattr(thing, "__module__", "") == plots.__name__]  # fmt: skip
    assert set(public) == set(MAKERS)


@pytest.mark.parametrize(("places", "step"), [(range(13), 1), ([0, 5, 40], None), ([0.5, 1.0], None)])
def test_every_whole_number_is_a_tick_only_if_they_are_few(places, step):
    layout = plots.line(list(places), {"a": list(places)}, **WORDS).figure.layout
    assert layout.xaxis.dtick == step
