"""Checks the files a profile names before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path


class ProfileError(ValueError):
    """A profile that cannot be used; one message that names what is wrong and lists what would be right."""


def check_model_folder(folder: Path) -> None:
    """Raises ProfileError unless the folder holds a GPT-2 configuration, weights and a tokenizer."""
    if not folder.is_dir():
        raise ProfileError(
            f"The model folder {folder} does not exist. Give a folder written by save_pretrained, "
            "or a hub id under `id` instead of `folder`."
        )
    present = sorted(path.name for path in folder.iterdir())
    shown = ", ".join(present) or "nothing"
    if "config.json" not in present:
        raise ProfileError(f"The model folder {folder} has no config.json. It has: {shown}.")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ProfileError(f"{folder / 'config.json'} is not valid JSON: {error}.") from error
    if config.get("model_type") != "gpt2":
        raise ProfileError(
            f"{folder / 'config.json'} has model_type {config.get('model_type')!r}; the notebooks read "
            '"gpt2" (any number of layers, heads and dimensions).'
        )
    if not any(name.startswith("model") and name.endswith(".safetensors") for name in present):
        raise ProfileError(f"The model folder {folder} has no *.safetensors weights. It has: {shown}.")
    if not ("tokenizer.json" in present or {"vocab.json", "merges.txt"} <= set(present)):
        raise ProfileError(
            f"The model folder {folder} has no tokenizer (tokenizer.json, or vocab.json with merges.txt). "
            f"It has: {shown}."
        )
