"""What a run would meet late is met before it starts: counts, labels, lengths, layers and weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import GPT2LMHeadModel

from helpers.course.run import read_request
from helpers.language.checks import check_profile
from helpers.profiles import ModelSource, Profile, ProfileError, load_profile
from tests.language.builders import comment_rows, tiny_model, tiny_tokenizer
from tests.tiny_profile import tiny_profile


@pytest.fixture(scope="module")
def profile(tmp_path_factory) -> Profile:
    found = load_profile(tiny_profile(tmp_path_factory.mktemp("checks")))
    check_profile(found)
    return found


def with_knob(profile: Profile, place: str, value: object) -> Profile:
    part, name = place.rsplit(".", 1)
    above = profile.data if part.startswith("data.") else profile
    below = getattr(above, part.removeprefix("data.")).model_copy(update={name: value})
    if above is profile:
        return profile.model_copy(update={part: below})
    data = profile.data.model_copy(update={part.removeprefix("data."): below})
    return profile.model_copy(update={"data": data})


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("counts.comments_train", 200_000, "counts.comments_train: 200000 are asked for, but only 120"),
        ("counts.prompts_eval", 500, "counts.prompts_eval: 500 are asked for, but only"),
        ("counts.prompts_eval", 58, "none is left over to make pairs from.*counts.prompts_eval.*spare"),
        ("counts.passages", 500, "counts.passages asks for 500"),
        ("counts.perplexity_tokens_report", 500_000, "perplexity_tokens_report: 500000 tokens .* has"),
        ("data.comments.label_threshold", 7.0, "every comment is labelled clean.*label_threshold"),
        ("data.comments.toxic_values", (5,), "every comment is labelled clean.*toxic_values is .5."),
        ("data.prompts.keep_values", ("never",), "none of the .* rows .* `keep`"),
        ("probe.layer", 12, "probe.layer = 12: the model has 2 layers, 0 to 1"),
        ("probe.layer", -3, "probe.layer = -3"),
        ("decoding.max_prompt_tokens", 60, "decoding.max_prompt_tokens .* = 66 tokens, .* context of 64"),
        ("decoding.new_tokens", 40, "decoding.new_tokens"),
        ("dpo.max_new_tokens", 60, "dpo.max_prompt_tokens . dpo.max_new_tokens = 92"),
        ("pplm.new_tokens", 63, "pplm.new_tokens"),
    ],
)
def test_knobs_are_compared_with_texts_and_model(profile, place, value, message):
    if place == "data.prompts.keep_values":
        profile = with_knob(profile, "data.prompts.keep", "challenging")
    with pytest.raises(ProfileError, match=message):
        check_profile(with_knob(profile, place, value))


def nan_weights(folder: Path) -> None:
    hf = GPT2LMHeadModel.from_pretrained(folder)
    hf.transformer.h[1].mlp.c_fc.weight.data[0, 0] = torch.nan
    hf.save_pretrained(folder)


def no_end(folder: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (nan_weights, r"no finite numbers \(transformer.h.1.mlp.c_fc.weight"),
        (no_end, "no end-of-text token"),
        (lambda folder: tiny_tokenizer(360).save_pretrained(folder), "they do not belong together"),
        (lambda folder: tiny_tokenizer(270).save_pretrained(folder), "they do not belong together"),
    ],
)
def test_the_model_is_opened_and_compared_with_its_tokenizer(profile, tmp_path, damage, message):
    folder = tiny_model(tmp_path)
    damage(folder)
    with pytest.raises(ProfileError, match=message):
        check_profile(profile.model_copy(update={"model": ModelSource(folder=folder)}))


def test_a_split_of_one_label_is_refused(profile, tmp_path):
    rows = [{**row, "toxic": int(number == 0)} for number, row in enumerate(comment_rows(120))]
    (tmp_path / "rare.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ProfileError, match="1 of 120 comments are labelled toxic"):
        check_profile(with_knob(profile, "data.comments.path", tmp_path / "rare.jsonl"))


def test_a_refused_run_leaves_what_an_earlier_one_made(tmp_path):
    toml = tiny_profile(tmp_path)
    toml.write_text(toml.read_text().replace("comments_train = 40", "comments_train = 200000"))
    kept = tmp_path / "build" / "claims" / "01.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("[]")
    with pytest.raises(ProfileError, match="200000"):
        read_request({"PROFILE": str(toml), "TOXICITY_LAB_BUILD": str(tmp_path / "build")})
    assert kept.read_text() == "[]"
