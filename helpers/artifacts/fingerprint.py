"""A fingerprint of all that went into a result: equal ingredients, equal fingerprint, on any machine."""
from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

# A file changed this recently may change again without its time stamp showing it (stamps are coarse).
STILL_NS = 2_000_000_000
KNOWN = "str, int, float, bool, None, list, tuple, dict with str keys, Path, torch.Tensor, pydantic model"


def fingerprint(ingredients: Mapping) -> str:
    """32 hexadecimal digits that stand for `ingredients`.

    Order of keys does not count; a `Path` counts by the content of the file or folder, a tensor by dtype,
    shape and bytes, a pydantic model by its name and fields. 1, 1.0, True and "1" differ; a list and a tuple
    do not. Code does not count: put a version among the ingredients where its change should. Raises
    `TypeError` naming the ingredient whose type is not known, `FileNotFoundError` for a path not there.

    >>> fingerprint({"seed": 0, "layers": [1, 2]}) == fingerprint({"layers": [1, 2], "seed": 0})
    True
    """
    return digest(canonical(ingredients))


def digest(plain: Any) -> str:
    """The fingerprint of what `canonical` returned."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def canonical(value: Any, where: str = "ingredients") -> Any:
    """`value` as plain JSON that a person can read and that differs whenever the value does.

    What JSON has no word for becomes a dict whose first key starts with "$"; no other key may.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [canonical(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key.startswith("$"):
                raise TypeError(f"{where}: the key {key!r} should be a string that does not start with '$'")
        return {key: canonical(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, BaseModel):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        plain = {name: canonical(item, f"{where}.{name}") for name, item in fields.items()}
        return {"$model": type(value).__name__, **plain}
    if isinstance(value, Path):
        return _canonical_path(value, where)
    if isinstance(value, torch.Tensor):
        flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        kind = f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
        return {"$tensor": kind, "sha256": hashlib.sha256(flat.numpy().data).hexdigest()}
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    raise TypeError(f"{where}: cannot fingerprint a {name} ({value!r:.60}); known are: {KNOWN}")


def _canonical_path(path: Path, where: str) -> dict[str, str]:
    if path.is_file():
        return {"$file": file_digest(path)}
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        listing = [[file.relative_to(path).as_posix(), file_digest(file)] for file in files]
        return {"$folder": hashlib.sha256(json.dumps(listing).encode()).hexdigest()}
    raise FileNotFoundError(f"{where}: there is no file or folder {path}")


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, remembered within the process while the file stays as it is."""
    state = path.stat()
    if time.time_ns() - state.st_mtime_ns < STILL_NS:
        return _file_digest.__wrapped__(path)
    return _file_digest(path.resolve(), state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


@lru_cache(maxsize=4096)
def _file_digest(path: Path, *state: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
