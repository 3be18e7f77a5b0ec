"""Puts generated tables and badges into Markdown and notebook sources, between markers or after the title."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.artifacts import write_whole
from helpers.course.rates import clock
from helpers.course.series import ROOT, Heading

BADGE = re.compile(r"^(?:# )?\[!\[Open in Colab\].*\n(?:#?\n)?", re.MULTILINE)
BADGE_IMAGE = "https://colab.research.google.com/assets/colab-badge.svg"


class MarkerError(ValueError):
    """A text that lacks the pair of markers between which something belongs."""


def between(text: str, name: str, body: str, prefix: str = "") -> str:
    r"""Replaces what stands between `<!-- name:begin -->` and `<!-- name:end -->`.

    Args:
        prefix: stands before every line ("# " in a notebook's source).

    Raises:
        MarkerError: the markers are not there exactly once, in this order.

    Example: `between("<!-- a:begin -->\n<!-- a:end -->", "a", "new")`
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise MarkerError(f"{begin} and {end} must stand in the text once each, in this order")
    head, tail = text.split(begin)[0], text.split(end)[1]
    lines = "".join(f"{prefix}{line}".rstrip() + "\n" for line in body.strip().splitlines())
    return f"{head}{begin}\n{lines}{prefix}{end}{tail}"


def repository() -> str:
    """The project's public address, from pyproject.toml; "" until it is known."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return settings["tool"]["toxicity-lab"]["repository"].rstrip("/")


def colab_badge(name: str, address: str) -> str:
    """A badge that opens one notebook in Colab; "" while the address is unknown.

    Example: `colab_badge("00_start_here", "https://github.com/owner/name")`
    """
    if not address:
        return ""
    target = address.replace("https://github.com/", "https://colab.research.google.com/github/")
    return f"[![Open in Colab]({BADGE_IMAGE})]({target}/blob/main/notebooks/{name}.ipynb)"


def with_badge(source: str, badge: str) -> str:
    """A notebook's source with this badge after the title, in place of any earlier one; "" removes it."""
    bare = BADGE.sub("", source, count=1)
    if not badge:
        return bare
    return re.sub(r"^(# # .+\n#\n)", rf"\g<1># {badge}\n#\n", bare, count=1, flags=re.MULTILINE)


def notebook_table(
    headings: Mapping[str, Heading], timings: Mapping[str, Mapping[str, Any]], address: str, folder: str = ""
) -> str:
    """The notebooks as a Markdown table: number, linked title, question, measured minutes and memory, badges.

    Args:
        folder: where the notebooks lie, seen from the file that the table goes into ("notebooks/", or "").
    """
    columns = ["", "notebook", "question", "minutes", "GB"] + ["Colab"] * bool(address)
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for name in sorted(headings):
        said, row = headings[name], timings.get(name)
        cells = [
            name[:2],
            f"[{said.title}]({folder}{name}.ipynb)",
            said.question,
            f"{row['minutes']:.1f}" if row else "–",
            f"{row['peak_gb']:.1f}" if row else "–",
        ]
        cells += [colab_badge(name, address)] * bool(address)
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines)


def with_costs(
    source: str, measured: Mapping[str, Any] | None, estimated: Sequence[tuple[str, Mapping[str, Any]]]
) -> str:
    """A notebook's source whose rows of time and memory say what it took, and what GPT2-medium's would take.

    Args:
        measured: minutes and peak GB on `pocket`; None where it was not measured yet.
        estimated: names of machines, and the minutes and GB that the estimate gives each.
    """
    time, memory = "not measured yet", "not measured yet"
    if measured:
        time = f"{clock(60 * measured['minutes'])} (measured; the start panel says on what)"
        memory = f"{measured['peak_gb']:.1f} GB (measured)"
    their_time, their_memory = "not estimated yet", "not estimated yet"
    if estimated:
        spans = ", ".join(f"{clock(60 * row['minutes'])} on {machine}" for machine, row in estimated)
        their_time = f"{spans} (estimated; README shows the arithmetic)"
        their_memory = f"{max(row['gb'] for _, row in estimated):.0f} GB (estimated)"
    rows = {
        "time": f"in a run of all notebooks, `pocket`: {time}; `gpt2-medium`: {their_time}",
        "memory": f"`pocket`: {memory}; `gpt2-medium`: {their_memory}",
    }
    for name, said in rows.items():
        source = re.sub(rf"^# \| {name} \| .*$", f"# | {name} | {said} |", source, flags=re.MULTILINE)
    return source


def rewrite(path: Path, text: str) -> bool:
    """Writes a file only where its content changes; says whether it did."""
    if path.is_file() and path.read_text(encoding="utf-8", errors="replace") == text:
        return False
    write_whole(path, text)
    return True
