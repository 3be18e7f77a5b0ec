"""How many copies of a batch's keys and values steering holds at its peak: `PASTS` of the estimate.

At GPT2-medium's width with random weights, each in a process of its own: what 64 texts take more than 16.
"""

from __future__ import annotations

import subprocess
import sys

from helpers.course.work import PASTS

PROMPT, NEW, WIDTH = 64, 3, 1024
SCRIPT = f"""
import resource, sys, torch
from transformers import GPT2Config, GPT2LMHeadModel
from helpers.alignment.pplm import steer
from helpers.mechanism.probe import Probe
from helpers.profiles import PPLM
texts, layers = int(sys.argv[1]), int(sys.argv[2])
config = GPT2Config(n_layer=layers, n_embd={WIDTH}, n_head=16, vocab_size=1000)
hf = GPT2LMHeadModel(config).eval().requires_grad_(False)
probe = Probe(torch.randn({WIDTH}), 0.0, -1, "mean", 1.0, torch.zeros({WIDTH}), 1.0)
names = [str(number) for number in range(texts)]
steer(hf, [[5] * {PROMPT}] * texts, names, probe, PPLM(iterations=2, new_tokens={NEW}), seed=0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_steering_holds_as_many_copies_of_its_past_as_the_estimate_counts(capsys) -> None:
    peak, layers = {}, 12
    for texts in (16, 64):
        command = [sys.executable, "-c", SCRIPT, str(texts), str(layers)]
        peak[texts] = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    past = 8 * (64 - 16) * (PROMPT + NEW) * layers * WIDTH
    copies = (peak[64] - peak[16]) / past
    with capsys.disabled():
        print(f"\n{copies:.1f} copies of the keys and values, {PASTS} counted")
    assert 0.75 * PASTS < copies < 1.1 * PASTS
