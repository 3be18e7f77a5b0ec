"""The commands work from any folder and in paths with spaces, and do nothing if the set-up failed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.course.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
TARGETS = {
    "run": "-m helpers.course run",
    "test": "-m pytest -p tests.notebooks.session",
    "lab": "-m jupyterlab notebooks/",
    "notebooks": "-m helpers.course publish",
    "bench": "-m pytest tests/benchmarks",
    "pocket": "-m helpers.pocket.train",
    "constraints": "-m helpers.course constraints",
    "badges": "-m helpers.course badges",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The Makefile over a set-up and a Python that only say what they were asked."""
    folder = tmp_path / "a folder's  copy"
    (folder / "helpers" / "course").mkdir(parents=True)
    (folder / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "helpers" / "course" / "setup.py").write_text(
        "import os; raise SystemExit(int(os.environ.get('BROKEN', 0)))"
    )
    python = folder / ".venv" / "bin" / "python"
    python.write_text(
        '#!/bin/sh\necho "in:$PWD"\necho "from:$LAB_FROM"\necho "profile:$PROFILE"\necho "asked:$*"\n'
    )
    python.chmod(0o755)
    return folder


def make(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess:
    clean = {
        key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "PROFILE"))
    }
    return subprocess.run(["make", *arguments], cwd=cwd, env={**clean, **env}, capture_output=True, text=True)


@pytest.mark.parametrize("target", TARGETS)
def test_each_command_runs_its_module_in_the_projects_folder(
    project: Path, tmp_path: Path, target: str
) -> None:
    said = make("-f", str(project / "Makefile"), target, cwd=tmp_path, PROFILE="gpt2-medium")
    assert said.returncode == 0, said.stderr
    assert f"in:{project}\n" in said.stdout
    assert f"from:{tmp_path}\n" in said.stdout
    assert "profile:gpt2-medium\n" in said.stdout
    assert f"asked:{TARGETS[target]}" in said.stdout


def test_it_works_in_the_folder_and_with_another_folder_named(project: Path, tmp_path: Path) -> None:
    assert f"in:{project}\n" in make("run", cwd=project).stdout
    assert f"in:{project}\n" in make("-C", str(project), "run", cwd=tmp_path).stdout


def test_a_failed_set_up_stops_the_command(project: Path) -> None:
    said = make("run", cwd=project, BROKEN="1")
    assert said.returncode != 0
    assert "asked:" not in said.stdout


def test_a_missing_python_is_named(project: Path) -> None:
    said = make("run", "SYSTEM_PYTHON=no-such-python", cwd=project)
    assert said.returncode != 0
    assert "no-such-python" in said.stderr and "3.11" in said.stderr


def test_help_is_the_default_and_lists_every_command(project: Path) -> None:
    listed = make(cwd=project).stdout
    named = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert named and set(TARGETS) < set(named[1].split())
    for target in named[1].split():
        assert re.search(rf"^  make {target} +\S", listed, re.MULTILINE), (
            f"make help does not explain {target}"
        )


def test_a_wrong_tool_is_answered_with_those_there_are() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "helpers.course", "fly"], cwd=ROOT, capture_output=True, text=True
    )
    assert said.returncode == 2
    assert all(name in said.stderr for name in COMMANDS)


def test_continuous_integration_runs_the_test_command() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("exec make test")
