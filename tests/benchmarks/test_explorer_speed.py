"""From the slider to the view: the neuron explorer at pocket's shape. Run by `make bench`."""

from __future__ import annotations

import time
from statistics import median

import torch

from helpers.teaching.explorer import NeuronExplorer
from helpers.teaching.explorer.widget import OPEN
from tests.benchmarks.shapes import random_model
from tests.teaching.explorer_lab import fake_lab

LIMIT = 1.0
"""Seconds from a control to the view, on two cores."""
ROUNDS = 12


def test_the_slider_reaches_its_view_within_a_second(benchmark, tmp_path, capsys):
    """Every neuron is a new one, so that nothing is remembered."""
    explorer = NeuronExplorer(fake_lab(random_model("pocket", device=torch.device("cpu")), tmp_path))
    seconds = []

    def slide() -> None:
        start = time.perf_counter()
        explorer.place.value += 1
        seconds.append(time.perf_counter() - start)
        assert f"<h3>{explorer.state()['neuron']}</h3>" in explorer.views["neuron"].value

    benchmark.pedantic(slide, rounds=ROUNDS, warmup_rounds=1)
    explorer.close()
    OPEN.clear()
    slowest, usual = max(seconds[1:]), median(seconds[1:])
    benchmark.extra_info["slider to view, seconds"] = round(usual, 3)
    with capsys.disabled():
        print(f"\nslider to view: {usual:.2f} s, at most {slowest:.2f} s (limit {LIMIT} s)")
    assert usual <= LIMIT
