"""`make bundle`: one archive with packages, repository, weights and pages, for a room without network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement

from helpers.course import setup
from helpers.course.book.figures import pages_at_hand
from helpers.course.series import ROOT

WHEELS, RECORD = "wheels", "bundle.json"
"""What `setup` looks for: the folder of packages, and in it what they fit."""
READ_ME = """# Toxicity Lab, for a room without network

For {fits}. Unpack this folder anywhere, and in it:

    make run        (or: python -m helpers.course run)

The first command installs from `wheels/` and asks no network.
`pages/index.html` is the book, to read at once.
"""


class BundleError(RuntimeError):
    """Why there is no bundle, and what to do."""


def fits() -> dict[str, str]:
    """The Python and the kind of machine that the wheels of this one are for."""
    return {"python": f"{sys.version_info[0]}.{sys.version_info[1]}", "platform": setup.kind_of_machine()}


def repository(folder: Path) -> None:
    """The repository as it is committed, unpacked into `folder`.

    Raises:
        BundleError: this copy is no git checkout, or has none of git.
    """
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        raise BundleError("the bundle holds the repository as committed: it needs git, and a checkout of it")
    archive = folder.parent / "repository.tar"
    subprocess.run(["git", "archive", "--format=tar", "-o", str(archive), "HEAD"], cwd=ROOT, check=True)
    shutil.unpack_archive(archive, folder, filter="data")
    archive.unlink()


def torch_index() -> list[str]:
    """Pip's options for the index that uv takes PyTorch from here; none where it does not answer."""
    ask = [sys.executable, "-m", "uv", "pip", "compile", "-", "--torch-backend", "auto", "--no-header",
           "--emit-index-annotation", "--constraint", "constraints.txt"]  # fmt: skip
    try:
        said = subprocess.run(
            ask, input="torch\n", text=True, capture_output=True, cwd=ROOT, timeout=30
        ).stdout
    except subprocess.TimeoutExpired:
        return []
    found = re.search(r"^torch==.*\n\s+# from (\S+)", said, re.MULTILINE)
    return ["--index-url", found[1]] if found else []


def for_other_patches(constraints: str) -> list[str]:
    """What the tested set pins for another 3.x.y of this Python than the one that runs: a room has several.

    Args:
        constraints: the text of constraints.txt.
    """
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    lines = (line.split("#")[0].strip() for line in constraints.splitlines())
    pins = [Requirement(line) for line in lines if line]
    return [
        f"{pin.name}{pin.specifier}"
        for pin in pins
        if pin.marker
        and not pin.marker.evaluate()
        and any(pin.marker.evaluate({"python_full_version": f"{minor}.{patch}"}) for patch in range(40))
    ]


def download(wheels: Path) -> None:
    """All packages of the tested set for this machine and this Python; those that it has as source are built.

    Where the set differs between patches of this Python (3.11.4 and 3.11.5, say), it brings both.

    Raises:
        BundleError: pip could not bring them.
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    into, limits = ["--dest", str(wheels), "--quiet"], ["-c", "constraints.txt"]
    lists = [["download", "torch", "--no-deps", *limits, *into, *torch_index()],
             ["wheel", "-r", "requirements.txt", "--wheel-dir", str(wheels), "--quiet", *limits,
              "--find-links", str(wheels)]]  # fmt: skip
    pins = for_other_patches((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    if pins:  # by pip's leave for a Python that is not this one: whole wheels alone, and nothing they need
        newest = f"{fits()['python']}.40"
        theirs = ["--no-deps", "--only-binary", ":all:", "--python-version", newest]
        lists.append(["download", *pins, *theirs, *into])
    for command in lists:
        if subprocess.run([*pip, *command], cwd=ROOT).returncode:
            raise BundleError(
                "pip could not bring the packages, for the reason above; run it again on the network"
            )


def pack(folder: Path, target: Path) -> None:
    """One archive of a folder; wheels are compressed already, so it only stores."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(files_of(folder)):
            archive.write(path, path.relative_to(folder.parent).as_posix())


def files_of(folder: Path) -> Iterable[Path]:
    """Every file below a folder."""
    return (path for path in folder.rglob("*") if path.is_file())


def megabytes(folder: Path) -> float:
    """What a folder weighs."""
    return sum(path.stat().st_size for path in files_of(folder)) / 1e6


def bundle(pages: Path, target: Path = ROOT / "build" / "bundle") -> Path:
    """Writes the archive, and nothing that is half of one; returns its path."""
    kind = fits()
    name = f"toxicity-lab-{kind['platform']}-python{kind['python']}"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as work:
        folder = Path(work) / "toxicity-lab"
        folder.mkdir()
        repository(folder)
        wheels = folder / WHEELS
        wheels.mkdir()
        download(wheels)
        (wheels / RECORD).write_text(json.dumps(kind), encoding="utf-8")
        shutil.copytree(pages, folder / "pages")
        said = READ_ME.format(fits=f"Python {kind['python']} on {kind['platform']}")
        (folder / "BUNDLE.md").write_text(said, encoding="utf-8")
        for part in (WHEELS, "pages"):
            print(
                f"  {part}: {megabytes(folder / part):.0f} MB in {len(list(files_of(folder / part)))} files"
            )
        pack(folder, Path(work) / f"{name}.zip")
        (Path(work) / f"{name}.zip").replace(target / f"{name}.zip")
    return target / f"{name}.zip"


def main() -> int:
    """The command's entry."""
    begin = time.monotonic()
    try:
        made = bundle(pages_at_hand())
    except BundleError as error:
        print(f"make bundle: {error}", file=sys.stderr)
        return 1
    print(f"Written: {made.relative_to(ROOT)}, {made.stat().st_size / 1e6:.0f} MB, "
          f"in {(time.monotonic() - begin) / 60:.1f} minutes.")  # fmt: skip
    return 0
