"""The private folder of a training run, from which it goes on after an interruption."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import GPT2LMHeadModel

from helpers.alignment.runs import Row, TrainingRun, looks_of, roles_of, step_name, write_run
from helpers.artifacts import seal, unseal, write_whole
from helpers.language.models import quiet
from helpers.profiles import DPO


class Journal:
    """What a run has seen, which checkpoint is whole, which weights are candidates."""

    def __init__(self, work: Path, made_with: str) -> None:
        self.work, self.made_with = work, made_with
        self.history: list[Row] = []
        self.checkpoint: str | None = None
        self.finished, self.stopped = False, ""
        state = self._read(work / "journal.json")
        if state is not None and state["made_with"] != made_with:
            warnings.warn(f"{work} holds a run with other pairs or settings; beginning anew.", stacklevel=3)
            shutil.rmtree(work, ignore_errors=True)
            state = None
        work.mkdir(parents=True, exist_ok=True)
        if state is not None:
            self.history, self.finished, self.stopped = state["history"], state["finished"], state["stopped"]
            self.checkpoint = state["checkpoint"] and str(work / "checkpoints" / state["checkpoint"])

    @staticmethod
    def _read(file: Path) -> Any:
        """What a file of ours says; None where there is none, or, with a warning, where it is damaged."""
        try:
            return unseal(file.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            warnings.warn(f"{file} is damaged ({error}); beginning anew.", stacklevel=4)
            return None

    def candidate(self, step: int) -> Path:
        """Where the weights after a step are kept."""
        return self.work / "candidates" / step_name(step)

    def reference(self) -> Any:
        """Reference log-probabilities of an earlier run on the same pairs, if there are any."""
        found = self._read(self.work / "reference.json")
        return found["logps"] if found is not None and found["made_with"] == self.made_with else None

    def keep_reference(self, logps: Any) -> None:
        """Keeps them for a run that goes on."""
        write_whole(self.work / "reference.json", seal({"made_with": self.made_with, "logps": logps}))

    def drop_unfinished(self) -> None:
        """Removes checkpoints that a killed run may have left in pieces."""
        for folder in (self.work / "checkpoints").glob("checkpoint-*"):
            if str(folder) != self.checkpoint:
                shutil.rmtree(folder)

    def save(self, step: int, settings: DPO) -> None:
        """Called once a checkpoint is whole: a run goes on from it now. Drops weights without a role."""
        self.checkpoint = str(self.work / "checkpoints" / f"checkpoint-{step}")
        self._write()
        wanted = {
            self.candidate(kept) for kept in roles_of(looks_of(self.history), settings).values() if kept
        }
        for folder in (self.work / "candidates").glob("step-*"):
            if folder not in wanted:
                shutil.rmtree(folder)

    def finish(self, stopped: str) -> None:
        """Training is over; what is left is to publish."""
        if not self.finished:
            self.finished, self.stopped = True, stopped
            self._write()

    def _write(self) -> None:
        state = {
            "made_with": self.made_with,
            "checkpoint": self.checkpoint and Path(self.checkpoint).name,
            "history": self.history,
            "finished": self.finished,
            "stopped": self.stopped,
        }
        write_whole(self.work / "journal.json", seal(state))


def save_weights(model: GPT2LMHeadModel, beside: Sequence[Any], folder: Path) -> None:
    """A model folder that appears complete or not at all.

    Args:
        beside: what else has `save_pretrained`: tokenizer and configurations, as they were before the trainer
            changed its copies of them.
    """
    part = folder.with_name(f".{folder.name}")
    shutil.rmtree(part, ignore_errors=True)
    with quiet():
        for thing in (model, *beside):
            thing.save_pretrained(part)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(part, folder)


def publish(journal: Journal, settings: DPO, folder: Path) -> None:
    """Copies what is kept; `run.json` comes last, so that a folder with it is whole."""
    roles = roles_of(looks_of(journal.history), settings)
    folder.mkdir(parents=True, exist_ok=True)
    for step in {step for step in roles.values() if step is not None}:
        shutil.copytree(journal.candidate(step), folder / step_name(step), dirs_exist_ok=True)
    write_run(TrainingRun(folder, tuple(journal.history), roles, journal.stopped))
