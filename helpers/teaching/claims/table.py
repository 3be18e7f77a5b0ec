"""The ledger as tables for people, and the comparison of two ledgers by verdict and tolerance."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from helpers.teaching.claims.registry import CLAIMS, find_claim
from helpers.teaching.display.show import Html, grid

Row = dict[str, Any]
GPT2_MEDIUM = "GPT2-medium"
NOT_RUN = "not run"
MARKS = {"agrees": "✓", "direction only": "◐", "not reproduced": "✗", NOT_RUN: "–"}


def label(row: Mapping[str, Any]) -> str:
    """A row's claim with part and policy: "A8 own continuations, matched"."""
    return f"{row['id']} {', '.join(filter(None, [row['part'], row['policy']]))}".strip()


def value_text(row: Mapping[str, Any]) -> str:
    """Value and interval: "0.910 [0.890, 0.930]"."""
    if row["value"] is None:
        return ""
    spread = (
        "" if row["interval"] is None else f" [{number(row['interval'][0])}, {number(row['interval'][1])}]"
    )
    return number(row["value"]) + spread


def number(value: float) -> str:
    """Three decimals, or scientific where they would say nothing."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value + 0.0:.3f}".removesuffix(".000")  # of -0.0 it takes the sign
    return f"{value:.1e}"


def verdict_text(row: Mapping[str, Any]) -> str:
    """The verdict with its sign, and whether the model was bred for the claim: "✓ agrees · bred for"."""
    return f"{MARKS[row['verdict']]} {row['verdict']}{bred_text(row)}"


def bred_text(row: Mapping[str, Any]) -> str:
    """" · bred for" where the choice of the model went by what the claim measures, else ""."""
    return " · bred for" if row.get("bred_for") else ""


def notebook_table(rows: Sequence[Row]) -> Html:
    """What one notebook settles: statement and rule, paper, its measurement with spread, control, verdict."""
    lines = []
    for row in rows:
        measured = "\n".join(filter(None, [value_text(row), row["unit"], row["figure"]]))
        control = "" if row["control"] is None else number(row["control"])
        statement = f"{row['statement']}\nRule: {row['rule']}."
        lines.append([label(row), statement, row["paper"], measured, control, verdict_text(row)])
    models = ", ".join(dict.fromkeys(row["model"] for row in rows))
    headers = [
        "claim",
        "statement and rule",
        "paper (GPT2-medium)",
        f"this run ({models})",
        "control",
        "verdict",
    ]
    return grid(headers, lines, caption="Claims settled here")


def render_table(
    entries: Sequence[Row],
    *,
    models: Sequence[str] | None = None,
    by: Literal["part", "claim"] = "part",
    format: Literal["markdown", "html"] = "markdown",
) -> str:
    """All claims in one table with a column per model; a model nobody ran reads *not run*.

    Args:
        entries: rows of `merge`, of one model or of several together.
        models: the columns; default every model in `entries`, and GPT2-medium.
        by: "part" gives each separately judged number a row, with its value; "claim" counts verdicts.
        format: "markdown" for files, "html" for notebooks.

    Raises:
        ValueError: there are no entries.
    """
    if not entries:
        raise ValueError(
            "There are no entries to render; `merge` of an empty folder still gives all claims as not run."
        )
    if models is None:
        models = list(dict.fromkeys(row["model"] for row in entries if row["model"]))
        models += [GPT2_MEDIUM] * (GPT2_MEDIUM.lower() not in {model.lower() for model in models})
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in entries:
        key: tuple[str, ...] = (row["id"],) if by == "claim" else (row["id"], row["part"], row["policy"])
        groups.setdefault(key, []).append(row)
    lines = []
    for key, rows in groups.items():
        name = rows[0]["id"] if by == "claim" else label(rows[0])
        cells = [
            _cell([row for row in rows if row["model"].lower() == model.lower()], by) for model in models
        ]
        lines.append(
            [name, rows[0]["statement"], _paper(key[0], rows, by), find_claim(key[0]).notebook, *cells]
        )
    headers = ["claim", "what it says", "published", "notebook", *models]
    if format == "markdown":
        lines = [[f"*{cell}*" if cell == NOT_RUN else cell for cell in line] for line in lines]
    return markdown(headers, lines) if format == "markdown" else grid(headers, lines).html


def _paper(claim_id: str, rows: Sequence[Row], by: str) -> str:
    if by == "part":
        return rows[0]["paper"]
    return "; ".join(
        f"{part.name}: {part.paper}" if part.name else part.paper
        for part in CLAIMS[claim_id].parts
        if part.paper not in ("not given", "–")
    )


def _cell(rows: Sequence[Row], by: str) -> str:
    """What one model says of one claim: value and verdict, or the verdicts of its parts counted."""
    verdicts = Counter(row["verdict"] for row in rows)
    if not rows or set(verdicts) == {NOT_RUN}:
        return NOT_RUN
    if by == "part":
        return f"{value_text(rows[0])} {verdict_text(rows[0])}"
    if len(verdicts) == 1:
        return verdict_text(rows[0])
    counted = (f"{sign} {name} ({verdicts[name]})" for name, sign in MARKS.items() if verdicts[name])
    return ", ".join(counted) + next(filter(None, map(bred_text, rows)), "")


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of finished strings."""
    lines = [headers, ["---"] * len(headers), *rows]
    return (
        "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        + "\n"
    )


def compare(
    fresh: Sequence[Row], stored: Sequence[Row], *, relative: float = 0.1, absolute: float = 0.005
) -> list[str]:
    """Where two ledgers of one model disagree, in words; empty when they tell the same story.

    Verdicts and rules must be equal. Values agree when their intervals overlap, or, where one has none,
    within the relative or the absolute tolerance.

    Example: `assert not compare(merge(build / "claims"), json.loads(committed.read_text()))`
    """
    old = {(row["id"], row["part"], row["policy"]): row for row in stored}
    new = {(row["id"], row["part"], row["policy"]): row for row in fresh}
    differences = [
        f"{label(old[key])}: stored, but not in the fresh ledger" for key in old.keys() - new.keys()
    ]
    differences += [f"{label(new[key])}: not in the stored ledger" for key in new.keys() - old.keys()]
    for key in new.keys() & old.keys():
        differences += [
            f"{label(new[key])}: {what}" for what in _differ(new[key], old[key], relative, absolute)
        ]
    return sorted(differences)


def _differ(new: Row, old: Row, relative: float, absolute: float) -> list[str]:
    if new["model"] != old["model"]:
        return [f"the models differ, {new['model']!r} now and {old['model']!r} stored"]
    if new["rule"] != old["rule"]:
        return ["the rule has changed since it was stored"]
    if new["verdict"] != old["verdict"]:
        return [f"{new['verdict']} now ({value_text(new)}), {old['verdict']} stored ({value_text(old)})"]
    if new["value"] is None or old["value"] is None:
        return [] if new["value"] == old["value"] else ["measured in one ledger only"]
    if new["interval"] is not None and old["interval"] is not None:
        (low, high), (old_low, old_high) = new["interval"], old["interval"]
        same = low <= old_high and old_low <= high
    else:
        same = math.isclose(new["value"], old["value"], rel_tol=relative, abs_tol=absolute)
    return [] if same else [f"{value_text(new)} now, {value_text(old)} stored"]
