"""Turns the sources a profile names into rows: local files and hub datasets alike."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from helpers.language import hub
from helpers.profiles import FileText, HubText, ProfileError, files
from helpers.profiles.checks import roles_of, usable

Table = FileText | HubText


def read_rows(source: Table, name: str, roles: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The usable rows of a source in order, as {role: value}; labels are booleans.

    Args:
        name: which data of the profile this is ("comments", "prompts", …), for the roles and for errors.

    Raises:
        ProfileError: a file, column or label is not as the profile says.
        HubError: the hub is out of reach or lacks the file.
    """
    return [values for _, values in placed_rows(source, name, roles)]


def placed_rows(
    source: Table, name: str, roles: Sequence[str] | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """The same, each row with its place: the file and its number there."""
    wanted, key = roles or roles_of(source, name), f"data.{name}"
    found = list(usable(_raw_rows(source), source, wanted, key, _title(source)))
    if isinstance(source, FileText):
        start, end = (round(share * len(found)) for share in source.stretch)
        found = found[start:end]
        if not found:
            raise ProfileError(f"{key}: stretch = {list(source.stretch)} of {_title(source)} holds no row.")
    return found


def running_text(source: Table, name: str) -> str:
    """All rows as one text. Lines of a text file are joined as they were, rows of a table by an empty line.

    The latter makes of WikiText-2's test split the text on which GPT-2's perplexity is usually measured.
    """
    plain = isinstance(source, FileText) and source.path.suffix.lower() == ".txt"
    return ("\n" if plain else "\n\n").join(row["text"] for row in read_rows(source, name))


def sentences(source: Table, name: str, *, words: int = 6) -> Iterator[str]:
    """The sentences of at least so many words, headings (`= Title =`) left out."""
    for row in paragraphs(source, name):
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z\"“])", row):
            if len(sentence.split()) >= words:
                yield sentence


def paragraphs(source: Table, name: str, *, words: int = 1) -> Iterator[str]:
    """The rows of at least so many words, stripped, headings (`= Title =`) left out."""
    for row in read_rows(source, name):
        text = row["text"].strip()
        if len(text.split()) >= words and not re.fullmatch(r"=.*=", text):
            yield text


def shuffled(texts: Sequence[str], seed: int) -> list[int]:
    """An order of the texts that depends on the seed and on each text alone, not on where it stood."""
    return sorted(range(len(texts)), key=lambda number: (digest(f"{seed}|{texts[number]}"), number))


def digest(text: str) -> str:
    """A short name for a text, the same everywhere."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def normal(text: str) -> str:
    """The form in which two texts count as the same: without case and spacing."""
    return " ".join(text.casefold().split())


def _raw_rows(source: Table) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(source, FileText):
        paths = [source.path]
    else:
        paths = hub.dataset_files(source.repository, source.revision, source.pattern)
    for path in paths:
        title = str(path) if isinstance(source, FileText) else f"{_title(source)}, {path.name}"
        for number, row in enumerate(files.rows(path)):
            yield f"{title}, row {number + 1}", row


def _title(source: Table) -> str:
    if isinstance(source, FileText):
        return str(source.path)
    return f"the dataset {source.repository} at {source.revision or 'its newest revision'}"
