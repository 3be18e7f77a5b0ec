"""The loss from scratch: against its formula, slow log-probabilities and TRL; masks and padding."""

import inspect
import math

import pytest
import torch
from torch.nn import functional

from helpers.alignment import loss
from helpers.alignment.encoding import encode_pairs
from helpers.alignment.loss import dpo_loss, lay_out, sequence_logprobs, token_logprobs
from tests.alignment.makers import DPO_SETTINGS, some_pairs
from tests.alignment.plain_trl import plain_trainer
from tests.language.builders import tiny_hf, tiny_tokenizer

PROMPTS = [[5, 9, 11], [7], [3, 4, 5, 6]]
CHOSEN = [[21, 22], [23, 24, 25, 26], [27]]
REJECTED = [[31], [32, 33], [34, 35, 36]]


def logps(*values):
    return torch.tensor(values)


def test_loss_is_the_published_formula():
    chosen, rejected, ref_chosen, ref_rejected = (
        logps(-3.0, -2.0),
        logps(-4.0, -1.0),
        logps(-3.5, -2.0),
        logps(-3.0, -2.0),
    )
    terms = dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.1)
    margins = [0.1 * (0.5 - -1.0), 0.1 * (0.0 - 1.0)]
    assert terms.margin.tolist() == pytest.approx(margins)
    assert terms.loss.item() == pytest.approx(sum(math.log(1 + math.exp(-m)) for m in margins) / 2)


def test_a_policy_equal_to_its_reference_loses_log_2():
    same = torch.randn(5)
    assert dpo_loss(same, 2 * same, same, 2 * same, beta=0.3).loss.item() == pytest.approx(math.log(2))


def test_the_loss_from_scratch_fits_on_a_page():
    body = [line for line in inspect.getsource(dpo_loss).splitlines() if line.strip()]
    assert len(body) <= 25


def test_sequence_logprobs_equal_one_token_at_a_time():
    model = tiny_hf()
    batch = lay_out(PROMPTS, CHOSEN, REJECTED, padding=0)
    with torch.no_grad():
        found = sequence_logprobs(model, batch)
        for row, (prompt, response) in enumerate(zip(PROMPTS * 2, CHOSEN + REJECTED, strict=True)):
            slow = 0.0
            for place, token in enumerate(response):
                logits = model(torch.tensor([prompt + response[:place]])).logits[0, -1]
                slow += logits.log_softmax(dim=-1)[token].item()
            assert found[row].item() == pytest.approx(slow, abs=1e-4)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("padding", [0, 1, 200])
def test_padding_changes_nothing(side, padding):
    model = tiny_hf()
    with torch.no_grad():
        tight = sequence_logprobs(model, lay_out(PROMPTS, CHOSEN, REJECTED, padding=0))
        wide = sequence_logprobs(
            model, lay_out(PROMPTS, CHOSEN, REJECTED, padding=padding, side=side, width=20)
        )
    torch.testing.assert_close(tight, wide, atol=1e-5, rtol=1e-5)


def test_prompt_and_padding_contribute_exactly_zero(monkeypatch):
    batch = lay_out(PROMPTS, CHOSEN, REJECTED, padding=0)
    # Whatever stands there, even a value no mask can multiply away, the sum takes response tokens alone.
    spoilt = torch.where(batch.response, torch.full(batch.ids.shape, -0.5), -torch.inf)
    monkeypatch.setattr(loss, "token_logprobs", lambda model, ids, mask: spoilt)
    found = sequence_logprobs(tiny_hf(), batch)
    assert found.tolist() == [-0.5 * len(response) for response in CHOSEN + REJECTED]


def test_the_mask_decodes_to_the_responses():
    batch = lay_out(PROMPTS, CHOSEN, REJECTED, padding=0, side="left")
    rows = [ids[response].tolist() for ids, response in zip(batch.ids, batch.response, strict=True)]
    assert rows == CHOSEN + REJECTED
    assert not (batch.response & ~batch.mask).any()


def test_the_first_token_is_predicted_by_nothing():
    assert (
        token_logprobs(tiny_hf(), torch.tensor([[5, 6, 7]]), torch.ones(1, 3, dtype=torch.bool))[:, 0] == 0
    ).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chosen": [[], [1], [1]]}, "Row 0 has an empty"),
        ({"prompts": [[1], [1], []]}, "Row 2 has an empty"),
        ({"width": 3}, "do not fit a width of 3"),
        ({"side": "top"}, "side must be"),
    ],
)
def test_bad_batches_are_refused(change, message):
    given = {"prompts": PROMPTS, "chosen": CHOSEN, "rejected": REJECTED, "padding": 0, **change}
    with pytest.raises(ValueError, match=message):
        lay_out(**given)


def test_equals_trl_on_the_same_batch(tmp_path):
    """TRL, with a reference that differs from the policy, against our forward pass and our loss."""
    tokenizer = tiny_tokenizer()
    pairs = encode_pairs(some_pairs(6), tokenizer, DPO_SETTINGS, 64)
    trainer = plain_trainer(tiny_hf(seed=0), tiny_hf(seed=1), pairs, tokenizer, tmp_path, beta=0.1)
    batch = next(iter(trainer.get_train_dataloader()))
    theirs = trainer.compute_loss(trainer.model, batch)

    places = [[each.id for each in pairs].index(name) for name in pair_order(pairs, batch)]
    rows = [pairs[place] for place in places]
    ours_batch = lay_out(
        [row.prompt for row in rows], [row.chosen for row in rows], [row.rejected for row in rows], padding=0
    )
    policy, reference = (
        sequence_logprobs(tiny_hf(seed=0), ours_batch),
        sequence_logprobs(tiny_hf(seed=1), ours_batch),
    )
    ours = dpo_loss(*policy.chunk(2), *reference.chunk(2), beta=0.1)
    assert theirs.item() == pytest.approx(ours.loss.item(), abs=1e-5)
    assert abs(ours.loss.item() - math.log(2)) > 1e-3  # the comparison is not between two constants


def pair_order(pairs, batch):
    """The ids of a TRL batch's pairs, by their token ids."""
    names = {pair.prompt + pair.chosen: pair.id for pair in pairs}
    return [
        names[tuple(ids[mask.bool()].tolist())]
        for ids, mask in zip(
            *(batch[key].chunk(2)[0] for key in ("input_ids", "attention_mask")), strict=True
        )
    ]


def test_gradient_pushes_the_pair_apart():
    model = tiny_hf()
    batch = lay_out(PROMPTS, CHOSEN, REJECTED, padding=0)
    reference = sequence_logprobs(model, batch).detach()
    terms = dpo_loss(*sequence_logprobs(model, batch).chunk(2), *reference.chunk(2), beta=0.5)
    terms.loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 1e-3 * functional.normalize(parameter.grad.flatten(), dim=0).view_as(parameter)
        after = dpo_loss(*sequence_logprobs(model, batch).chunk(2), *reference.chunk(2), beta=0.5)
    assert after.loss < terms.loss and after.margin.mean() > 0
