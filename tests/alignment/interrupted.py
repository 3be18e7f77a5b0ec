"""Run as a program by the tests: crafts pairs or trains, and kills itself on the way.

python -m tests.alignment.interrupted craft <model folder> <work folder> <batches before SIGKILL>
python -m tests.alignment.interrupted train <model folder> <work folder> <steps before SIGKILL>
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from helpers.alignment.dpo import train
from helpers.alignment.pairs import craft
from helpers.language.models import load_hf
from helpers.profiles import ModelSource
from tests.alignment.makers import DPO_SETTINGS, PPLM_SETTINGS, a_probe, some_pairs, some_prompts


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_craft(model: Path, work: Path, batches: int) -> None:
    hf, tokenizer = load_hf(ModelSource(folder=model))

    def progress(done: int, total: int, what: str) -> None:
        if done >= 2 * batches:
            kill()

    craft(
        hf, tokenizer, some_prompts(), a_probe(), PPLM_SETTINGS, work, seed=0, batch_size=2, progress=progress
    )


def run_train(model: Path, work: Path, steps: int) -> None:
    def watch(step: int, total: int, row: dict) -> None:
        if step >= steps:
            kill()

    train(
        ModelSource(folder=model), some_pairs()[4:], some_pairs()[:4], DPO_SETTINGS, work / "out",
        work=work / "private", seed=0, watch=watch,
    )  # fmt: skip


if __name__ == "__main__":
    {"craft": run_craft, "train": run_train}[sys.argv[1]](
        Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    )
