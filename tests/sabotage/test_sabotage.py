"""Each fault of the table, put into a copy of the project, is noticed by the test that the table names."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.sabotage.faults import FAULTS, Fault

ROOT = Path(__file__).resolve().parents[2]
FAILED = pytest.ExitCode.TESTS_FAILED
COPIED = (
    "helpers",
    "tests",
    "notebooks",
    "pyproject.toml",
    "Makefile",
    "requirements.txt",
    "constraints.txt",
)
seconds = itertools.count(int(time.time()) - 1_000_000, 10)
HEAVY = Path("helpers") / "pocket" / "weights"


def rewrite(path: Path, text: str) -> None:
    """Writes a file with a time of its own.

    Compiled code passes for current if its source has the size and the second of writing that it had, as a
    fault that is put in and taken out again well may.
    """
    path.write_text(text, encoding="utf-8")
    when = next(seconds)
    os.utime(path, (when, when))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project to break; the weights are linked."""
    copy = tmp_path_factory.mktemp("sabotage") / "project"
    copy.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", "weights", ".ipynb_checkpoints", "build", ".cache")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=ignore)
        else:
            shutil.copy(source, copy / name)
    if (ROOT / HEAVY).is_dir():
        (copy / HEAVY).symlink_to(ROOT / HEAVY)
    return copy


@pytest.fixture(scope="module")
def run(project: Path) -> Iterator[Callable[[str], tuple[int, str]]]:
    """Runs one test node in the copy; gives pytest's exit status and what it printed."""
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "COV_"))},
        "OMP_NUM_THREADS": "1",
        "TOXICITY_LAB_CACHE": str(project / ".cache"),
        "TOXICITY_LAB_BUILD": str(project / "build"),
    }
    warm = subprocess.Popen(
        [sys.executable, "-m", "tests.sabotage.warm"],
        cwd=project, env=env, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def ask(test: str) -> tuple[int, str]:
        log = project / "test.log"
        assert warm.stdin and warm.stdout
        print(json.dumps({"test": test, "log": str(log)}), file=warm.stdin, flush=True)
        return json.loads(warm.stdout.readline()), log.read_text(encoding="utf-8", errors="replace")

    yield ask
    warm.communicate()


def test_names_are_all_different() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_is_noticed(fault: Fault, project: Path, run: Callable[[str], tuple[int, str]]) -> None:
    path = project / fault.file
    text = path.read_text(encoding="utf-8")
    assert text.count(fault.old) == 1, f"{fault.file} has changed: find another place for this fault"
    rewrite(path, text.replace(fault.old, fault.new))
    try:
        status, said = run(fault.test)
    finally:
        rewrite(path, text)
    assert status != pytest.ExitCode.OK, f"{fault.test} passes although {fault.name}"
    # Anything but a failed test (no such test, a file that cannot be imported) notices for no good reason.
    assert status == FAILED, f"{fault.test} did not fail but ended with status {status}:\n{said[-2000:]}"


def test_a_harmless_change_is_not_noticed(project: Path, run: Callable[[str], tuple[int, str]]) -> None:
    path = project / "helpers" / "intervals.py"
    rewrite(path, path.read_text(encoding="utf-8") + "\n# harmless\n")
    status, said = run("tests/test_intervals.py::test_pairing_removes_what_both_conditions_share")
    assert status == pytest.ExitCode.OK, said


def test_a_test_that_does_not_exist_is_no_success(run: Callable[[str], tuple[int, str]]) -> None:
    status, _ = run("tests/test_intervals.py::test_no_such_thing")
    assert status not in (pytest.ExitCode.OK, FAILED)
