"""The ledger: what it refuses and writes, how fragments merge, what tables say, what counts as different."""

import inspect
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from helpers.teaching.claims.ledger import (
    CLAIMS,
    Ledger,
    LedgerWarning,
    Measurement,
    compare,
    merge,
    render_table,
)

SCHEMA = {
    "id", "part", "model", "policy", "notebook", "statement", "paper", "value", "interval", "unit", "control",
    "verdict", "rule",
}  # fmt: skip
AS_FOUND = {"above_majority_low": 0.3, "above_grouping_low": 0.1}
AS_FOUND |= {"auroc": 0.95, "auroc_low": 0.93, "auroc_high": 0.97}
ACCURACY = Measurement(0.91, (0.89, 0.93), "accuracy", 0.52, details=AS_FOUND)
NULL = {"cosine_matched": 0.2, "cosine_matched_low": 0.1, "cosine_matched_high": 0.3}
TOP_TEN = Measurement(0.5, (0.4, 0.6), control=0.1, details=NULL)
A8 = {"activation_matched": 0.5, "beyond_noise": 0.7, "fine_tuned": 0.5, "activation_before": 3,
      "activation_after": 1, "minimum_cosine": 0.999}  # fmt: skip
SHARE = Measurement(0.9, (0.85, 0.95), "share of neurons", 0.5, None, A8)


def test_registry_holds_the_claims_in_order_each_with_its_notebook():
    count = Counter(name[0] for name in CLAIMS)
    assert list(CLAIMS) == [f"{letter}{i}" for letter in "ABN" for i in range(1, count[letter] + 1)]
    for claim in CLAIMS.values():
        assert claim.statement.endswith(".") and claim.measured and claim.source
        assert re.fullmatch(r"\d\d|make replicate", claim.notebook)
        assert len({part.name for part in claim.parts}) == len(claim.parts)
        for part in claim.parts:
            assert part.unit and part.paper and part.rule.text
            # A rule that weighs a control must not be stated for a claim that names none.
            assert claim.control != "–" or "control" not in part.rule.given


def test_claims_reported_on_both_policies():
    both = {claim.id for claim in CLAIMS.values() if claim.policy_names == ("matched", "strong")}
    assert both == {"A6", "A7", "A8", "A10", "A11", "A12", "B1", "B2", "B3", "B7"}


def test_record_takes_no_verdict():
    assert "verdict" not in inspect.signature(Ledger.record).parameters


def test_record_computes_the_verdict_and_writes_the_fragment(tmp_path):
    entry = Ledger(tmp_path, "01_toxicity_probe", "pocket").record("A1", ACCURACY, part="as found")
    assert entry.verdict == "agrees" and entry.figure == ""
    stored = json.loads((tmp_path / "01_toxicity_probe.json").read_text())["rows"]
    assert stored[0]["value"] == 0.91 and stored[0]["model"] == "pocket"
    assert [path.name for path in tmp_path.iterdir()] == ["01_toxicity_probe.json"]


def test_recording_again_replaces_only_the_same_claim_part_and_policy(tmp_path):
    ledger = Ledger(tmp_path, "06", "pocket")
    for policy in ("matched", "strong", "matched"):
        ledger.record("A8", SHARE, part="own continuations", policy=policy)
    ledger.record("A8", SHARE, part="shared continuations", policy="matched")
    assert [(e.part.split()[0], e.policy) for e in ledger.entries] == [
        ("own", "strong"), ("own", "matched"), ("shared", "matched"),
    ]  # fmt: skip


def test_a_new_ledger_starts_afresh_with_its_first_record_and_leaves_others(tmp_path):
    Ledger(tmp_path, "01", "pocket").record("A1", ACCURACY, part="as found")
    Ledger(tmp_path, "02", "pocket").record("A2", TOP_TEN, part="top 10")
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    again = Ledger(tmp_path, "01", "pocket")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before
    area = Measurement(0.9, (0.8, 0.95), "AUROC", control=0.5, control_interval=(0.4, 0.6))
    again.record("A1", area, part="matched")
    assert [row["part"] for row in json.loads((tmp_path / "01.json").read_text())["rows"]] == ["matched"]
    assert (tmp_path / "02.json").read_text() == before["02.json"]


@pytest.mark.parametrize(
    ("claim", "part", "policy", "error", "words"),
    [
        ("A99", "", "", KeyError, "A99.*Known: A1, A2"),
        ("A1", "", "", KeyError, "as found.*matched"),
        ("A1", "precision", "", KeyError, "no part 'precision'"),
        ("A1", "as found", "matched", ValueError, "policy ''"),
    ],
)
def test_wrong_names_are_refused_with_the_right_ones(tmp_path, claim, part, policy, error, words):
    ledger = Ledger(tmp_path, "01", "pocket")
    with pytest.raises(error, match=words):
        ledger.record(claim, ACCURACY, part=part, policy=policy)
    assert list(tmp_path.iterdir()) == []


def test_policy_is_required_where_both_are_reported(tmp_path):
    with pytest.raises(ValueError, match="'matched' or 'strong'"):
        Ledger(tmp_path, "06", "pocket").record("A8", SHARE, part="own continuations")


def test_wrong_unit_and_missing_numbers_are_refused(tmp_path):
    ledger = Ledger(tmp_path, "01", "pocket")
    with pytest.raises(ValueError, match="measured in 'accuracy'"):
        ledger.record("A1", Measurement(0.9, (0.8, 1.0), "percent", 0.5), part="as found")
    with pytest.raises(ValueError, match="lacks control, details.'above_majority_low'"):
        ledger.record("A1", Measurement(0.9, (0.8, 1.0)), part="as found")


@pytest.mark.parametrize(("notebook", "model"), [("../01", "pocket"), ("", "pocket"), ("01", "")])
def test_ledger_refuses_strange_names(tmp_path, notebook, model):
    with pytest.raises(ValueError):
        Ledger(tmp_path, notebook, model)


def test_published_figure_is_compared_only_in_the_published_setting(tmp_path):
    ledger = Ledger(tmp_path, "01", "GPT2-medium", published_setting=True)
    assert ledger.record("A1", ACCURACY, part="as found").figure == "published 0.94: outside the interval"
    cosines = {
        "median_cosine": 0.999,
        "minimum_value_row": 0.98,
        "minimum_key_row": 0.9,
        "relative_change": 0.01,
        "fine_tuned_relative_change": 0.02,
        "toxicity": 0.2,
        "nudged_toxicity": 0.5,
    }
    exact = Measurement(0.92, None, control=0.9, details=cosines)
    assert ledger.record("A7", exact, policy="matched").figure == ""


def ledger_folder(folder: Path) -> Path:
    Ledger(folder, "01", "pocket").record("A1", ACCURACY, part="as found")
    ledger = Ledger(folder, "06", "pocket")
    ledger.record("A8", SHARE, part="own continuations", policy="matched")
    return folder


def test_merge_gives_every_claim_in_order_and_marks_what_is_missing(tmp_path):
    rows = merge(ledger_folder(tmp_path))
    expected = [(c.id, p.name, policy) for c in CLAIMS.values() for p in c.parts for policy in c.policy_names]
    assert [(row["id"], row["part"], row["policy"]) for row in rows] == expected
    assert all(set(row) >= SCHEMA for row in rows)
    ran = [row for row in rows if row["verdict"] != "not run"]
    assert [row["id"] for row in ran] == ["A1", "A8"]
    missing = next(row for row in rows if row["id"] == "N6")
    assert missing["value"] is None and missing["model"] == "pocket" and missing["rule"]


def test_merge_of_nothing_is_all_not_run(tmp_path):
    assert {row["verdict"] for row in merge(tmp_path / "absent")} == {"not run"}


def test_merge_survives_a_json_round_trip(tmp_path):
    rows = merge(ledger_folder(tmp_path))
    assert json.loads(json.dumps(rows)) == rows


def test_merge_refuses_two_notebooks_settling_one_claim(tmp_path):
    for notebook in ("01", "05"):
        Ledger(tmp_path, notebook, "pocket").record("A1", ACCURACY, part="as found")
    with pytest.raises(ValueError, match="A1 as found is recorded by 01 and 05"):
        merge(tmp_path)


@pytest.mark.parametrize(
    "content", ["{", "[1]", '[{"id": "A1"}]', '[{"id": "Z9", "part": "", "policy": ""}]']
)
def test_a_damaged_fragment_is_left_out_and_named_so_that_its_notebook_can_mend_it(tmp_path, content):
    rows = merge(ledger_folder(tmp_path))
    rows_of = {"[1]": "{}", "{": "{"}.get(content, '{"profile": "", "rows": ' + content + "}")
    (tmp_path / "03.json").write_text(rows_of)
    with pytest.warns(LedgerWarning, match="03.json is not a current ledger fragment.*`ONLY=03 make run`"):
        assert merge(tmp_path) == rows


def test_rows_of_different_profiles_are_never_merged(tmp_path):
    Ledger(tmp_path, "01", "mine", mark="a").record("A1", ACCURACY, part="as found")
    Ledger(tmp_path, "02", "mine", mark="b").record("A2", TOP_TEN, part="top 10")
    with pytest.raises(ValueError, match="02.json are of another profile"):
        merge(tmp_path)
    with pytest.warns(LedgerWarning, match="01.json was recorded on another profile"):
        rows = merge(tmp_path, "b")
    assert [row["id"] for row in rows if row["value"] is not None] == ["A2"]


def test_merge_refuses_rows_recorded_under_another_rule(tmp_path):
    path = ledger_folder(tmp_path) / "01.json"
    path.write_text(path.read_text().replace("accuracy is ≥ .85", "accuracy is ≥ .5"))
    with pytest.warns(LedgerWarning, match="another registry"):
        assert {row["id"] for row in merge(tmp_path) if row["value"] is not None} == {"A8"}


def test_markdown_has_a_row_per_part_and_a_gpt2_column_not_run(tmp_path):
    rows = merge(ledger_folder(tmp_path))
    lines = render_table(rows).splitlines()
    assert len(lines) == len(rows) + 2
    assert lines[0] == "| claim | what it says | published | notebook | pocket | GPT2-medium |"
    accuracy = next(line for line in lines if "| A1 as found |" in line)
    assert "0.910 [0.890, 0.930] ✓ agrees | *not run* |" in accuracy
    assert {line.count(" | ") for line in lines[2:]} == {5}


def test_claim_table_counts_the_verdicts_of_the_parts(tmp_path):
    lines = render_table(merge(ledger_folder(tmp_path)), by="claim").splitlines()
    assert len(lines) == len(CLAIMS) + 2
    assert "✓ agrees (1), – not run (1)" in next(line for line in lines if line.startswith("| A1 |"))
    assert next(line for line in lines if line.startswith("| B8 |")).endswith("| *not run* | *not run* |")


def test_tables_say_for_which_claims_the_model_was_bred(tmp_path):
    ledger = Ledger(tmp_path, "01", "pocket", bred_for=("A8",))
    ledger.record("A8", SHARE, part="own continuations", policy="matched")
    ledger.record("A1", ACCURACY, part="as found")
    rows = merge(tmp_path)
    assert [row["id"] for row in rows if row["bred_for"]] == ["A8"]
    for by, said in (("part", "✓ agrees"), ("claim", "✓ agrees (1), – not run (3)")):
        marked = [line for line in render_table(rows, by=by).splitlines() if "bred for" in line]
        assert len(marked) == 1 and f"{said} · bred for |" in marked[0]
    assert "✓ agrees · bred for" in ledger.table().html and repr(ledger.entries[0]).endswith(" · bred for")


def test_two_models_stand_side_by_side(tmp_path):
    pocket = merge(ledger_folder(tmp_path / "a"))
    Ledger(tmp_path / "b", "01", "gpt2-medium").record("A1", ACCURACY, part="as found")
    lines = render_table(pocket + merge(tmp_path / "b")).splitlines()
    assert lines[0].endswith("| pocket | gpt2-medium |")
    assert next(line for line in lines if "| A1 as found |" in line).count("✓ agrees") == 2


def test_html_table_is_plain_and_complete(tmp_path):
    page = render_table(merge(ledger_folder(tmp_path)), format="html")
    assert page.count("<tr>") == len(merge(tmp_path)) + 1 and "<script" not in page and "style=" not in page


def test_rendering_nothing_is_an_error():
    with pytest.raises(ValueError, match="no entries"):
        render_table([])


def test_notebook_table_shows_rule_spread_control_and_verdict(tmp_path):
    ledger = Ledger(tmp_path, "01", "pocket")
    with pytest.raises(ValueError, match="Nothing recorded"):
        ledger.table()
    ledger.record("A1", ACCURACY, part="as found")
    page = ledger.table()._repr_html_()
    interval = "0.910 [0.890,\N{NO-BREAK SPACE}0.930]"
    for piece in ("A1 as found", "Rule: agrees when", interval, "0.520", "✓ agrees", "pocket"):
        assert piece in page


def rows_with(**changes):
    row = {"id": "A1", "part": "", "policy": "", "model": "pocket", "rule": "r", "verdict": "agrees",
           "value": 0.9, "interval": [0.8, 1.0]}  # fmt: skip
    return [row | changes]


@pytest.mark.parametrize(
    "changes",
    [{}, {"value": 0.82, "interval": [0.7, 0.85]}, {"value": 0.95, "interval": None}, {"notebook": "x"}],
)
def test_compare_accepts_the_same_story(changes):
    assert compare(rows_with(**changes), rows_with()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"verdict": "direction only"}, "A1: direction only now .*, agrees stored"),
        ({"value": 0.5, "interval": [0.4, 0.6]}, r"0.500 \[0.400, 0.600\] now, 0.900"),
        ({"value": 0.7, "interval": None}, "0.700 now"),
        ({"value": None, "interval": None}, "measured in one ledger only"),
        ({"rule": "other"}, "rule has changed"),
        ({"model": "big"}, "models differ"),
        ({"id": "A2"}, "A1: stored, but not in the fresh"),
    ],
)
def test_compare_names_each_difference(changes, words):
    found = compare(rows_with(**changes), rows_with())
    assert re.search(words, found[0])
