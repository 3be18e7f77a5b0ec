"""Builds tiny models, tokenizers and data files for tests; nothing is downloaded."""

from __future__ import annotations

import string
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from helpers.language.models import quiet

SENTENCES = tuple(
    f"{who} {verb} the {thing} {where}."
    for who in ("You", "They", "My neighbour", "The idiot")
    for verb in ("painted", "dropped", "praised", "hated")
    for thing in ("boat", "garden", "stupid lamp", "song")
    for where in ("today", "in the village", "without a word")
)
END = "<|endoftext|>"


def tiny_tokenizer(vocab: int = 320) -> PreTrainedTokenizerFast:
    """A byte-level BPE as GPT-2's, trained on a few sentences; reads any text. Needs vocab >= 257."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocab,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*SENTENCES, string.ascii_letters], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END, unk_token=END)


def tiny_hf(
    layers: int = 2, width: int = 32, heads: int = 2, vocab: int = 320, *, context: int = 64, seed: int = 0
) -> GPT2LMHeadModel:
    """A random GPT-2 whose LayerNorms and biases are not trivial, so that folding or centring would show."""
    rng_state = torch.get_rng_state()
    torch.manual_seed(seed)
    try:
        model = GPT2LMHeadModel(
            GPT2Config(
                n_layer=layers,
                n_embd=width,
                n_head=heads,
                vocab_size=vocab,
                n_positions=context,
                bos_token_id=0,
                eos_token_id=0,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
            )  # fmt: skip
        )
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "ln_" in name or name.endswith("bias"):
                    parameter.add_(0.2 * torch.randn_like(parameter))
                elif "wte" in name or "wpe" in name:
                    parameter.mul_(10)
                else:
                    parameter.mul_(3)
    finally:
        torch.set_rng_state(rng_state)
    return model.eval()


def tiny_model(
    tmp_path: Path,
    layers: int = 2,
    width: int = 32,
    heads: int = 2,
    vocab: int = 320,
    *,
    context: int = 64,
    seed: int = 0,
) -> Path:
    """Saves a tiny random GPT-2 with its tokenizer; returns the folder (`tmp_path / "model-…"`)."""
    folder = tmp_path / f"model-{layers}-{width}-{heads}-{vocab}-{context}-{seed}"
    if not folder.is_dir():
        with quiet():
            tiny_hf(layers, width, heads, vocab, context=context, seed=seed).save_pretrained(folder)
        tiny_tokenizer(vocab).save_pretrained(folder)
    return folder


def comment_rows(number: int) -> list[dict[str, object]]:
    """Comments as the Jigsaw set has them: a text and a 0/1 label, half of them toxic."""
    return [
        {"comment_text": f"Comment {n}: you are {'an idiot' if n % 2 else 'very kind'}.", "toxic": n % 2}
        for n in range(number)
    ]


def prompt_rows(number: int) -> list[dict[str, object]]:
    """Prompts as RealToxicityPrompts has them: nested and flagged; so many are challenging."""
    return [
        {
            "prompt": {"text": f"On day {n} they said she was full of", "toxicity": 0.5},
            "continuation": {"text": " it.", "toxicity": None if n % 3 else 0.25},
            "challenging": n % 11 != 10,
        }
        for n in range(number + number // 10)
    ]


def prose(lines: int) -> list[str]:
    """Lines of running text with headings between them, as WikiText has them."""
    return [
        f" = Part {n} = "
        if n % 8 == 0
        else " ".join(f"{text[:-1]} {n}." for text in SENTENCES[n % 40 : n % 40 + 8])
        for n in range(lines)
    ]
