"""Padding: rows become a rectangle, and the mask alone says what is real."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.language.tokens import pad, with_room

ROWS = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=5)


@given(rows=ROWS, padding=st.integers(0, 9), side=st.sampled_from(["left", "right"]), room=st.integers(0, 3))
def test_the_mask_finds_the_rows_again_on_the_side_asked_for(rows, padding, side, room):
    width = max(len(row) for row in rows) + room
    tokens = pad(rows, padding, side=side, width=width)
    assert tokens.ids.shape == tokens.mask.shape == (len(rows), width)
    assert [ids[mask].tolist() for ids, mask in zip(tokens.ids, tokens.mask, strict=True)] == rows
    assert (tokens.ids[~tokens.mask] == padding).all()
    assert tokens.mask[:, -1 if side == "left" else 0].all()
    places = [place[mask].tolist() for place, mask in zip(tokens.place, tokens.mask, strict=True)]
    assert places == [list(range(len(row))) for row in rows]


def test_rows_may_be_tensors_and_the_longest_gives_the_width():
    tokens = pad([torch.tensor([4, 5]), torch.tensor([6])], 0)
    assert tokens.ids.tolist() == [[4, 5], [6, 0]] and tokens.ids.dtype == torch.long


def test_room_is_real_and_goes_on_counting():
    grown = with_room(pad([[4, 5], [6]], 0, side="left"), 2)
    assert grown.mask.tolist() == [[True] * 4, [False, True, True, True]]
    assert grown.place.tolist() == [[0, 1, 2, 3], [0, 0, 1, 2]]


def test_what_cannot_be_padded_is_refused():
    with pytest.raises(ValueError, match="left"):
        pad([[1]], 0, side="middle")
    with pytest.raises(ValueError, match="3 tokens, which do not fit a width of 2"):
        pad([[1], [1, 2, 3]], 0, width=2)
