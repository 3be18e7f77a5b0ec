"""The pocket tokenizer: byte-level BPE in which every token occurs in training text and every toxic word is one token."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from helpers.pocket.scorer import toxic_words

END = "<|endoftext|>"
_LEAST = 80
"""A merged token seen less often than this in the sample is dropped, so that no token is dead."""


def train_tokenizer(documents: Sequence[str], size: int = 4000) -> Tokenizer:
    """Byte-level BPE of `documents`, without the merges that nothing uses.

    BPE reaches a word by merges whose halves never stand alone: dead entries that would show up among a neuron's top
    tokens. `ignore_merges` takes a word that is an entry as it is, so those halves can go; other text still merges
    from characters. Characters the corpus lacks are normalised away (accents dropped, the rest becomes "?").
    """
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.normalizer = _normaliser(documents)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(documents, trainers.BpeTrainer(
        vocab_size=size, special_tokens=[END], show_progress=False, min_frequency=2))  # fmt: skip
    must_stay = {END, *("Ġ" + word for word in toxic_words())}
    while True:
        counts: Counter[str] = Counter()
        for encoding in tokenizer.encode_batch_fast(list(documents)):
            counts.update(encoding.ids)
        model = json.loads(tokenizer.to_str())["model"]
        names = sorted(model["vocab"], key=model["vocab"].__getitem__)
        kept = [
            name for i, name in enumerate(names) if counts[i] >= _LEAST or len(name) == 1 or name in must_stay
        ]
        if len(kept) == len(names):
            break
        entries = {name: i for i, name in enumerate(kept)}
        pairs = [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in model["merges"]]
        merges = [(left, right) for left, right in pairs if {left, right, left + right} <= entries.keys()]
        tokenizer.model = models.BPE(vocab=entries, merges=merges, ignore_merges=True)
    dead = [name for i, name in enumerate(names) if not counts[i] and name != END]
    if dead:
        raise ValueError(f"tokens that never occur in the training text: {dead}")
    split = [word for word in sorted(toxic_words()) if len(tokenizer.encode(" " + word).ids) != 1]
    if split:
        raise ValueError(f"toxic words that are not a single token: {split}; use more training text")
    return tokenizer


def _normaliser(documents: Sequence[str]) -> normalizers.Normalizer:
    known = sorted(set().union(*documents))
    kept = "".join("\\" + character if character in "\\]^-[" else character for character in known)
    return normalizers.Sequence([
        normalizers.NFKD(),
        normalizers.StripAccents(),
        normalizers.Replace(Regex("[\u2018\u2019]"), "'"),
        normalizers.Replace(Regex("[\u201c\u201d]"), '"'),
        normalizers.Replace(Regex("[\t\r\u00a0]"), " "),
        normalizers.Replace(Regex(f"[^{kept}]"), "?"),
    ])  # fmt: skip


def save_tokenizer(tokenizer: Tokenizer, folder: Path, context: int) -> None:
    """Writes tokenizer.json and tokenizer_config.json."""
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, pad_token=END, model_max_length=context,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    wrapped.save_pretrained(folder)
