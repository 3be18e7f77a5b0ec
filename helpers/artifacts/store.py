"""The artifact cache: what was computed once is kept, keyed by its ingredients, and served only if intact.

    <root>/<kind>/<fingerprint>/manifest.json                       ingredients and the SHA-256 of every file
                                tensors.safetensors, data.json      an artifact, or
                                files/...                           a folder, such as a model
           <kind>/.lock-<fingerprint>                               one writer at a time
           <kind>/.work-<fingerprint>-...                           being made, then renamed into place

An entry is written beside its place, flushed to disk and renamed, so that a killed run leaves no half entry.
A damaged one is noticed by its checksums and made again, with a warning.
"""
from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
from filelock import FileLock, Timeout
from torch import Tensor

from helpers.artifacts.files import disk_full_said
from helpers.artifacts.fingerprint import canonical, digest, fingerprint
from helpers.runtime import give_memory_back

T = TypeVar("T")

FORMAT = 1
ARTIFACT_FILES = ("data.json", "tensors.safetensors")
NOTHING_KEPT = (
    "Nothing of it was kept. Make room there, or set TOXICITY_LAB_CACHE to a folder on a larger disk, "
    "and rerun."
)
REFUSED = {".bin", ".ckpt", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"}


@dataclass(frozen=True)
class Artifact:
    """Named tensors and plain JSON data that belong together.

    Comes out of the store on the CPU, and as JSON has it: tuples as lists, keys as strings.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    data: Any = None


class StoreWarning(UserWarning):
    """Something the reader should know about the cache; the result is right all the same."""


def cache_folder() -> Path:
    """Where artifacts live: `TOXICITY_LAB_CACHE`, or `.cache` in the repository."""
    chosen = os.environ.get("TOXICITY_LAB_CACHE")
    return Path(chosen).expanduser().resolve() if chosen else Path(__file__).resolve().parents[2] / ".cache"


class Store:
    """A folder of artifacts. Several processes may use it at once: each entry is made by one of them.

    >>> import torch
    >>> store = Store(cache_folder())
    >>> probe = store.get("probe", {"seed": 0, "layer": 3}, lambda: Artifact({"weight": torch.ones(4)}))
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(f"{folder} is a file: TOXICITY_LAB_CACHE should name a folder")
        self.root = folder

    def get(self, kind: str, ingredients: Mapping, make: Callable[[], Artifact]) -> Artifact:
        """The artifact of these ingredients; `make` is called only if there is none intact.

        `kind` is a short name such as "probe". What is returned was read from disk, on the first call too.
        Raises `DiskFull` when the disk is full, and whatever `make` raises; neither leaves an entry behind.
        """
        def write(place: Path) -> None:
            artifact = make()
            if not isinstance(artifact, Artifact):
                raise TypeError(f"{kind}: make() should return an Artifact, not {type(artifact).__name__}")
            _write_artifact(place, artifact)

        return self._entry(kind, ingredients, write, _read_artifact)

    def folder(self, kind: str, ingredients: Mapping, build: Callable[[Path], None]) -> Path:
        """A folder of these ingredients; `build` fills an empty one only if there is none intact.

        `build` is given a private folder and leaves in it, when it returns, the files to keep: no pickles, no
        links. Treat the returned folder as read-only: a changed file counts as damage. Raises as `get` does.
        """
        def write(place: Path) -> None:
            (place / "files").mkdir()
            build(place / "files")
            _refuse_unsafe(place / "files", kind)

        return self._entry(kind, ingredients, write, lambda entry: entry / "files")

    def holds(self, kind: str, ingredients: Mapping) -> bool:
        """Whether there is an entry of these ingredients, intact or not."""
        return (self.root / kind / fingerprint(ingredients)).is_dir()

    def work_folder(self, kind: str, ingredients: Mapping) -> Path:
        """The private folder of long work, where an interrupted one is found again. Its user removes it."""
        return self.root / "work" / f"{kind}-{fingerprint(ingredients)}"

    def _entry(
        self, kind: str, ingredients: Mapping, write: Callable[[Path], None], read: Callable[[Path], T]
    ) -> T:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", kind):
            raise ValueError(f"kind {kind!r} should be lower-case letters, digits, '.', '_' and '-'")
        plain = canonical(ingredients)
        key = digest(plain)
        head = {"format": FORMAT, "kind": kind, "fingerprint": key, "ingredients": plain}
        shelf = self.root / kind
        entry = shelf / key
        if not _writable(shelf):
            # As where a class reads one cache: the lock wants writing, but nobody writes there.
            damage = _damage(entry, head) if entry.exists() else "missing"
            if damage is None:
                return read(entry)
            state = damage if damage == "missing" else f"damaged ({damage})"
            raise PermissionError(
                f"{entry} is {state}, and this cache cannot be written to. Set TOXICITY_LAB_CACHE to a "
                "folder of your own; it may be a copy of this one."
            )
        with disk_full_said(f"making {kind} {key}", self.root, NOTHING_KEPT):
            shelf.mkdir(parents=True, exist_ok=True)
            self._sweep()
            with _locked(shelf / f".lock-{key}", f"{kind} {key}"):
                if os.path.lexists(entry):
                    damage = _damage(entry, head)
                    if damage is None:
                        return read(entry)
                    message = f"{entry} is damaged ({damage}); making it again."
                    warnings.warn(message, StoreWarning, stacklevel=3)
                _make(entry, head, write)
                return read(entry)

    def _sweep(self) -> None:
        """Removes what killed writers left: work folders whose lock nobody holds."""
        for work in self.root.glob("*/.work-*"):
            key = work.name.split("-")[1]
            try:
                with FileLock(work.parent / f".lock-{key}").acquire(timeout=0):
                    shutil.rmtree(work, ignore_errors=True)
            except Timeout:
                continue  # its writer is alive


def _writable(place: Path) -> bool:
    """Whether we may write to a folder, or make it."""
    there = next(each for each in (place, *place.parents) if each.exists())
    return os.access(there, os.W_OK)


@contextmanager
def _locked(path: Path, what: str) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        warnings.warn(f"Another process is making {what}; waiting for it.", StoreWarning, stacklevel=5)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make(entry: Path, head: dict[str, Any], write: Callable[[Path], None]) -> None:
    work = entry.parent / f".work-{entry.name}-{uuid.uuid4().hex[:8]}"
    new = work / "new"
    new.mkdir(parents=True)
    try:
        write(new)
        manifest = {**head, "files": {name: _checksum(new / name) for name in _file_names(new)}}
        (new / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        _flush_tree(new)
        if os.path.lexists(entry):
            os.rename(entry, work / "damaged")
        os.rename(new, entry)
        _flush(entry.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)  # what cannot be removed now is swept later
        give_memory_back()


def _damage(entry: Path, head: dict[str, Any]) -> str | None:
    """What is wrong with an entry, or None if every byte is as it was written."""
    strange = [name for name in _file_names(entry) if not stat.S_ISREG((entry / name).lstat().st_mode)]
    if strange:  # reading a pipe would wait for ever
        return f"no plain file: {', '.join(strange)}"
    try:
        manifest = json.loads((entry / "manifest.json").read_bytes())
    except (OSError, ValueError) as error:
        return f"its manifest cannot be read: {error}"
    files = manifest.pop("files", None) if isinstance(manifest, dict) else None
    # Compared as text, for NaN is not equal to itself.
    as_written = json.dumps(manifest, sort_keys=True) == json.dumps(head, sort_keys=True)
    if not isinstance(files, dict) or not as_written:
        return "its manifest is not the one written"
    names = set(_file_names(entry)) - {"manifest.json"}
    if names != set(files):
        return f"files missing or added: {', '.join(sorted(names ^ set(files)))}"
    try:
        wrong = [name for name in sorted(names) if _checksum(entry / name) != files[name]]
    except OSError as error:
        return f"a file cannot be read: {error}"
    return f"wrong checksum: {', '.join(wrong)}" if wrong else None


def _write_artifact(place: Path, artifact: Artifact) -> None:
    try:
        text = json.dumps(artifact.data)
    except TypeError as error:
        raise TypeError(f"the artifact's data should be plain JSON: {error}") from error
    # Copies, because safetensors refuses tensors that share memory.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in artifact.tensors.items()}
    safetensors.torch.save_file(tensors, place / "tensors.safetensors")
    (place / "data.json").write_text(text, encoding="utf-8")


def _read_artifact(entry: Path) -> Artifact:
    # Through bytes, not memory-mapped: what happens to the file later must not reach tensors already served.
    tensors = safetensors.torch.load((entry / "tensors.safetensors").read_bytes())
    return Artifact(tensors, json.loads((entry / "data.json").read_bytes()))


def _refuse_unsafe(place: Path, kind: str) -> None:
    names = _file_names(place)
    if not names:
        raise ValueError(f"{kind}: build left no file in its folder")
    refused = [name for name in names if Path(name).suffix in REFUSED]
    if refused:
        raise ValueError(f"{kind}: build should leave safetensors and JSON, not {', '.join(refused)}")
    links = [path.name for path in place.rglob("*") if path.is_symlink()]
    if links:
        raise ValueError(f"{kind}: build should copy, not link: {', '.join(sorted(links))}")


def _file_names(place: Path) -> list[str]:
    """Everything under a folder but folders; a link is one too, whatever it leads to."""
    found = (path for path in place.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(place).as_posix() for path in found)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush_tree(place: Path) -> None:
    for path in [*place.rglob("*"), place]:
        _flush(path)


def _flush(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows has no way to flush a folder
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
