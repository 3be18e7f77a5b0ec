"""Claims over several models: what counts as surviving the seed, and what the table says of whom."""

from dataclasses import asdict
from pathlib import Path

import pytest

from helpers.teaching.claims import (
    Column,
    Ledger,
    LedgerWarning,
    Replication,
    judge,
    over_training_seeds,
    published,
)
from helpers.teaching.claims.ledger import Measurement
from helpers.teaching.claims.registry import find_claim

SHARE = "share of neurons"
NULL = {"activation_matched": 0.6, "beyond_noise": 0.7, "fine_tuned": 0.5, "activation_before": 3,
        "activation_after": 1, "minimum_cosine": 0.999}  # fmt: skip
PARTS = ("own continuations", "shared continuations")


def rows_of(folder: Path, model: str, *values: float, bred_for: tuple[str, ...] = ()) -> list[dict]:
    """A made-up ledger: A8 by part; .9 agrees, .7 is direction only, .5 not reproduced."""
    ledger = Ledger(folder / model, "06", model, bred_for=bred_for)
    for part, value in zip(PARTS, values, strict=False):
        measured = Measurement(value, (value - 0.01, value + 0.01), SHARE, 0.6, details=NULL)
        ledger.record("A8", measured, part=part, policy="matched")
    return [asdict(entry) for entry in ledger.entries]


def family(folder: Path, *models: tuple[float, ...]) -> list[dict]:
    names = ("pocket", "pocket-1", "pocket-2")
    found = [rows_of(folder, name, *values) for name, values in zip(names, models, strict=False)]
    return [row for rows in found for row in rows]


@pytest.mark.parametrize(
    ("models", "differ", "seeds", "verdicts", "verdict"),
    [
        (((0.9, 0.7), (0.95, 0.7), (0.99, 0.75)), 0, 3, 2, "agrees"),
        (((0.9, 0.7), (0.7, 0.7), (0.5, 0.7)), 1, 3, 2, "direction only"),
        (((0.9, 0.9), (0.9,), (0.9, 0.9)), 1, 3, 2, "direction only"),  # a verdict that one lacks differs
        (((0.9, 0.7), (0.9, 0.7)), 0, 2, 2, "not run"),
        (((0.9,), (0.9,), ()), 0, 2, 1, "not run"),
        ((), 0, 0, 0, "not run"),
    ],
)
def test_verdicts_are_compared_over_the_family(tmp_path, models, differ, seeds, verdicts, verdict):
    measured = over_training_seeds(family(tmp_path, *models))
    assert (measured.value, *measured.details.values()) == (differ, seeds, verdicts)
    assert judge("N7", measured) == verdict


def test_neither_other_models_nor_our_own_claims_count(tmp_path):
    rows = family(tmp_path, (0.9,), (0.9,), (0.9,)) + rows_of(tmp_path, "pocket-untrained", 0.5)
    rows += rows_of(tmp_path, "pocket-7", 0.5, 0.5)
    for seed, name in enumerate(("pocket", "pocket-1", "pocket-2")):
        ledger = Ledger(tmp_path / "own", "07", name)
        rows.append(asdict(ledger.record("N1", Measurement(10.0**-seed, unit="share of gross"))))
    assert over_training_seeds(rows).value == 0 and over_training_seeds(rows).details["verdicts"] == 1


@pytest.fixture
def found(tmp_path) -> Replication:
    rows = family(tmp_path, (0.9, 0.9), (0.7, 0.9))
    rows += rows_of(tmp_path, "pocket-untrained", 0.5, 0.95)
    rows += rows_of(tmp_path, "bred", 0.9, bred_for=("A8",))
    rows.append(asdict(Ledger(tmp_path, "replicate", "pocket").record("N7", over_training_seeds(rows))))
    columns = (
        Column("pocket", "pocket", 7.25), Column("pocket-1", "pocket-1", 7.0),
        Column("pocket-2", "pocket-2", None, "no weights: `make pocket SEED=2`"),
        Column("pocket-untrained", "pocket-untrained", 3.0), Column("bred", "bred", 1.0),
        Column("mine", "mine", 0.1, "06: broke", ("06",)),
    )  # fmt: skip
    return Replication("2 CPU cores", columns, tuple(rows))


def test_the_table_says_what_survives_who_is_absent_and_who_failed(found):
    head, _, state, own, shared, seeds = found.table().splitlines()
    assert head.split(" | ")[2:-1] == [column.model for column in found.columns]
    assert state.split(" | ")[2:8] == [
        "7.2 minutes in all notebooks", "7.0 minutes in all notebooks",
        "absent: no weights: `make pocket SEED=2`",
        "3.0 minutes in all notebooks",
        "1.0 minutes in all notebooks", "0.1 minutes in all notebooks; failed: 06: broke",
    ]  # fmt: skip
    assert own.split(" | ")[2:] == [
        "0.900 [0.890, 0.910] ✓ agrees", "0.700 [0.690, 0.710] ◐ direction only", "absent",
        "0.500 [0.490, 0.510] ✗ not reproduced", "0.900 [0.890, 0.910] ✓ agrees · bred for", "failed",
        "differs |",
    ]  # fmt: skip
    assert shared.split(" | ")[6:] == ["not run", "failed", "same; agrees untrained |"]
    assert seeds.endswith("– not run: 1 of 2 differ |")
    assert "&#x27;" not in found.table("html") and found.table("html").count("<tr>") == 5


def test_it_survives_its_file_and_is_shown_as_published(found, tmp_path):
    found.write(tmp_path / "replication.json")
    again = Replication.read(tmp_path / "replication.json")
    assert again.columns == found.columns and again.table() == found.table()
    shown = published(tmp_path / "replication.json")
    for text in (shown.html, shown.text):
        assert "Published result of `make replicate` (2 CPU cores): nothing in it was computed here" in text
    assert "`make replicate` makes one" in published(tmp_path / "none.json").text


@pytest.mark.parametrize("damage", [("≥ .8", "≥ .5"), ('"columns"', '"colums"'), ("{", "")])
def test_what_was_judged_by_other_rules_or_is_damaged_is_left_out(found, tmp_path, damage):
    found.write(tmp_path / "replication.json")
    text = (tmp_path / "replication.json").read_text()
    assert damage[0] in text
    (tmp_path / "replication.json").write_text(text.replace(*damage))
    with pytest.warns(LedgerWarning, match="no current replication.*Run `make replicate` again"):
        assert Replication.read(tmp_path / "replication.json") is None


def any_row(folder: Path, model: str, claim: str, value: float, **details: float) -> dict:
    """A made-up row of any claim: its first part, on the first policy, with all that its rule needs."""
    found = find_claim(claim)
    part = found.parts[0]
    told = dict.fromkeys(part.rule.needs, 0.5) | details
    measured = Measurement(value, (value, value), part.unit, 0.1, (0.0, 0.2), told)
    ledger = Ledger(folder / model / claim, f"{found.notebook}_x", model)
    return asdict(ledger.record(claim, measured, part=part.name, policy=found.policy_names[0]))


def test_claims_of_the_explaining_notebooks_and_of_our_own_have_their_rows(tmp_path):
    values = {claim: (0.6, 0.6, 0.6) for claim in ("B1", "B2", "B3", "B4", "B5", "B7", "B8", "N2")}
    values |= {"B6": (0.6, 0.3, 0.3), "N1": (0.0, 0.0, 1.0), "N5": (0, 1, 2), "N6": (0, 0, 1)}
    details = {"N5": {"seeds": 3, "verdicts": 30}, "N6": {"second_scorer_auroc_low": 0.9, "verdicts": 9}}
    models = ("pocket", "pocket-1", "pocket-2")
    rows = [
        any_row(tmp_path, model, claim, each[seed], **details.get(claim, {}))
        for claim, each in values.items()
        for seed, model in enumerate(models)
    ]
    seeds = over_training_seeds(rows)
    assert seeds.details["verdicts"] == 8 and seeds.value == 1, "B1 to B8 are compared, N's own are not"
    rows.append(asdict(Ledger(tmp_path, "replicate", "pocket").record("N7", seeds)))
    found = Replication("2 CPU cores", tuple(Column(one, one, 7.0) for one in models), tuple(rows))
    lines = {line.split(" | ")[0].strip("| "): line for line in found.table().splitlines()[3:]}
    assert [name.split()[0] for name in lines] == [
        "B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "N1", "N2", "N5", "N6", "N7",
    ]  # fmt: skip
    for name, line in lines.items():
        differs = name.split()[0] in ("B6", "N1", "N5", "N6")
        assert name == "N7" or line.endswith("| differs |" if differs else "| same |"), line
    assert "direction only" in lines["N5"] and "1 of 8 differ" in lines["N7"]
