"""Writes files whole or not at all, and says clearly when the disk is full."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

SAID_FULL = ("os error 28", "os error 122", "PytorchStreamWriter", "inline_container.cc")
"""How safetensors (Linux's ENOSPC and EDQUOT) and PyTorch's zip writer say it: in their text only."""


class DiskFull(OSError):
    """The disk filled up; the message says what was being written, what is safe and what to do."""


def write_whole(path: Path, text: str) -> None:
    """Writes a file that appears complete or not at all, even if the disk is full or the process killed.

    UTF-8, line ends as they are in the text. Makes the folder if there is none. Whatever fails (a lone
    surrogate raises `UnicodeEncodeError`), what stood there before stays and nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Writes plain data as indented JSON by `write_whole`."""
    write_whole(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def seal(value: Any) -> str:
    """Plain data as one line of JSON, without its end, that carries its own checksum.

    >>> seal([1])
    '{"content": [1], "sha256": "080a9ed428559ef602668b4c00f114f1a11c3f6b02a435f0bdc154578e4d7f22"}'
    """
    text = json.dumps(value, ensure_ascii=False)
    checksum = hashlib.sha256(text.encode()).hexdigest()
    return f'{{"content": {text}, "sha256": "{checksum}"}}'


def unseal(line: bytes) -> Any:
    """What `seal` was given. Raises ValueError where a single bit is not as it was written."""
    try:
        content = json.loads(line)["content"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"no sealed line: {error!r}") from error
    if seal(content).encode() != line:
        raise ValueError("its checksum is another")
    return content


@contextmanager
def disk_full_said(doing: str, folder: Path, advice: str) -> Iterator[None]:
    """Makes whatever a writer raises on a full disk or a spent quota a `DiskFull`; other errors pass.

    Where two of them are nested, the inner one speaks.

    with disk_full_said("writing pairs", folder, "Make room and run again."):
        write_whole(folder / "pairs.jsonl", text)
    """
    try:
        yield
    except DiskFull:
        raise
    except (OSError, SafetensorError, RuntimeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number not in (errno.ENOSPC, errno.EDQUOT) and not any(words in str(error) for words in SAID_FULL):
            raise
        there = next((place for place in (folder, *folder.parents) if place.exists()), Path())
        free = shutil.disk_usage(there).free / 1e9
        raise DiskFull(
            errno.ENOSPC,
            f"No space left while {doing} ({error}); {free:.2f} GB are free in {folder}. {advice}",
        ) from error
