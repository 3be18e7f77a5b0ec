"""Generation: the same text whatever the batching; Hugging Face's own where nothing is hooked."""

from __future__ import annotations

import copy
import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.language import generation
from helpers.language.generation import before_end, continue_ids, continue_prompts, gumbel
from helpers.language.models import boot
from helpers.language.texts import Prompt
from helpers.profiles import Decoding
from helpers.runtime import generator
from tests.language.builders import SENTENCES, tiny_tokenizer
from tests.language.lively import lively_hf

GREEDY = Decoding(method="greedy", new_tokens=8, max_prompt_tokens=32)
SAMPLED = Decoding(method="sample", temperature=0.8, new_tokens=8, max_prompt_tokens=32)
TEXTS = [sentence[: 5 + 4 * number] for number, sentence in enumerate(SENTENCES[::32])]
PROMPTS = [Prompt(id=f"p{number}", text=text, group="hostile") for number, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def hf():
    return lively_hf()


@pytest.fixture(scope="module")
def model(hf):
    return boot(copy.deepcopy(hf), tiny_tokenizer(), name="tiny")


def test_greedy_equals_hugging_face_token_for_token(model, hf):
    got = continue_prompts(model, PROMPTS, GREEDY, seed=0, batch_size=4)
    for row, prompt in enumerate(PROMPTS):
        ids = torch.tensor([model.tokenizer(prompt.text, add_special_tokens=False)["input_ids"]])
        alone = hf.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=8,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        assert got.ids[row].tolist() == alone[0, ids.shape[1] :].tolist()
        assert got.prompt_ids[row] == tuple(ids[0].tolist())


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batch_size=st.integers(1, 8),
    order=st.permutations(range(len(PROMPTS))),
    keep=st.integers(1, len(PROMPTS)),
)
@pytest.mark.parametrize("decoding", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_batch_size_order_and_company_change_nothing(model, decoding, batch_size, order, keep):
    alone = continue_prompts(model, PROMPTS, decoding, seed=3, batch_size=1)
    shuffled = [PROMPTS[number] for number in order[:keep]]
    got = continue_prompts(model, shuffled, decoding, seed=3, batch_size=batch_size)
    for row, number in enumerate(order[:keep]):
        assert got.ids[row].tolist() == alone.ids[number].tolist()
        assert got.texts[row] == alone.texts[number]


def test_running_out_of_memory_changes_nothing_and_is_said(model, monkeypatch):
    expected = continue_prompts(model, PROMPTS, SAMPLED, seed=0, batch_size=8)
    real = generation.continue_batch

    def fits_three(model, prompt_ids, steps, choose):
        if len(prompt_ids) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(model, prompt_ids, steps, choose)

    monkeypatch.setattr(generation, "continue_batch", fits_three)
    with pytest.warns(UserWarning, match="trying 2"):
        got = continue_prompts(model, PROMPTS, SAMPLED, seed=0, batch_size=4)
    assert torch.equal(got.ids, expected.ids)


def test_fewer_steps_are_a_prefix_and_seeds_differ(model):
    shorter = SAMPLED.model_copy(update={"new_tokens": 3})
    long = continue_prompts(model, PROMPTS, SAMPLED, seed=1, batch_size=4)
    short = continue_prompts(model, PROMPTS, shorter, seed=1, batch_size=4)
    other = continue_prompts(model, PROMPTS, SAMPLED, seed=2, batch_size=4)
    assert torch.equal(long.ids[:, :3], short.ids)
    assert not torch.equal(long.ids, other.ids)


def test_the_same_noise_meets_two_conditions(model):
    """A bias that flattens the model away leaves the noise alone to decide, the same in both."""
    strong = 1e4 * torch.ones(model.vocab_size)

    def drown(logits, hook):
        return logits * 0 + strong

    with model.bridge.hooks(fwd_hooks=[("unembed.hook_out", drown)]):
        first = continue_prompts(model, PROMPTS, SAMPLED, seed=5, batch_size=2)
    with model.bridge.hooks(fwd_hooks=[("unembed.hook_out", lambda logits, hook: drown(logits, hook) - 3.0)]):
        second = continue_prompts(model, PROMPTS, SAMPLED, seed=5, batch_size=5)
    assert torch.equal(first.ids, second.ids)
    assert len(set(first.ids[:, 0].tolist())) > 1


def test_sampling_draws_from_the_softmax():
    logits = torch.tensor([2.0, 0.0, -1.0, 1.0])
    streams = [generator(0, "test", number) for number in range(40)]
    draws = torch.cat([(logits + gumbel(streams, 4)).argmax(dim=-1) for _ in range(200)])
    shares = np.bincount(draws.numpy(), minlength=4) / 8000
    np.testing.assert_allclose(shares, logits.softmax(0).numpy(), atol=0.02)


def test_texts_leave_the_prompt_out_and_stop_at_the_end_token(model):
    def end_after_two(logits, hook):
        seen["steps"] += 1
        logits = logits.clone()
        logits[..., 0] = 1e4 if seen["steps"] == 3 else -1e4
        return logits

    seen = {"steps": 0}
    with model.bridge.hooks(fwd_hooks=[("unembed.hook_out", end_after_two)]):
        got = continue_prompts(model, PROMPTS, GREEDY, seed=0, batch_size=16)
    assert got.ids.shape == (len(PROMPTS), 8)
    assert got.mask.sum(dim=-1).tolist() == [2] * len(PROMPTS)
    assert got.texts == tuple(model.tokenizer.decode(row[:2].tolist()) for row in got.ids)


def test_texts_are_the_tokens_as_they_are(model):
    """No space before a full stop is tidied away: the scorers read what the model wrote."""
    wanted = itertools.cycle(model.tokenizer(" .", add_special_tokens=False)["input_ids"])

    def write_stops(logits, hook):
        logits = logits.clone()
        logits[..., next(wanted)] = 1e6
        return logits

    with model.bridge.hooks(fwd_hooks=[("unembed.hook_out", write_stops)]):
        got = continue_prompts(model, PROMPTS[:2], GREEDY, seed=0, batch_size=2)
    assert got.texts[0].startswith(" . . .") and got.texts[0] == got.texts[1]


def test_before_end_of_a_row_that_ends_at_once():
    assert before_end(torch.tensor([[0, 3], [3, 0]]), 0).tolist() == [[False, False], [True, False]]


def test_long_prompts_keep_their_end(model):
    decoding = GREEDY.model_copy(update={"max_prompt_tokens": 3})
    whole = model.tokenizer(PROMPTS[-1].text, add_special_tokens=False)["input_ids"]
    got = continue_prompts(model, PROMPTS, decoding, seed=0, batch_size=3)
    assert got.prompt_ids[-1] == tuple(whole[-3:]) and len(whole) > 3


def test_progress_counts_every_prompt(model):
    seen = []
    continue_prompts(
        model,
        PROMPTS,
        GREEDY,
        seed=0,
        batch_size=3,
        progress=lambda done, total, what: seen.append((done, total)),
    )
    assert seen[-1] == (len(PROMPTS), len(PROMPTS)) and seen == sorted(seen)


def test_nothing_is_said_where_nothing_is_wrong(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        continue_prompts(model, PROMPTS[:2], SAMPLED, seed=0, batch_size=2)


def test_bad_prompts_are_named(model):
    def run(prompts, decoding=GREEDY):
        return continue_prompts(model, prompts, decoding, seed=0, batch_size=2)

    with pytest.raises(ValueError, match="no prompts"):
        run([])
    with pytest.raises(ValueError, match="'hollow' is empty"):
        run([*PROMPTS, Prompt(id="hollow", text="", group="")])
    with pytest.raises(ValueError, match="Two prompts have the id 'p0'"):
        run([*PROMPTS, PROMPTS[0]])
    with pytest.raises(
        ValueError, match="'endless' has 60 tokens; with 8 new ones it does not fit the context of 64"
    ):
        run(
            [*PROMPTS, Prompt(id="endless", text="x" * 200, group="")],
            GREEDY.model_copy(update={"max_prompt_tokens": 60}),
        )


def test_logits_that_are_not_finite_are_an_error(model):
    with (
        model.bridge.hooks(fwd_hooks=[("blocks.0.hook_resid_post", lambda t, hook: t * torch.nan)]),
        pytest.raises(FloatingPointError, match="not finite"),
    ):
        continue_ids(model, [[1, 2]], ["a"], GREEDY, seed=0, batch_size=1)
