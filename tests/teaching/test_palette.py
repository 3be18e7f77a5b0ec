"""Colours stay apart for simulated protanopia, deuteranopia and tritanopia, and stand out from the paper."""

import itertools

import numpy as np
import pytest

from helpers.teaching.figures.palette import CONTROL, DIVERGING, INK, PALETTE, PAPER, SEQUENTIAL, styles

# Machado, Oliveira and Fernandes 2009, severity 1, on linear sRGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                            [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def linear(colour: str) -> np.ndarray:
    parts = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def cielab(colour: str, vision: str) -> np.ndarray:
    x = XYZ @ np.clip(VISION[vision] @ linear(colour), 0, 1) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(x > 216 / 24389, np.cbrt(x), (24389 / 27 * x + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((float(XYZ[1] @ linear(colour)) + 0.05 for colour in (one, other)), reverse=True)
    return bright / dark


def test_the_measure_itself_knows_a_bad_pair():
    red, green = cielab("#cc3311", "deuteranopia"), cielab("#668800", "deuteranopia")
    assert np.linalg.norm(red - green) < 25
    assert contrast("#ffffff", "#000000") == pytest.approx(21, abs=0.1)


@pytest.mark.parametrize("vision", VISION)
def test_colours_used_together_stay_apart(vision):
    for one, other in itertools.combinations([*PALETTE, CONTROL], 2):
        assert np.linalg.norm(cielab(one, vision) - cielab(other, vision)) >= 25, (one, other)


@pytest.mark.parametrize("colour", [*PALETTE, CONTROL])
def test_lines_stand_out_from_paper(colour):
    assert contrast(colour, PAPER) >= 3


def test_text_is_readable():
    assert contrast(INK, PAPER) >= 7


@pytest.mark.parametrize("vision", VISION)
def test_diverging_scale_gets_darker_towards_both_ends_and_ends_differ(vision):
    lightness = [cielab(colour, vision)[0] for _, colour in DIVERGING]
    middle = len(lightness) // 2
    assert DIVERGING[middle] == (0.5, "#ffffff")
    assert (
        lightness[:middle] == sorted(lightness[:middle])
        and lightness[middle:] == sorted(lightness[middle:])[::-1]
    )
    assert np.linalg.norm(cielab(DIVERGING[1][1], vision) - cielab(DIVERGING[3][1], vision)) >= 25


@pytest.mark.parametrize("vision", VISION)
def test_sequential_scale_gets_steadily_darker(vision):
    lightness = [cielab(colour, vision)[0] for _, colour in SEQUENTIAL]
    assert lightness == sorted(lightness, reverse=True)


def test_series_differ_in_colour_dash_and_marker():
    chosen = styles(["a", "b", "c", "d", "e"])
    for what in ("colour", "dash", "marker"):
        assert len({getattr(style, what) for style in chosen.values()}) == 5


def test_known_roles_keep_their_look_whatever_stands_beside_them():
    assert styles(["other", "base"])["base"] == styles(["base", "aligned", "strong"])["base"]
    assert styles(["aligned"])["aligned"] == styles(["base", "aligned"])["aligned"]
    assert styles(["probe", "random directions"])["random directions"].colour == CONTROL


def test_two_names_of_one_role_still_differ():
    chosen = styles(["toxic", "aligned"])
    assert chosen["toxic"] != chosen["aligned"]


def test_too_many_series_are_refused():
    with pytest.raises(ValueError, match="too many"):
        styles(list("abcdef"))
