"""Checks the files a profile names before anything is loaded."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers.pocket import FOLDER, not_trained
from helpers.profiles import files
from helpers.profiles.schema import Profile
from helpers.profiles.sources import FileText, HubScorerSettings, HubText, ProfileError


def check_model_folder(folder: Path) -> None:
    """Raises ProfileError unless the folder holds a GPT-2 configuration, weights and a tokenizer."""
    if folder.parent == FOLDER and folder.name.isdecimal() and not (folder / "model.safetensors").is_file():
        raise ProfileError(not_trained(int(folder.name)))
    if not folder.is_dir():
        raise ProfileError(
            f"The model folder {folder} does not exist. Give a folder written by save_pretrained, "
            "or a hub id under `id` instead of `folder`."
        )
    present = sorted(path.name for path in folder.iterdir())
    shown = ", ".join(present) or "nothing"
    if "config.json" not in present:
        raise ProfileError(f"The model folder {folder} has no config.json. It has: {shown}.")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ProfileError(f"{folder / 'config.json'} is not valid JSON: {error}.") from error
    if config.get("model_type") != "gpt2":
        raise ProfileError(
            f"{folder / 'config.json'} has model_type {config.get('model_type')!r}; the notebooks read "
            '"gpt2" (any number of layers, heads and dimensions).'
        )
    if not any(name.startswith("model") and name.endswith(".safetensors") for name in present):
        raise ProfileError(f"The model folder {folder} has no *.safetensors weights. It has: {shown}.")
    if not ("tokenizer.json" in present or {"vocab.json", "merges.txt"} <= set(present)):
        raise ProfileError(
            f"The model folder {folder} has no tokenizer (tokenizer.json, or vocab.json with merges.txt). "
            f"It has: {shown}."
        )


ROLES = {
    "comments": ("text", "toxic"),
    "prompts": ("text",),
    "perplexity": ("text",),
    "pair_prompts": ("text",),
    "passages": ("text",),
    "pairs": ("prompt", "chosen", "rejected"),
}
"""The roles that the columns of each kind of data must fill."""

OPTIONAL = {"comments": ("group",)}
"""Further roles, read where the profile names a column for them."""


def roles_of(source: FileText | HubText, name: str) -> tuple[str, ...]:
    """The roles to read from a source of the data called `name`."""
    named = tuple(role for role in OPTIONAL.get(name, ()) if role in source.columns)
    return ROLES[name] + named


def check_profile(profile: Profile) -> None:
    """Looks at every local file a profile names: there, not empty, with the columns and labels it needs.

    Files on the hub are looked at when they are fetched.

    Raises:
        ProfileError: one error that names the file or column and lists what would be right.
    """
    if profile.model.folder is not None:
        check_model_folder(profile.model.folder)
    for scorer in profile.scorers:
        if isinstance(scorer, HubScorerSettings) and scorer.folder is not None and not scorer.folder.is_dir():
            raise ProfileError(f"The scorer's folder {scorer.folder} does not exist.")
    for name, source in profile.data:
        if isinstance(source, FileText):
            check_table(source, name)


def check_table(source: FileText, name: str) -> None:
    """Raises ProfileError unless a file's rows have the columns, the labels, and at least one row to use."""
    empty = True
    for number, row in enumerate(files.rows(source.path)):
        read(row, source, roles_of(source, name), f"{source.path}, row {number + 1}", f"data.{name}")
        empty = False
    if empty:
        raise ProfileError(f"The data file {source.path} has no rows.")


def read(
    row: dict[str, Any], source: FileText | HubText, roles: Sequence[str], place: str, key: str
) -> dict[str, Any] | None:
    """The values that play the wanted roles in one row; None for a row that is to be left out.

    Args:
        place: the file and row, for the error.
        key: where the profile says so, such as "data.comments".
    """
    found: dict[str, Any] = {}
    try:
        if source.spare is not None:
            files.cell(row, source.spare)  # if it is missing, say so now, not when pairs are made
        if source.keep is not None:
            kept = files.cell(row, source.keep)
            if kept is None or not _label(kept, 0.5, place, source.keep):
                return None
        for role in roles:
            found[role] = files.cell(row, source.column(role))
    except KeyError as error:
        missing = str(error.args[0])
        present = files.columns(row)
        close = difflib.get_close_matches(missing, present, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ProfileError(
            f"{place}: there is no column {missing!r}.{hint} Columns: {', '.join(present)}. "
            f"Say which column plays which role under {key}.columns."
        ) from None
    for role, value in found.items():
        column = source.column(role)
        if role == "toxic":
            found[role] = _label(value, source.label_threshold, place, column)
        elif role == "group":
            found[role] = "" if value is None else str(value)
        elif value is None:
            return None
        elif not isinstance(value, str):
            raise ProfileError(f"{place}: column {column!r} should hold text but holds {value!r}.")
    return found


def _label(value: Any, threshold: float, place: str, column: str) -> bool:
    try:
        return files.truth(value, threshold)
    except ValueError:
        raise ProfileError(
            f"{place}: column {column!r} should be true/false, 0/1 or a number, but is {str(value)[:60]!r}."
        ) from None
