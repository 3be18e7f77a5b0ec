"""The README's picture: shown with its alternative text and date where both its files are there."""

import json

from helpers.course.cover import ALT, cover


def test_the_picture_is_shown_with_the_date_of_its_check(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "explorer.json").write_text(json.dumps({"date": "2031-02-03"}))
    assert cover(folder) == "", "a result without its picture"
    (folder / "explorer.png").write_bytes(b"picture")
    shown = cover(folder)
    assert shown.startswith(f"![{ALT}](notebooks/explorer.png)") and "2031-02-03" in shown
    assert "(notebooks/explorer.json)" in shown
