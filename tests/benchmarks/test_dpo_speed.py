"""How fast a DPO step is through the course's trainer, against a plain loop on the same batches of pairs.

The plain loop runs policy and reference in float32 on padded batches and turns every position into logits.
"""

import copy
import random
import time

import pytest
import torch

from helpers.alignment.encoding import EncodedPair
from helpers.alignment.loss import PairBatch, dpo_loss, lay_out, sequence_logprobs
from helpers.alignment.trl_adapter import preference_trainer
from helpers.language.models import quiet
from helpers.profiles import DPO
from tests.benchmarks.shapes import SHAPES, device, random_model, wait
from tests.language.builders import tiny_tokenizer

SETTINGS = {
    "pocket": DPO(batch=16, optimiser="adamw"),
    "gpt2-medium": DPO(
        batch=4, optimiser="rmsprop", precision="bfloat16" if torch.cuda.is_available() else "float32"
    ),
}
ROUNDS = {"pocket": 6, "gpt2-medium": 2}


def some_pairs(batch, count, vocabulary):
    """Prompts of 8 to 40 tokens with two responses of 14 to 20."""
    draw = random.Random(0)

    def ids(low, high):
        return tuple(draw.randrange(1, vocabulary) for _ in range(draw.randint(low, high)))

    return [EncodedPair(str(number), ids(8, 40), ids(14, 20), ids(14, 20)) for number in range(batch * count)]


@pytest.fixture(scope="module", params=list(SHAPES))
def shape(request):
    return request.param


def measure(benchmark, shape, step, batches, where):
    """Times a step; tokens are those of the padded pairs' real positions, the same for both loops."""
    tokens = sum(2 * len(p.prompt) + len(p.chosen) + len(p.rejected) for p in batches[0])
    rest = iter(batches)

    def run():
        step(next(rest))
        wait(where)

    run()
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    benchmark.group = f"DPO step, {shape}, batch {len(batches[0])}"
    started = time.process_time()
    benchmark.pedantic(run, rounds=ROUNDS[shape])
    benchmark.extra_info["CPU seconds per step"] = round((time.process_time() - started) / ROUNDS[shape], 3)
    benchmark.extra_info["tokens per second"] = round(tokens / benchmark.stats.stats.mean)
    if where.type == "cuda":
        benchmark.extra_info["peak GB"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)


def batches_of(shape):
    settings = SETTINGS[shape]
    pairs = some_pairs(settings.batch, ROUNDS[shape] + 1, SHAPES[shape].vocab_size)
    return [pairs[start : start + settings.batch] for start in range(0, len(pairs), settings.batch)]


def test_plain_loop(benchmark, shape):
    where, settings = device(), SETTINGS[shape]
    policy = random_model(shape, device=where)
    reference = copy.deepcopy(policy).requires_grad_(False)
    kind = {"adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop}[settings.optimiser]
    optimiser = kind(policy.parameters(), lr=1e-6)

    def step(pairs):
        rows = lay_out(
            [p.prompt for p in pairs], [p.chosen for p in pairs], [p.rejected for p in pairs], padding=0
        )
        batch = PairBatch(rows.ids.to(where), rows.mask.to(where), rows.response.to(where))
        with torch.no_grad():
            before = sequence_logprobs(reference, batch)
        terms = dpo_loss(*sequence_logprobs(policy, batch).chunk(2), *before.chunk(2), beta=settings.beta)
        optimiser.zero_grad()
        terms.loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), settings.clip)
        optimiser.step()

    measure(benchmark, shape, step, batches_of(shape), where)


def test_our_trainer(benchmark, shape, tmp_path):
    where, settings = device(), SETTINGS[shape]
    batches = batches_of(shape)
    pairs = [pair for batch in batches for pair in batch]
    trainer = preference_trainer(
        random_model(shape, device=where), tiny_tokenizer(), pairs, pairs[: settings.batch], settings,
        tmp_path, seed=0, device=where, micro_batch=settings.batch,
    )  # fmt: skip
    with quiet():
        trainer.create_optimizer_and_scheduler(num_training_steps=100)
        model = trainer.accelerator.prepare(trainer.model)
        model.train()
    trainer.current_gradient_accumulation_steps = 1

    def step(pairs):
        rows = [trainer.train_dataset[int(pair.id)] for pair in pairs]
        trainer.training_step(model, trainer.data_collator(rows))
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        trainer.optimizer.step()
        model.zero_grad()

    measure(benchmark, shape, step, batches, where)
