"""Trains a policy on preference pairs through TRL: watched, resumable, with candidates kept for choosing."""

from __future__ import annotations

import copy
import hashlib
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import broadcast_object_list
from transformers import GPT2LMHeadModel, TrainerCallback

from helpers.alignment.attempts import model_digest
from helpers.alignment.encoding import EncodedPair, encode_pairs
from helpers.alignment.journal import Journal, publish, save_weights
from helpers.alignment.runs import Row, TrainingRun, Watch, looks_of, read_run, reason_to_stop
from helpers.alignment.trl_adapter import PreferenceTrainer, preference_trainer, reference_of
from helpers.artifacts import disk_full_said
from helpers.language.models import load_hf, quiet
from helpers.language.texts import Pair
from helpers.profiles import DPO, ModelSource

ProbeDev = Callable[[GPT2LMHeadModel], Mapping[str, float]]
"""Measures a model (fresh, its own to change) on development data: "toxicity", "perplexity", …"""

FINISHED_KEPT = "What was finished is there: make room and run again to go on from the last look."


def train(
    source: ModelSource,
    pairs: Sequence[Pair],
    valid: Sequence[Pair],
    settings: DPO,
    folder: Path,
    *,
    work: Path,
    seed: int,
    device: torch.device | str = "cpu",
    micro_batch: int = 4,
    objective: str = "dpo",
    probe_dev: ProbeDev | None = None,
    base_dev: Mapping[str, float] | None = None,
    watch: Watch | None = None,
    stop_early: bool = True,
) -> TrainingRun:
    """Trains the model of `source` on pairs and leaves the kept policies in `folder`, in float32.

    The weights are float32 throughout; the reference log-probabilities are computed once. Before the first
    step and every `settings.evaluate_every` steps training pauses for a look: loss, margin and accuracy on
    the validation pairs, and what `probe_dev` measures on the weights as saved and loaded again. Weights that
    fill none of `runs.ROLES` are deleted on the way.

    An interrupted run goes on from its last look when it is called again with the same `work`, and ends with
    the same weights. The same seed gives the same weights on the same machine. Under `accelerate launch`
    every process calls this with the same arguments; batches are shared out, and the first process alone
    measures and writes.

    Args:
        folder: receives `run.json` and the kept weights; best an empty one.
        work: a private folder on a disk with room for checkpoints; deleted on success.
        micro_batch: pairs per forward pass and process; what is missing to `settings.batch` is accumulated.
        objective: "dpo", or "sft": the control, which learns the chosen responses by likelihood, on the same
            batches with the same optimiser for the same number of steps.
        base_dev: what `probe_dev` measures of the base model, if it is known already.
        stop_early: False runs all `settings.max_steps`, to show what over-training does.

    Raises:
        PairError: pairs that cannot be trained on.
        ValueError: too few pairs for a batch, or `probe_dev` leaves out what policies are chosen by.
        FloatingPointError: the loss is not finite; the learning rate is too high.
        DiskFull: the disk is full. What was finished stays in `work`.

    Example:
        held = {"pairs": pairs[:-64], "valid": pairs[-64:]}
        run = train(source, **held, settings=settings, folder=folder, work=work, seed=0)
        run.roles
        {'matched': 30, 'strong': 60, 'best': 80, 'last': 80}
    """
    hf, tokenizer = load_hf(source)
    beside = (tokenizer, copy.deepcopy(hf.config), copy.deepcopy(hf.generation_config))
    context = hf.config.n_positions
    encoded = (
        encode_pairs(pairs, tokenizer, settings, context),
        encode_pairs(valid, tokenizer, settings, context),
    )
    journal = Journal(work, _made_with(hf, encoded, settings, seed, objective))
    with disk_full_said("training", work, FINISHED_KEPT):
        trainer = preference_trainer(
            hf, tokenizer, *encoded, settings, work,
            seed=seed, device=torch.device(device), micro_batch=micro_batch, objective=objective,
            reference=journal.reference(),
        )  # fmt: skip
        main = trainer.accelerator.is_main_process
        if main:
            journal.keep_reference(reference_of(trainer))
            journal.drop_unfinished()
        trainer.accelerator.wait_for_everyone()
        pauses = _Pauses(trainer, source, beside, journal, settings, probe_dev, base_dev, watch, stop_early)
        trainer.add_callback(pauses)
        with quiet():
            if not journal.history:
                trainer.evaluate()
            if not journal.finished and not pauses.should_stop():  # either only after an interruption
                trainer.train(resume_from_checkpoint=journal.checkpoint)
                if looks_of(journal.history)[-1].step < trainer.state.global_step:
                    trainer.evaluate()
        if main:
            journal.finish(pauses.stopped)
            publish(journal, settings, folder)
            shutil.rmtree(work)
        trainer.accelerator.wait_for_everyone()
    return read_run(folder)


class _Pauses(TrainerCallback):
    """Collects the history, takes the looks, and says when to stop."""

    def __init__(
        self,
        trainer: PreferenceTrainer,
        source: ModelSource,
        beside: Sequence[Any],
        journal: Journal,
        settings: DPO,
        probe_dev: ProbeDev | None,
        base_dev: Mapping[str, float] | None,
        watch: Watch | None,
        stop_early: bool,
    ) -> None:
        self.trainer, self.source, self.beside = trainer, source, beside
        self.journal, self.settings = journal, settings
        self.probe_dev, self.base_dev = probe_dev, base_dev
        self.watch, self.stop_early = watch, stop_early
        self.stopped = f"all {settings.max_steps} steps were taken"

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A step was taken (or training ended, which has no loss of its own to report)."""
        logs = kwargs["logs"]
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise FloatingPointError(
                f"The loss is {logs['loss']} at step {state.global_step}: lower dpo.learning_rate."
            )
        self._add(
            {
                "kind": "train",
                "step": state.global_step,
                "loss": logs["loss"],
                "margin": logs["rewards/margins"],
                "chosen": logs["rewards/chosen"],
                "rejected": logs["rewards/rejected"],
                "accuracy": logs["rewards/accuracies"],
                "learning_rate": logs["learning_rate"],
                "gradient_norm": logs["grad_norm"],
            }
        )

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A look: validation figures are in; the first process saves the weights and measures them."""
        metrics = kwargs["metrics"]
        row: Row = {
            "kind": "look",
            "step": state.global_step,
            "validation_loss": metrics["eval_loss"],
            "validation_margin": metrics["eval_rewards/margins"],
            "validation_chosen": metrics["eval_rewards/chosen"],
            "validation_rejected": metrics["eval_rewards/rejected"],
            "validation_accuracy": metrics["eval_rewards/accuracies"],
        }
        if self.trainer.accelerator.is_main_process:
            row.update(self._measure(state.global_step))
        shared = [row]
        broadcast_object_list(shared, from_process=0)
        self._add(shared[0])
        control.should_training_stop |= self.should_stop()

    def should_stop(self) -> bool:
        """Whether the looks so far say to end training; keeps the reason."""
        reason = reason_to_stop(looks_of(self.journal.history), self.settings) if self.stop_early else None
        if reason is not None:
            self.stopped = reason
        return reason is not None

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A checkpoint is whole."""
        if self.trainer.accelerator.is_main_process:
            self.journal.save(state.global_step, self.settings)

    def _measure(self, step: int) -> Mapping[str, float]:
        source = self.source
        if step > 0:
            place = self.journal.candidate(step)
            save_weights(cast(GPT2LMHeadModel, self.trainer.model), self.beside, place)
            source = ModelSource(folder=place)
        if self.probe_dev is None:
            return {}
        known = self.base_dev if step == 0 else None
        figures = dict(known if known is not None else self.probe_dev(load_hf(source)[0]))
        missing = {"toxicity", "perplexity"} - set(figures)
        if missing:
            raise ValueError(
                f"probe_dev must measure {' and '.join(sorted(missing))}; it gave {sorted(figures)}."
            )
        return figures

    def _add(self, row: Row) -> None:
        self.journal.history.append(row)
        if self.watch is not None and self.trainer.accelerator.is_main_process:
            self.watch(row["step"], self.settings.max_steps, row)


def _made_with(
    hf: GPT2LMHeadModel, encoded: Sequence[Sequence[EncodedPair]], settings: DPO, seed: int, objective: str
) -> str:
    ingredients = (model_digest(hf), encoded, settings.model_dump_json(), seed, objective)
    return hashlib.sha256(repr(ingredients).encode()).hexdigest()
