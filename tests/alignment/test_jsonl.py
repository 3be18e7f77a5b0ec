"""Pairs as files: both schemas there and back, and messages for files that are not right."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from helpers.alignment.attempts import AttemptLog
from helpers.alignment.encoding import PairError
from helpers.alignment.jsonl import read_pairs, write_pairs
from helpers.language.texts import Pair

PAIRS = (
    Pair("a", "You are", " kind. é", " vile.", {"chosen": 0.0, "rejected": 1.0}),
    Pair("b", "They said", " hello.", " goodbye.\nNow"),
)


@pytest.mark.parametrize("schema", ["ours", "published"])
def test_there_and_back(tmp_path, schema):
    write_pairs(tmp_path / "new" / "pairs.jsonl", PAIRS, schema=schema)
    assert read_pairs(tmp_path / "new" / "pairs.jsonl") == PAIRS
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["pairs.jsonl"]


def written(tmp_path, *rows):
    file = tmp_path / "pairs.jsonl"
    file.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return file


PUBLISHED = {"prompt_text": "You are", "unpert_gen_text": " kind.", "pert_gen_text": " vile."}


def test_published_files_with_further_columns(tmp_path):
    file = written(tmp_path, {**PUBLISHED, "pert_gen_toks": [1, 2]})
    assert read_pairs(file) == (Pair("1", "You are", " kind.", " vile."),)


def test_continuations_that_repeat_the_prompt_lose_it_only_if_all_do(tmp_path):
    repeating = {**PUBLISHED, "unpert_gen_text": "You are kind.", "pert_gen_text": "You are vile."}
    assert read_pairs(written(tmp_path, repeating)) == (Pair("1", "You are", " kind.", " vile."),)
    assert read_pairs(written(tmp_path, repeating, PUBLISHED))[0].chosen == "You are kind."


def test_columns_of_another_name(tmp_path):
    file = written(tmp_path, {"p": "You are", "good": " kind.", "bad": " vile."})
    assert (
        read_pairs(file, columns={"prompt": "p", "chosen": "good", "rejected": "bad"})[0].rejected == " vile."
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [PUBLISHED, {"prompt_text": "x", "pert_gen_text": "y"}],
            "line 2 has no column 'unpert_gen_text'. It has: pert",
        ),
        (
            [{"prompt": "x", "chosen": "y"}],
            "line 1 has the columns chosen, prompt; wanted are prompt, chosen, rejected or",
        ),
        (["{"], "line 1: not JSON"),
        (["[1]"], "line 1: a JSON object is wanted, not list"),
        ([{**PUBLISHED, "pert_gen_text": 3}], "line 1: pert_gen_text should be text, not int"),
        ([{**PUBLISHED, "id": 7}, {**PUBLISHED, "id": 7}], "the id '7' occurs twice"),
        ([], "holds no pairs"),
    ],
)
def test_files_that_are_not_right(tmp_path, rows, message):
    with pytest.raises(PairError, match=message):
        read_pairs(written(tmp_path, *rows))


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no pair file"):
        read_pairs(tmp_path / "absent.jsonl")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=3, max_size=3))
@example(["a\u2028b", "\u2029", "\u0085 next line"])
@example(["a\rb", "\r\n", "\x1c\x1d\x1e\x0b\x0c"])
def test_any_text_comes_back(tmp_path, texts):
    pair = Pair("pair", *texts)
    other = Pair("other", "You are", " kind.", " rude.")  # one that does not repeat its prompt
    write_pairs(tmp_path / "pairs.jsonl", [pair, other])
    assert read_pairs(tmp_path / "pairs.jsonl") == (pair, other)
    (tmp_path / "log.jsonl").unlink(missing_ok=True)
    AttemptLog(tmp_path / "log.jsonl", {"seed": 0}).append([pair])
    assert AttemptLog(tmp_path / "log.jsonl", {"seed": 0}).done == {"pair": pair}
