"""Reads rows of JSONL, CSV, Parquet and plain-text files, with errors that name the file and the column."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets

from helpers.profiles.sources import ProfileError

READERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".jsonl": ("json", {}),
    ".json": ("json", {}),
    # "NA" and "null" are words of a comment, not missing values, and no column is an index.
    ".csv": ("csv", {"keep_default_na": False, "index_col": False}),
    # Tab-separated files know no quotes: one that opens a text must not swallow the rows after it.
    ".tsv": ("csv", {"keep_default_na": False, "index_col": False, "sep": "\t", "quoting": csv.QUOTE_NONE}),
    ".parquet": ("parquet", {}),
    ".txt": ("text", {}),
}


def check_file(path: Path) -> None:
    """Raises ProfileError unless the path is a non-empty file of a kind that can be read."""
    if path.is_dir():
        raise ProfileError(f"{path} is a folder; name a file in it: {_listing(path)}.")
    if not path.is_file():
        near = f" Its folder has: {_listing(path.parent)}." if path.parent.is_dir() else ""
        raise ProfileError(f"The data file {path} does not exist.{near}")
    if path.suffix.lower() not in READERS:
        raise ProfileError(
            f"{path} ends in {path.suffix!r}; files that can be read end in {', '.join(READERS)}."
        )
    if path.stat().st_size == 0:
        raise ProfileError(f"The data file {path} is empty.")


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file in order, streamed: nothing is written to any cache."""
    check_file(path)
    kind, options = READERS[path.suffix.lower()]
    level = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what it logs comes as our error instead
    try:
        yield from datasets.load_dataset(kind, data_files=str(path), split="train", streaming=True, **options)
    except UnicodeDecodeError as error:
        raise ProfileError(
            f"{path} is not UTF-8 ({error}). Save it again in that encoding: an editor's or a spreadsheet's "
            "“save as” offers it."
        ) from error
    except (ValueError, OSError) as error:
        raise ProfileError(f"{path} cannot be read as {path.suffix[1:]}: {error}") from error
    finally:
        datasets.logging.set_verbosity(level)


def cell(row: Mapping[str, Any], column: str) -> Any:
    """The value of a column; dots reach into nested columns ("prompt.text"). KeyError if there is none."""
    if column in row:
        return row[column]
    value: Any = row
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise KeyError(column)
        value = value[part]
    return value


def columns(row: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The names of a row's columns, nested ones with dots."""
    names: list[str] = []
    for name, value in row.items():
        names += columns(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [f"{prefix}{name}"]
    return names


def truth(value: Any, threshold: float = 0.5) -> bool:
    """A label as a boolean: true/false, 0/1, a score against a threshold, or one of these as text.

    Raises ValueError for anything else.
    """
    known = same(value)
    if isinstance(known, str):
        raise ValueError(f"{value!r} is no label")
    return known >= threshold


def same(value: Any) -> float | str:
    """What a value counts as, however a file writes it: 1, 1.0, "1", True and "yes" are one value.

    Raises ValueError for a missing value.

    Example:
        >>> same(" True "), same("0"), same("OFF")
        (1.0, 0.0, 'off')
    """
    if isinstance(value, str):
        word = value.strip().casefold()
        words = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
        try:
            return words[word] if word in words else float(word)
        except ValueError:
            return word
    if isinstance(value, bool | int | float) and value == value:
        return float(value)
    raise ValueError(f"{value!r} is no label")


def _listing(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return ", ".join(names[:12]) + (" …" if len(names) > 12 else "") if names else "nothing"
