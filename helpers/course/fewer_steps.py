"""What fewer PPLM steps cost, as README shows it; `tests/benchmarks/test_pplm_iterations.py` measures it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from helpers.artifacts import write_json
from helpers.course.series import NOTEBOOKS

STORED = NOTEBOOKS / "pplm_steps.json"
"""What README's table is rendered from."""


def keep(model: str, iterations: int, row: Mapping[str, Any]) -> None:
    """Adds a row, or replaces it, to what README's table is rendered from."""
    stored = json.loads(STORED.read_text(encoding="utf-8")) if STORED.is_file() else {}
    rows = {int(name): kept for name, kept in stored.get(model, {}).items()} | {iterations: dict(row)}
    stored[model] = {str(name): rows[name] for name in sorted(rows)}
    write_json(STORED, dict(sorted(stored.items())))


def table(stored: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Usable pairs, gap and fluency by number of steps, a block of rows for each model, as Markdown.

    A row of 0 steps is the plain side: what the steered side's perplexity is to be read against.
    """
    if not stored:
        return "*Not run yet.*"
    heads = "model", "steps × size", "usable", "gap in score", "perplexity"
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "--:|" * (len(heads) - 1)]
    for model, rows in stored.items():
        for name, row in rows.items():
            steps = f"{name} × {row['step_size']:.3g}" if int(name) else "0 (plain side)"
            cells = [model, steps, *(row.get(key, "–") for key in ("usable", "gap", "perplexity"))]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
