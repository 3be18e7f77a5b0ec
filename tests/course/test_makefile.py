"""The commands work from any folder and in paths with spaces, and do nothing if the set-up failed."""

import ast
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
    "estimate": "-m helpers.course estimate",
    "rehearse": "-m helpers.course rehearse",
    "test": "-m pytest -p tests.notebooks.session",
    "lab": "-m jupyterlab notebooks/",
    "book": "-m helpers.course book",
    "figures": "-m helpers.course figures",
    "pdf": "-m helpers.course pdf",
    "bundle": "-m helpers.course bundle",
    "notebooks": "-m helpers.course notebooks",
    "browser": "-m helpers.course browser",
    "editions": "-m helpers.course editions",
    "bench": "-m pytest tests/benchmarks",
    "pocket": "-m helpers.pocket.train",
    "replicate": "-m helpers.course replicate",
    "constraints": "-m helpers.course constraints",
    "badges": "-m helpers.course badges",
}

SET_UP = """
import os
os.geteuid = lambda: int(os.environ.get("AS_USER", 1000))
ROOT = os.getcwd()
VENV = os.path.join(ROOT, ".venv")
main = lambda: int(os.environ.get("BROKEN", 0))
venv_python = lambda venv: os.path.join(venv, "bin", "python")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The Makefile over a set-up and a Python that only say what they were asked."""
    folder = tmp_path / "a folder's  copy"
    (folder / "helpers" / "course").mkdir(parents=True)
    (folder / ".venv" / "bin").mkdir(parents=True)
    course = [f"helpers/course/{name}.py" for name in ("__init__", "__main__")]
    for name in ("Makefile", "helpers/__init__.py", *course):
        shutil.copy(ROOT / name, folder / name)
    (folder / "helpers" / "course" / "setup.py").write_text(SET_UP)
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


def test_as_root_the_lab_says_what_to_add(project: Path) -> None:
    said = make("lab", cwd=project, AS_USER="0")
    assert said.returncode != 0 and "LAB_ARGS=--allow-root make lab" in said.stderr
    said = make("lab", cwd=project, AS_USER="0", LAB_ARGS="--allow-root")
    assert said.stdout.endswith(" --allow-root\n"), said.stderr


def test_a_python_in_a_folder_with_spaces_is_used(project: Path, tmp_path: Path) -> None:
    python = tmp_path / "my  python's" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "mine:$*"\n')
    python.chmod(0o755)
    assert "mine:-B -m helpers.course run\n" in make("run", cwd=project, PYTHON=str(python)).stdout
    assert "mine:-B -m helpers.course run\n" in make("run", f"PYTHON={python}", cwd=project).stdout


@pytest.mark.parametrize(
    "planted", ["$(touch {0})", "`touch {0}`", "; touch {0}", "$(shell touch {0})", "'\"; touch {0}"]
)
@pytest.mark.parametrize("variable", ["PYTHON", "SYSTEM_PYTHON", "ONLY", "PROFILE"])
def test_nothing_in_the_environment_is_run(
    project: Path, tmp_path: Path, variable: str, planted: str
) -> None:
    mark = tmp_path / "planted"
    make("run", cwd=project, **{variable: planted.format(mark)})
    assert not mark.exists()


@pytest.mark.parametrize("folder", ["$(touch planted)", "`touch planted`", "a; touch planted"])
def test_nothing_in_a_path_is_run(project: Path, tmp_path: Path, folder: str) -> None:
    moved = project.rename(tmp_path / folder)
    said = make("-f", str(moved / "Makefile"), "run", cwd=tmp_path)
    assert f"in:{moved}\n" in said.stdout, said.stderr
    assert not list(tmp_path.rglob("planted"))


def test_help_is_the_default_and_lists_every_command(project: Path) -> None:
    listed = make(cwd=project).stdout
    rule = re.search(r"^(help .+):$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert rule and set(rule[1].split()) == {"help", *COMMANDS} == {"help", "setup", *TARGETS}
    for target in COMMANDS:
        assert re.search(rf"^  make {target} +\S", listed, re.MULTILINE)


@pytest.mark.parametrize("target", TARGETS)
def test_without_make_a_bare_python_does_the_same(project: Path, target: str) -> None:
    command = [sys.executable, "-I", "-c", "import sys, runpy; sys.path.insert(0, '.'); sys.argv[1:] = "]
    command[-1] += f"[{target!r}, '-k', 'one two']; runpy.run_module('helpers.course', run_name='__main__')"
    env = {key: value for key, value in os.environ.items() if key != "LAB_FROM"}
    said = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)
    assert f"asked:{TARGETS[target]}" in said.stdout and said.stdout.endswith(" -k one two\n"), said.stderr
    assert f"from:{project}\n" in said.stdout


def test_arguments_for_the_tests_may_stand_in_a_variable(project: Path) -> None:
    assert " -k one\n" in make("test", "TEST_ARGS=-k 'one'", cwd=project).stdout


def test_old_pythons_can_read_it_and_it_needs_nothing_installed() -> None:
    tree = ast.parse((ROOT / "helpers/course/__main__.py").read_text(), feature_version=(3, 6))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    ours = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imported <= set(sys.stdlib_module_names) and ours == ["helpers.course"]


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
