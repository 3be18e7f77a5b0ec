"""Equal ingredients give equal fingerprints, different ones do not, unknown ones are refused by name."""
import math
import os
from enum import StrEnum
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from helpers.artifacts.fingerprint import fingerprint

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
names = st.sampled_from("abc")
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
)


def typed(value):
    """A value with its types spelled out, so that 1, 1.0 and True differ; the slow obvious comparison."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value).__name__, repr(value)


@settings(max_examples=200, deadline=None)
@given(values, values)
def test_equal_exactly_when_the_ingredients_are(first, second):
    assert (fingerprint({"x": first}) == fingerprint({"x": second})) == (typed(first) == typed(second))


def test_order_of_keys_does_not_count_but_nesting_does():
    assert fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == fingerprint({"b": {"d": 3, "c": 2}, "a": 1})
    assert fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) != fingerprint({"a": 1, "b": {"c": 2}, "d": 3})


def test_is_the_same_on_every_machine_and_day():
    assert fingerprint({"seed": 0, "layers": (1, 2), "rate": 0.1}) == "8b10b13a382ef273b4e2e63b6bf3ba55"


def test_floats_keep_their_last_bit_and_their_oddities():
    assert fingerprint({"x": 0.1}) != fingerprint({"x": math.nextafter(0.1, 1)})
    assert fingerprint({"x": math.nan}) == fingerprint({"x": math.nan}) != fingerprint({"x": math.inf})


class TestTensors:
    def test_dtype_shape_and_every_value_count(self):
        zeros = torch.zeros(2, 3)
        one_off = zeros.clone()
        one_off[1, 2] = 1e-30
        different = [zeros, one_off, -zeros, zeros.reshape(3, 2), zeros.reshape(6)]
        different += [zeros.to(dtype) for dtype in (torch.float64, torch.bfloat16, torch.bool, torch.int32)]
        assert len({fingerprint({"x": tensor}) for tensor in different}) == len(different)

    def test_memory_layout_and_gradients_do_not(self):
        tensor = torch.arange(6.0).reshape(2, 3)
        assert fingerprint({"x": tensor}) == fingerprint({"x": tensor.T.contiguous().T.requires_grad_()})

    def test_scalars_and_empty_ones_are_taken(self):
        assert fingerprint({"x": torch.tensor(1.0)}) != fingerprint({"x": torch.zeros(0)})


class TestPaths:
    def test_a_file_counts_by_content_not_by_name(self, tmp_path):
        first, second = tmp_path / "a.txt", tmp_path / "b.txt"
        first.write_text("same")
        second.write_text("same")
        assert fingerprint({"x": first}) == fingerprint({"x": second})
        second.write_text("sane")
        assert fingerprint({"x": first}) != fingerprint({"x": second})

    def test_a_change_is_noticed_after_the_content_was_remembered(self, tmp_path):
        file = tmp_path / "a.txt"
        for text in ("one", "two"):
            file.write_text(text)
            os.utime(file, (1, 1))  # long unchanged, so remembered; same size and time stamp both times
            assert fingerprint({"x": file}) == fingerprint({"x": file})
        other = tmp_path / "b.txt"
        other.write_text("two")
        assert fingerprint({"x": file}) == fingerprint({"x": other})

    def test_a_folder_counts_by_its_files_and_their_names(self, tmp_path):
        prints = set()
        for name, files in {"1": {"a": "x"}, "2": {"b": "x"}, "3": {"a": "y"}, "4": {"s/a": "x"}}.items():
            for file, text in files.items():
                (tmp_path / name / file).parent.mkdir(parents=True)
                (tmp_path / name / file).write_text(text)
            prints.add(fingerprint({"x": tmp_path / name}))
        assert len(prints) == 4

    def test_missing_is_an_error_that_names_it(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"ingredients\['data'\]\[0\].*absent"):
            fingerprint({"data": [tmp_path / "absent"]})


class TestModels:
    def test_count_by_name_and_fields_with_paths_by_content(self, tmp_path):
        class Settings(BaseModel):
            rate: float
            file: Path | None = None

        class Other(BaseModel):
            rate: float
            file: Path | None = None

        (tmp_path / "a").write_text("x")
        (tmp_path / "b").write_text("x")
        assert fingerprint({"s": Settings(rate=1)}) == fingerprint({"s": Settings(rate=1.0)})
        assert fingerprint({"s": Settings(rate=1)}) != fingerprint({"s": Other(rate=1)})
        assert fingerprint({"s": Settings(rate=1)}) != fingerprint({"s": Settings(rate=2)})
        assert fingerprint({"s": Settings(rate=1, file=tmp_path / "a")}) == fingerprint(
            {"s": Settings(rate=1, file=tmp_path / "b")}
        )

    def test_a_string_enum_counts_as_its_string(self):
        class Mode(StrEnum):
            SWEEP = "sweep"

        assert fingerprint({"mode": Mode.SWEEP}) == fingerprint({"mode": "sweep"})


@pytest.mark.parametrize("value", [{1, 2}, object(), torch.float32, b"bytes", lambda: None])
def test_unknown_types_are_refused_by_name(value):
    with pytest.raises(TypeError, match=rf"ingredients\['a'\]\[1\].*{type(value).__name__}.*known are"):
        fingerprint({"a": [0, value]})


@pytest.mark.parametrize("key", [1, None, "$tensor"])
def test_keys_that_could_be_mistaken_are_refused(key):
    with pytest.raises(TypeError, match="key"):
        fingerprint({"a": {key: 1}})
