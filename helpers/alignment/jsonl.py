"""Reads and writes preference pairs as JSONL, in our schema and in the published one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from helpers.alignment.encoding import PairError
from helpers.artifacts import write_whole
from helpers.language.texts import Pair

Schema = Literal["ours", "published"]

SCHEMAS: dict[str, dict[str, str]] = {
    "ours": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
    "published": {"prompt": "prompt_text", "chosen": "unpert_gen_text", "rejected": "pert_gen_text"},
}
"""Which column holds what. "published": the files of Lee et al. 2024."""


def write_pairs(path: Path, pairs: Sequence[Pair], *, schema: Schema = "ours") -> None:
    """Writes one JSON object per line: the schema's three columns, with `id` and `scores` beside them.

    The file appears complete or not at all.

    Example:
        write_pairs(folder / "pairs.jsonl", pairs, schema="published")
    """
    columns = SCHEMAS[schema]
    lines = [
        json.dumps(
            {
                "id": pair.id,
                **{column: getattr(pair, role) for role, column in columns.items()},
                **({} if pair.scores is None else {"scores": pair.scores}),
            },
            ensure_ascii=False,
        )
        for pair in pairs
    ]
    write_whole(path, "".join(line + "\n" for line in lines))


def lines_of(text: str) -> list[str]:
    """The lines of JSONL: split at line feeds alone, for JSON leaves U+2028 and its like in a text.

    Example:
        >>> lines_of("one\\u2028line\\nanother\\n")
        ['one\\u2028line', 'another']
    """
    *lines, last = text.split("\n")
    return [*lines, last] if last else lines


def read_pairs(path: Path, *, columns: Mapping[str, str] | None = None) -> tuple[Pair, ...]:
    """Reads pairs; which of the schemas a file has is seen from its columns.

    In some published files each continuation repeats its prompt; if all of a file's do, the prompt is taken
    off. Content is not judged here: `pairs.select` drops what cannot be used, and counts it.

    Args:
        columns: {"prompt": ..., "chosen": ..., "rejected": ...} for a file of another schema.

    Raises:
        FileNotFoundError: there is no such file.
        PairError: a line that is no JSON object, a missing column, a value that is no text, an id that occurs
            twice, no lines at all. Names the line.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no pair file {path}.")
    pairs: list[Pair] = []
    for number, line in enumerate(lines_of(path.read_text(encoding="utf-8")), start=1):
        where = f"{path.name}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise PairError(f"{where}: not JSON ({error}).") from error
        if not isinstance(row, dict):
            raise PairError(f"{where}: a JSON object is wanted, not {type(row).__name__}.")
        columns = columns or _schema(row, where)
        values = {role: _text(row, column, where) for role, column in columns.items()}
        pairs.append(Pair(id=str(row.get("id", number)), scores=row.get("scores"), **values))
    if not pairs:
        raise PairError(f"{path.name} holds no pairs.")
    ids = [pair.id for pair in pairs]
    if len(set(ids)) < len(ids):
        raise PairError(
            f"{path.name}: the id {next(each for each in ids if ids.count(each) > 1)!r} occurs twice."
        )
    return without_repeated_prompts(pairs)


def without_repeated_prompts(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The pairs with their prompt taken off each continuation, if every continuation repeats it."""
    if all(side.startswith(pair.prompt) for pair in pairs for side in (pair.chosen, pair.rejected)):
        return tuple(_without_prompt(pair) for pair in pairs)
    return tuple(pairs)


def _schema(row: Mapping[str, object], where: str) -> dict[str, str]:
    for columns in SCHEMAS.values():
        if set(columns.values()) <= set(row):
            return columns
    wanted = " or ".join(", ".join(columns.values()) for columns in SCHEMAS.values())
    raise PairError(f"{where} has the columns {', '.join(sorted(row)) or 'none'}; wanted are {wanted}.")


def _text(row: Mapping[str, object], column: str, where: str) -> str:
    if column not in row:
        raise PairError(f"{where} has no column {column!r}. It has: {', '.join(sorted(row)) or 'none'}.")
    value = row[column]
    if not isinstance(value, str):
        raise PairError(f"{where}: {column} should be text, not {type(value).__name__}.")
    return value


def _without_prompt(pair: Pair) -> Pair:
    cut = len(pair.prompt)
    return Pair(pair.id, pair.prompt, pair.chosen[cut:], pair.rejected[cut:], pair.scores)
