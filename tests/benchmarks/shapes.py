"""Random models of the two shapes the course runs on, for measuring speed."""

from __future__ import annotations

import torch
from transformers import GPT2Config, GPT2LMHeadModel

SHAPES = {
    "pocket": GPT2Config(n_layer=6, n_embd=256, n_head=8, vocab_size=1200, n_positions=128),
    "gpt2-medium": GPT2Config(n_layer=24, n_embd=1024, n_head=16, vocab_size=50257, n_positions=1024),
}


def random_model(shape: str, *, device: torch.device) -> GPT2LMHeadModel:
    """A model of a shape with random weights, eager attention, without dropout, in evaluation mode."""
    config = GPT2Config(
        **{**SHAPES[shape].to_dict(), "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    )
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    return GPT2LMHeadModel(config).to(device).eval()


def device() -> torch.device:
    """CUDA where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait(where: torch.device) -> None:
    """Lets a GPU finish, so that the clock stops when the work is done."""
    if where.type == "cuda":
        torch.cuda.synchronize()
