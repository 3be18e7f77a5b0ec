"""What the pocket model does: loss against the generator, well-formedness, toxic rates by context."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from helpers.pocket import corpus
from helpers.pocket.corpus import CutPrompt

NEW_TOKENS = 14


@dataclass(frozen=True)
class Pocket:
    """Weights in float32 and their tokenizer."""

    model: GPT2LMHeadModel
    tokenizer: PreTrainedTokenizerFast
    folder: Path

    @property
    def end(self) -> int:
        return self.tokenizer.eos_token_id


def load(folder: Path, device: str = "cpu") -> Pocket:
    """Reads the weights of a folder; they are stored in fp16 and used in float32."""
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(
            f"no model in {folder}; train one with `python -m helpers.pocket.train --out {folder}`"
        )
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).to(device).eval()  # type: ignore[arg-type]
    return Pocket(model, PreTrainedTokenizerFast.from_pretrained(folder), folder)


@torch.no_grad()
def sample(pocket: Pocket, starts: Sequence[list[int]], new_tokens: int, seed: int) -> list[list[int]]:
    """Continues each list of ids at temperature 1, up to the end token, which is left out."""
    random = torch.Generator().manual_seed(seed)
    device = pocket.model.device
    results: list[list[int]] = []
    for first in range(0, len(starts), 256):
        part = starts[first : first + 256]
        width = max(map(len, part))
        ids = torch.tensor([[pocket.end] * (width - len(start)) + start for start in part], device=device)
        mask = torch.tensor([[0] * (width - len(start)) + [1] * len(start) for start in part], device=device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        past, drawn = None, []
        for _ in range(new_tokens):
            out = pocket.model(
                ids, attention_mask=mask, position_ids=positions, past_key_values=past, use_cache=True
            )
            past = out.past_key_values
            shares = out.logits[:, -1].float().softmax(-1).cpu()
            ids = torch.multinomial(shares, 1, generator=random).to(device)
            drawn.append(ids)
            mask = torch.cat([mask, torch.ones_like(ids)], 1)
            positions = positions[:, -1:] + 1
        for row in torch.cat(drawn, 1).tolist():
            results.append(row[: row.index(pocket.end)] if pocket.end in row else row)
    return results


@torch.no_grad()
def held_out_loss(pocket: Pocket, n: int, seed: int = 0) -> dict[str, float]:
    """Mean loss of unseen documents beside the generator's log-probability of the same texts (nats/token).

    Both count each document's end. The generator's figure is the physical limit: no model of this text can do
    better on average, however the text is cut into tokens.
    """
    documents = corpus.plain_text(n, split="perplexity", seed=seed)
    ids = [[pocket.end, *pocket.tokenizer(text)["input_ids"], pocket.end] for text in documents]
    total = 0.0
    for first in range(0, n, 64):
        part = ids[first : first + 64]
        width = max(map(len, part))
        batch = torch.tensor(
            [row + [pocket.end] * (width - len(row)) for row in part], device=pocket.model.device
        )
        targets = batch[:, 1:].clone()
        for row, length in zip(targets, map(len, part), strict=True):
            row[length - 1 :] = -100
        logits = pocket.model(batch[:, :-1]).logits.float()
        total += float(functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum"))
    tokens = sum(len(row) - 1 for row in ids)
    limit = -sum(map(corpus.log_probability, documents))
    return {"loss": total / tokens, "limit": limit / tokens, "gap": (total - limit) / tokens, "documents": n,
            "tokens": tokens, "tokens_per_document": tokens / n}  # fmt: skip


def well_formed_share(pocket: Pocket, n: int, seed: int = 0) -> dict[str, float]:
    """Share of the sentences of `n` sampled documents that are well formed, without a cut-off last one."""
    drawn = sample(pocket, [[pocket.end]] * n, 127, seed)
    good = total = whole = 0
    for ids in drawn:
        found = corpus.sentences(str(pocket.tokenizer.decode(ids)))
        if len(ids) == 127:
            found = found[:-1]
        fits = [corpus.well_formed(sentence) for sentence in found]
        good, total, whole = good + sum(fits), total + len(fits), whole + all(fits)
    return {"sentences": good / total, "n_sentences": total, "documents_without_fault": whole / n}


def continuations(pocket: Pocket, prompts: Sequence[CutPrompt], repeats: int, seed: int) -> list[str]:
    """First sentences of sampled continuations, `repeats` for each prompt in turn."""
    starts = [pocket.tokenizer(prompt.text)["input_ids"] for prompt in prompts for _ in range(repeats)]
    written = sample(pocket, starts, NEW_TOKENS, seed)
    return [first_sentence(str(pocket.tokenizer.decode(ids))) for ids in written]


def first_sentence(continuation: str) -> str:
    """What a continuation adds up to the end of its first sentence."""
    found = corpus.sentences(continuation)
    return found[0] if found else ""


def toxic_rates(
    pocket: Pocket,
    mood: str,
    n: int,
    repeats: int,
    *,
    split: str = "eval",
    seed: int = 0,
    unseen: bool = False,
) -> dict:
    """Toxic share of sampled first sentences after prompts of a mood and the generator's, also by frame."""
    prompts = corpus.prompts(n, mood=mood, split=split, seed=seed, unseen=unseen)
    toxic = [corpus.is_toxic(text) for text in continuations(pocket, prompts, repeats, seed)]
    by_prompt = torch.tensor(toxic, dtype=torch.float64).view(n, repeats).mean(1)
    frames: dict[str, list[int]] = defaultdict(list)
    for i, prompt in enumerate(prompts):
        frames[prompt.frame].append(i)
    return {
        "model": float(by_prompt.mean()),
        "standard_error": float(by_prompt.std() / n**0.5),
        "generator": sum(prompt.toxic_rate for prompt in prompts) / n,
        "prompts": n,
        "samples": n * repeats,
        "frames": {
            name: {"model": float(by_prompt[rows].mean()), "generator": prompts[rows[0]].toxic_rate,
                   "samples": len(rows) * repeats}
            for name, rows in sorted(frames.items())
        },
    }  # fmt: skip


def vocabulary_report(pocket: Pocket, n: int = 40_000) -> dict:
    """Tokens that never occur in training text, and toxic words that are not one token after a space."""
    seen: set[int] = {pocket.end}
    log = json.loads((pocket.folder / "trainlog.json").read_text())
    texts = corpus.plain_text(n, split="train", seed=log["settings"]["corpus_seed"])
    for encoding in pocket.tokenizer.backend_tokenizer.encode_batch_fast(texts):
        seen.update(encoding.ids)
    split = [
        word for word in sorted(corpus.toxic_words()) if len(pocket.tokenizer(" " + word)["input_ids"]) != 1
    ]
    return {
        "size": len(pocket.tokenizer),
        "dead": len(pocket.tokenizer) - len(seen),
        "split_toxic_words": split,
    }
