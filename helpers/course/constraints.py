"""Resolves constraints.txt, the exact tested set: one file for every Python from 3.11 on."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOOR = "3.11"
CHECKED = ("3.11.0", "3.12.0", "3.13.0")
HEADER = """\
# The exact set that was tested; `make constraints` resolves it from requirements.txt for Python 3.11 to 3.13.
# No index and no hash: any mirror or local build of these versions serves, a CPU build of torch too. torch
# itself pins the CUDA libraries that its default Linux build brings, so they are not repeated here.
"""


def keep(line: str) -> bool:
    """False for comments and for the CUDA libraries, which one build of torch names itself."""
    return bool(line.strip()) and not line.startswith(("#", "nvidia-", "cuda-", "triton="))


def resolve(*options: str, output: Path) -> None:
    """Resolves requirements.txt into `output`; the versions that stand there already are preferred."""
    compile_ = [sys.executable, "-m", "uv", "pip", "compile", str(ROOT / "requirements.txt")]
    quietly = ["--quiet", "--no-header", "--no-annotate", "--no-python-downloads"]
    command = [*compile_, *quietly, "--output-file", str(output), *options]
    subprocess.run(command, check=True, cwd=ROOT)


def main() -> int:
    """Writes constraints.txt and checks it on each Python; keeps the present versions unless UPGRADE=1."""
    target = ROOT / "constraints.txt"
    with tempfile.TemporaryDirectory() as folder:
        resolved = Path(folder) / "constraints.txt"
        if target.is_file() and os.environ.get("UPGRADE") != "1":
            resolved.write_text(target.read_text())
        resolve("--universal", "--python-version", FLOOR, output=resolved)
        lines = [line for line in resolved.read_text().splitlines() if keep(line)]
        target.write_text(HEADER + "\n".join(lines) + "\n")
        for python in CHECKED:
            resolve("--python-version", python, "--constraint", str(target), output=Path(folder) / python)
            print(f"constraints.txt resolves on Python {python}")
    print(f"{len(lines)} packages in constraints.txt; run `make test` to make them the tested set")
    return 0
