"""The set-up finishes what it finds, whatever state that is in, and says what to do where it cannot."""

import ast
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
    for name in ("run", "Popen"):
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


def test_packages_that_an_interrupted_pip_left_are_installed_again(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    for name in ("whole-1.0.dist-info", "half-2.0.dist-info"):
        (packages / name).mkdir(parents=True)
        (packages / name / "METADATA").write_text("Name: x\n")
    (packages / "whole-1.0.dist-info" / "RECORD").write_text("")
    assert setup.remove_half_installed(str(tmp_path)) == ["half-2.0.dist-info"]
    assert [path.name for path in packages.iterdir()] == ["whole-1.0.dist-info"]


def test_an_interrupted_set_up_leaves_no_stamp_and_the_next_one_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(project(tmp_path))
    (tmp_path / "requirements.txt").write_text("torch\nnumpy\n")
    monkeypatch.setattr(setup, "has_pip", lambda venv: True)

    def interrupted(root: str, venv: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(setup, "install", interrupted)
    with pytest.raises(KeyboardInterrupt):
        setup.prepare(str(tmp_path))
    assert not (tmp_path / ".venv" / setup.STAMP).exists()
    monkeypatch.setattr(setup, "install", lambda root, venv: None)
    setup.prepare(str(tmp_path))
    assert setup.is_ready(str(tmp_path))


def test_a_failing_pip_is_shown_with_its_log(tmp_path: Path) -> None:
    venv = tmp_path / ".venv"
    script(venv / "bin" / "python", "echo 'Collecting torch'; echo 'ERROR: No space left on device'; exit 1")
    with pytest.raises(setup.SetupError, match="No space left on device") as error:
        setup.install(str(project(tmp_path)), str(venv))
    assert str(venv / setup.LOG) in str(error.value)
    assert "Collecting torch" in (venv / setup.LOG).read_text()


def test_a_python_that_is_asked_for_must_be_new_enough(tmp_path: Path) -> None:
    with pytest.raises(setup.SetupError, match=r"is Python 3\.10\.4"):
        setup.find_python(fake_python(tmp_path / "python3", "3.10.4"))
    with pytest.raises(setup.SetupError, match="cannot be run"):
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


def test_a_python_without_venv_names_the_package(tmp_path: Path) -> None:
    python = script(tmp_path / "python3", 'case "$2" in *ensurepip*) exit 1;; *) echo 3.12.3;; esac')
    with pytest.raises(setup.SetupError, match=r"apt install python3\.12-venv"):
        setup.check_can_make_venv(str(python))


def test_errors_end_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(setup, "ROOT", str(project(tmp_path)))
    monkeypatch.setenv("PYTHON", str(tmp_path / "nowhere"))
    assert setup.main() == 1
    assert "PYTHON=" in capsys.readouterr().err
