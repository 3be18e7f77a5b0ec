"""Runs notebooks as `make run` does, on a profile whose hub is the imitation, from an empty hub cache.

python -m tests.hub_imitation.rehearsal [FOLDER [NOTEBOOK …]]    # FOLDER keeps all; goes on from it
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from helpers.course.rehearse import FEWEST
from tests.hub_imitation.contents import build
from tests.hub_imitation.server import Hub, serve

ROOT = Path(__file__).parents[2]
NAMED = 'name = "gpt2-medium-few"\nlabel = "the imitation of GPT2-medium"\n'
FEWER = Path(__file__).with_name("fewer.toml")
RUN = "import sys; from helpers.course import run; sys.exit(run.main())"


@contextmanager
def imitated(folder: Path) -> Iterator[Hub]:
    """A hub with what `gpt2-medium` wants from it."""
    with serve(*build(folder / "hub")) as hub:
        yield hub


def few(folder: Path) -> Path:
    """A profile that lowers GPT2-medium's counts and changes nothing else."""
    fewest, fewer = (path.read_text(encoding="utf-8") for path in (FEWEST, FEWER))
    (folder / "fewest.toml").write_text(f'inherits = "gpt2-medium"\n{fewest}', encoding="utf-8")
    path = folder / "few.toml"
    path.write_text(f'inherits = "fewest.toml"\n{NAMED}{fewer}', encoding="utf-8")
    return path


def rehearse(hub: Hub, folder: Path, notebooks: Sequence[str] = ()) -> str:
    """Runs the notebooks (none: all) in processes that know of no other hub; what it printed.

    Raises subprocess.CalledProcessError, with what it printed, if one fails.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TOXICITY_LAB"))}
    ours = {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "PROFILE": str(few(folder)),
        "TOXICITY_LAB_CACHE": str(folder / "cache"),
        "TOXICITY_LAB_BUILD": str(folder / "build"),
        "TOXICITY_LAB_PROGRESS": "0",
        "ONLY": " ".join(notebooks),
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=ROOT,
        env=kept | ours,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, "make run", done.stdout)
    return done.stdout


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "imitation").resolve()
    with imitated(place) as imitation:
        try:
            print(rehearse(imitation, place, sys.argv[2:]))
        except subprocess.CalledProcessError as error:
            print(error.stdout)
            sys.exit(1)
