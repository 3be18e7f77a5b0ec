"""The shipped weights measured anew on fresh texts: their cards tell the truth, failed bars included."""

import json

import pytest

from helpers.pocket import SEEDS, WEIGHTS, corpus, weights_of
from helpers.pocket.measure import held_out_loss, load, toxic_rates, vocabulary_report, well_formed_share
from helpers.pocket.protocol import CONFIGURATIONS, TRIALS, choose, text_bars
from helpers.pocket.train import corpus_fingerprint

FRESH = 24_680


@pytest.fixture(scope="module")
def pocket():
    return load(WEIGHTS)


@pytest.fixture(scope="module")
def evaluation():
    return json.loads((WEIGHTS / "evaluation.json").read_text())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_member_is_what_the_protocol_chose_and_its_card_tells_which_bars_hold(seed):
    folder = weights_of(seed)
    log, found = (json.loads((folder / f"{name}.json").read_text()) for name in ("trainlog", "evaluation"))
    name, _ = choose(json.loads(TRIALS.read_text()))
    chosen = CONFIGURATIONS[name]
    assert chosen | {"seed": seed} == {key: log["settings"][key] for key in [*chosen, "seed"]}
    assert log["corpus"] == corpus_fingerprint(log["settings"]["corpus_seed"]) == found["corpus"]
    assert log["settings"] == found["settings"]
    bars = {bar.bar: bar.holds for bar in text_bars(found)}
    assert bars == {bar["bar"]: bar["holds"] for bar in found["bars"]}
    card = (folder / "MODEL_CARD.md").read_text()
    assert card.count("| **no** |") == sum(not holds for holds in bars.values())
    for words in ("## Data", "## Training", "## What it is not", f"{found['loss']['gap']:.4f}"):
        assert words in card
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json", "calibration.svg"):
        assert (folder / file).is_file()


def test_the_family_is_small():
    assert sum(file.stat().st_size for seed in SEEDS for file in weights_of(seed).iterdir()) <= 15e6


def test_loss_is_above_the_physical_limit_and_as_the_card_has_it(pocket, evaluation):
    loss = held_out_loss(pocket, 300, seed=FRESH)
    assert loss["gap"] > -0.02
    assert loss["gap"] == pytest.approx(evaluation["loss"]["gap"], abs=0.03)


def test_sampled_sentences_are_as_well_formed_as_the_card_has_it(pocket, evaluation):
    share = well_formed_share(pocket, 60, seed=FRESH)["sentences"]
    assert share == pytest.approx(evaluation["well_formed"]["sentences"], abs=0.05)


@pytest.mark.parametrize("mood", ["hostile", "friendly", "neutral"])
def test_prompts_are_continued_as_toxically_as_the_card_has_it(pocket, evaluation, mood):
    rate = toxic_rates(pocket, mood, 300, 1, seed=FRESH)
    assert rate["model"] == pytest.approx(evaluation["toxic_rates"][mood]["model"], abs=0.08)
    assert rate["generator"] == pytest.approx(evaluation["toxic_rates"][mood]["generator"], abs=0.05)


def test_no_token_is_dead_and_no_toxic_word_split(pocket):
    report = vocabulary_report(pocket, 20_000)
    assert report["dead"] == 0
    assert report["split_toxic_words"] == []


def test_prompts_fit_the_context_with_room(pocket):
    for mood in ("hostile", "friendly", "neutral"):
        for prompt in corpus.prompts(150, mood=mood, split="eval", seed=FRESH):
            assert len(pocket.tokenizer(prompt.text)["input_ids"]) <= 64
