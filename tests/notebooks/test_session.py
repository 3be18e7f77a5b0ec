"""A fresh ledger that differs from the stored one fails the run."""

import json
import os
import subprocess
import sys
from pathlib import Path

from helpers.teaching.claims.ledger import Ledger, Measurement, merge
from helpers.teaching.claims.registry import find_claim
from tests.notebooks.session import compare_ledgers

ROOT = Path(__file__).resolve().parents[2]
DRIFTED = """
def test_records():
    import os, pathlib
    from tests.notebooks.test_session import record
    record(pathlib.Path(os.environ["TOXICITY_LAB_BUILD"]) / "claims", 0.5)
"""


def record(folder: Path, value: float) -> None:
    """A fragment of notebook 01 with one claim."""
    details = {key: 0.5 for key in find_claim("A1").part("as found").rule.needs}
    around = (value - 0.01, value + 0.01)
    measured = Measurement(value, around, control=0.5, control_interval=(0.4, 0.6), details=details)
    Ledger(folder, "01_toxicity_probe", "no such model").record("A1", measured, part="as found")


def test_no_notebook_ran_nothing_to_compare(tmp_path: Path) -> None:
    assert compare_ledgers(tmp_path, tmp_path / "claims.json") == []


def test_the_same_story_passes_and_another_is_told(tmp_path: Path) -> None:
    record(tmp_path / "fresh", 0.9)
    rows = merge(tmp_path / "fresh")
    elsewhere = {**next(row for row in rows if row["value"] is not None), "notebook": "02_other", "id": "A2"}
    stored = tmp_path / "claims.json"
    stored.write_text(json.dumps([*rows, elsewhere]))
    assert compare_ledgers(tmp_path / "fresh", stored) == [], "what other notebooks stored does not count"
    record(tmp_path / "fresh", 0.6)
    assert any("A1 as found" in line for line in compare_ledgers(tmp_path / "fresh", stored))


def test_claims_without_a_stored_ledger_are_told(tmp_path: Path) -> None:
    record(tmp_path / "fresh", 0.9)
    assert "make notebooks" in compare_ledgers(tmp_path / "fresh", tmp_path / "none.json")[0]


def test_a_difference_fails_the_run_in_private_folders(tmp_path: Path) -> None:
    (tmp_path / "test_drift.py").write_text(DRIFTED)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.notebooks.session",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*command, f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml"), str(tmp_path / "test_drift.py")],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 passed" in done.stdout and "claims that differ" in done.stdout
    assert not list(tmp_path.glob("toxicity-lab-test-*")), "the private folders are removed"
