"""The claims over several models: which verdicts survive the training seed, and which need no training."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from helpers.artifacts import write_json
from helpers.profiles import FAMILY, UNTRAINED
from helpers.teaching.claims.ledger import LedgerWarning, check_current
from helpers.teaching.claims.measurement import Measurement
from helpers.teaching.claims.registry import CLAIMS
from helpers.teaching.claims.table import NOT_RUN, Row, label, markdown, value_text, verdict_text
from helpers.teaching.display.show import Html, grid

SEEDS = tuple(member.label for member in FAMILY)
"""The models that differ in nothing but the training seed, as the ledger calls them."""


@dataclass(frozen=True)
class Column:
    """One model of a replicate run, and how its run went.

    Attributes:
        profile: the profile's name; `model` is what the ledger calls its model.
        minutes: what its notebooks took; None where none was run.
        why: what kept it from finishing, "" where nothing did.
        failed: the notebooks that did not finish, by number ("04").
    """

    profile: str
    model: str
    minutes: float | None
    why: str = ""
    failed: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """How the run went, in words."""
        if self.minutes is None:
            return f"absent: {self.why}"
        return f"{self.minutes:.1f} minutes in all notebooks" + (f"; failed: {self.why}" if self.why else "")


@dataclass(frozen=True)
class Replication:
    """What `make replicate` found: a column for each model, and the rows that they measured.

    `machine` is the kind of machine it ran on.
    """

    machine: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @classmethod
    def read(cls, path: Path) -> Replication | None:
        """What `write` left; None where there is nothing, or with a `LedgerWarning` nothing that can be used.

        Rows are of use only under the rules that judged them.
        """
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            for row in found["rows"]:
                check_current(row)
            columns = tuple(
                Column(**{**column, "failed": tuple(column["failed"])}) for column in found["columns"]
            )
            return cls(found["machine"], columns, tuple(found["rows"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            warnings.warn(
                f"{path.name} is no current replication ({error}): left out. Run `make replicate` again.",
                LedgerWarning,
                stacklevel=2,
            )
            return None

    def write(self, path: Path) -> None:
        """Writes it as JSON, whole or not at all."""
        write_json(path, asdict(self))

    def table(self, format: Literal["markdown", "html"] = "markdown") -> str:
        """Claims by models: value, interval and verdict; last, whether the verdict survives the seed.

        The first line says how each model's run went. Claims that no model measured are left out.
        """
        columns = self.columns
        lines = [["", "how the run went", *(column.state for column in columns), ""]]
        for rows in by_part(self.rows):
            if rows[0]["id"] == "N7":
                count = f"{value_text(rows[0])} of {rows[0]['details']['verdicts']:.0f} differ"
                said = f"{verdict_text(rows[0])}: {count}"
                lines.append(["N7", rows[0]["statement"], *("" for _ in columns), said])
                continue
            cells = (_cell(rows, column) for column in columns)
            lines.append([label(rows[0]), rows[0]["statement"], *cells, self._survives(rows)])
        headers = ["claim", "what it says", *(column.model for column in columns), "over the training seeds"]
        return markdown(headers, lines) if format == "markdown" else grid(headers, lines).html

    def _survives(self, rows: Sequence[Row]) -> str:
        """Whether the members of the family that were run agree; and whether training is needed for it."""
        run = [column.model for column in self.columns if column.minutes is not None]
        verdicts = verdicts_of(rows, [model for model in SEEDS if model in run])
        parts = [("same" if len(set(verdicts)) == 1 else "differs") if len(verdicts) > 1 else "–"]
        if verdicts_of(rows, [UNTRAINED.label]) == ["agrees"]:
            parts.append("agrees untrained")
        return "; ".join(parts)


def published(path: Path) -> Html:
    """The table of the replicate run that is stored at `path`, said to be that; or that there is none."""
    found = Replication.read(path)
    if found is None:
        text = "No replicate run is published yet: `make replicate` makes one."
        return Html(f"<p>{text}</p>", text)
    said = f"Published result of `make replicate` ({found.machine}): nothing in it was computed here."
    return Html(f"<p>{said}</p>{found.table('html')}", f"{said}\n\n{found.table()}")


def over_training_seeds(rows: Sequence[Row]) -> Measurement:
    """N7's number: how many verdicts of A1–B8 differ over the family; one that a member lacks differs too.

    `seeds` counts the members that gave a verdict at all, `verdicts` what was compared.
    """
    parts = [part for part in by_part(rows) if part[0]["id"][0] in "AB"]
    present = [model for model in SEEDS if any(verdicts_of(part, [model]) != [NOT_RUN] for part in parts)]
    verdicts = [verdicts_of(part, present) for part in parts]
    compared = [each for each in verdicts if set(each) - {NOT_RUN}]
    differ = sum(len(set(each)) > 1 for each in compared)
    return Measurement(differ, details={"seeds": len(present), "verdicts": len(compared)})


def by_part(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The rows of several models, those of one claim, part and policy together, in the registry's order."""
    for claim in CLAIMS.values():
        for part in claim.parts:
            for policy in claim.policy_names:
                key = (claim.id, part.name, policy)
                if found := [row for row in rows if (row["id"], row["part"], row["policy"]) == key]:
                    yield found


def verdicts_of(rows: Sequence[Row], models: Sequence[str]) -> list[str]:
    """The verdicts of one part on these models, "not run" for a model that has none."""
    given = {row["model"]: row["verdict"] for row in rows}
    return [given.get(model, NOT_RUN) for model in models]


def _cell(rows: Sequence[Row], column: Column) -> str:
    """What one model says of one part: value, interval and verdict, or why there is none."""
    for row in rows:
        if row["model"] == column.model:
            return f"{value_text(row)} {verdict_text(row)}"
    if column.minutes is None:
        return "absent"
    return "failed" if CLAIMS[rows[0]["id"]].notebook in column.failed else NOT_RUN
