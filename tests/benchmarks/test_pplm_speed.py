"""How fast PPLM steers a batch, against one prompt at a time; compare the figures per text within a shape.

On a shared machine compare CPU seconds, which other people's work does not lengthen.
"""

import time

import pytest
import torch

from helpers.alignment.pplm import steer
from helpers.mechanism.probe import Probe
from helpers.profiles import PPLM
from tests.benchmarks.shapes import SHAPES, device, random_model, wait

SETTINGS = PPLM(iterations=10, new_tokens=1)  # as in real use, the gradient steps outweigh reading the prompt
BATCHES = {"pocket": 64, "gpt2-medium": 32}


@pytest.fixture(scope="module", params=list(SHAPES))
def setting(request):
    where = device()
    width = SHAPES[request.param].n_embd
    generator = torch.Generator().manual_seed(0)
    probe = Probe(torch.randn(width, generator=generator), 0.0, -1, "mean", 1.0, torch.zeros(width), 1.0)
    return request.param, random_model(request.param, device=where), probe, where


@pytest.mark.parametrize("kind", ["one by one", "batched"])
def test_pplm(benchmark, setting, kind):
    shape, model, probe, where = setting
    batch = BATCHES[shape]
    lengths = [10 + 6 * (number % 2) for number in range(batch)]
    prompts = [
        [(7 * place + number) % 1000 for place in range(length)] for number, length in enumerate(lengths)
    ]
    names = [str(number) for number in range(batch)]
    rows = batch if kind == "batched" else 2

    def run():
        size = rows if kind == "batched" else 1
        for start in range(0, rows, size):
            chosen = slice(start, start + size)
            steer(model, prompts[chosen], names[chosen], probe, SETTINGS, seed=0)
        wait(where)

    benchmark.group = f"PPLM, {shape}, {SETTINGS.iterations} iterations, {SETTINGS.new_tokens} token"
    steer(model, prompts[:1], names[:1], probe, SETTINGS, seed=0)
    rounds = 1 if shape == "gpt2-medium" else 3
    started = time.process_time()
    benchmark.pedantic(run, rounds=rounds)
    benchmark.extra_info["CPU seconds per text"] = round((time.process_time() - started) / rounds / rows, 4)
    benchmark.extra_info["texts per second"] = round(rows / benchmark.stats.stats.mean, 3)
