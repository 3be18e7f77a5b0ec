"""Rows of the benchmark of PPLM's steps are kept by model and number of steps, and shown in that order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.course import fewer_steps


def row(usable: str, step_size: float) -> dict[str, object]:
    return {"usable": usable, "gap": "0.6 [0.5, 0.7]", "perplexity": "30 [25, 35]", "step_size": step_size}


def test_rows_are_kept_by_model_and_by_number_of_steps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fewer_steps, "STORED", tmp_path / "pplm_steps.json")
    assert fewer_steps.table({}) == "*Not run yet.*"
    fewer_steps.keep("other", 50, row("0.9", 0.24))
    for steps, usable in ((10, "0.3"), (2, "0.1"), (10, "0.4")):
        fewer_steps.keep("one", steps, row(usable, 12 / steps))
    fewer_steps.keep("one", 0, {"perplexity": "20 [15, 25]"})
    lines = fewer_steps.table(json.loads(fewer_steps.STORED.read_text())).splitlines()
    assert lines[2:] == [
        "| one | 0 (plain side) | – | – | 20 [15, 25] |",
        "| one | 2 × 6 | 0.1 | 0.6 [0.5, 0.7] | 30 [25, 35] |",
        "| one | 10 × 1.2 | 0.4 | 0.6 [0.5, 0.7] | 30 [25, 35] |",
        "| other | 50 × 0.24 | 0.9 | 0.6 [0.5, 0.7] | 30 [25, 35] |",
    ]
