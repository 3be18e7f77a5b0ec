"""The README's picture: the figure is found by its alt text, and a notebook without it is refused."""
import base64

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from helpers.course.cover import MARK, cover


def notebook(alt: str):
    output = new_output("display_data", {"image/png": base64.b64encode(b"picture").decode()},
                        metadata={"image/png": {"alt": alt}})  # fmt: skip
    return new_notebook(cells=[new_code_cell("", outputs=[output])])


def test_the_figure_is_written_and_shown_with_its_alt_text(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shown = cover(notebook(f"{MARK} for some directions."), folder)
    assert (folder / "cover.png").read_bytes() == b"picture"
    assert shown.startswith(f"![{MARK} for some directions.](notebooks/cover.png)")


def test_a_notebook_without_the_figure_is_refused(tmp_path):
    with pytest.raises(ValueError, match=MARK):
        cover(notebook("Another figure."), tmp_path)
    assert not (tmp_path / "cover.png").exists()
