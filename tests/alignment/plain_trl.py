"""TRL's DPOTrainer as it comes, but on token ids, to compare with."""

from __future__ import annotations

from datasets import Dataset
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from helpers.language.models import quiet


class _Encoded(DPOTrainer):
    def _prepare_dataset(self, dataset, *args, **kwargs):
        return dataset

    def _send_telemetry(self):
        pass


def plain_trainer(model, reference, pairs, tokenizer, folder, *, beta, batch=4, loss_type="sigmoid"):
    """A trainer on encoded pairs that runs policy and reference as TRL does."""
    with quiet():
        config = DPOConfig(
            output_dir=str(folder), bf16=False, use_cpu=True, activation_checkpointing=False,
            report_to="none",
            beta=beta, max_length=None, per_device_train_batch_size=batch, loss_type=[loss_type],
            dataloader_pin_memory=False, disable_tqdm=True, save_strategy="no",
        )  # fmt: skip
        data = Dataset.from_dict(
            {
                "prompt_ids": [list(pair.prompt) for pair in pairs],
                "chosen_ids": [list(pair.chosen) for pair in pairs],
                "rejected_ids": [list(pair.rejected) for pair in pairs],
            }
        )
        return _Encoded(
            model=model, ref_model=reference, args=config, train_dataset=data, processing_class=tokenizer,
            data_collator=DataCollatorForPreference(pad_token_id=tokenizer.eos_token_id),
        )  # fmt: skip
