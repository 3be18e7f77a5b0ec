"""The pocket model: a synthetic corpus, the small models trained on it, and how both are measured."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "weights"
"""A folder for each training seed: config, fp16 weights, tokenizer, training log, evaluation, model card."""

SEEDS = (0, 1, 2)
"""Training seeds of the family that ships; nothing may be chosen on them. 0 is `pocket` itself."""

BRED_FOR = ("A2", "A3")
"""The claims whose measurements corpus and size were chosen by: `helpers.pocket.protocol`."""


def weights_of(seed: int) -> Path:
    """The folder of the model that was, or is to be, trained from a seed."""
    return FOLDER / str(seed)


WEIGHTS = weights_of(0)
"""The model that notebooks run on unless told otherwise."""


def name_of(seed: int) -> str:
    """What profiles and tables call the model of a seed: "pocket" for 0, "pocket-7" for 7."""
    return f"pocket-{seed}" if seed else "pocket"


def trained_seeds() -> list[int]:
    """The seeds whose weights are here."""
    folders = [path.parent.name for path in FOLDER.glob("*/model.safetensors")]
    return sorted(int(name) for name in folders if name.isdecimal() and str(int(name)) == name)


def not_trained(seed: int) -> str:
    """For errors: the weights of a seed are not here, which ones are, and the command that makes them."""
    there = ", ".join(map(name_of, trained_seeds())) or "none"
    return (
        f"{name_of(seed)} has not been trained here (trained: {there}). `make pocket SEED={seed}` trains it; "
        f"without make: python -m helpers.course pocket --seed {seed}."
    )
