"""Bring-your-own on real text: a TOML profile over the folder that TOXICITY_LAB_REAL_DATA names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from helpers.language.checks import check_profile
from helpers.language.models import load_model
from helpers.language.texts import check_disjoint, load_texts
from helpers.language.words import mask, toxic_word_list
from helpers.profiles import load_profile

pytestmark = pytest.mark.skipif(
    not os.environ.get("TOXICITY_LAB_REAL_DATA"), reason="TOXICITY_LAB_REAL_DATA names no folder"
)


@pytest.fixture(scope="module")
def profile():
    found = load_profile(Path(__file__).parents[1] / "real_text.toml")
    check_profile(found)
    return found


@pytest.fixture(scope="module")
def texts(profile):
    return load_texts(profile)


def test_texts_fill_the_profiles_counts(profile, texts):
    counts = profile.counts
    assert len(texts.comments_train) == counts.comments_train
    assert len(texts.comments_test) == counts.comments_test
    assert len(texts.eliciting("dev")) == counts.prompts_dev
    assert len(texts.eliciting("eval")) == counts.prompts_eval
    assert len(texts.pair_prompts) - len(texts.eliciting("pair")) == counts.pair_prompts
    assert len(texts.eliciting("pair")) > counts.pairs, "the file has prompts left over"
    check_disjoint(texts)
    share = sum(comment.toxic for comment in texts.comments_train) / counts.comments_train
    assert 0.4 < share < 0.6, "the file is balanced"


def test_most_toxic_comments_have_a_listed_word_and_masking_hides_it(profile, texts):
    words = toxic_word_list(profile)

    def listed(text: str) -> bool:
        return any(word.strip(".,!?\"'") in words for word in text.lower().split())

    toxic = [comment.text for comment in texts.comments_train if comment.toxic]
    clean = [comment.text for comment in texts.comments_train if not comment.toxic]
    assert sum(map(listed, toxic)) / len(toxic) > 3 * sum(map(listed, clean)) / len(clean)
    shown = [mask(text) for text in toxic]
    assert sum(text != original for text, original in zip(shown, toxic, strict=True)) > len(toxic) / 3


def test_model_reads_the_texts(profile, texts):
    model = load_model(profile.model, name=profile.label)
    rows = [comment.text for comment in texts.comments_test[:8]]
    tokens = model.tokenise(rows, max_tokens=64)
    logits = model.logits(tokens)
    predicted = logits[:, :-1].log_softmax(-1).gather(-1, tokens.ids[:, 1:, None])[..., 0]
    loss = -predicted[tokens.mask[:, 1:]].mean()
    assert loss < 0.8 * torch.log(torch.tensor(model.vocab_size)), (
        "a trained model does better than a uniform guess"
    )
