"""A notebook and its source: the same inputs, stable ids, outputs kept only while the code is the same."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_output

from helpers.course.execute import write
from helpers.course.pairing import difference, read_source, update_text

SOURCE = """\
# ---
# jupyter:
#   jupytext:
#     formats: notebooks//ipynb,notebooks/py//py:percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 · A title

# %% tags=["parameters"]
PROFILE = None

# %%
x = 1

# %%
x = 1
"""


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    source, executed = tmp_path / "01_one.py", tmp_path / "01_one.ipynb"
    source.write_text(SOURCE)
    notebook = read_source(source)
    notebook.cells[2].outputs = [new_output("stream", text="kept")]
    write(notebook, executed)
    return source, executed


def test_reading_twice_gives_the_same_notebook(pair: tuple[Path, Path]) -> None:
    first, second = read_source(pair[0]), read_source(pair[0])
    assert first == second
    ids = [cell.id for cell in first.cells]
    assert len(set(ids)) == len(ids) == 4
    nbformat.validate(first)
    assert first.cells[1].metadata.tags == ["parameters"]


def test_a_pair_is_equal_until_one_side_changes(pair: tuple[Path, Path]) -> None:
    source, executed = pair
    assert difference(source, executed) == ""
    source.write_text(SOURCE.replace("A title", "Another title"))
    assert "Another title" in difference(source, executed)
    source.write_text(SOURCE.replace('tags=["parameters"]', ""))
    assert difference(source, executed) != ""


def test_changed_prose_reaches_the_copy_and_keeps_its_outputs(pair: tuple[Path, Path]) -> None:
    source, executed = pair
    assert not update_text(source, executed)
    source.write_text(SOURCE.replace("A title", "Another title"))
    assert update_text(source, executed)
    assert difference(source, executed) == ""
    assert nbformat.read(executed, as_version=4).cells[2].outputs[0].text == "kept"


def test_changed_code_must_be_executed_again(pair: tuple[Path, Path]) -> None:
    source, executed = pair
    for changed in (SOURCE.replace("x = 1", "x = 2", 1), SOURCE + "\n# %%\nx = 3\n"):
        source.write_text(changed)
        with pytest.raises(ValueError, match="make notebooks"):
            update_text(source, executed)
