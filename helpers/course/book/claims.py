"""The page of all claims: a row each, with filters, and a link to the cell that settles it."""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.course.book.contents import plain
from helpers.course.pages import inline
from helpers.teaching.claims import label, value_text
from helpers.teaching.claims.registry import CLAIMS
from helpers.teaching.claims.table import MARKS, verdict_text

HERE = Path(__file__).parent
Row = Mapping[str, Any]
PAPERS = {"A": "A · Lee et al. 2024", "B": "B · Yang et al. 2024", "N": "N · our own"}


def table(entries: Sequence[Row], anchors: Mapping[str, str]) -> str:
    """The table with its filters, which a script brings to life; without it all rows stand there.

    Args:
        anchors: by claim, the address of the cell that settles it; a claim without one has no link.
    """
    choices = {
        "paper": ("Paper", PAPERS),
        "verdict": ("Verdict", {name: f"{MARKS[name]} {name}" for name in verdicts(entries)}),
        "notebook": ("Settled in", {one: one for one in sorted({_settled_in(row) for row in entries})}),
    }
    selects = "".join(_select(name, *rest) for name, rest in choices.items())
    seen = set[str]()
    rows = "".join(_row(row, anchors, seen) for row in entries)
    return (
        f'<form class="filters" hidden>{selects}<label>Words <input type="search" name="words"></label>'
        '<output aria-live="polite"></output></form>'
        '<table class="claims"><thead><tr><th>claim</th><th>what it says, and its rule</th><th>published</th>'
        "<th>this run</th><th>control</th><th>verdict</th><th>settled in</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def script() -> str:
    """What the filters need."""
    return f"<script>{(HERE / 'claims.js').read_text(encoding='utf-8')}</script>"


def verdicts(entries: Sequence[Row]) -> list[str]:
    """The verdicts that occur, best first."""
    found = {row["verdict"] for row in entries}
    return [name for name in MARKS if name in found]


def counts(entries: Sequence[Row]) -> str:
    """How many of each paper's claims came out how, as a table; each number leads to its rows."""
    heads = verdicts(entries)
    lines = []
    for paper, name in PAPERS.items():
        found = Counter(row["verdict"] for row in entries if row["id"].startswith(paper))
        cells = "".join(f'<td class="num">{found[verdict] or ""}</td>' for verdict in heads)
        if found:
            lines.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    head = "".join(f"<th>{MARKS[verdict]} {verdict}</th>" for verdict in heads)
    body = "".join(lines)
    return f'<table class="counts"><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>'


def _select(name: str, title: str, choices: Mapping[str, str]) -> str:
    options = "".join(f'<option value="{html.escape(key)}">{html.escape(text)}</option>'
                      for key, text in choices.items())  # fmt: skip
    return f'<label>{title} <select name="{name}"><option value="">all</option>{options}</select></label>'


def _settled_in(row: Row) -> str:
    return str(CLAIMS[row["id"]].notebook)


def _row(row: Row, anchors: Mapping[str, str], seen: set[str]) -> str:
    one, where = row["id"], _settled_in(row)
    anchor = "" if one in seen else f' id="{one}"'
    seen.add(one)
    link = f'<a href="{anchors[one]}">{where}, the cell</a>' if one in anchors else html.escape(where)
    control = "" if row["control"] is None else value_text({**row, "value": row["control"],
                                                            "interval": row["control_interval"]})  # fmt: skip
    measured = " ".join(filter(None, [value_text(row), row["unit"] if row["value"] is not None else ""]))
    facts = {"paper": one[0], "verdict": row["verdict"], "notebook": where}
    data = "".join(f' data-{key}="{html.escape(value)}"' for key, value in facts.items())
    return (
        f'<tr{anchor}{data}><th scope="row">{html.escape(label(row))}</th>'
        f"<td>{html.escape(row['statement'])}<details><summary>Rule and control</summary>"
        f"{html.escape(row['rule'])}. <b>Control:</b> {html.escape(CLAIMS[one].control)}</details></td>"
        f'<td data-label="published">{html.escape(row["paper"])}</td>'
        f'<td data-label="this run">{html.escape(measured)}</td>'
        f'<td data-label="control">{html.escape(control)}</td>'
        f'<td class="verdict">{html.escape(verdict_text(row))}</td>'
        f'<td data-label="settled in">{link}</td></tr>'
    )


def documents(entries: Sequence[Row]) -> list[dict[str, str]]:
    """The claims for the search, a document each."""
    first = {row["id"]: row for row in reversed(entries)}
    return [
        {"page": "claims.html", "anchor": one, "title": "Claims", "section": f"{one} · {claim.statement}",
         "text": f"{plain(inline(claim.measured))}. Verdict: {first[one]['verdict']}."}
        for one, claim in CLAIMS.items() if one in first
    ]  # fmt: skip


def as_script(name: str, content: Any) -> str:
    """Data as a script, which a page may load from a folder where it may not read a file."""
    return f"window.{name} = {json.dumps(content, ensure_ascii=False, separators=(',', ':'))};\n"
