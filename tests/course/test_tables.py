"""Generated tables and badges go where they belong, once, and leave no trace when there is none."""

import pytest

from helpers.course.series import Heading, heading
from helpers.course.tables import (
    MarkerError,
    between,
    colab_badge,
    notebook_table,
    repository,
    with_badge,
    with_costs,
)
from tests.course.builders import small

ADDRESS = "https://github.com/owner/name"
SOURCE = (
    "# ---\n# jupyter:\n# ---\n\n# %% [markdown]\n# # 01 · A title\n#\n# **Question.** Why?\n\n# %%\nx = 1\n"
)
MARKED = "before\n<!-- t:begin -->\nold\n<!-- t:end -->\nafter\n"


def test_what_stands_between_markers_is_replaced_as_often_as_one_likes() -> None:
    once = between(MARKED, "t", "| a |\n| b |\n")
    assert once == "before\n<!-- t:begin -->\n| a |\n| b |\n<!-- t:end -->\nafter\n"
    assert between(once, "t", "| a |\n| b |\n") == once


def test_in_a_source_every_line_is_a_comment() -> None:
    source = "# <!-- t:begin -->\n# <!-- t:end -->\n"
    assert between(source, "t", "| a |\n\n| b |", prefix="# ") == (
        "# <!-- t:begin -->\n# | a |\n#\n# | b |\n# <!-- t:end -->\n"
    )


@pytest.mark.parametrize("text", ["", "<!-- t:begin -->", MARKED + MARKED, "<!-- t:end --><!-- t:begin -->"])
def test_missing_or_doubled_markers_are_an_error(text: str) -> None:
    with pytest.raises(MarkerError, match="t:begin"):
        between(text, "t", "x")


def test_no_address_no_badge() -> None:
    assert colab_badge("01_one", "") == ""
    assert with_badge(SOURCE, "") == SOURCE


def test_a_badge_comes_after_the_title_changes_and_goes() -> None:
    badge = colab_badge("01_one", ADDRESS)
    assert "colab.research.google.com/github/owner/name/blob/main/notebooks/01_one.ipynb" in badge
    badged = with_badge(SOURCE, badge)
    assert f"# # 01 · A title\n#\n# {badge}\n#\n# **Question.**" in badged
    assert with_badge(badged, badge) == badged
    moved = with_badge(badged, colab_badge("01_one", ADDRESS + "2"))
    assert moved.count("Open in Colab") == 1 and "name2" in moved
    assert with_badge(badged, "") == SOURCE


def test_the_table_links_what_is_there_and_shows_what_was_measured() -> None:
    headings = {"01_one": Heading("One", "Why | how?"), "00_start": Heading("Start", "What?")}
    table = notebook_table(headings, {"01_one": {"minutes": 0.72, "peak_gb": 1.06}}, "", "notebooks/")
    lines = table.splitlines()
    assert lines[2] == "| 00 | [Start](notebooks/00_start.ipynb) | What? | – | – |"
    assert lines[3] == r"| 01 | [One](notebooks/01_one.ipynb) | Why \| how? | 0.7 | 1.1 |"
    assert "Colab" not in table and "Colab" in notebook_table(headings, {}, ADDRESS)


def test_a_notebook_says_what_it_took_and_what_it_would_take() -> None:
    source = "# | you need | how much |\n# |---|---|\n# | time | ages |\n# | memory | lots |\n#\n# More."
    estimated = [("two CPU cores", {"minutes": 909.0, "gb": 11.2}), ("a GPU", {"minutes": 10.0, "gb": 11.2})]
    said = with_costs(source, {"minutes": 11.3, "peak_gb": 2.16}, estimated)
    _, _, time, memory, _, more = said.splitlines()
    assert "`pocket`: 11 min (measured" in time
    assert "15 h 09 on two CPU cores, 10 min on a GPU" in time
    assert memory == "# | memory | `pocket`: 2.2 GB (measured); `gpt2-medium`: 11 GB (estimated) |"
    assert more == "# More." and with_costs(said, {"minutes": 11.3, "peak_gb": 2.16}, estimated) == said
    assert "not measured yet" in (new := with_costs(source, None, [])) and "not estimated yet" in new


def test_a_notebook_says_its_title_and_question() -> None:
    assert heading(small("1"), "01_x") == Heading("A title", "Why is this so?")
    bare = small("1")
    bare.cells[0].source = "no title"
    assert heading(bare, "01_x") == Heading("01_x", "")


def test_the_address_stands_in_one_place() -> None:
    assert repository() == "" or repository().startswith("https://")
