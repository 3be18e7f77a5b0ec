"""Checks the files a profile names, and their rows as they are read."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
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
        pickled = any(name.endswith((".bin", ".pt", ".pth")) for name in present)
        cure = (
            " Pickled weights are not opened, because they can run code. If you trust them, load them once "
            "with GPT2LMHeadModel.from_pretrained(folder) and save_pretrained(folder)."
        )
        raise ProfileError(
            f"The model folder {folder} has no *.safetensors weights. It has: {shown}.{cure * pickled}"
        )
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


def check_files(profile: Profile) -> None:
    """Looks whether every local folder and file that a profile names is there, of a kind that can be read.

    Raises:
        ProfileError: one error that names the file and lists what would be right.
    """
    if profile.model.folder is not None:
        check_model_folder(profile.model.folder)
    for scorer in profile.scorers:
        if isinstance(scorer, HubScorerSettings) and scorer.folder is not None and not scorer.folder.is_dir():
            raise ProfileError(f"The scorer's folder {scorer.folder} does not exist.")
    for _, source in profile.data:
        if isinstance(source, FileText):
            files.check_file(source.path)


def usable(
    rows: Iterable[tuple[str, dict[str, Any]]],
    source: FileText | HubText,
    roles: Sequence[str],
    key: str,
    title: str,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The place of each row that is to be used, and the values that play the wanted roles in it.

    Args:
        rows: the file and row, for errors, and the row.
        key: where the profile says so, such as "data.comments".
        title: what errors call the source.

    Raises:
        ProfileError: a missing column; a value that is no text, or no label; labels of more than two values
            where the profile does not say which of them are toxic; no row is left.
    """
    labels: dict[float | str, Any] = {}
    seen = used = 0
    for place, row in rows:
        seen += 1
        found = read(row, source, roles, place, key)
        if found is not None:
            used += 1
            if "toxic" in found:
                value = files.cell(row, source.column("toxic"))
                labels[files.same(value)] = value
                _check_labels(list(labels.values()), source, place, key)
            yield place, found
    if not seen:
        raise ProfileError(f"{key}: {title} has no rows.")
    if not used:
        why = "no text in it is there"
        if source.keep is not None:
            wanted = f"among keep_values, {list(source.keep_values)}" if source.keep_values else "true"
            why = f"the column that `keep` names, {source.keep!r}, is {wanted} in none of them"
        raise ProfileError(f"{key}: none of the {seen} rows of {title} can be used: {why}.")


def _check_labels(values: Sequence[Any], source: FileText | HubText, place: str, key: str) -> None:
    if len(values) > 2 and not source.toxic_values and source.label_threshold is None:
        raise ProfileError(
            f"{place}: column {source.column('toxic')!r} has a third value, {values[-1]!r}, beside "
            f"{values[0]!r} and {values[1]!r}. Say under {key} which values are toxic, such as "
            f"toxic_values = {json.dumps(list(values[:1]), default=str)}; or, for scores, from which on: "
            "label_threshold = 0.5."
        )


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
            if kept is None or not _is_one(kept, source.keep_values, 0.5, place, source.keep, "keep_values"):
                return None
        for role in roles:
            found[role] = files.cell(row, source.column(role))
    except KeyError as error:
        missing = str(error.args[0])
        present = files.columns(row)
        close = difflib.get_close_matches(missing, present, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        if len(present) == 1 and (";" in present[0] or "\t" in present[0]):
            hint = " The columns seem to be separated by semicolons or tabs: save with commas, or as .tsv."
        raise ProfileError(
            f"{place}: there is no column {missing!r}.{hint} Columns: {', '.join(present)}. "
            f"Say which column plays which role under {key}.columns."
        ) from None
    for role, value in found.items():
        column = source.column(role)
        if role == "toxic":
            threshold = 0.5 if source.label_threshold is None else source.label_threshold
            found[role] = _is_one(value, source.toxic_values, threshold, place, column, "toxic_values")
        elif role == "group":
            found[role] = "" if value is None else str(value)
        elif value is None:
            return None
        elif not isinstance(value, str):
            raise ProfileError(f"{place}: column {column!r} should hold text but holds {value!r}.")
    return found


def _is_one(
    value: Any, wanted: Sequence[Any], threshold: float, place: str, column: str, key: str
) -> bool:
    """Whether a value is one of those wanted; where none are named, whether it is true or large enough."""
    try:
        if wanted:
            return files.same(value) in {files.same(one) for one in wanted}
        return files.truth(value, threshold)
    except ValueError:
        raise ProfileError(
            f"{place}: column {column!r} should be true/false, 0/1 or a number, but is {str(value)[:60]!r}. "
            f"If it names classes, list those that count: {key} = [{json.dumps(str(value)[:60])}]."
        ) from None
