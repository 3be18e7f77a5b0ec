"""A started lab of a tiny model, whose page the tests here drive."""

import pytest

from helpers.lab.policies import Policies
from tests.lab.started import moved_policy, started


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explorer")
    with started("10_neuron_explorer", folder) as (lab, patch):
        tuned = moved_policy(lab, folder)
        # No pairs come of a random model, so nothing trains it: a model moved at random stands in.
        patch.setattr(Policies, "load", lambda self, name, *, seed=None, like="matched": tuned)
        patch.setattr(Policies, "is_trained", lambda self, seed: seed == 1)
        yield lab
