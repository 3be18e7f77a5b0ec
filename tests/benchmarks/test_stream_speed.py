"""What reading activations costs beside a bare forward pass, at GPT2-medium's shape. Run by `make bench`."""

from __future__ import annotations

import time
from statistics import median

import torch

from helpers.language.models import boot
from helpers.language.tokens import Tokens
from helpers.mechanism.forward import run_to_layer
from helpers.mechanism.stream import Mean, stream
from tests.benchmarks.shapes import device, random_model, wait
from tests.language.builders import tiny_tokenizer

TEXTS, LENGTH, ROUNDS = 8, 128, 5
LIMIT = 1.3
"""Means of every neuron and residual stream may take this many times as long as a bare pass."""


def test_streaming_means_costs_little_more_than_a_bare_pass(benchmark, capsys):
    """In turns, so that whatever else the machine does meets both; the median of the ratios decides."""
    model = boot(
        random_model("gpt2-medium", device=device()), tiny_tokenizer(), name="medium", device=device()
    )
    ids = torch.randint(50257, (TEXTS, LENGTH), generator=torch.Generator().manual_seed(0))
    tokens = Tokens(ids, torch.ones_like(ids, dtype=torch.bool)).to(model.device)
    sites = [
        f"blocks.{layer}.{site}"
        for layer in range(model.n_layers)
        for site in ("mlp.hook_post", "hook_resid_post")
    ]
    ratios = []

    def both() -> None:
        start = time.perf_counter()
        run_to_layer(model, tokens, model.n_layers - 1, [])
        wait(model.device)
        middle = time.perf_counter()
        stream(model, tokens, {site: Mean() for site in sites}, batch_size=TEXTS)
        ratios.append((time.perf_counter() - middle) / (middle - start))

    benchmark.pedantic(both, rounds=ROUNDS, warmup_rounds=1)
    ratio = median(ratios[1:])
    benchmark.extra_info["streamed / bare"] = round(ratio, 3)
    with capsys.disabled():
        print(f"\nstreamed / bare: {ratio:.3f} (limit {LIMIT}), by round {[round(r, 2) for r in ratios[1:]]}")
    assert ratio <= LIMIT
