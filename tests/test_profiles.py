"""Profiles: what a TOML file may say, and the one error that names what is wrong and what would be right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from helpers.language.sources import read_rows
from helpers.pocket import FOLDER
from helpers.profiles import (
    FAMILY,
    GPT2_MEDIUM,
    POCKET,
    PROFILES,
    UNTRAINED,
    FileText,
    ModelSource,
    Profile,
    ProfileError,
    Settings,
    bred_for,
    check_files,
    load_profile,
    unpinned,
)
from tests.language.builders import tiny_model


def written(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def all_settings(base: type[BaseModel] = Settings) -> list[type[BaseModel]]:
    return [one for child in base.__subclasses__() for one in (child, *all_settings(child))]


def test_every_knob_is_documented():
    undocumented = [
        f"{settings.__name__}.{name}"
        for settings in all_settings()
        for name, field in settings.model_fields.items()
        if name != "kind" and not field.description
    ]
    assert undocumented == []
    assert len(all_settings()) > 15


def test_builtin_profiles_survive_json_and_cannot_be_changed():
    for profile in PROFILES.values():
        assert Profile.model_validate_json(profile.model_dump_json(), strict=True) == profile
    with pytest.raises(ValueError, match="frozen"):
        POCKET.seed = 3


def test_gpt2_medium_is_pinned_and_follows_the_papers():
    assert unpinned(GPT2_MEDIUM) == []
    assert (GPT2_MEDIUM.decoding.method, GPT2_MEDIUM.decoding.new_tokens) == ("greedy", 20)
    assert (GPT2_MEDIUM.vectors.top, GPT2_MEDIUM.vectors.svd) == (128, 512)
    assert (GPT2_MEDIUM.dpo.learning_rate, GPT2_MEDIUM.dpo.beta, GPT2_MEDIUM.dpo.patience) == (1e-6, 0.1, 10)
    assert (GPT2_MEDIUM.pplm.iterations, GPT2_MEDIUM.pplm.step_size) == (50, 0.4)
    assert GPT2_MEDIUM.data.pair_prompts.pattern == "wikitext-2-raw-v1/train-*.parquet"


def test_default_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("TOXICITY_LAB_PROFILE", raising=False)
    assert load_profile() is POCKET
    monkeypatch.setenv("TOXICITY_LAB_PROFILE", "gpt2-medium")
    assert load_profile() is GPT2_MEDIUM
    assert load_profile("pocket") is POCKET


@pytest.mark.parametrize(("wrong", "meant"), [("pockett", "pocket"), ("gpt2-medum", "gpt2-medium")])
def test_unknown_name_lists_near_misses(wrong, meant):
    with pytest.raises(ProfileError, match=f"Did you mean {meant}"):
        load_profile(wrong)


@pytest.fixture
def seeds(tmp_path, monkeypatch) -> Path:
    """The folder of the family's weights, moved to where there is only what a test puts there."""
    for module in ("helpers.pocket", "helpers.profiles.checks", "helpers.profiles.builtin"):
        monkeypatch.setattr(f"{module}.FOLDER", tmp_path / "seeds")
    return tmp_path / "seeds"


def test_the_family_differs_in_its_weights_alone():
    assert [member.name for member in FAMILY] == ["pocket", "pocket-1", "pocket-2"]
    assert FAMILY[0] == POCKET and load_profile("pocket-2") == FAMILY[2]
    for member in (*FAMILY, UNTRAINED):
        assert member.name == member.label
        as_pocket = {"name": "pocket", "label": "pocket", "model": POCKET.model}
        assert member.model_copy(update=as_pocket) == POCKET
    assert [member.model.folder for member in FAMILY] == [FOLDER / seed for seed in "012"]


def test_a_member_without_weights_says_which_command_makes_it(seeds, tmp_path):
    member = POCKET.model_copy(update={"model": ModelSource(folder=seeds / "1")})
    with pytest.raises(ProfileError, match=r"pocket-1 .*trained: none.*`make pocket SEED=1`"):
        check_files(member)
    with pytest.raises(ProfileError, match=r"pocket-7 .*`make pocket SEED=7`.*--seed 7.*\.toml"):
        load_profile("pocket-7")
    with pytest.raises(ProfileError, match=r"mine\.toml cannot inherit: pocket-7 .*`make pocket SEED=7`"):
        load_profile(written(tmp_path, 'inherits = "pocket-7"'))


def test_once_trained_any_seed_is_a_profile(seeds, tmp_path):
    tiny_model(tmp_path).rename(tmp_path / "model")
    seeds.mkdir()
    (tmp_path / "model").rename(seeds / "7")
    member = load_profile("pocket-7")
    check_files(member)
    assert (member.label, member.model.folder) == ("pocket-7", seeds / "7")
    assert load_profile(written(tmp_path, 'inherits = "pocket-7"\nseed = 3')).model == member.model
    with pytest.raises(ProfileError, match="trained: pocket-7"):
        load_profile("pocket-8")
    with pytest.raises(ProfileError, match="There are: .*pocket-7"):
        load_profile("packet")


def test_bred_for_holds_for_trained_pockets_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.profiles.builtin.BRED_FOR", ("A2",))
    text = 'inherits = "pocket"\n[model]\nfolder = "elsewhere"'
    assert [bred_for(member) for member in FAMILY] == [("A2",)] * 3
    assert bred_for(load_profile(written(tmp_path, 'inherits = "pocket-1"\nseed = 3'))) == ("A2",)
    assert bred_for(load_profile(written(tmp_path, text))) == ()
    assert bred_for(UNTRAINED) == bred_for(GPT2_MEDIUM) == ()


def test_toml_overrides_and_inherits_the_rest(tmp_path):
    path = written(tmp_path, 'inherits = "pocket"\nseed = 7\n[decoding]\nnew_tokens = 5\n')
    profile = load_profile(path)
    assert (profile.seed, profile.decoding.new_tokens) == (7, 5)
    assert profile.decoding.method == POCKET.decoding.method
    assert profile.model == POCKET.model
    assert profile.name == profile.label == "mine", "a changed profile must not go by its parent's name"


def test_toml_inherits_through_several_files(tmp_path):
    written(tmp_path, 'inherits = "gpt2-medium"\nseed = 1\n[dpo]\nbeta = 0.3\n', "first.toml")
    profile = load_profile(written(tmp_path, 'inherits = "first.toml"\n[dpo]\nmax_steps = 9\n'))
    assert (profile.seed, profile.dpo.beta, profile.dpo.max_steps) == (1, 0.3, 9)
    assert profile.dpo.optimiser == "rmsprop"


def test_toml_that_inherits_from_itself_is_refused(tmp_path):
    with pytest.raises(ProfileError, match="inherits from itself"):
        load_profile(written(tmp_path, 'inherits = "mine.toml"\n'))


def test_another_place_or_kind_replaces_the_table_whole(tmp_path):
    text = """
    inherits = "gpt2-medium"
    [model]
    folder = "weights"
    [data.comments]
    kind = "file"
    path = "texts/comments.csv"
    """
    profile = load_profile(written(tmp_path, text))
    assert profile.model == ModelSource(folder=tmp_path / "weights")
    assert profile.data.comments == FileText(path=tmp_path / "texts" / "comments.csv")
    assert profile.data.prompts == GPT2_MEDIUM.data.prompts


def test_paths_take_environment_variables(tmp_path, monkeypatch):
    path = written(tmp_path, 'inherits = "pocket"\n[model]\nfolder = "${SOME_FOLDER}/model"\n')
    monkeypatch.setenv("SOME_FOLDER", str(tmp_path / "elsewhere"))
    assert load_profile(path).model.folder == tmp_path / "elsewhere" / "model"
    monkeypatch.delenv("SOME_FOLDER")
    with pytest.raises(ProfileError, match=r"model\.folder uses \$\{SOME_FOLDER\}.*not set"):
        load_profile(path)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[decoding]\nnew_token = 5", ["decoding.new_token", "Did you mean new_tokens"]),
        ("sed = 1", ["sed: there is no such key", "seed"]),
        ('[data.comments]\nkind = "file"\npath = "a.csv"\ncolums = {}', ["data.comments.colums", "columns"]),
        (
            '[[scorers]]\nkind = "hub"\nid = "a/b"\nlable = "x"\n[[scorers]]\nkind = "words"',
            ["lable", "label"],
        ),
        ('[decoding]\nnew_tokens = "many"', ["decoding.new_tokens", "valid integer", '"many"']),
        ("[decoding]\nnew_tokens = 2.5", ["decoding.new_tokens", "integer"]),
        ("[decoding]\nnew_tokens = 0", ["decoding.new_tokens", "greater than 0"]),
        ('[decoding]\nmethod = "beam"', ["decoding.method", "'greedy' or 'sample'"]),
        ("[pplm]\ndecay = 1", ["pplm.decay", "boolean"]),
        ('[data.prompts]\nkind = "web"', ["data.prompts", "'pocket', 'file', 'hub'"]),
        ('[data.prompts]\nkind = "file"\npath = "a.txt"\ncolumns = { txt = "a" }', ["columns", "'text'"]),
        ('[model]\nid = "a/b"\nfolder = "c"', ["model", "exactly one of `id`"]),
        ('[[scorers]]\nkind = "words"', ["scorers"]),
        ('[data.prompts]\nkind = "file"\npath = "a.txt"\nstretch = [0.5, 0.5]', ["stretch"]),
    ],
)
def test_one_error_names_the_key_and_what_would_be_right(tmp_path, text, parts):
    with pytest.raises(ProfileError) as error:
        load_profile(written(tmp_path, f'inherits = "pocket"\n{text}\n'))
    for part in parts:
        assert part in str(error.value)


def test_all_complaints_come_at_once(tmp_path):
    text = 'inherits = "pocket"\nsede = 1\n[decoding]\nnew_tokens = "x"\n[dpo]\nbeta = -1.0\n'
    with pytest.raises(ProfileError) as error:
        load_profile(written(tmp_path, text))
    assert all(part in str(error.value) for part in ("sede", "decoding.new_tokens", "dpo.beta"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 1", "inherits"),
        ("seed = = 1", "not valid TOML"),
        ('inherits = "poket"', "Did you mean pocket"),
    ],
)
def test_toml_that_cannot_be_read_says_why(tmp_path, text, message):
    with pytest.raises(ProfileError, match=message):
        load_profile(written(tmp_path, text))


def test_missing_toml_is_named(tmp_path):
    with pytest.raises(ProfileError, match=r"nowhere\.toml does not exist"):
        load_profile(tmp_path / "nowhere.toml")


def rows(source: FileText) -> list[dict]:
    return read_rows(source, "comments")


def test_files_with_the_right_columns_pass(tmp_path):
    nested = tmp_path / "a.jsonl"
    nested.write_text(json.dumps({"body": {"text": "so it goes"}, "score": 0.7}) + "\n")
    source = FileText(path=nested, columns={"text": "body.text", "toxic": "score"})
    assert rows(source) == [{"text": "so it goes", "toxic": True}]
    table = tmp_path / "a.csv"
    table.write_text('text,toxic\nNA,0\n"a, b",True\n')
    assert rows(FileText(path=table)) == [{"text": "NA", "toxic": False}, {"text": "a, b", "toxic": True}]


@pytest.mark.parametrize(
    ("name", "content", "columns", "parts"),
    [
        ("a.csv", "", {}, ["is empty"]),
        ("a.csv", "text,toxic\n", {}, ["has no rows"]),
        ("a.csv", "comment,toxic\nhello,1\n", {}, ["no column 'text'", "Columns: comment, toxic"]),
        ("a.csv", "texts,toxic\nhello,1\n", {}, ["Did you mean 'texts'", "data.comments.columns"]),
        ("a.csv", "text,toxic\nhello,1\nthere,perhaps\n", {}, ["row 2", "'toxic'", "0/1", "perhaps"]),
        ("a.jsonl", '{"text": 3, "toxic": 1}\n', {}, ["should hold text", "3"]),
        ("a.jsonl", '{"text": "x", "toxic": null}\n', {}, ["'toxic'", "None"]),
        ("a.jsonl", '{"text": \n', {}, ["cannot be read as jsonl"]),
        ("a.jsonl", '{"p": {"t": "x"}, "toxic": 1}\n', {"text": "p.q"}, ["no column 'p.q'", "p.t"]),
        ("a.parquet", "no parquet at all", {}, ["cannot be read as parquet"]),
        ("a.doc", "text", {}, ["'.doc'", ".jsonl"]),
        ("a.csv", "text;toxic\nhello;1\n", {}, ["separated by semicolons", "save with commas"]),
        ("a.csv", b"text,toxic\ncaf\xe9,1\n", {}, ["is not UTF-8", "Save it again"]),
        ("a.csv", "text,toxic\na,OFF\n", {}, ["'OFF'", 'toxic_values = ["OFF"]']),
    ],
)
def test_bad_file_is_named_with_a_cure(tmp_path, name, content, columns, parts):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ProfileError) as error:
        rows(FileText(path=path, columns=columns))
    for part in (str(path), *parts):
        assert part in str(error.value)


@pytest.mark.parametrize(("name", "between"), [("A.CSV", ","), ("a.tsv", "\t"), ("a.TSV", "\t")])
def test_endings_in_capitals_and_tabs_are_read(tmp_path, name, between):
    """In a tab-separated file a quotation mark is a character: it once swallowed every row after it."""
    opening = '"' * (between == "\t")
    table = [("text", "toxic"), (f"{opening}so it", "1"), ("goes", "0")]
    (tmp_path / name).write_text("\n".join(between.join(row) for row in table) + "\n")
    assert [row["text"] for row in rows(FileText(path=tmp_path / name))] == [f"{opening}so it", "goes"]


@pytest.mark.parametrize(
    ("labels", "knobs", "toxic"),
    [
        (["OFF", "NOT", "OFF"], {"toxic_values": ("OFF",)}, [True, False, True]),
        ([0, 1, 2], {"toxic_values": (0, 1)}, [True, True, False]),
        ([0, 1, 2], {"label_threshold": 2.0}, [False, False, True]),
        ([0.1, 0.7, 0.9], {"label_threshold": 0.5}, [False, True, True]),
        ([0, "1", 1.0], {}, [False, True, True]),
    ],
)
def test_which_labels_are_toxic_is_said_by_the_profile(tmp_path, labels, knobs, toxic):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": "x", "toxic": label}) + "\n" for label in labels))
    assert [row["toxic"] for row in rows(FileText(path=path, **knobs))] == toxic


def test_a_third_value_among_the_labels_is_refused(tmp_path):
    """Hate 0, offensive 1, neither 2: by a threshold of .5 hate was clean and neither was toxic."""
    path = tmp_path / "a.csv"
    path.write_text("text,toxic\na,0\nb,1\nc,2\n")
    with pytest.raises(ProfileError, match=r"row 3: column 'toxic' has a third value, 2, beside 0 and 1"):
        rows(FileText(path=path))


def test_keep_takes_class_names_and_is_named_where_it_keeps_nothing(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,toxic,part\na,0,dev\nb,1,train\n")
    kept = FileText(path=path, keep="part", keep_values=("train",))
    assert rows(kept) == [{"text": "b", "toxic": True}]
    with pytest.raises(ProfileError, match=r"none of the 2 rows .* `keep` names, 'part', is among"):
        rows(kept.model_copy(update={"keep_values": ("test",)}))


def test_missing_file_lists_what_the_folder_has(tmp_path):
    (tmp_path / "comments.csv").write_text("text,toxic\n")
    data = POCKET.data.model_copy(update={"comments": FileText(path=tmp_path / "comment.csv")})
    with pytest.raises(ProfileError, match=r"comment\.csv does not exist.*comments\.csv"):
        check_files(POCKET.model_copy(update={"data": data}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "llama"}'), "'llama'"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no \\*.safetensors"),
        (
            lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
            "Pickled weights are not opened.*save_pretrained",
        ),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer"),
    ],
)
def test_model_folder_is_looked_at(tmp_path, damage, message):
    folder = tiny_model(tmp_path)
    profile = POCKET.model_copy(update={"model": ModelSource(folder=folder)})
    check_files(profile)
    damage(folder)
    with pytest.raises(ProfileError, match=message):
        check_files(profile)


def test_missing_model_folder_is_no_hub_id(tmp_path):
    profile = POCKET.model_copy(update={"model": ModelSource(folder=tmp_path / "models" / "dpo")})
    with pytest.raises(ProfileError, match="does not exist"):
        check_files(profile)


def test_readmes_example_names_every_source_and_is_a_profile(tmp_path):
    """What it leaves out is pocket's text, without a word: its perplexity was measured on that once."""
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    example = readme.split("```toml\n", 1)[1].split("```", 1)[0]
    profile = load_profile(written(tmp_path, example))
    sources = {name: source for name, source in profile.data if name != "pairs"}
    assert len(sources) == 5 and all(isinstance(source, FileText) for source in sources.values())
