"""The set-up finishes what it finds, whatever state that is in, and says what to do where it cannot."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.course import setup

SOURCE = Path(setup.__file__)


def project(folder: Path) -> Path:
    """A project folder with its two lists of packages."""
    (folder / "requirements.txt").write_text("torch\n")
    (folder / "constraints.txt").write_text("torch==2.13.0\n")
    return folder


def environment(root: Path, version: str = "3.11.7", stamped: bool = True) -> Path:
    """A `.venv` whose Python is this one."""
    venv = root / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    (venv / "pyvenv.cfg").write_text(f"home = somewhere\nversion = {version}\n")
    if stamped:
        (venv / setup.STAMP).write_text(setup.fingerprint(str(root), version))
    return venv


def script(path: Path, body: str) -> Path:
    """An executable that stands in for a Python."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def fake_python(path: Path, version: str) -> str:
    return str(script(path, f"echo {version}"))


def test_old_pythons_can_read_it_and_it_needs_nothing_installed() -> None:
    tree = ast.parse(SOURCE.read_text(), feature_version=(3, 6))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))
    assert imported <= set(sys.stdlib_module_names)


def test_nothing_runs_when_nothing_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment(project(tmp_path))
    monkeypatch.setattr(setup, "ROOT", str(tmp_path))
    monkeypatch.delenv("PYTHON", raising=False)
    for name in ("run", "call"):
        monkeypatch.setattr(subprocess, name, lambda *a, **k: pytest.fail(f"started {a}"))
    assert setup.main() == 0


@pytest.mark.parametrize("file", ["requirements.txt", "constraints.txt"])
def test_a_changed_list_asks_for_a_new_set_up(tmp_path: Path, file: str) -> None:
    environment(project(tmp_path))
    assert setup.is_ready(str(tmp_path))
    (tmp_path / file).write_text("torch==2.14.0\n")
    assert not setup.is_ready(str(tmp_path))


def test_a_half_made_environment_is_not_ready(tmp_path: Path) -> None:
    project(tmp_path)
    assert not setup.is_ready(str(tmp_path))
    venv = environment(tmp_path, stamped=False)
    assert not setup.is_ready(str(tmp_path))
    (venv / setup.STAMP).write_text(setup.fingerprint(str(tmp_path), "3.11.7"))
    (venv / "bin" / "python").unlink()
    (venv / "bin" / "python").symlink_to(tmp_path / "a removed python")
    assert not setup.is_ready(str(tmp_path))


def test_another_python_on_request_asks_for_a_new_set_up(tmp_path: Path) -> None:
    environment(project(tmp_path))
    assert setup.is_ready(str(tmp_path), fake_python(tmp_path / "python3.11", "3.11.2"))
    assert not setup.is_ready(str(tmp_path), fake_python(tmp_path / "python3.12", "3.12.1"))


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that a set-up runs; all succeed, but nothing answers."""
    commands: list[list[str]] = []

    def call(command: list[str], **options: object) -> int:
        commands.append(command)
        if "--clear" in command:
            shutil.rmtree(command[-1], ignore_errors=True)
            environment(Path(command[-1]).parent, stamped=False)
        return 0

    monkeypatch.setattr(subprocess, "call", call)
    monkeypatch.setattr(setup, "answers", lambda command: "pip" in command and "uv" not in command)
    return commands


def test_an_interrupted_set_up_leaves_no_stamp_and_the_next_one_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, called: list[list[str]]
) -> None:
    environment(project(tmp_path))
    (tmp_path / "requirements.txt").write_text("torch\nnumpy\n")

    def interrupted(python: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(setup, "install", interrupted)
        setup.prepare(str(tmp_path))
    assert (tmp_path / ".venv" / setup.STAMP).read_text() == setup.UNFINISHED and called == []
    setup.prepare(str(tmp_path))
    assert "--clear" in called[0] and setup.is_ready(str(tmp_path))


def test_a_changed_list_is_installed_into_what_is_there(tmp_path: Path, called: list[list[str]]) -> None:
    environment(project(tmp_path))
    (tmp_path / "requirements.txt").write_text("torch\nnumpy\n")
    setup.prepare(str(tmp_path))
    assert not any("--clear" in command for command in called) and setup.is_ready(str(tmp_path))


def test_pip_brings_torch_where_its_index_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, called: list[list[str]]
) -> None:
    setup.install("python")
    assert [("uv" in command, "torch" in command) for command in called[1:]] == [(False, True), (True, False)]
    assert "--no-compile" not in called[1], "uv compiles what it installs itself, and this is not"
    called.clear()
    monkeypatch.setattr(setup, "answers", lambda command: True)
    setup.install("python")
    assert len(called) == 2 and "--torch-backend" in called[1]
    assert "--compile-bytecode" in called[1], "or every start compiles PyTorch where none may be written"


def test_what_fails_is_tried_another_way_then_said(tmp_path: Path) -> None:
    good, bad = ([str(script(tmp_path / name, f"exit {code}"))] for name, code in (("good", 0), ("bad", 1)))
    setup.run(bad, good)
    with pytest.raises(setup.SetupError, match="(?s)failed.*bad.*Run the command again"):
        setup.run(bad)


def test_two_set_ups_wait_for_each_other(tmp_path: Path) -> None:
    code = "from helpers.course import setup\nwith setup.alone(): print('alone', flush=True)"
    with setup.alone():
        other = subprocess.Popen([sys.executable, "-c", code], cwd=SOURCE.parents[2], stdout=subprocess.PIPE)
        assert other.stdout and other.stdout.readline().startswith(b"Another set-up")
        assert other.poll() is None
    assert other.communicate(timeout=30)[0] == b"alone\n"


def test_a_python_that_is_asked_for_must_be_new_enough(tmp_path: Path) -> None:
    with pytest.raises(setup.SetupError, match=r"python3 is 3\.10\.4"):
        setup.find_python(fake_python(tmp_path / "python3", "3.10.4"))
    with pytest.raises(setup.SetupError, match="nowhere is not there"):
        setup.find_python(str(tmp_path / "nowhere"))
    assert setup.find_python(fake_python(tmp_path / "python3.14", "3.14.0")).endswith("python3.14")


def test_a_tested_python_is_preferred_to_a_newer_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    own = fake_python(tmp_path / "own", "3.14.0")
    monkeypatch.setattr(sys, "_base_executable", own)
    for short in ("3.11", "3.12", "3.13"):
        script(tmp_path / f"python{short}", "exit 127")  # what an inactive shim does
    fake_python(tmp_path / "python3", "3.14.0")
    assert setup.find_python() == own
    fake_python(tmp_path / "python3.12", "3.12.1")
    assert setup.find_python() == "python3.12"


def test_too_old_everywhere_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(sys, "_base_executable", fake_python(tmp_path / "own", "3.9.1"))
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        fake_python(tmp_path / name, "3.9.1")
    with pytest.raises(setup.SetupError, match=r"Install Python 3\.11"):
        setup.find_python()


def test_errors_end_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(setup, "ROOT", str(project(tmp_path)))
    monkeypatch.setenv("PYTHON", str(tmp_path / "nowhere"))
    assert setup.main() == 1
    assert "PYTHON=" in capsys.readouterr().err
