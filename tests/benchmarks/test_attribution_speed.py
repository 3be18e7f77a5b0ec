"""What attribution costs in closed form beside projections made per token, at GPT2-medium's shape."""

from __future__ import annotations

import time

import torch

from helpers.language.models import boot
from helpers.language.tokens import Tokens
from helpers.mechanism.attribution import attribute
from helpers.mechanism.statistics import measure_statistics
from tests.benchmarks.shapes import device, random_model, wait
from tests.language.builders import tiny_tokenizer

TEXTS, LENGTH = 16, 40
TIMES = 20
"""The closed form must be so many times as fast; both start from activations that a pass has read."""


def test_the_closed_form_is_much_faster_than_projections_per_token(benchmark, capsys):
    """The slow version is paper B's: for every layer and token all m·v, each projected.

    Two of its layers are timed and scaled up; their means are compared.
    """
    where = device()
    model = boot(random_model("gpt2-medium", device=where), tiny_tokenizer(), name="medium", device=where)
    ids = torch.randint(50257, (TEXTS, LENGTH), generator=torch.Generator().manual_seed(0))
    tokens = Tokens(ids, torch.ones_like(ids, dtype=torch.bool))
    counted = tokens.mask & (tokens.place >= 1)
    read = measure_statistics(model, tokens, counted=counted, batch_size=TEXTS)
    direction = torch.randn(model.d_model, generator=torch.Generator().manual_seed(1))
    unit = (direction / direction.norm()).to(where)

    seconds = []

    def closed():
        begun = time.perf_counter()
        found = attribute(model, model, read, read, direction)
        wait(where)
        seconds.append(time.perf_counter() - begun)
        return found

    found = benchmark.pedantic(closed, rounds=3, warmup_rounds=1)
    fast = min(seconds) / 2  # it reads two models

    layers = (0, model.n_layers - 1)
    sites = [f"blocks.{layer}.mlp.hook_post" for layer in layers]
    with torch.no_grad():
        _, cache = model.bridge.run_with_cache(ids.to(where), names_filter=sites)
    slow = 0.0
    for layer, site in zip(layers, sites, strict=True):
        values, activations = model.value_vectors[layer], cache[site][counted.to(where)]
        wait(where)
        begun = time.perf_counter()
        total = torch.zeros(model.d_mlp, dtype=torch.float64, device=where)
        for activation in activations:  # neuron × d_model numbers for each token
            total += ((activation[:, None] * values) @ unit).double()
        wait(where)
        slow += time.perf_counter() - begun
        mean = (total / len(activations)).cpu()
        closed_form = found.before[layer] * found.along[layer]
        assert (mean - closed_form).abs().max() <= 1e-6 * closed_form.abs().sum()
    slow *= model.n_layers / len(layers)
    ratio = slow / fast
    benchmark.extra_info["per token / closed form"] = round(ratio, 1)
    with capsys.disabled():
        print(f"\nper token / closed form, {int(counted.sum())} tokens: {ratio:.0f} (at least {TIMES})")
    assert ratio >= TIMES
