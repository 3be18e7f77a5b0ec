"""Evaluations are found again by what they depend on, and by nothing less."""

import pytest
import torch

from helpers.lab import Lab, evaluations
from helpers.mechanism.interventions import ablate, patch_constant, scale_keys, subtract_direction
from helpers.mechanism.patching import patch_per_token
from helpers.mechanism.vectors import Neuron
from tests.tiny_profile import tiny_profile

FEW = [Neuron(0, 3), Neuron(1, 5)]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("TOXICITY_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TOXICITY_LAB_BUILD", str(tmp_path / "build"))
    return Lab.start("03_steering", tiny_profile(tmp_path))


@pytest.fixture
def measured(monkeypatch):
    """The labels of the conditions that were measured, not found."""
    labels, evaluate = [], evaluations.evaluate

    def counted(*given, **named):
        labels.append(named["label"])
        return evaluate(*given, **named)

    monkeypatch.setattr(evaluations, "evaluate", counted)
    return labels


def test_what_is_found_is_what_was_measured_under_any_label(lab, measured):
    first, again = lab.evaluate("base"), lab.evaluate("the base model")
    assert measured == ["base"] and again.label == "the base model"
    assert again.intervals == first.intervals and list(again.measures) == list(first.measures)
    assert again.prompt_ids == first.prompt_ids and again.continuations.texts == first.continuations.texts
    assert torch.equal(again.continuations.ids, first.continuations.ids)
    for name, measure in first.measures.items():
        found = again.measures[name]
        assert torch.equal(found.totals, measure.totals) and torch.equal(found.weights, measure.weights)
        assert (found.unit, found.exponential) == (measure.unit, measure.exponential)


def test_every_intervention_is_told_from_every_other(lab, measured):
    direction, base = torch.randn(lab.base.d_model, generator=torch.manual_seed(0)), lab.base
    other = lab.at.load_plain()
    with torch.no_grad():
        other.transformer.h[0].mlp.c_proj.weight += 0.1
    conditions = [
        lambda: subtract_direction(base, direction, 1.0, layer=-1),
        lambda: subtract_direction(base, direction, 2.0, layer=-1),
        lambda: subtract_direction(base, direction, 1.0, layer=0),
        lambda: subtract_direction(base, direction, 1.0, layer=-1, site="mlp_out"),
        lambda: subtract_direction(base, direction.roll(1), 1.0, layer=-1),
        lambda: ablate(base, FEW),
        lambda: ablate(base, FEW[:1]),
        lambda: patch_constant(base, FEW, torch.tensor([1.0, 2.0])),
        lambda: scale_keys(base, FEW, 3.0),
        lambda: scale_keys(base, FEW, 4.0),
        lambda: patch_per_token(base, FEW, base),
    ]
    for number, condition in enumerate(conditions):
        with condition():
            lab.evaluate(str(number))
    lab.evaluate("none")
    expected = [*map(str, range(len(conditions))), "none"]
    assert measured == expected
    for number, condition in enumerate(conditions):
        with condition():
            lab.evaluate(f"again {number}")
    assert measured == expected, "each is found again"


def test_nested_edits_and_their_order_count(lab, measured):
    direction, base = torch.ones(lab.base.d_model), lab.base
    with ablate(base, FEW):
        lab.evaluate("outer")
        with subtract_direction(base, direction, 1.0, layer=0):
            lab.evaluate("both")
        lab.evaluate("outer again")
    with subtract_direction(base, direction, 1.0, layer=0), ablate(base, FEW):
        lab.evaluate("the other way round")
    assert measured == ["outer", "both", "the other way round"] and base.edits == []


def test_a_hook_put_on_by_hand_is_measured_anew(lab, measured):
    def halved(residual, hook):
        return residual / 2

    lab.evaluate("base")
    with lab.base.bridge.hooks(fwd_hooks=[("blocks.0.hook_resid_post", halved)]):
        for _ in range(2):
            lab.evaluate("by hand")
    assert measured == ["base", "by hand", "by hand"]


def test_weights_changed_in_place_are_another_model(lab, measured):
    lab.evaluate("base")
    with torch.no_grad():
        lab.base.bridge.blocks[0].mlp.W_out[3] *= 2
    lab.evaluate("edited")
    assert measured == ["base", "edited"]


def test_prompts_split_and_mode_count(lab, measured):
    few = lab.texts.prompts_dev[:2]
    for label, named in {
        "dev": {}, "eval": {"split": "eval"}, "report": {"mode": "report"}, "few": {"prompts": few},
    }.items():  # fmt: skip
        lab.evaluate(label, **named)
    lab.evaluate("the same few", prompts=list(few))
    assert measured == ["dev", "eval", "report", "few"]
