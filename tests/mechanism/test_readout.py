"""What models say next, by depth and token by token, against slow obvious versions."""

import pytest
import torch

from helpers.language.models import boot
from helpers.mechanism.readout import divergences, next_token_by_depth, next_token_probabilities
from tests.language.builders import SENTENCES, tiny_hf, tiny_tokenizer

TEXTS = [SENTENCES[0], "You are", SENTENCES[20], "They dropped the"]


@pytest.fixture(scope="module")
def models():
    return [boot(tiny_hf(layers=2, width=16, seed=seed), tiny_tokenizer(), name="tiny") for seed in (0, 1)]


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_the_last_point_is_what_the_model_says_and_the_first_what_the_embedding_does(models, batch_size):
    model, following = models[0], [5, 90, 200, 17]
    rows = [model.tokenise([text]).ids[0].tolist() for text in TEXTS]
    labels, found = next_token_by_depth(model, rows, following, batch_size=batch_size)
    assert labels == ["0_pre", "0_mid", "1_pre", "1_mid", "final_post"]
    for row, token, seen in zip(rows, following, found.T, strict=True):
        ids = torch.tensor([row])
        logits, cache = model.bridge.run_with_cache(ids)
        torch.testing.assert_close(seen[-1], logits[0, -1].softmax(-1)[token], atol=1e-6, rtol=1e-4)
        for point, site in ((0, "blocks.0.hook_resid_pre"), (3, "blocks.1.hook_resid_mid")):
            early = model.bridge.unembed(model.bridge.ln_final(cache[site][:, -1:]))[0, 0].softmax(-1)
            torch.testing.assert_close(seen[point], early[token], atol=1e-6, rtol=1e-4)
    with pytest.raises(ValueError, match="no texts"):
        next_token_by_depth(model, [], [])


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_divergence_at_a_token_is_of_the_two_distributions_there(models, side):
    tokens = models[0].tokenise(TEXTS, side=side)
    counted = tokens.mask & (tokens.place >= 1)
    found = divergences(*models, tokens, counted, batch_size=3)
    assert torch.equal(found.isnan(), ~counted)
    for text, row, where in zip(TEXTS, found, counted, strict=True):
        old, new = (m.logits(m.tokenise([text]))[0, 1:].double().softmax(-1) for m in models)
        slow = (new * (new / old).log()).sum(dim=-1)
        torch.testing.assert_close(row[where].double(), slow, atol=1e-5, rtol=1e-4)
    assert divergences(models[0], models[0], tokens, counted)[counted].abs().max() < 1e-5


def test_the_probability_of_what_follows(models):
    model = models[0]
    tokens = model.tokenise(TEXTS)
    counted = tokens.mask & (tokens.place < tokens.mask.sum(dim=1, keepdim=True) - 1)
    found = next_token_probabilities(model, tokens, counted, batch_size=3)
    assert torch.equal(found.isnan(), ~counted)
    for text, row, where in zip(TEXTS, found, counted, strict=True):
        ids = model.tokenise([text]).ids[0]
        slow = model.logits(model.tokenise([text]))[0, :-1].softmax(-1).gather(1, ids[1:, None])[:, 0]
        torch.testing.assert_close(row[where], slow, atol=1e-6, rtol=1e-4)
    with pytest.raises(ValueError, match="none follows"):
        next_token_probabilities(model, tokens, tokens.mask)
