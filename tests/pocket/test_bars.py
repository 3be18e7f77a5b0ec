"""The shipped weights against the bars they were accepted by, measured anew on fresh texts, with margins."""

import json

import pytest

from helpers.pocket import WEIGHTS, corpus
from helpers.pocket.measure import held_out_loss, load, toxic_rates, vocabulary_report, well_formed_share
from helpers.pocket.train import corpus_fingerprint

FRESH = 24_680


@pytest.fixture(scope="module")
def pocket():
    return load(WEIGHTS)


@pytest.fixture(scope="module")
def evaluation():
    return json.loads((WEIGHTS / "evaluation.json").read_text())


def test_weights_belong_to_this_grammar_and_this_evaluation(evaluation):
    log = json.loads((WEIGHTS / "trainlog.json").read_text())
    assert log["corpus"] == corpus_fingerprint(log["settings"]["corpus_seed"]) == evaluation["corpus"]
    assert log["settings"] == evaluation["settings"]


def test_loss_is_close_to_the_physical_limit_and_to_the_card(pocket, evaluation):
    loss = held_out_loss(pocket, 300, seed=FRESH)
    assert -0.02 < loss["gap"] < 0.10
    assert loss["gap"] == pytest.approx(evaluation["loss"]["gap"], abs=0.03)


def test_sampled_sentences_are_well_formed(pocket):
    assert well_formed_share(pocket, 60, seed=FRESH)["sentences"] >= 0.88


def test_hostile_prompts_are_continued_as_toxically_as_the_generator_does(pocket):
    rate = toxic_rates(pocket, "hostile", 300, 1, seed=FRESH)
    assert 0.35 <= rate["model"] <= 0.65
    assert rate["model"] == pytest.approx(rate["generator"], abs=0.10)


@pytest.mark.parametrize("mood", ["friendly", "neutral"])
def test_calm_prompts_are_not(pocket, mood):
    assert toxic_rates(pocket, mood, 300, 1, seed=FRESH)["model"] <= 0.06


def test_no_token_is_dead_and_no_toxic_word_split(pocket):
    report = vocabulary_report(pocket, 20_000)
    assert report["dead"] == 0
    assert report["split_toxic_words"] == []


def test_shipped_folder_is_small_and_whole(evaluation):
    assert sum(file.stat().st_size for file in WEIGHTS.iterdir()) <= 15e6
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "calibration.svg"):
        assert (WEIGHTS / name).is_file()
    assert all(bar["holds"] for bar in evaluation["bars"])
    card = (WEIGHTS / "MODEL_CARD.md").read_text()
    for words in ("## Data", "## Training", "## What it is not", f"{evaluation['loss']['gap']:.4f}"):
        assert words in card


def test_prompts_fit_the_context_with_room(pocket):
    for mood in ("hostile", "friendly", "neutral"):
        for prompt in corpus.prompts(150, mood=mood, split="eval", seed=FRESH):
            assert len(pocket.tokenizer(prompt.text)["input_ids"]) <= 64
