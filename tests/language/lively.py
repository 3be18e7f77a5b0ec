"""A tiny random GPT-2 that does not repeat itself: its greedy text depends on every token before."""

from __future__ import annotations

import torch
from transformers import GPT2LMHeadModel

from tests.language.builders import tiny_hf


def lively_hf(layers: int = 2, *, seed: int = 0) -> GPT2LMHeadModel:
    """`tiny_hf` with strong embeddings, or biases would rule, and a read-out of its own, or it would echo."""
    hf = tiny_hf(layers=layers, seed=seed)
    with torch.no_grad():
        hf.transformer.wte.weight.mul_(5)
        hf.transformer.wpe.weight.mul_(3)
    hf.config.tie_word_embeddings = False
    generator = torch.Generator().manual_seed(seed)
    hf.lm_head.weight = torch.nn.Parameter(torch.randn(hf.lm_head.weight.shape, generator=generator))
    return hf
