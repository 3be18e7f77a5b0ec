"""What the adapter does to TRL, and whether TRL still needs it; fails when TRL changes underneath."""

import copy

import pytest
import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from helpers.alignment.encoding import encode_pairs
from helpers.alignment.loss import PairBatch, lay_out, sequence_logprobs
from helpers.alignment.shared_prompts import response_logprobs
from helpers.alignment.trl_adapter import (
    RELIED_ON,
    PreferenceTrainer,
    preference_trainer,
    reference_of,
)
from helpers.language.models import quiet
from tests.alignment.makers import DPO_SETTINGS, some_pairs
from tests.alignment.plain_trl import plain_trainer
from tests.language.builders import tiny_hf, tiny_tokenizer
from tests.language.lively import lively_hf

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pairs():
    return encode_pairs(some_pairs(12), tiny_tokenizer(), DPO_SETTINGS, 64)


def built(pairs, folder, model=None, **changes):
    given = {"settings": DPO_SETTINGS, "seed": 0, "device": CPU, "micro_batch": 4, **changes}
    settings = given.pop("settings")
    return preference_trainer(
        model or tiny_hf(), tiny_tokenizer(), pairs[4:], pairs[:4], settings, folder, **given
    )


def test_trl_still_has_what_is_overridden():
    missing = [name for name in RELIED_ON if not callable(getattr(DPOTrainer, name, None))]
    assert not missing, f"TRL no longer has DPOTrainer.{missing}: trl_adapter.py has to follow."


def test_trl_still_appends_end_of_text_and_the_adapter_does_not(tmp_path, pairs):
    """If the first half fails, TRL has stopped appending and the override of `_prepare_dataset` can go."""
    texts = Dataset.from_dict(
        {"prompt": ["You are"] * 4, "chosen": [" kind and"] * 4, "rejected": [" vile and"] * 4}
    )
    tokenizer = tiny_tokenizer()
    with quiet():
        config = DPOConfig(
            output_dir=str(tmp_path), bf16=False, use_cpu=True, activation_checkpointing=False,
            report_to="none",
            max_length=64, disable_tqdm=True,
        )  # fmt: skip
        raw = type("Quiet", (DPOTrainer,), {"_send_telemetry": lambda self: None})(
            model=tiny_hf(), ref_model=tiny_hf(), args=config, train_dataset=texts, processing_class=tokenizer
        )
    assert raw.train_dataset[0]["chosen_ids"][-1] == tokenizer.eos_token_id

    ours = built(pairs, tmp_path)
    for number, pair in enumerate(pairs[4:]):
        row = ours.train_dataset[number]
        assert (row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]) == tuple(
            list(side) for side in (pair.prompt, pair.chosen, pair.rejected)
        )
    for batch in ours.get_train_dataloader():
        scored = batch["input_ids"][batch["completion_mask"].bool()]
        assert (scored != tiny_tokenizer().eos_token_id).all()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("make", [tiny_hf, lively_hf])
def test_shared_prompts_compute_what_trl_computes(tmp_path, pairs, attention, make):
    """Log-probabilities, the loss and every gradient; with tied embeddings and with a read-out of its own."""
    plain_model, shared_model = make(), make()
    for model in (plain_model, shared_model):
        model.set_attn_implementation(attention)
    plain = plain_trainer(plain_model, make(), pairs, tiny_tokenizer(), tmp_path, beta=DPO_SETTINGS.beta)
    ours = built(pairs, tmp_path, shared_model)
    batch = plain.data_collator([plain.train_dataset[number] for number in (0, 5, 3)])
    labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
    arguments = {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["attention_mask"],
        "use_cache": False,
    }
    found = {}
    for name, model in (("plain", plain.model), ("shared", ours.model)):
        output = model(**arguments, labels=labels, fused_lm_head=True)
        model.zero_grad()
        output.log_probs.square().sum().backward()
        found[name] = output, {key: value.grad for key, value in model.named_parameters()}
    (theirs, their_gradients), (mine, my_gradients) = found["plain"], found["shared"]
    torch.testing.assert_close(mine.log_probs, theirs.log_probs, atol=1e-4, rtol=1e-4)
    assert torch.equal(mine.is_top1, theirs.is_top1 & (labels[:, 1:] != -100))
    assert (mine.log_probs[labels[:, 1:] == -100] == 0).all()
    for key, gradient in their_gradients.items():
        scale = gradient.abs().max().clamp_min(1.0)
        torch.testing.assert_close(my_gradients[key] / scale, gradient / scale, atol=1e-4, rtol=1e-3, msg=key)


def test_sums_of_rows_tell_models_apart_whatever_the_nudge(tmp_path, pairs):
    """Notebook 05's check: the loss of a nudged model lands within .001 of log 2 for some of the nudges."""
    trainer = built(pairs, tmp_path)
    weights = {name: weight.clone() for name, weight in trainer.model.state_dict().items()}
    batch = next(iter(trainer.get_train_dataloader()))
    before = torch.cat(trainer.compute_ref_log_probs(trainer.model, batch))
    for nudge in range(20):
        noise = torch.Generator().manual_seed(nudge)
        trainer.model.load_state_dict(weights)
        with torch.no_grad():
            for weight in trainer.model.parameters():
                weight += 0.03 * weight.std() * torch.randn(weight.shape, generator=noise)
            theirs = torch.cat(trainer.compute_ref_log_probs(trainer.model, batch))
            masks = batch["attention_mask"].bool(), batch["completion_mask"].bool()
            logprobs = sequence_logprobs(trainer.model, PairBatch(batch["input_ids"], *masks))
        apart, moved = (theirs - logprobs).abs().max(), (theirs - before).abs()
        assert apart < 1e-3 and moved.mean() > 10 * apart


def test_shared_prompts_equal_the_loss_from_scratch(pairs):
    model = tiny_hf()
    batch = lay_out(
        [p.prompt for p in pairs], [p.chosen for p in pairs], [p.rejected for p in pairs], padding=7
    )
    with torch.no_grad():
        mine, _ = response_logprobs(model, batch.ids, batch.mask, batch.response)
        torch.testing.assert_close(mine.sum(dim=1), sequence_logprobs(model, batch), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("objective", ["dpo", "sft"])
def test_a_step_of_trl_costs_the_same_loss(tmp_path, pairs, objective):
    ours = built(pairs, tmp_path, objective=objective)
    loss_type = {"dpo": "sigmoid", "sft": "sft"}[objective]
    plain = plain_trainer(
        tiny_hf(), tiny_hf(), pairs[4:], tiny_tokenizer(), tmp_path, beta=0.1, loss_type=loss_type
    )
    rows = [0, 1, 2, 3]
    theirs = plain.compute_loss(plain.model, plain.data_collator([plain.train_dataset[row] for row in rows]))
    mine = ours.compute_loss(ours.model, ours.data_collator([ours.train_dataset[row] for row in rows]))
    assert mine.item() == pytest.approx(theirs.item(), abs=1e-5)


def test_other_calls_of_the_model_are_untouched(tmp_path, pairs):
    model = tiny_hf()
    expected = copy.deepcopy(model)(torch.tensor([[3, 4, 5]])).logits
    trainer = built(pairs, tmp_path, model)
    assert torch.equal(trainer.model(torch.tensor([[3, 4, 5]])).logits, expected)


def test_the_reference_is_computed_once_from_the_base_model(tmp_path, pairs, monkeypatch):
    trainer = built(pairs, tmp_path)
    found = reference_of(trainer)
    for name, rows in (("train", pairs[4:]), ("valid", pairs[:4])):
        batch = lay_out(
            [p.prompt for p in rows], [p.chosen for p in rows], [p.rejected for p in rows], padding=0
        )
        with torch.no_grad():
            expected = sequence_logprobs(tiny_hf(), batch).chunk(2)
        for mine, side in zip(found[name], expected, strict=True):
            torch.testing.assert_close(torch.tensor(mine), side, atol=1e-4, rtol=1e-5)
    assert trainer.ref_model is None
    monkeypatch.setattr(
        PreferenceTrainer, "compute_ref_log_probs", lambda *args: pytest.fail("computed again")
    )
    assert reference_of(built(pairs, tmp_path, reference=found)) == found


def test_the_tokenizer_is_left_alone_and_nothing_calls_out(tmp_path, pairs, monkeypatch):
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", lambda **kwargs: pytest.fail("called out"))
    tokenizer = tiny_tokenizer()
    trainer = preference_trainer(
        tiny_hf(), tokenizer, pairs[4:], pairs[:4], DPO_SETTINGS, tmp_path, seed=0, device=CPU, micro_batch=4
    )
    assert tokenizer.pad_token is None and not trainer.args.bf16 and trainer.args.use_cpu


def test_gradients_accumulate_to_the_profiles_batch(tmp_path, pairs):
    for micro_batch, expected in ((4, (4, 1)), (3, (2, 2)), (1, (1, 4)), (64, (4, 1))):
        args = built(pairs, tmp_path, micro_batch=micro_batch).args
        assert (args.per_device_train_batch_size, args.gradient_accumulation_steps) == expected


def test_every_validation_pair_counts(tmp_path, pairs):
    for micro_batch in (3, 64):
        trainer = built(pairs, tmp_path, micro_batch=micro_batch)
        batches = [len(batch["input_ids"]) // 2 for batch in trainer.get_eval_dataloader()]
        assert sum(batches) == 4 and len(set(batches)) == 1 and trainer.args.dataloader_drop_last


def test_settings_reach_trl(tmp_path, pairs):
    settings = DPO_SETTINGS.model_copy(
        update={"optimiser": "rmsprop", "warmup_steps": 3, "clip": 2.5, "beta": 0.3}
    )
    trainer = built(pairs, tmp_path, settings=settings)
    trainer.create_optimizer_and_scheduler(num_training_steps=6)
    group = trainer.optimizer.param_groups[0]
    assert type(trainer.optimizer).__name__ == "RMSprop"
    assert (group["alpha"], group["eps"], group["momentum"], group["weight_decay"]) == (0.99, 1e-8, 0, 0)
    assert (trainer.beta, trainer.args.max_grad_norm, trainer.args.max_steps) == (0.3, 2.5, 6)
    assert trainer.args.optim == "rmsprop" and trainer.args.warmup_steps == 3


def test_too_few_pairs_are_refused(tmp_path, pairs):
    with pytest.raises(ValueError, match="do not fill one batch of 4"):
        preference_trainer(
            tiny_hf(),
            tiny_tokenizer(),
            pairs[:3],
            pairs[:2],
            DPO_SETTINGS,
            tmp_path,
            seed=0,
            device=CPU,
            micro_batch=4,
        )
    with pytest.raises(ValueError, match="no validation pairs"):
        preference_trainer(
            tiny_hf(), tiny_tokenizer(), pairs, [], DPO_SETTINGS, tmp_path, seed=0, device=CPU, micro_batch=4
        )
