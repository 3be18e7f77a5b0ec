"""The shape of a profile's model without a download, and a model of that shape with random weights."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, GPT2Config, PreTrainedTokenizerFast

from helpers.course.work import Shape
from helpers.language import hub
from helpers.profiles import Profile, ProfileError

PUBLISHED = {  # layers, width, heads; all with 50,257 tokens and 1,024 positions
    "openai-community/gpt2": (12, 768, 12),
    "openai-community/gpt2-medium": (24, 1024, 16),
    "openai-community/gpt2-large": (36, 1280, 20),
    "openai-community/gpt2-xl": (48, 1600, 25),
}
END = "<|endoftext|>"


def config_of(profile: Profile) -> GPT2Config:
    """The configuration of a profile's model: from its folder, from what is known, or from the hub.

    Raises:
        ProfileError: the hub is needed for it, and out of reach.
    """
    source = profile.model
    if source.id in PUBLISHED:
        layers, width, heads = PUBLISHED[source.id]
        return GPT2Config(n_layer=layers, n_embd=width, n_head=heads)
    folder = source.folder
    if folder is None:
        try:
            folder = hub.snapshot(str(source.id), source.revision, kind="model", files=("config.json",))
        except hub.HubError as error:
            raise ProfileError(f"The shape of {source.id} is in its configuration alone. {error}") from error
    return AutoConfig.from_pretrained(folder, local_files_only=True)


def shape_of(config: GPT2Config) -> Shape:
    """What of it the arithmetic needs."""
    hidden = config.n_inner or 4 * config.n_embd
    return Shape(config.n_layer, config.n_embd, config.vocab_size, config.n_positions, hidden)


def words_of(config: GPT2Config) -> PreTrainedTokenizerFast:
    """A tokenizer for so many tokens, each a word of its own: text for a model that has no language."""
    entries = {f"w{number}": number for number in range(config.vocab_size - 1)}
    tokenizer = Tokenizer(models.WordLevel({**entries, END: config.vocab_size - 1}, unk_token=END))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END, unk_token=END)


def write_toxic_tokenizer(folder: Path, pocket: Path, size: int, toxic: list[str]) -> None:
    """The pocket's tokenizer, filled up to `size` with tokens that spell a word and a number.

    A model of random weights writes any token: one in eight of those says a toxic word, so that about half of
    a rehearsal's texts of five tokens are toxic, and no cell finds an empty set.
    """
    saved = json.loads((pocket / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = saved["model"]["vocab"]
    for number in range(len(vocabulary), size):
        word = toxic[number // 8 % len(toxic)] if number % 8 == 0 else "plain"
        vocabulary[f"Ġ{word}-{number}"] = number
    (folder / "tokenizer.json").write_text(json.dumps(saved, ensure_ascii=False), encoding="utf-8")
    config = (pocket / "tokenizer_config.json").read_text(encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(config, encoding="utf-8")
