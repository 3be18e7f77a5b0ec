"""The bundle: what it holds, that its set-up asks no network, and where it is refused."""

import json
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from helpers.course import bundle, setup


def stub_wheel(folder: Path, name: str, needs: str = "") -> None:
    """A package without content that pip can install."""
    info = f"{name}-1.0.dist-info"
    said = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" + (
        f"Requires-Dist: {needs}\n" if needs else ""
    )
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "here = True\n")
        wheel.writestr(f"{info}/METADATA", said)
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a folder of wheels, and a pip that could reach no index."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    stub_wheel(wheels, "outer_stub", "inner_stub")
    stub_wheel(wheels, "inner_stub")
    (wheels / "bundle.json").write_text(json.dumps(bundle.fits()))
    (tmp_path / "requirements.txt").write_text("outer_stub\n")
    (tmp_path / "constraints.txt").write_text("outer_stub==1.0\ninner_stub==1.0\n")
    monkeypatch.setattr(setup, "ROOT", str(tmp_path))
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/none")
    return tmp_path


def test_a_set_up_from_it_asks_no_network(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHON", raising=False)
    setup.prepare(str(unpacked), sys.executable)
    python = setup.venv_python(str(unpacked / ".venv"))
    assert setup.is_ready(str(unpacked))
    assert subprocess.run([python, "-c", "import inner_stub, outer_stub"]).returncode == 0


def test_wheels_for_another_python_are_refused_with_what_to_do(unpacked: Path) -> None:
    (unpacked / "wheels" / "bundle.json").write_text(json.dumps({"python": "3.99", "platform": "plan9-mips"}))
    with pytest.raises(setup.SetupError, match=r"Python 3\.99 on plan9-mips(.|\n)*PYTHON=python3\.99"):
        setup.install(sys.executable)


def test_the_archive_holds_repository_packages_and_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = tmp_path / "html"
    pages.mkdir()
    (pages / "index.html").write_text("the book")
    monkeypatch.setattr(bundle, "repository", lambda folder: (folder / "Makefile").write_text("run:"))
    monkeypatch.setattr(bundle, "download", lambda wheels: stub_wheel(wheels, "some_stub"))
    made = bundle.bundle(pages, tmp_path / "out")
    with zipfile.ZipFile(made) as archive:
        names = set(archive.namelist())
        record = json.loads(archive.read("toxicity-lab/wheels/bundle.json"))
    assert {"toxicity-lab/Makefile", "toxicity-lab/pages/index.html", "toxicity-lab/BUNDLE.md",
            "toxicity-lab/wheels/some_stub-1.0-py3-none-any.whl"} <= names  # fmt: skip
    assert record == bundle.fits() and f"python{record['python']}" in made.name
    assert [path.name for path in made.parent.iterdir()] == [made.name]


def test_nothing_half_made_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Path) -> None:
        raise bundle.BundleError("no network")

    monkeypatch.setattr(bundle, "repository", lambda folder: None)
    monkeypatch.setattr(bundle, "download", fails)
    with pytest.raises(bundle.BundleError):
        bundle.bundle(tmp_path, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_it_serves_every_patch_of_its_python() -> None:
    here, other = platform.python_version(), f"{bundle.fits()['python']}.99"
    text = f"""# a comment
a==1 ; python_full_version < '{here}'
b==2 ; python_full_version >= '{here}'
c==3 ; python_full_version > '{here}' and python_full_version < '{other}'
d==4 ; python_full_version < '3.0'
e==5 ; sys_platform == 'elsewhere'
f==6
"""
    older = [] if here.endswith(".0") else ["a==1"]
    assert bundle.for_other_patches(text) == [*older, "c==3"]
