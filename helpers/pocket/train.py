"""Trains a pocket model from scratch, `SEED=1 python -m helpers.pocket.train`; a killed run is resumed."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch.nn import functional
from tqdm.auto import tqdm
from transformers import GPT2Config, GPT2LMHeadModel

from helpers.pocket import weights_of
from helpers.pocket.corpus import plain_text
from helpers.pocket.tokenizer import END, save_tokenizer, train_tokenizer

CONTEXT = 128
CHECKPOINT_EVERY = 200
"""Steps."""


@dataclass(frozen=True)
class Settings:
    """Everything that decides the weights."""

    layers: int = 4
    width: int = 192
    heads: int = 6
    tokens: int = 3_000_000
    batch: int = 32
    learning_rate: float = 2e-3
    warmup: int = 100
    weight_decay: float = 0.1
    seed: int = 0
    corpus_seed: int = 0

    @property
    def steps(self) -> int:
        return max(1, self.tokens // (self.batch * CONTEXT))

    @property
    def documents(self) -> int:
        """Enough documents that training passes over the text about once."""
        return max(4000, self.tokens // 50)


def build_model(settings: Settings, vocabulary: int, end: int) -> GPT2LMHeadModel:
    """A freshly initialised GPT-2; `gelu_pytorch_tanh` is gelu_new in one fused call."""
    torch.manual_seed(settings.seed)
    return GPT2LMHeadModel(GPT2Config(
        vocab_size=vocabulary, n_positions=CONTEXT, n_embd=settings.width, n_layer=settings.layers,
        n_head=settings.heads, activation_function="gelu_pytorch_tanh", resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0, tie_word_embeddings=True, bos_token_id=end, eos_token_id=end, use_cache=False,
    ))  # fmt: skip


class Stream:
    """Training windows out of one long text of documents, each followed by the end token."""

    def __init__(self, documents: list[str], tokenizer: Tokenizer, seed: int) -> None:
        end = tokenizer.token_to_id(END)
        encodings = tokenizer.encode_batch_fast(documents)
        self.ids = np.fromiter((i for e in encodings for i in (*e.ids, end)), dtype=np.int64)
        begins = np.flatnonzero(self.ids == end)[:-1] + 1
        self.begins = begins[begins < len(self.ids) - CONTEXT - 1]
        self.seed = seed

    def batch(self, step: int, size: int) -> torch.Tensor:
        """`size` windows of CONTEXT + 1 ids; depends on (seed, step) alone: a resumed run sees the same text.

        Half the windows begin with a document, as prompts do; a quarter with the end token before one; a
        quarter anywhere, as windows of running text do.
        """
        random = np.random.default_rng((self.seed, step))
        begins = random.choice(self.begins, size) - (np.arange(size) % 4 == 1)
        anywhere = random.integers(0, len(self.ids) - CONTEXT, size)
        starts = np.where(np.arange(size) % 4 == 3, anywhere, begins)
        return torch.from_numpy(self.ids[starts[:, None] + np.arange(CONTEXT + 1)])


def corpus_fingerprint(seed: int) -> str:
    """Short hash of the first training documents: tells which grammar some weights were trained on."""
    text = "\0".join(plain_text(500, split="train", seed=seed))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def loss_of(model: GPT2LMHeadModel, windows: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the next token, in nats."""
    logits = model(windows[:, :-1]).logits
    return functional.cross_entropy(logits.flatten(0, 1).float(), windows[:, 1:].flatten())


def choose_device(request: str) -> torch.device:
    if request == "cuda" and not torch.cuda.is_available():
        raise SystemExit("--device cuda: this torch sees no CUDA device; use --device cpu")
    return torch.device(
        "cuda" if request == "cuda" or request == "auto" and torch.cuda.is_available() else "cpu"
    )


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 autocast pays on this device; a CPU without bf16 units is quicker in float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return "avx512_bf16" in _cpu_flags() or "amx_bf16" in _cpu_flags()


def _cpu_flags() -> set[str]:
    info = Path("/proc/cpuinfo")
    return set(info.read_text().split()) if info.is_file() else set()


def train(settings: Settings, device: torch.device, work: Path, stop_after: int | None = None,
          bf16: bool | None = None) -> tuple[GPT2LMHeadModel, Tokenizer, dict]:  # fmt: skip
    """Trains, or goes on training from `work`; returns model, tokenizer and log. `stop_after` ends early."""
    began = time.monotonic()
    documents = plain_text(settings.documents, split="train", seed=settings.corpus_seed)
    tokenizer = train_tokenizer(documents[:40_000])
    stream = Stream(documents, tokenizer, settings.seed)
    held_out = Stream(plain_text(1200, split="perplexity", seed=settings.corpus_seed), tokenizer, 0).batch(
        0, 256
    )
    end = tokenizer.token_to_id(END)
    model = build_model(settings, tokenizer.get_vocab_size(), end).to(device)  # type: ignore[arg-type]
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": settings.weight_decay},
         {"params": vectors, "weight_decay": 0.0}],
        lr=settings.learning_rate, betas=(0.9, 0.98),
    )  # fmt: skip
    mixed = has_fast_bf16(device) if bf16 is None else bf16
    log: dict = {"settings": asdict(settings), "corpus": corpus_fingerprint(settings.corpus_seed),
                 "vocabulary": tokenizer.get_vocab_size(), "steps": [],
                 "device": device.type, "bfloat16": mixed, "torch": torch.__version__}  # fmt: skip
    identity = {**asdict(settings), "corpus": log["corpus"]}
    first, spent = 0, 0.0
    checkpoint = work / "checkpoint.pt"
    if checkpoint.is_file():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        if state["identity"] != identity:
            raise SystemExit(
                f"{work} holds an unfinished run with other settings or text; delete it to start anew"
            )
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first, spent, log["steps"] = state["step"], state["seconds"], state["log"]
    last = settings.steps if stop_after is None else min(stop_after, settings.steps)
    bar = tqdm(range(first, last), desc="pocket", initial=first, total=last, unit="step", mininterval=5)
    for step in bar:
        model.train()
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * schedule(step, settings.steps, settings.warmup)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixed):
            loss = loss_of(model, stream.batch(step, settings.batch).to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0 or step + 1 == last:
            entry = {"step": step + 1, "loss": float(loss.detach())}
            if step % 200 == 0 or step + 1 == last:
                entry["held_out_loss"] = validate(model, held_out.to(device))
            log["steps"].append(entry)
            bar.set_postfix(loss=f"{entry['loss']:.3f}")
        if (step + 1) % CHECKPOINT_EVERY == 0 and step + 1 < last:
            work.mkdir(parents=True, exist_ok=True)
            _save_atomically(checkpoint, {
                "identity": identity, "model": model.state_dict(), "optimizer": optimizer.state_dict(),
                "step": step + 1, "seconds": spent + time.monotonic() - began, "log": log["steps"],
            })  # fmt: skip
    log["minutes"] = round((spent + time.monotonic() - began) / 60, 2)
    log["parameters"] = sum(p.numel() for p in model.parameters())
    log["seen_tokens"] = last * settings.batch * CONTEXT
    return model.eval(), tokenizer, log


def schedule(step: int, steps: int, warmup: int) -> float:
    """Share of the peak learning rate: linear warm-up, then cosine down to 3 %."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


@torch.no_grad()
def validate(model: GPT2LMHeadModel, windows: torch.Tensor) -> float:
    model.eval()
    return float(torch.stack([loss_of(model, part) for part in windows.split(32)]).mean())


def _save_atomically(path: Path, state: dict) -> None:
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def write_model(model: GPT2LMHeadModel, tokenizer: Tokenizer, log: dict, folder: Path) -> None:
    """Writes config.json, model.safetensors (fp16), the tokenizer and trainlog.json."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.activation_function = "gelu_new"
    model.config.architectures = ["GPT2LMHeadModel"]
    model.config.use_cache = True
    model.config.dtype = "float16"
    model.config.to_json_file(folder / "config.json")
    tensors = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"  # tied to the embedding
    }
    weights = folder / "model.safetensors"
    save_file(tensors, weights, metadata={"format": "pt"})
    weights.chmod(0o644)
    save_tokenizer(tokenizer, folder, CONTEXT)
    (folder / "trainlog.json").write_text(json.dumps(log, indent=1) + "\n")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    defaults = Settings()
    parser.add_argument("--out", type=Path, help="default: the folder of the seed")
    parser.add_argument("--seed", type=int, default=os.environ.get("SEED", defaults.seed))
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--steps", type=int, help="number of steps; overrides --tokens")
    for name in ("layers", "width", "heads", "tokens", "batch", "corpus_seed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(defaults, name))
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    given = parser.parse_args(arguments)
    if given.seed < 0:
        parser.error(f"a training seed counts from 0, so {given.seed} is none")
    out = given.out or weights_of(given.seed)
    tokens = given.steps * given.batch * CONTEXT if given.steps else given.tokens
    settings = Settings(
        layers=given.layers, width=given.width, heads=given.heads, tokens=tokens, batch=given.batch,
        learning_rate=given.learning_rate, seed=given.seed, corpus_seed=given.corpus_seed,
    )  # fmt: skip
    work = out.parent / f".{out.name}.training"
    torch.set_num_threads(1)  # sums in one order, so the same bytes whatever the number of cores
    model, tokenizer, log = train(settings, choose_device(given.device), work)
    write_model(model, tokenizer, log, out)
    shutil.rmtree(work, ignore_errors=True)
    last = log["steps"][-1]
    print(f"{out}: {log['parameters']:,} parameters, {log['seen_tokens']:,} tokens,"
          f" {log['minutes']} min, held-out loss {last['held_out_loss']:.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
