"""Attribution as notebook 07 asks for it: every claim's part gets a verdict, and each figure its interval."""

import math
from dataclasses import replace

import pytest
import torch

from helpers.lab import attribution as stage
from helpers.lab.policies import Policies
from helpers.mechanism.attribution import GROUPS
from helpers.teaching.claims import judge
from tests.lab.started import moved_policy, started
from tests.lab.test_unalign import Parity


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A tiny lab whose every policy is base after a random step."""
    folder = tmp_path_factory.mktemp("attribution")
    scorers = (Parity(), Parity())
    with started("07_neuron_group_attribution", folder, scorers=scorers) as (lab, patch):
        tuned = moved_policy(lab, folder)
        patch.setattr(Policies, "load", lambda self, name, like="matched", seed=None: tuned)
        yield lab


@pytest.fixture(scope="module")
def found(lab):
    return lab.attribution.measure()


def test_every_part_of_every_claim_gets_a_verdict(found):
    asked = [("B4", "v1 groups"), ("B4", "final groups"), ("B5", ""), ("B6", "whole Δ"),
             ("B6", "activation Δ"), ("N1", ""), ("N2", "")]  # fmt: skip
    assert list(found) == asked
    for (claim, part), measurement in found.items():
        assert judge(claim, measurement, part=part)
    assert judge("N1", found["N1", ""]) == "agrees"


def test_the_shares_are_those_of_the_attribution(lab, found):
    own = lab.attribution.attribute()
    for label, definition in (("v1 groups", "v1"), ("final groups", "final")):
        for group, each in own.shares(definition).items():
            assert found["B4", label].details[group] == pytest.approx(float(each))
        assert found["B4", label].value == pytest.approx(min(map(float, own.shares(definition).values())))
    assert found["B6", "whole Δ"].value == pytest.approx(float(own.net() / own.gross()))
    assert found["B5", ""].details["any_below_0"] == pytest.approx((own.whole < 0).double().mean().item())


def test_along_every_direction_of_a_null_tuning_lowered_the_sum(lab):
    for near in (False, True):
        nets = lab.attribution.over_directions(lambda one: one.net(), near_offset=near)
        assert (nets >= 0).all() and nets.std() > 0


def test_the_raising_share_is_of_all_neurons_and_its_interval_over_texts(lab, found, monkeypatch):
    own, measured = lab.attribution.attribute(), found["B5", ""]
    sure = own.whole < -stage.SURE * lab.attribution.noise()
    assert measured.value == pytest.approx(sure.double().mean().item())
    assert measured.interval[0] <= measured.value <= measured.interval[1]
    assert measured.interval[0] < measured.interval[1]
    # Were all texts alike, no draw of them would differ; over neurons there would be a width still.
    alike = replace(own, before=own.before.expand(3, -1, -1), after=own.after.expand(3, -1, -1))
    monkeypatch.setattr(stage, "resamples", lambda *_, **__: iter([alike]))
    low, high = lab.attribution.measure()["B5", ""].interval
    assert low == pytest.approx(measured.value) and high == pytest.approx(measured.value)


def test_nulls_hold_a_row_for_every_direction_and_are_drawn_once(lab, monkeypatch):
    plain, near = (lab.attribution.null(near_offset=one) for one in (False, True))
    assert plain.shape == near.shape == (lab.profile.explanation.directions, len(GROUPS))
    assert torch.allclose(plain.sum(dim=1), torch.ones(len(plain)).double()) and not torch.equal(plain, near)
    by_hand = lab.attribution.over_directions(lambda one: one.shares("v1", "activation")["AN"])
    assert torch.allclose(lab.attribution.null(definition="v1", part="activation")[:, 3], by_hand)
    monkeypatch.setattr(stage, "attribute", lambda *_: pytest.fail("drawn twice"))
    lab.attribution.null(definition="v1", part="activation", near_offset=True)


def test_an_interval_is_of_the_figure_and_shared_text_is_bases(lab, monkeypatch):
    def ratio(one):
        return one.net() / one.gross()

    own = lab.attribution.interval(ratio)
    assert own.low < own.high and own.value == float(ratio(lab.attribution.attribute()))
    asked, read = [], type(lab.statistics).read
    monkeypatch.setattr(
        type(lab.statistics), "read",
        lambda self, name, *, on=None, seed=None: asked.append((name, on)) or read(self, name, on=on),
    )  # fmt: skip
    lab.attribution.attribute(shared=True)
    assert asked == [("base", None), ("matched", "base")]


def test_noise_is_read_once_and_is_none_without_a_change(lab, monkeypatch):
    error = lab.attribution.noise()
    assert error.shape == (lab.base.n_layers, lab.base.d_mlp) and (error > 0).all()
    monkeypatch.setattr(stage, "noise_of", lambda *_, **__: pytest.fail("computed twice"))
    assert lab.attribution.noise() is error


def test_ablations_are_looked_at_by_every_way_and_number(lab):
    looked, numbers = lab.emulation.ablations(), lab.profile.explanation.ablated
    assert {k for _, k in looked} == set(numbers)
    own = lab.attribution.attribute()
    for (by, k), (neurons, trial) in looked.items():
        assert 0 < len(neurons) <= lab.measures.at_most(k) and math.isfinite(trial.perplexity)
        places = tuple(zip(*((one.layer, one.index) for one in neurons), strict=True))
        if by == "reduction":
            assert (own.whole[places] > 0).all()
        if by == "positive and cosine":
            assert (own.before[places] > 0).all()
    assert looked["random", numbers[0]][0] != looked["cosine", numbers[0]][0]


def test_the_best_ablation_is_not_a_random_one_and_gets_a_verdict(lab, monkeypatch):
    looked = {
        ("random", 16): (lab.measures.any_neurons(3), _with_toxicity(lab, 0.0)),
        ("cosine", 16): (lab.measures.any_neurons(5, draw=1), _with_toxicity(lab, 0.0)),
    }
    monkeypatch.setattr(type(lab.emulation), "ablations", lambda self, name, *, seed=None: looked)
    measurement = lab.emulation.measure_ablation()
    assert measurement.details["ablated"] == 5 and judge("B1", measurement)


def test_where_no_ablation_is_within_the_budget_nothing_is_ablated(lab, monkeypatch):
    wild = _with_toxicity(lab, 0.0)
    wild.measures["perplexity"] = lab.looks.take("base").measures["perplexity"].__class__(
        wild.measures["perplexity"].totals + 9 * wild.measures["perplexity"].weights,
        wild.measures["perplexity"].weights, "x", True,
    )  # fmt: skip
    looked = {("cosine", 16): (lab.measures.any_neurons(5), wild)}
    monkeypatch.setattr(type(lab.emulation), "ablations", lambda self, name, *, seed=None: looked)
    measurement = lab.emulation.measure_ablation()
    assert measurement.details["ablated"] == 0 and measurement.details["perplexity_ratio"] == 1


def test_shares_of_the_toxic_neurons_are_judged_only_where_there_is_a_gap(lab, monkeypatch):
    found = lab.emulation.measure_shares()
    for (claim, part), measurement in found.items():
        assert judge(claim, measurement, part=part)
    base = lab.looks.take("base", split="eval")
    monkeypatch.setattr(type(lab.emulation), "pair", lambda self, name, seed=None: (base, base))
    assert lab.emulation.measure_shares() == {}


def _with_toxicity(lab, value):
    """A look at base that finds every text so toxic."""
    look = lab.looks.take("base")
    measures = dict(look.measures)
    for name in measures:
        if name.startswith("toxicity"):
            one = measures[name]
            measures[name] = type(one)(value * one.weights, one.weights, one.unit, one.exponential)
    return type(look)(look.label, look.prompts, look.texts, measures)
