"""Rows of the benchmark of PPLM's steps are kept by model and number of steps, and shown in that order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.course import fewer_steps


def row(seconds: float, step_size: float) -> dict[str, object]:
    told = {"usable": "0.5 [0.4, 0.6]", "gap": "0.6 [0.5, 0.7]", "perplexity": "30 [25, 35]"}
    return told | {"seconds": seconds, "step_size": step_size}


def test_rows_are_kept_by_model_and_by_number_of_steps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fewer_steps, "STORED", tmp_path / "pplm_steps.json")
    assert fewer_steps.table({}) == "*Not run yet.*"
    for steps, seconds in ((10, 3.0), (2, 1.0), (10, 4.4)):
        fewer_steps.keep("one", steps, row(seconds, 12 / steps))
    fewer_steps.keep("other", 50, row(9.0, 0.24))
    lines = fewer_steps.table(json.loads(fewer_steps.STORED.read_text())).splitlines()
    assert lines[2:] == [
        "| one | 2 × 6 | 0.5 [0.4, 0.6] | 0.6 [0.5, 0.7] | 30 [25, 35] | 1 |",
        "| one | 10 × 1.2 | 0.5 [0.4, 0.6] | 0.6 [0.5, 0.7] | 30 [25, 35] | 4 |",
        "| other | 50 × 0.24 | 0.5 [0.4, 0.6] | 0.6 [0.5, 0.7] | 30 [25, 35] | 9 |",
    ]
