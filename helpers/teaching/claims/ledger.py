"""The ledger: records measurements, lets each claim's rule judge them, merges the notebooks' shares."""

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from helpers.artifacts import fingerprint, write_json
from helpers.profiles import Profile
from helpers.teaching.claims.measurement import Claim, Measurement, Part, Verdict
from helpers.teaching.claims.registry import CLAIMS, find_claim
from helpers.teaching.claims.table import (
    Row,
    bred_text,
    compare,
    label,
    notebook_table,
    number,
    render_table,
    value_text,
)
from helpers.teaching.display.show import Html

__all__ = [
    "CLAIMS", "Claim", "Entry", "Ledger", "LedgerWarning", "Measurement", "Part", "Verdict",
    "compare", "judge", "mark_of", "merge", "render_table", "write_fragment",
]  # fmt: skip


class LedgerWarning(UserWarning):
    """Something recorded that is not shown; says what, why, and how to get it back."""


@dataclass(frozen=True, repr=False)
class Entry:
    """One row of claims.json: a measurement, what it was held against and the verdict of the claim's rule.

    Shows as one line: claim, value with its interval, control and verdict.

    `figure` compares with the published figure itself, where model and scorer are the published ones;
    `bred_for` says that the model was chosen by what the claim measures.
    """

    id: str
    part: str
    model: str
    policy: str
    notebook: str
    statement: str
    paper: str
    value: float | None
    interval: tuple[float, float] | None
    unit: str
    control: float | None
    control_interval: tuple[float, float] | None
    verdict: str
    rule: str
    figure: str
    details: dict[str, float]
    bred_for: bool = False

    def __repr__(self) -> str:
        row = asdict(self)
        control = "" if self.control is None else f", control {number(self.control)}"
        return f"{label(row)}: {value_text(row)} {self.unit}{control} → {self.verdict}{bred_text(row)}"


def judge(claim_id: str, measurement: Measurement, *, part: str = "") -> Verdict:
    """The verdict of the claim's rule on a measurement, without recording it (to compare seeds or scorers).

    Raises:
        KeyError: unknown claim or part.
        ValueError: the measurement lacks something the rule needs.
    """
    return find_claim(claim_id).part(part).rule(measurement)


class Ledger:
    """One notebook's share of the ledger, a file of its own: <folder>/<notebook>.json.

    Opening one changes nothing; its first record replaces what an earlier run of the notebook left.

    Args:
        folder: where the fragments lie; made when the first claim is recorded.
        notebook: the notebook's file name without ending, such as "01_toxicity_probe".
        model: what figures call the model.
        mark: stands for the profile, by `mark_of`; only rows of one mark are merged.
        bred_for: the claims that the choice of the model went by; their rows say so.
        published_setting: True for GPT2-medium's own weights with the published scorer; only then is a
            measurement also compared with the published figure.

    Example:
        `Ledger(folder, "01_toxicity_probe", "pocket").record("A1", Measurement(...), part="as found")`
    """

    def __init__(
        self, folder: Path, notebook: str, model: str, *, mark: str = "", published_setting: bool = False,
        bred_for: Sequence[str] = (),
    ) -> None:  # fmt: skip
        if not re.fullmatch(r"\w[\w.-]*", notebook):
            raise ValueError(
                f"{notebook!r} is no notebook name: use its file name without ending and folder."
            )
        if not model:
            raise ValueError("The ledger needs the model's name: a number without its model says nothing.")
        self.path = Path(folder) / f"{notebook}.json"
        self.notebook, self.model, self.published_setting = notebook, model, published_setting
        self.mark, self.bred_for = mark, bred_for
        self.entries: list[Entry] = []

    def record(self, claim_id: str, measurement: Measurement, *, part: str = "", policy: str = "") -> Entry:
        """Judges a measurement by the claim's rule and writes it down, replacing an earlier one of its kind.

        Raises:
            KeyError: unknown claim or part.
            ValueError: unknown policy, or the measurement lacks something the rule needs.
        """
        claim = find_claim(claim_id)
        chosen = claim.part(part)
        if policy not in claim.policy_names:
            names = " or ".join(repr(name) for name in claim.policy_names)
            raise ValueError(f"Claim {claim_id} is reported with policy {names}, not {policy!r}.")
        if measurement.unit not in ("", chosen.unit):
            raise ValueError(f"{claim_id} is measured in {chosen.unit!r}, not in {measurement.unit!r}.")
        verdict = chosen.rule(measurement)
        entry = Entry(
            **_fixed(claim, chosen, policy),
            model=self.model, notebook=self.notebook, verdict=str(verdict),
            value=measurement.value, interval=measurement.interval,
            control=measurement.control, control_interval=measurement.control_interval,
            details=dict(measurement.details), bred_for=claim_id in self.bred_for,
            figure=_against_figure(measurement, chosen.published) if self.published_setting else "",
        )  # fmt: skip
        key = (entry.id, entry.part, entry.policy)
        self.entries = [old for old in self.entries if (old.id, old.part, old.policy) != key] + [entry]
        write_fragment(self.path, self.mark, [asdict(old) for old in self.entries])
        return entry

    def table(self) -> Html:
        """What this notebook settles: statement and rule, paper, this run with spread, control, verdict."""
        if not self.entries:
            raise ValueError("Nothing recorded yet: run the cells that measure first.")
        return notebook_table([asdict(entry) for entry in self.entries])


def _fixed(claim: Claim, part: Part, policy: str) -> Row:
    """The columns that the registry fixes before anything is measured."""
    return {
        "id": claim.id, "part": part.name, "policy": policy, "statement": claim.statement,
        "paper": part.paper, "unit": part.unit, "rule": part.rule.text,
    }  # fmt: skip


def _against_figure(measurement: Measurement, published: float | None) -> str:
    if published is None:
        return ""
    if measurement.interval is not None:
        side = "inside" if measurement.low <= published <= measurement.high else "outside"
        return f"published {published:.3g}: {side} the interval"
    return f"published {published:.3g}: differs by {measurement.value - published:+.2g}"


def mark_of(profile: Profile) -> str:
    """Stands for a profile with the content of every file it names: what is edited under one name differs."""
    return fingerprint({"profile": profile})


def write_fragment(path: Path, mark: str, rows: Sequence[Row]) -> None:
    """Writes one notebook's share of the ledger: its rows, and the mark of the profile they belong to."""
    write_json(path, {"profile": mark, "rows": list(rows)})


def merge(folder: Path, mark: str | None = None) -> list[Row]:
    """All fragments of a folder in the registry's order, with a *not run* row for what is missing.

    A damaged or outdated fragment is left out with a `LedgerWarning`, so that its notebook can be run again.

    Args:
        mark: of the profile whose rows are wanted: fragments of another one are left out, with a warning.

    Raises:
        ValueError: two notebooks settle one claim; or, without a mark, the rows are of several profiles.
    """
    found: dict[tuple[str, str, str], Row] = {}
    wanted = mark
    for path in sorted(Path(folder).glob("*.json")):
        fragment = _read_fragment(path)
        if fragment is None:
            continue
        wanted = fragment["profile"] if wanted is None else wanted
        if fragment["profile"] != wanted:
            if mark is None:
                raise ValueError(f"The rows in {path.name} are of another profile than those before it.")
            _left_out(path, "was recorded on another profile, or before its files were edited")
            continue
        for row in fragment["rows"]:
            key = (row["id"], row["part"], row["policy"])
            if key in found:
                both = f"{found[key]['notebook']} and {row['notebook']}"
                raise ValueError(f"{label(row)} is recorded by {both}: one notebook settles a claim.")
            found[key] = row
    models = sorted({row["model"] for row in found.values()})
    only = models[0] if len(models) == 1 else ""
    return [
        found.get((claim.id, part.name, policy)) or _not_run(claim, part, policy, only)
        for claim in CLAIMS.values()
        for part in claim.parts
        for policy in claim.policy_names
    ]


def _read_fragment(path: Path) -> Mapping[str, Any] | None:
    """A fragment's mark and rows; None, with a warning, where they cannot be used."""
    try:
        fragment = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(fragment["profile"], str):
            raise ValueError("it does not say which profile it is of")
        for row in fragment["rows"]:
            check_current(row)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        _left_out(path, f"is not a current ledger fragment ({error})")
        return None
    return fragment


def check_current(row: Row) -> None:
    """Raises ValueError, KeyError or TypeError where a recorded row is not one of the registry's as it is."""
    claim = find_claim(row["id"])
    fixed = _fixed(claim, claim.part(row["part"]), row["policy"])
    changed = [key for key, value in fixed.items() if row[key] != value]
    if changed or row["policy"] not in claim.policy_names:
        raise ValueError(f"its row for {row['id']} was recorded under another registry")


def _left_out(path: Path, why: str) -> None:
    notebook = path.stem[:2].isdigit()
    again = f"`ONLY={path.stem} make run` (or `make notebooks`)" if notebook else f"`make {path.stem}`"
    warnings.warn(f"{path.name} {why}: left out until {again} records it anew.", LedgerWarning, stacklevel=4)


def _not_run(claim: Claim, part: Part, policy: str, model: str) -> Row:
    return asdict(
        Entry(
            **_fixed(claim, part, policy), model=model, notebook=claim.notebook, value=None, interval=None,
            control=None, control_interval=None, verdict=str(Verdict.NOT_RUN), figure="", details={},
        )
    )  # fmt: skip
