"""The pocket tokenizer: byte-level BPE without dead tokens, every toxic word one token."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from helpers.pocket.scorer import toxic_words

END = "<|endoftext|>"
_LEAST = 25
"""A merged token seen less often than this in the sample is dropped, so that no token is dead."""


def train_tokenizer(documents: Sequence[str], size: int = 4000) -> Tokenizer:
    """Byte-level BPE of `documents`, without the merges that nothing uses.

    BPE reaches a word by merges whose halves never stand alone: dead entries that would show up among a
    neuron's top tokens. `ignore_merges` takes a word that is an entry as it is, so those halves can go; other
    text still merges from characters. Characters the corpus lacks are normalised away: accents dropped, the
    rest "?".
    """
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.normalizer = _normaliser(documents)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(documents, trainers.BpeTrainer(
        vocab_size=size, special_tokens=[END], show_progress=False, min_frequency=2))  # fmt: skip
    must_stay = {END, *("Ġ" + word for word in toxic_words())}
    while True:
        names, counts = _usage(tokenizer, documents)
        dead = [name for name in names if len(name) == 1 and not counts[name]]
        dropped = {name for name in names if len(name) > 1 and counts[name] < _LEAST} - must_stay
        for character in dead:  # it only occurs inside merged tokens: give up the rarest of them
            holders = [
                name for name in names if character in name and len(name) > 1 and name not in must_stay
            ]
            if not holders:
                raise ValueError(
                    f"the character {character!r} only occurs in toxic words; use more training text"
                )
            dropped.add(min(holders, key=counts.__getitem__))
        if not dropped:
            break
        entries = {name: i for i, name in enumerate(name for name in names if name not in dropped)}
        pairs = json.loads(tokenizer.to_str())["model"]["merges"]
        merges = [(one, two) for one, two in pairs if {one, two, one + two} <= entries.keys()]
        tokenizer.model = models.BPE(vocab=entries, merges=merges, ignore_merges=True)
    split = [word for word in sorted(toxic_words()) if len(tokenizer.encode(" " + word).ids) != 1]
    if split:
        raise ValueError(f"toxic words that are not a single token: {split}; use more training text")
    return tokenizer


def _usage(tokenizer: Tokenizer, documents: Sequence[str]) -> tuple[list[str], Counter[str]]:
    vocabulary = tokenizer.get_vocab()
    counts: Counter[int] = Counter()
    for encoding in tokenizer.encode_batch_fast(list(documents)):
        counts.update(encoding.ids)
    return sorted(vocabulary, key=vocabulary.__getitem__), Counter(
        {n: counts[i] for n, i in vocabulary.items()}
    )


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
