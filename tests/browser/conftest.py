"""A started lab of a tiny model, whose page the tests here drive."""

import pytest

from helpers.alignment.unalign import randomly_moved
from helpers.lab import Lab
from helpers.lab.policies import Policies
from helpers.language.models import load_hf, load_model
from helpers.profiles import ModelSource
from tests.tiny_profile import tiny_profile


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explorer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOXICITY_LAB_CACHE", str(folder / "cache"))
        patch.setenv("TOXICITY_LAB_BUILD", str(folder / "build"))
        lab = Lab.start("10_neuron_explorer", tiny_profile(folder))
        hf, tokenizer = load_hf(lab.profile.model)
        randomly_moved(hf, lab.load_plain().half().float(), seed=0).save_pretrained(folder / "policy")
        tokenizer.save_pretrained(folder / "policy")
        tuned = load_model(ModelSource(folder=folder / "policy"), name="matched")
        # No pairs come of a random model, so nothing trains it: a model moved at random stands in.
        patch.setattr(Policies, "load", lambda self, name, *, seed=None, like="matched": tuned)
        patch.setattr(Policies, "is_trained", lambda self, seed: seed == 1)
        yield lab
