"""Holds a build folder for one command at a time, and says who holds it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from helpers.artifacts import write_json


class Busy(RuntimeError):
    """Another command works in the build folder; the message says which, since when, and the way round."""


@contextmanager
def hold(build: Path, doing: str) -> Iterator[None]:
    """Keeps others out of a build folder; the system lets go of it, also where we are killed.

    Args:
        doing: what the holder does, for those who find the folder taken: "make run on pocket".

    Raises:
        Busy: somebody else holds it.
    """
    note = build / "running.json"
    build.mkdir(parents=True, exist_ok=True)
    lock = FileLock(build / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Busy(
            f"{build} is in use: {_holder(note)}. Two at once would mix their results: wait for it, stop it, "
            "or give this one a folder of its own (TOXICITY_LAB_BUILD=build-2)."
        ) from None
    try:
        write_json(note, {"doing": doing, "process": os.getpid(), "since": time.strftime("%d %B, %H:%M")})
        yield
        note.unlink(missing_ok=True)
    finally:
        lock.release()


def _holder(note: Path) -> str:
    """Who wrote the note, in words; it is for people alone, so that a damaged one costs nothing."""
    try:
        said = json.loads(note.read_text(encoding="utf-8"))
        return f"{said['doing']} (process {said['process']}), since {said['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "by another command"
