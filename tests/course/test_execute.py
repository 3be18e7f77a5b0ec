"""Executing a notebook: in this interpreter, measured, with failures and interrupts reported."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from helpers.course.execute import STOPS, Execution, Interrupted, Outcome, execute, execute_all, write
from tests.course.builders import small

ROOT = Path(__file__).resolve().parents[2]


def printed(notebook: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))


def test_it_runs_in_this_interpreter_and_is_measured(tmp_path: Path) -> None:
    notebook = small(
        "import os, sys; print(sys.executable, os.getcwd(), os.environ['MARK'], sep='\\n')",
        "import time; x = b'x' * 250_000_000; time.sleep(0.5)",
    )
    seen = []
    outcome = execute(
        notebook, tmp_path, {**os.environ, "MARK": "here"}, lambda at, of: seen.append((at, of))
    )
    assert outcome.failure is None
    assert printed(notebook).splitlines() == [sys.executable, str(tmp_path), "here"]
    assert seen == [(1, 2), (2, 2)]
    assert outcome.seconds > 0 and outcome.peak_gb > 0.2
    assert all("execution" not in cell.metadata for cell in notebook.cells)


@pytest.mark.parametrize("pictures", [False, True])
def test_a_kernel_takes_its_leave_only_where_it_draws_pictures(tmp_path: Path, pictures: bool) -> None:
    notebook = small("import atexit, pathlib; _ = atexit.register(pathlib.Path('left').touch)")
    env = {**os.environ, "TOXICITY_LAB_PNG": str(int(pictures))}
    assert execute(notebook, tmp_path, env).failure is None
    assert (tmp_path / "left").exists() == pictures


def test_a_failing_cell_ends_the_notebook_and_is_named(tmp_path: Path) -> None:
    notebook = small("print('kept')", "def f():\n    return 1/0\nf()", "print('never')")
    failure = execute(notebook, tmp_path, os.environ).failure
    assert failure and failure.cell == 2 and failure.source.startswith("def f()")
    assert "ZeroDivisionError" in failure.error and "\x1b" not in failure.error
    assert printed(notebook) == "kept\n"


def test_a_dying_kernel_is_a_failure_too(tmp_path: Path) -> None:
    failure = execute(
        small("1", "import os; os.write(2, b'last words'); os._exit(1)"), tmp_path, os.environ
    ).failure
    assert failure and failure.cell == 2 and "memory" in failure.error and "last words" in failure.error


@pytest.mark.parametrize("stop", STOPS)
def test_an_interrupt_ends_the_kernel_and_keeps_what_was_done(
    tmp_path: Path, capfd: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture, stop: int
) -> None:
    before = signal.getsignal(stop)
    notebook = small("import os; print(os.getpid(), flush=True)", "import time; time.sleep(60)")

    def interrupt(at: int, of: int) -> None:
        if at == 2:
            signal.raise_signal(stop)

    with pytest.raises(Interrupted) as stopped:
        execute(notebook, tmp_path, os.environ, interrupt)
    assert capfd.readouterr().err == "" and caplog.text == ""
    kernel = int(printed(stopped.value.outcomes[0].notebook))
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)
    assert signal.getsignal(stop) is before


def told(folder: Path, name: str, *others: str) -> str:
    """A cell that says it is there, and waits until the others have said so too."""
    return (
        f"import time; from pathlib import Path; Path({str(folder / name)!r}).touch()\n"
        f"while not all(Path({str(folder)!r}, other).exists() for other in {others!r}): time.sleep(0.05)"
    )


def test_several_run_side_by_side_and_the_next_begins_when_one_is_done(tmp_path: Path) -> None:
    """One and two end only if both run at once; three waits for a turn."""
    notebooks = {"one": small(told(tmp_path, "one", "two")), "two": small(told(tmp_path, "two", "one"))}
    notebooks["three"] = small(told(tmp_path, "three"), "1/0")
    story, outcomes = [], {}

    def job(name: str):
        def begin() -> Execution:
            story.append(name)
            return Execution(notebooks[name], tmp_path, os.environ)

        def done(outcome: Outcome) -> None:
            story.append(f"{name} done")
            outcomes[name] = outcome

        return begin, done

    execute_all([job(name) for name in notebooks], at_once=2)
    assert story[:2] == ["one", "two"] and story.index("three") >= 3 and len(story) == 6
    assert outcomes["one"].failure is None and outcomes["two"].failure is None
    assert "ZeroDivisionError" in outcomes["three"].failure.error
    assert all(outcome.peak_gb > 0 for outcome in outcomes.values())


def test_an_interrupt_ends_all_that_run(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    cells = "import os; print(os.getpid(), flush=True)", "import time; time.sleep(60)"
    kernels = [small(*cells), small(*cells)]
    second = []

    def reached(at: int, of: int) -> None:
        second.extend([at] * (at == 2))
        if len(second) == 2:
            signal.raise_signal(signal.SIGINT)

    jobs = [
        (lambda each=each: Execution(each, tmp_path, os.environ, reached), pytest.fail) for each in kernels
    ]
    with pytest.raises(Interrupted) as stopped:
        execute_all(jobs, at_once=2)
    assert [(outcome.notebook, outcome.failure) for outcome in stopped.value.outcomes] == [
        (kernel, None) for kernel in kernels
    ]
    assert capfd.readouterr().err == ""
    for kernel in kernels:
        with pytest.raises(ProcessLookupError):
            os.kill(int(printed(kernel)), 0)


@pytest.mark.parametrize("stop", STOPS)
def test_a_second_interrupt_ends_at_once_with_one_sentence(tmp_path: Path, stop: int) -> None:
    script = f"""if True:
        import os, signal
        from pathlib import Path
        from helpers.course import execute
        from tests.course.builders import small

        def twice(at, of):
            try:
                signal.raise_signal({int(stop)})
            finally:  # where the first one is being tidied up after
                signal.raise_signal({int(stop)})

        execute.execute(small("import time; time.sleep(60)"), Path({str(tmp_path)!r}), os.environ, twice)
    """
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "\nstopped at once; what was finished is kept\n"


def test_writing_replaces_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "01_x.ipynb"
    path.write_text("old")
    write(small("1"), path)
    assert nbformat.read(path, as_version=4).cells[1].source == "1"
    assert [file.name for file in tmp_path.iterdir()] == ["01_x.ipynb"]
