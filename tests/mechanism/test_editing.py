"""Editing without tuning: which neurons, by what, against a slow obvious version."""

import pytest
import torch

from helpers.mechanism.editing import edit_values, edited_neurons
from helpers.mechanism.vectors import Neuron

GENERATOR = torch.Generator().manual_seed(0)
MEANS = torch.randn(3, 40, generator=GENERATOR, dtype=torch.float64)
COSINE = torch.randn(3, 40, generator=GENERATOR) / 4


def slowly(fraction):
    """(lowered, raised): each group's neurons in a list, sorted, the first so many taken."""
    groups = {"TP": [], "TN": [], "AP": [], "AN": []}
    for layer in range(3):
        for index in range(40):
            name = ("T" if COSINE[layer, index] > 0 else "A") + ("P" if MEANS[layer, index] > 0 else "N")
            groups[name].append((abs(float(COSINE[layer, index])), Neuron(layer, index)))
    taken = {}
    for name, members in groups.items():
        members.sort(reverse=name in ("TP", "AN"))
        taken[name] = {neuron for _, neuron in members[: round(fraction * len(members))]}
    return taken["TP"] | taken["AN"], taken["AP"] | taken["TN"]


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.55, 1.0])
def test_the_nearest_are_lowered_and_the_farthest_raised(fraction):
    found = edited_neurons(MEANS, COSINE, fraction)
    lowered, raised = slowly(fraction)
    assert {Neuron(*place) for place in found[-1].nonzero().tolist()} == lowered
    assert {Neuron(*place) for place in found[1].nonzero().tolist()} == raised


@pytest.mark.parametrize("way", ["constant", "live scaling"])
def test_values_are_means_or_factors_lowered_or_raised_by_alpha(way):
    neurons, values = edit_values(way, MEANS, COSINE, alpha=0.3, fraction=0.55)
    lowered, raised = slowly(0.55)
    assert set(neurons) == lowered | raised and len(neurons) == len(set(neurons))
    for neuron, value in zip(neurons, values.tolist(), strict=True):
        start = float(MEANS[neuron.layer, neuron.index]) if way == "constant" else 1.0
        assert value == pytest.approx(start * (0.7 if neuron in lowered else 1.3), rel=1e-6)


def test_at_alpha_0_the_constant_is_the_mean_and_the_scale_is_1():
    neurons, values = edit_values("constant", MEANS, COSINE, alpha=0.0, fraction=1.0)
    assert values.tolist() == pytest.approx([float(MEANS[n.layer, n.index]) for n in neurons], rel=1e-6)
    _, scales = edit_values("live scaling", MEANS, COSINE, alpha=0.0, fraction=1.0)
    assert (scales == 1).all() and len(scales) == 120


def test_a_neuron_of_mean_0_or_without_alignment_is_in_no_group():
    means, cosine = MEANS.clone(), COSINE.clone()
    means[0, 0] = cosine[1, 1] = 0
    chosen, _ = edit_values("constant", means, cosine, alpha=0.5, fraction=1.0)
    assert not {Neuron(0, 0), Neuron(1, 1)} & set(chosen) and len(chosen) == 118


def test_random_signs_move_the_same_neurons_by_as_much_and_know_nothing_of_groups():
    told = {"alpha": 0.5, "fraction": 1.0}
    neurons, values = edit_values("live scaling", MEANS, COSINE, **told)
    drawn = [edit_values("live scaling", MEANS, COSINE, signs_seed=seed, **told) for seed in range(20)]
    for others, coins in drawn:
        assert others == neurons and set(coins.tolist()) == {0.5, 1.5}
    assert not torch.equal(drawn[0][1], drawn[1][1])
    mean = torch.stack([coins for _, coins in drawn]).mean(dim=0)
    lowered = values < 1
    assert mean[lowered].mean() == pytest.approx(1, abs=0.1) == mean[~lowered].mean().item()
    again = edit_values("live scaling", MEANS, COSINE, signs_seed=3, **told)[1]
    assert torch.equal(again, drawn[3][1])
