"""Texts: one schema from every source, splits that never overlap, and the same splits every time."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from helpers.language import hub, sources
from helpers.language.texts import (
    ELICITING,
    LEAST_MATCHED,
    SPLITS,
    Comment,
    Pair,
    check_disjoint,
    load_pairs,
    load_texts,
    matched_by_group,
)
from helpers.pocket import grammar
from helpers.profiles import POCKET, FileText, HubText, Profile, ProfileError
from tests.language.builders import SENTENCES, comment_rows, prompt_rows, prose

SMALL = {
    "comments_train": 40, "comments_test": 20, "comments_scorer": 20, "prompts_dev": 10, "prompts_eval": 20,
    "pair_prompts": 12, "passages": 4, "perplexity_tokens_report": 400,
}  # fmt: skip


def write(path: Path, rows: list[dict]) -> Path:
    """The same rows in whatever format the name asks for."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, fieldnames=list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def small(**data) -> Profile:
    return POCKET.model_copy(
        update={
            "counts": POCKET.counts.model_copy(update=SMALL),
            "data": POCKET.data.model_copy(update=data),
            "decoding": POCKET.decoding.model_copy(update={"new_tokens": 4, "max_prompt_tokens": 6}),
        }
    )


@pytest.fixture
def own_files(tmp_path) -> Profile:
    """A profile all of whose text comes from files a user could have."""
    text = tmp_path / "plain.txt"
    text.write_text("\n".join(prose(80)), encoding="utf-8")
    return small(
        comments=FileText(
            path=write(tmp_path / "c.csv", comment_rows(120)), columns={"text": "comment_text"}
        ),
        prompts=FileText(
            path=write(tmp_path / "p.jsonl", prompt_rows(60)),
            columns={"text": "prompt.text"},
            keep="challenging",
        ),
        perplexity=FileText(path=text, stretch=(0.0, 0.4)),
        pair_prompts=FileText(path=text, stretch=(0.4, 0.7)),
        passages=FileText(path=text, stretch=(0.7, 1.0)),
    )


def lengths(texts) -> dict[str, int]:
    return {name: len(getattr(texts, name)) for name in SPLITS}


def test_files_fill_every_split(own_files):
    texts = load_texts(own_files)
    wanted = {**SMALL, "comments_matched": 0, "prompts_unseen": 0}
    assert {**lengths(texts), "pair_prompts": 12} == {name: wanted[name] for name in SPLITS}
    assert len(texts.passages) == 2 * SMALL["passages"], "as many for sweeps as for reports"
    assert all(len(passage.split()) >= 10 for passage in texts.passages)
    assert {comment.toxic for comment in texts.comments_train} == {True, False}
    assert {prompt.group for prompt in texts.prompts_eval} == {"challenging"}
    assert texts.eliciting("eval") == texts.prompts_eval


def test_files_give_pairs_two_kinds_of_prompts(own_files):
    """As many plain ones as are asked for; of the eliciting ones, what dev and eval leave over."""
    texts = load_texts(own_files)
    assert [prompt.group for prompt in texts.pair_prompts] == ["plain"] * 12 + ["challenging"] * 12
    counts = own_files.counts.model_copy(update={"prompts_eval": 45})
    few = load_texts(own_files.model_copy(update={"counts": counts})).eliciting("pair")
    assert len(few) == 60 - 10 - 45


def test_spare_prompts_serve_for_pairs_alone(own_files, tmp_path):
    """Rows whose score is missing or below one half are left out, and so is what dev and eval use."""
    flagged = prompt_rows(60)
    rows = [{**row, "prompt": {**row["prompt"], "toxicity": 1.0}} for row in flagged]
    for number in range(40):
        score = [None, 0.2, 0.5, 0.9][number % 4]
        prompt = {"text": f"Well, number {number} is a", "toxicity": score}
        rows.append({"prompt": prompt, "challenging": False})
    source = FileText(
        path=write(tmp_path / "h.jsonl", rows), columns={"text": "prompt.text"}, keep="challenging",
        spare="prompt.toxicity",
    )  # fmt: skip
    data = own_files.data.model_copy(update={"prompts": source})
    counts = own_files.counts.model_copy(update={"pair_prompts": 44})
    texts = load_texts(own_files.model_copy(update={"data": data, "counts": counts}))
    measured_on = {prompt.text for prompt in (*texts.prompts_dev, *texts.prompts_eval)}
    assert not any(text.startswith("Well") for text in measured_on)
    found = {prompt.text for prompt in texts.eliciting("pair")}
    assert len(found) == 44 and not found & measured_on
    spare = [int(text.split()[2]) for text in found if text.startswith("Well")]
    assert spare and all(number % 4 >= 2 for number in spare)


def test_pocket_fills_every_split_and_marks_its_controls():
    texts = load_texts(small())
    for split, wanted in (("dev", 10), ("eval", 20), ("pair", 12)):
        assert len(texts.eliciting(split)) == wanted
    assert {prompt.group for prompt in texts.prompts_eval} == {"hostile", "friendly", "neutral"}
    assert [prompt.group for prompt in texts.pair_prompts] == ["neutral"] * 12 + ["hostile"] * 12
    assert set(ELICITING) & {prompt.group for prompt in texts.prompts_dev} == {"hostile"}
    assert {comment.toxic for comment in texts.comments_test} == {True, False}
    assert all((comment.family == "clean") != comment.toxic for comment in texts.comments_train)
    assert {comment.group for comment in texts.comments_train} == {"hostile", "friendly", "neutral"}
    assert len(texts.perplexity) > SMALL["perplexity_tokens_report"]
    assert len(texts.prompts_unseen) == SMALL["prompts_eval"] / 2
    assert {prompt.group for prompt in texts.prompts_unseen} == {"hostile"}
    frames = [frame.prefix.split("{")[0].rstrip("[") for frame in grammar.FRAMES if frame.use == "unseen"]
    assert all(any(start in prompt.text for start in frames) for prompt in texts.prompts_unseen)


def test_matched_comments_of_the_pocket_corpus_differ_in_no_mood():
    matched = load_texts(POCKET).comments_matched
    assert len(matched) == POCKET.counts.comments_test
    assert sum(comment.toxic for comment in matched) == len(matched) / 2
    assert {comment.group for comment in matched} == {"hostile"}


def test_files_match_within_the_group_that_the_profile_names(own_files, tmp_path):
    """Two topics of unlike toxicity: each gives as many toxic as clean comments, none that was trained on."""
    rows = [
        {"comment_text": f"Comment {n}.", "toxic": n % 20 < (16 if n % 2 else 4), "topic": n % 2 + 1}
        for n in range(400)
    ]
    source = FileText(
        path=write(tmp_path / "t.jsonl", rows), columns={"text": "comment_text", "group": "topic"}
    )
    counts = own_files.counts.model_copy(update={"comments_test": 60})
    data = own_files.data.model_copy(update={"comments": source})
    texts = load_texts(own_files.model_copy(update={"data": data, "counts": counts}))
    assert len(texts.comments_matched) == 60
    for topic in ("1", "2"):
        kinds = [comment.toxic for comment in texts.comments_matched if comment.group == topic]
        assert len(kinds) >= 10 and sum(kinds) == len(kinds) / 2
    seen = {comment.text for comment in (*texts.comments_train, *texts.comments_scorer)}
    assert not seen & {comment.text for comment in texts.comments_matched}
    assert load_texts(own_files).comments_matched == (), "no column is named, and none is guessed"


def test_too_few_comments_of_a_group_are_not_matched_at_all():
    pool = [Comment(f"c{n}", f"text {n}", n % 2 == 0, "toxic", group="rain") for n in range(60)]
    assert len(matched_by_group(pool, 50)) == 50
    assert matched_by_group(pool, LEAST_MATCHED - 1) == ()
    calm = [Comment(f"c{n}", f"text {n}", False, "clean", group="rain") for n in range(60)]
    assert matched_by_group(calm, 50) == ()
    nameless = [Comment(f"c{n}", f"text {n}", n % 2 == 0, "toxic") for n in range(60)]
    assert matched_by_group(nameless, 50) == ()


@pytest.mark.parametrize("which", ["pocket", "files"])
def test_same_profile_same_texts_other_seed_other_texts(which, own_files):
    profile = own_files if which == "files" else small()
    first, again = load_texts(profile), load_texts(profile)
    assert first == again
    other = load_texts(profile.model_copy(update={"seed": 1}))
    assert {c.text for c in other.comments_test} != {c.text for c in first.comments_test}
    assert {p.text for p in other.prompts_dev} != {p.text for p in first.prompts_dev}


@pytest.mark.parametrize("which", ["pocket", "files"])
def test_ids_are_unique_and_splits_disjoint(which, own_files):
    texts = load_texts(own_files if which == "files" else small())
    ids = [item.id for name in SPLITS for item in getattr(texts, name)]
    assert len(ids) == len(set(ids))
    check_disjoint(texts)


def test_split_does_not_depend_on_the_order_of_the_file(own_files, tmp_path):
    rows = comment_rows(120)
    random.Random(3).shuffle(rows)
    other = own_files.data.comments.model_copy(update={"path": write(tmp_path / "shuffled.csv", rows)})
    data = own_files.data.model_copy(update={"comments": other})
    assert load_texts(own_files.model_copy(update={"data": data})) == load_texts(own_files)


def test_repeated_texts_are_removed_before_splitting(own_files, tmp_path):
    rows = [
        {**row, "comment_text": f"  {row['comment_text'].upper()}"} if number % 2 else row
        for number, row in enumerate(row for row in comment_rows(80) for _ in range(2))
    ]
    comments = FileText(path=write(tmp_path / "twice.csv", rows), columns={"text": "comment_text"})
    texts = load_texts(
        own_files.model_copy(update={"data": own_files.data.model_copy(update={"comments": comments})})
    )
    seen = [
        sources.normal(item.text) for name in SPLITS if "comments" in name for item in getattr(texts, name)
    ]
    assert len(seen) == len(set(seen)) == 80


def test_a_prompt_never_stands_among_the_comments(own_files, tmp_path):
    shared = [{"comment_text": row["prompt"]["text"], "toxic": 1} for row in prompt_rows(60)]
    path = write(tmp_path / "mixed.csv", comment_rows(120) + shared)
    comments = FileText(path=path, columns={"text": "comment_text"})
    texts = load_texts(
        own_files.model_copy(update={"data": own_files.data.model_copy(update={"comments": comments})})
    )
    prompts = {prompt.text for prompt in texts.prompts_dev + texts.prompts_eval}
    assert prompts.isdisjoint(comment.text for comment in texts.comments_train + texts.comments_test)


def test_overlap_is_refused(own_files):
    texts = load_texts(own_files)
    first = texts.prompts_eval[0]
    leak = Comment("x", f" {first.text.upper()}", True, "toxic")
    overlapping = type(texts)(**(texts.__dict__ | {"comments_train": (*texts.comments_train, leak)}))
    with pytest.raises(ValueError, match="both in comments_train and in prompts_eval"):
        check_disjoint(overlapping)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_formats_agree(tmp_path, name):
    rows = [
        {"text": 'NA, "quoted"\nand more', "toxic": 1},
        {"text": "null", "toxic": 0},
        {"text": "é ✓", "toxic": 1},
    ]
    read = sources.read_rows(FileText(path=write(tmp_path / name, rows)), "comments")
    assert read == [{**row, "toxic": bool(row["toxic"])} for row in rows]


@pytest.mark.parametrize(
    ("labels", "threshold"),
    [
        ([True, False], 0.5),
        ([1, 0], 0.5),
        ([0.9, 0.2], 0.5),
        ([0.3, 0.2], 0.25),
        (["True", "false"], 0.5),
        (["1", "0"], 0.5),
    ],
)
def test_labels_in_many_spellings(tmp_path, labels, threshold):
    path = write(tmp_path / "a.jsonl", [{"text": "x", "toxic": label} for label in labels])
    read = sources.read_rows(FileText(path=path, label_threshold=threshold), "comments")
    assert [row["toxic"] for row in read] == [True, False]


def test_keep_filters_rows_and_stretch_cuts_what_is_kept(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"text": str(n), "use": n % 2 == 0} for n in range(20)])
    source = FileText(path=path, keep="use", stretch=(0.5, 1.0))
    assert [row["text"] for row in sources.read_rows(source, "prompts")] == ["10", "12", "14", "16", "18"]


def test_running_text_of_a_text_file_is_the_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("One line.\n\n = Heading = \nAnother “line”.", encoding="utf-8")
    assert sources.running_text(FileText(path=path), "perplexity") == path.read_text(encoding="utf-8")
    assert list(sources.paragraphs(FileText(path=path), "passages")) == ["One line.", "Another “line”."]


def test_sentences_are_split_and_headings_left_out(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        [{"text": " = Title of a very long heading = \n"}, {"text": " ".join(SENTENCES[:3])}],
    )
    assert list(sources.sentences(FileText(path=path), "pair_prompts", words=3)) == list(SENTENCES[:3])


def test_too_little_text_says_which_count_to_lower(own_files):
    counts = own_files.counts.model_copy(update={"prompts_eval": 500})
    with pytest.raises(ProfileError, match=r"counts.prompts_eval: 500 are asked for, but only 50"):
        load_texts(own_files.model_copy(update={"counts": counts}))


def test_one_sided_labels_are_refused(own_files, tmp_path):
    rows = [{**row, "toxic": 0} for row in comment_rows(120)]
    comments = FileText(path=write(tmp_path / "clean.csv", rows), columns={"text": "comment_text"})
    with pytest.raises(ProfileError, match="every comment is labelled clean"):
        load_texts(
            own_files.model_copy(update={"data": own_files.data.model_copy(update={"comments": comments})})
        )


def test_published_pairs_can_be_imported(tmp_path):
    row = {"prompt_text": "So it", "unpert_gen_text": " goes on.", "pert_gen_text": " stinks."}
    columns = {"prompt": "prompt_text", "chosen": "unpert_gen_text", "rejected": "pert_gen_text"}
    pairs = load_pairs(FileText(path=write(tmp_path / "pairs.jsonl", [row]), columns=columns))
    assert pairs == (Pair("pairs.jsonl, row 1", "So it", " goes on.", " stinks."),)


def test_hub_tables_read_like_files(tmp_path, monkeypatch):
    """A dataset of the hub's layout in the hub's cache: two shards, nested columns, a filter; no request."""
    commit = "a" * 40
    folder = tmp_path / "datasets--owner--name" / "snapshots" / commit / "data"
    folder.mkdir(parents=True)
    rows = prompt_rows(40)
    write(folder / "train-00000-of-00002.parquet", rows[:25])
    write(folder / "train-00001-of-00002.parquet", rows[25:])
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "_ask", lambda *_: pytest.fail("the hub was asked"))
    source = HubText(
        repository="owner/name", revision=commit, columns={"text": "prompt.text"}, keep="challenging"
    )
    read = sources.read_rows(source, "prompts")
    assert read == [{"text": row["prompt"]["text"]} for row in rows if row["challenging"]]
    missing = source.model_copy(update={"columns": {"text": "prompt.txt"}})
    with pytest.raises(ProfileError, match=r"owner/name at a+.*no column 'prompt\.txt'.*prompt\.text"):
        sources.read_rows(missing, "prompts")
