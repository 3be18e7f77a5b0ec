"""Run as a program: loads a GPT2-medium-shaped checkpoint and prints what it cost, as one line of JSON.

python -m tests.language.medium_shape build <folder>     # random weights, written once
python -m tests.language.medium_shape load <folder>      # loads, fires a hook, reports peak memory
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from helpers.language.models import load_model
from helpers.profiles import ModelSource
from helpers.runtime import _peak_bytes
from tests.language.builders import tiny_tokenizer

VOCAB = 50257


def build(folder: Path, layers: int = 24, context: int = 1024) -> None:
    """Writes the checkpoint without initialising a model: shapes from the meta device, cheap values."""
    folder.mkdir(parents=True)
    config = GPT2Config(
        n_embd=1024, n_layer=layers, n_head=16, n_positions=context, architectures=["GPT2LMHeadModel"]
    )
    with torch.device("meta"):
        shapes = {
            name: value.shape
            for name, value in GPT2LMHeadModel(config).state_dict().items()
            if name != "lm_head.weight"
        }
    generator = torch.Generator().manual_seed(0)
    values = torch.empty(4096 * 1024).uniform_(-0.03, 0.03, generator=generator)
    gains = (1 + values[:4096]).numpy().tobytes()
    block = values.numpy().tobytes()
    header, start = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        end = start + 4 * shape.numel()
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open(
        "wb"
    ) as file:  # the format's own layout: no second copy in memory
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            source = gains if "ln_" in name and name.endswith("weight") else block
            for done in range(0, 4 * shape.numel(), len(source)):
                file.write(source[: 4 * shape.numel() - done])
    config.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    path = folder / "tokenizer.json"
    saved = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = saved["model"]["vocab"]  # a model and a tokenizer that knows a part of it are refused
    vocabulary.update({f"<{number}>": number for number in range(len(vocabulary), VOCAB)})
    path.write_text(json.dumps(saved), encoding="utf-8")


def load(folder: Path) -> None:
    before = _peak_bytes()
    model = load_model(ModelSource(folder=folder), name="medium")
    seen = []
    layer = model.n_layers - 1
    hooks = [(f"blocks.{layer}.mlp.hook_post", lambda value, hook: seen.append(tuple(value.shape)))]
    with model.bridge.hooks(fwd_hooks=hooks):
        logits = model.logits(model.tokenise(["You are such a"]))
    print(
        json.dumps(
            {
                "before": before,
                "peak": _peak_bytes(),
                "weights": sum(path.stat().st_size for path in folder.glob("*.safetensors")),
                "shape": [model.n_layers, model.d_model, model.n_heads, model.d_mlp, model.vocab_size],
                "hook": seen,
                "finite": bool(torch.isfinite(logits).all()),
            }
        )
    )


if __name__ == "__main__":
    {"build": build, "load": load}[sys.argv[1]](Path(sys.argv[2]))
