"""Declares a kind of artifact once: its name, the version of its maker, its complete key, its maker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.artifacts.fingerprint import fingerprint
from helpers.artifacts.store import Artifact, Store


@dataclass(frozen=True)
class Declared:
    """A kind of artifact. Key and maker are called with the same arguments, so that neither knows more.

    Attributes:
        kind: the folder it lies in.
        version: counts the changes of the maker's code that change its result. `tests/artifacts` holds a
            digest of that code and fails when it moved and this did not.
        key: everything the result depends on but the code, as `fingerprint` takes it.
        make: returns an `Artifact`; or, for a folder, fills the empty one that it is given first.

    Example:
        squares = Declared("squares", 1, key=lambda n: {"n": n}, make=lambda n: Artifact(data=n * n))
        squares.load(store, 3).data         # 9, computed once
    """

    kind: str
    version: int
    key: Callable[..., Mapping[str, Any]]
    make: Callable[..., Any]

    def ingredients(self, *given: Any) -> dict[str, Any]:
        """What the artifact is found by."""
        return {"version": self.version, **self.key(*given)}

    def fingerprint(self, *given: Any) -> str:
        """Stands for the artifact in the keys of those made from it."""
        return fingerprint({"kind": self.kind, **self.ingredients(*given)})

    def load(self, store: Store, *given: Any) -> Artifact:
        """Tensors and data: read from the store, made first if they are not there."""
        return store.get(self.kind, self.ingredients(*given), lambda: self.make(*given))

    def is_there(self, store: Store, *given: Any) -> bool:
        """Whether the store has it; nothing is made, and its checksums are not looked at."""
        return store.holds(self.kind, self.ingredients(*given))

    def folder(self, store: Store, *given: Any) -> Path:
        """A folder of files: found in the store, made first if it is not there."""
        return store.folder(self.kind, self.ingredients(*given), lambda place: self.make(place, *given))
