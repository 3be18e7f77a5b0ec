"""A pytest plugin for runs that execute notebooks: one temporary cache for all, and the ledger's comparison.

`make test` loads it with `-p`. Every notebook is executed once, by nbval; afterwards the claims they recorded
are held to `notebooks/claims.json`, by verdict and tolerance. A difference fails the run as a test would.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

STORED = Path(__file__).resolve().parents[2] / "notebooks" / "claims.json"
folder = pytest.StashKey[Path]()
differences = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Before workers start, so that they and the kernels inherit it: private folders, one thread, no bars."""
    if hasattr(config, "workerinput"):
        return
    config.stash[folder] = Path(tempfile.mkdtemp(prefix="toxicity-lab-test-"))
    os.environ.update(
        TOXICITY_LAB_PROFILE="pocket",
        TOXICITY_LAB_CACHE=str(config.stash[folder] / "cache"),
        TOXICITY_LAB_BUILD=str(config.stash[folder] / "build"),
        TOXICITY_LAB_PROGRESS="0",
        OMP_NUM_THREADS="1",  # two workers on two cores: more threads would only wait for each other
        # Pairs are steered on the profile's two threads all the same: waiting for each other, they should sleep.
        OMP_WAIT_POLICY="PASSIVE",
        IPYTHONDIR=str(config.stash[folder] / "ipython"),
    )


def compare_ledgers(claims: Path, stored: Path) -> list[str]:
    """How the claims recorded under `claims` differ from the stored ones of the same notebooks."""
    from helpers.teaching.claims.ledger import compare, merge  # after conftest's import hook is in place

    ran = {path.stem for path in claims.glob("*.json")}
    if not ran:
        return []
    if not stored.is_file():
        return [f"{', '.join(sorted(ran))}: claims, but no notebooks/claims.json: run `make notebooks`"]
    fresh = [row for row in merge(claims) if row["notebook"] in ran]
    kept = [row for row in json.loads(stored.read_text(encoding="utf-8")) if row["notebook"] in ran]
    return compare(fresh, kept)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Compares, where notebooks ran; a difference makes the run fail."""
    config = session.config
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    config.stash[differences] = compare_ledgers(config.stash[folder] / "build" / "claims", STORED)
    if config.stash[differences] and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Shows the differences above the final line."""
    if found := config.stash.get(differences, []):
        terminalreporter.section("claims that differ from notebooks/claims.json", red=True, bold=True)
        for line in found:
            terminalreporter.line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    """The private folders go."""
    if folder in config.stash:
        shutil.rmtree(config.stash[folder], ignore_errors=True)
