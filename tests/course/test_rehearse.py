"""A rehearsal may be run in parts: what ran through is kept beside what did before, and shown."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from helpers.course import rehearse
from helpers.profiles import GPT2_MEDIUM, load_profile


def row(minutes: float, *, finished: bool = True) -> dict[str, object]:
    return {"minutes": minutes, "peak_gb": 2.0, "finished": finished}


def test_parts_are_kept_side_by_side_and_what_failed_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(rehearse, "STORED", tmp_path / "rehearsal.json")
    rehearse.keep("gpt2", {"05_dpo": row(9, finished=False)})
    assert not rehearse.STORED.exists() and rehearse.table({}) == "*Not run yet.*"
    rehearse.keep("gpt2", {"05_dpo": row(9), "06_what": row(3)})
    rehearse.keep("gpt2", {"01_probe": row(2), "06_what": row(4), "07_which": row(1, finished=False)})
    rehearse.keep("other", {"01_probe": row(7)})
    stored = json.loads(rehearse.STORED.read_text())
    assert {name: one["minutes"] for name, one in stored["gpt2"]["notebooks"].items()} == {
        "01_probe": 2, "05_dpo": 9, "06_what": 4,
    }  # fmt: skip
    lines = rehearse.table(stored).splitlines()
    assert lines[2] == "| 01 | 2.0 min, 2.0 GB | 7.0 min, 2.0 GB |"
    assert lines[3] == "| 05 | 9.0 min, 2.0 GB | – |"


def test_a_rehearsal_is_the_profile_with_fewest_of_everything_and_pairs_of_any_two_sides(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer_config.json").write_text("{}")  # weights were drawn already
    path = rehearse.prepare(GPT2_MEDIUM, "gpt2-medium", tmp_path)
    profile, fewest = load_profile(path), tomllib.loads(rehearse.FEWEST.read_text())
    assert profile.decoding.method == "sample"
    assert profile.decoding.new_tokens == fewest["decoding"]["new_tokens"]
    assert profile.counts.pairs == fewest["counts"]["pairs"] < GPT2_MEDIUM.counts.pairs
    assert (profile.pair_filter.least_gap, profile.pair_filter.most_chosen) == (0, 1)
    assert profile.batches == GPT2_MEDIUM.batches and profile.dpo.optimiser == GPT2_MEDIUM.dpo.optimiser
