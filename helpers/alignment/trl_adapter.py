"""Makes TRL's DPOTrainer do what this course needs; every workaround for it stands here, with its reason."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase, PrinterCallback, TrainerCallback
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from helpers.alignment.encoding import EncodedPair
from helpers.alignment.shared_prompts import share_prompts
from helpers.language.models import quiet
from helpers.profiles import DPO

RELIED_ON = (
    "_prepare_dataset",
    "_precompute_ref_logps",
    "compute_ref_log_probs",
    "create_model_card",
    "_send_telemetry",
)
"""Methods of DPOTrainer that are overridden or called below; a test fails when TRL renames one."""


class PreferenceTrainer(DPOTrainer):
    """DPOTrainer on token ids, quiet, with reference log-probabilities in memory and each prompt run once."""

    shares_prompts = False

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        # TRL would append an end-of-text token to every response (stopping where a length limit cut it off is
        # no preference of anybody's) and would tokenise prompt and response together, which moves their
        # boundary.
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        # TRL writes them to a cache file in a temporary folder of each process's own, where with data held in
        # memory the other processes do not find it. Its computation, kept in memory instead.
        if not self.shares_prompts:  # here TRL has just put its own forward pass in place
            share_prompts(cast(GPT2LMHeadModel, self.model))
            self.shares_prompts = True
        if "ref_chosen_logps" in dataset.column_names:
            return dataset
        loader = self.accelerator.prepare(
            DataLoader(dataset, batch_size=batch_size, collate_fn=self.data_collator, shuffle=False)
        )
        sides: tuple[list[float], list[float]] = ([], [])
        for batch in loader:
            found = self.accelerator.gather_for_metrics(self.compute_ref_log_probs(self.model, batch))
            for side, values in zip(sides, found, strict=True):
                side.extend(values.tolist())
        for column, side in zip(("ref_chosen_logps", "ref_rejected_logps"), sides, strict=True):
            dataset = dataset.add_column(column, side)
        return dataset

    def get_eval_dataloader(self, *args: Any, **kwargs: Any) -> DataLoader:
        """Every validation pair: leaving out what does not fill a batch is for training alone."""
        self.args.dataloader_drop_last = False
        try:
            return super().get_eval_dataloader(*args, **kwargs)
        finally:
            self.args.dataloader_drop_last = True

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: checkpoints are private and thrown away."""

    def _send_telemetry(self) -> None:
        # TRL reports each run to a server. Nothing here calls out unasked.
        pass


def preference_trainer(
    model: GPT2LMHeadModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[EncodedPair],
    valid: Sequence[EncodedPair],
    settings: DPO,
    work: Path,
    *,
    seed: int,
    device: torch.device,
    micro_batch: int,
    objective: str = "dpo",
    reference: dict[str, list[list[float]]] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> PreferenceTrainer:
    """A trainer that is ready to run; building it computes the reference log-probabilities.

    Args:
        model: the starting policy, in float32. It is taken over: its forward pass is replaced for good, so
            save its weights and load them again to use them.
        work: a private folder for checkpoints.
        micro_batch: pairs per forward pass and process at most; gradients add up to batches of
            `settings.batch`.
        objective: "dpo", or "sft" for the fine-tuning control: likelihood of the chosen responses, same
            batches.
        reference: log-probabilities of chosen and rejected responses under "train" and "valid", from an
            earlier run on the same pairs; None computes them.

    Raises:
        ValueError: `settings.batch` does not divide among the processes; fewer pairs than a batch.
    """
    config = _config(
        settings,
        work,
        seed=seed,
        device=device,
        micro_batch=micro_batch,
        valid=len(valid),
        objective=objective,
    )
    if len(train) < settings.batch:
        raise ValueError(
            f"{len(train)} training pairs do not fill one batch of {settings.batch} (dpo.batch)."
        )
    if not valid:
        raise ValueError("There are no validation pairs; keep some back (counts.pairs_valid).")
    known = reference or {}
    with quiet():
        trainer = PreferenceTrainer(
            model=model,
            args=config,
            train_dataset=_dataset(train, known.get("train")),
            eval_dataset=_dataset(valid, known.get("valid")),
            processing_class=copy.deepcopy(tokenizer),  # TRL gives it a padding token
            data_collator=DataCollatorForPreference(pad_token_id=tokenizer.eos_token_id),
            callbacks=list(callbacks),
        )
    trainer.remove_callback(PrinterCallback)
    return trainer


def reference_of(trainer: PreferenceTrainer) -> dict[str, list[list[float]]]:
    """The reference log-probabilities a trainer goes by, as `preference_trainer` takes them."""
    sets: dict[str, Any] = {"train": trainer.train_dataset, "valid": trainer.eval_dataset}
    return {
        name: [list(data["ref_chosen_logps"]), list(data["ref_rejected_logps"])]
        for name, data in sets.items()
    }


def _config(
    settings: DPO,
    work: Path,
    *,
    seed: int,
    device: torch.device,
    micro_batch: int,
    valid: int,
    objective: str,
) -> DPOConfig:
    optimisers = {"rmsprop": "rmsprop", "adamw": "adamw_torch"}
    with quiet():
        config = DPOConfig(
            output_dir=str(work / "checkpoints"),
            loss_type=[{"dpo": "sigmoid", "sft": "sft"}[objective]],
            beta=settings.beta,
            learning_rate=settings.learning_rate,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=settings.warmup_steps,
            optim=optimisers[settings.optimiser],
            weight_decay=0.0,
            max_grad_norm=settings.clip,
            max_steps=settings.max_steps,
            max_length=None,  # pairs are cut already; TRL's own limit is beyond a small model's context
            precompute_ref_log_probs=True,
            bf16=settings.precision == "bfloat16",  # TRL's default is True everywhere, on CPUs too
            use_cpu=device.type == "cpu",
            activation_checkpointing=False,
            dataloader_drop_last=True,
            dataloader_pin_memory=False,
            eval_strategy="steps",
            eval_steps=settings.evaluate_every,
            save_strategy="steps",
            save_steps=settings.evaluate_every,
            save_total_limit=2,
            logging_steps=1,
            logging_nan_inf_filter=False,
            disable_tqdm=True,
            report_to="none",
            seed=seed,
            data_seed=seed,
        )
    share, left = divmod(settings.batch, config.world_size)
    if left:
        raise ValueError(f"dpo.batch ({settings.batch}) must divide among {config.world_size} processes.")
    config.per_device_train_batch_size = _largest_part(share, micro_batch)
    config.gradient_accumulation_steps = share // config.per_device_train_batch_size
    # TRL averages validation figures over batches, so these should be of one size.
    config.per_device_eval_batch_size = _largest_part(max(1, valid // config.world_size), micro_batch)
    config.precompute_ref_batch_size = max(1, micro_batch)
    return config


def _largest_part(whole: int, limit: int) -> int:
    """The largest divisor of `whole` that is at most `limit`."""
    return max(part for part in range(1, max(1, min(limit, whole)) + 1) if whole % part == 0)


def _dataset(pairs: Sequence[EncodedPair], reference: list[list[float]] | None) -> Dataset:
    columns: dict[str, Any] = {
        "prompt_ids": [list(pair.prompt) for pair in pairs],
        "chosen_ids": [list(pair.chosen) for pair in pairs],
        "rejected_ids": [list(pair.rejected) for pair in pairs],
    }
    if reference is not None:
        columns["ref_chosen_logps"], columns["ref_rejected_logps"] = reference
    return Dataset.from_dict(columns)
