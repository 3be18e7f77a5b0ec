"""Text display: masked across token borders, escaped, numbered, legible without styles and on dark pages."""

import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.teaching.display import show
from helpers.teaching.display.display import Display

SWEAR = "".join(map(chr, (115, 104, 105, 116)))  # one word of the masked list, not spelled here
MASKED = SWEAR[0] + "***"


def text_of(page: str) -> str:
    return re.sub(r"<[^>]*>", "", page)


def tokens(strings, values, *, unmask=False, caption="c", value_label="v", **more):
    return Display(unmask).tokens(strings, values, caption=caption, value_label=value_label, **more)


def table(rows, *, unmask=False, caption="c"):
    return Display(unmask).table(rows, caption=caption)


def test_a_word_spread_over_tokens_is_masked_where_it_stands():
    shown = tokens([" oh", f" {SWEAR[:2]}", SWEAR[2:], " no"], [0, 0, 0, 0])
    assert f" oh {SWEAR[0]}*** no" in text_of(shown.html) and f" oh {SWEAR[0]}*** no" in repr(shown)
    assert SWEAR in text_of(tokens([f" {SWEAR[:2]}", SWEAR[2:]], [0, 0], unmask=True).html)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.sampled_from(f"{SWEAR} aé,."), min_size=1, max_size=4), min_size=1, max_size=8))
def test_masking_keeps_tokens_their_lengths_and_hides_the_word(strings):
    masked = show.mask_tokens(strings)
    assert len(masked) == len(strings)
    assert not re.search(rf"\b{SWEAR}\b", "".join(masked))


def test_clean_tokens_are_left_alone():
    strings = ["Ġthe", " Sc", "unthorpe", "\n"]
    assert show.mask_tokens(strings) == [" the", " Sc", "unthorpe", "\n"]


@pytest.mark.parametrize(
    ("token", "seen"),
    [("Ġthe", " the"), ("Ċ", "↵"), ("\n\n", "↵↵"), ("\t", "⇥"), ("   ", "␣␣␣"), (" ", "␣"), ("🙂", "🙂"),
     ("\ufffd", "\ufffd"), ("\x00", "\ufffd"), ("é", "é"), ("", ""), ("<|endoftext|>", "<|endoftext|>")],
)  # fmt: skip
def test_white_space_and_strange_characters_are_visible(token, seen):
    assert show.visible(token) == seen


def test_tokens_are_escaped_and_cannot_start_an_equation():
    page = tokens(["<|endoftext|>", " $x$", "<b>"], [1, 2, 3], caption="a < b", value_label="it's").html
    assert (
        "&lt;|endoftext|&gt;" in page and "&lt;b&gt;" in page and "a &lt; b" in page and "it&#x27;s" in page
    )
    assert "$x$" not in page


def test_strongest_tokens_carry_their_number_as_text():
    shown = tokens(list("abcdefgh"), [0.1, -3.0, 2.0, 0.0, 1, 1, 1, 1])
    text = text_of(shown.html)
    assert "b\N{THIN SPACE}-3" in text and "c\N{THIN SPACE}+2" in text and "+0.1" not in text
    assert "b[-3]" in repr(shown)


def test_colour_follows_sign_and_scale_and_text_keeps_its_own_colour():
    def ground(value, **kw):
        found = re.findall(
            r"background:rgb\((\d+),(\d+),(\d+)\);color:#1a1a1a", tokens(["x"], [value], **kw).html
        )
        return tuple(map(int, found[0]))

    red, _, blue = ground(1.0)
    assert red > blue
    red, _, blue = ground(-1.0)
    assert blue > red
    assert ground(0.0) == (255, 255, 255)
    assert (
        ground(1.0, scale=2.0) > ground(1.0, scale=1.0)
        or ground(1.0, scale=2.0)[2] > ground(1.0, scale=1.0)[2]
    )
    assert ground(5.0, scale=1.0) == ground(1.0, scale=1.0)


def test_tokens_refuse_what_cannot_be_drawn():
    with pytest.raises(ValueError, match="2 tokens but 1 values"):
        tokens(["a", "b"], [1.0])
    with pytest.raises(ValueError, match="not finite"):
        tokens(["a"], [float("nan")])


def test_table_masks_formats_and_aligns():
    shown = table(
        [
            {"word": SWEAR, "score": 0.123456, "n": 98304, "note": None},
            {"word": "idiot", "score": 12345.6, "n": 1},
        ],
        caption=f"say {SWEAR}",
    )
    page = shown._repr_html_()
    assert SWEAR not in page + repr(shown) and MASKED in page and "idiot" in page
    assert (
        "<td align='right'>0.123</td>" in page and "12,346" in page and "98,304" in page and "nan" not in page
    )
    assert "style=" not in page and page.count("<tr>") == 3
    assert SWEAR in table([{"word": SWEAR}], unmask=True).html


def test_table_takes_a_frame_with_its_index():
    frame = pd.DataFrame({"cosine": [0.5, 0.25]}, index=pd.Index(["L1.2", "L3.4"], name="neuron"))
    assert repr(table(frame)).splitlines()[1:] == ["neuron  cosine", "L1.2       0.5", "L3.4      0.25"]
    with pytest.raises(ValueError, match="no rows"):
        table([])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (True, "True"), (None, ""), (float("nan"), ""), (1234567, "1,234,567"), (1e-5, "1e-05"),
     ("a", "a"), (999.96, "1,000"), (-4321.0, "-4,321")],
)  # fmt: skip
def test_numbers_as_text(value, text):
    assert show.number_text(value) == text


def test_text_grid_sets_masked_texts_side_by_side():
    shown = Display().side_by_side(
        {"base": [f"you {SWEAR}\nbye"], "aligned": ["thanks"]}, labels=["Hello"], caption="c"
    )
    assert f"you {MASKED}↵bye" in shown.html and shown.html.count("<th") == 1 + 3
    with pytest.raises(ValueError, match="equal length"):
        Display().side_by_side({"base": ["a", "b"], "aligned": ["c"]}, caption="c")


def test_quote():
    assert Display().quote(f"{SWEAR} & co").html == f"<blockquote>{MASKED} &amp; co</blockquote>"
    assert repr(Display().quote("a\nb")) == "> a\n> b"


def test_intervals_break_before_the_bracket_only():
    shown = table([{"a": "0.58 [-0.54, 6e-05]", "b": "[one, two]"}])
    assert "0.58 [-0.54,\N{NO-BREAK SPACE}6e-05]" in shown.html and "[one, two]" in shown.html
    assert "0.58 [-0.54, 6e-05]" in shown.text
