"""A profile's texts as an artifact: drawn, read and split once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from helpers.artifacts import Artifact, Declared, Store
from helpers.language.texts import Comment, Prompt, Texts, load_texts
from helpers.profiles import Profile, unpinned


def load_kept_texts(profile: Profile, store: Store) -> Texts:
    """The texts, from the store where they are there; what the hub may change meanwhile is read anew."""
    if any(kind == "dataset" for kind, _ in unpinned(profile)):
        return load_texts(profile)
    found = TEXTS.load(store, profile).data
    return Texts(**{name: _items(name, rows) for name, rows in found.items()})


def _items(name: str, rows: Any) -> Any:
    """Rows of JSON as what `Texts` holds under a name."""
    if isinstance(rows, str):
        return rows
    kind = Comment if "comments" in name else Prompt if "prompts" in name else None
    return tuple(kind(**row) for row in rows) if kind else tuple(rows)


UNREAD = {"bootstrap", "pairs", "pairs_valid"}
"""The counts that are no business of reading texts."""


def _key(profile: Profile) -> Mapping[str, Any]:
    counts = profile.counts.model_dump(exclude=UNREAD)
    decoding = profile.decoding.model_dump(include={"max_prompt_tokens", "new_tokens"})
    data = profile.data.model_copy(update={"pairs": None})
    return {"data": data, "counts": counts, "decoding": decoding, "seed": profile.seed}


def _make(profile: Profile) -> Artifact:
    return Artifact(data=dataclasses.asdict(load_texts(profile)))


TEXTS = Declared("texts", 4, _key, _make)
"""Comments, prompts, running text and passages, split and disjoint."""
