"""A started lab of a tiny random model, and policies that stand in for what no pairs would train."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from transformers import PreTrainedModel

from helpers.alignment.unalign import randomly_moved
from helpers.lab import Lab
from helpers.language.models import LanguageModel, load_hf, load_model
from helpers.profiles import ModelSource
from tests.tiny_profile import tiny_profile


@contextmanager
def started(
    notebook: str, folder: Path, *, more: str = "", scorers: tuple = ()
) -> Iterator[tuple[Lab, pytest.MonkeyPatch]]:
    """A lab with cache and build folder of its own, and a patch that lasts as long as it.

    Args:
        more: settings to add to the tiny profile, as TOML.
        scorers: in the place of the profile's.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOXICITY_LAB_CACHE", str(folder / "cache"))
        patch.setenv("TOXICITY_LAB_BUILD", str(folder / "build"))
        profile = tiny_profile(folder)
        profile.write_text(profile.read_text() + more)
        lab = Lab.start(notebook, profile)
        if scorers:
            lab.at.__dict__["scorers"] = scorers
        yield lab, patch


def moved_policy(
    lab: Lab,
    folder: Path,
    *,
    name: str = "matched",
    change: Callable[[PreTrainedModel], PreTrainedModel | None] = lambda model: None,
) -> LanguageModel:
    """Base after a random step as long as its way to a rounded copy, saved and loaded as a policy is.

    Args:
        change: done to it before it is saved: in place, or it gives another model to save instead.
    """
    hf, tokenizer = load_hf(lab.profile.model)
    moved = randomly_moved(hf, lab.load_plain().half().float(), seed=0)
    moved = change(moved) or moved
    place = folder / f"policy {name}"
    moved.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return load_model(ModelSource(folder=place), name=name)
