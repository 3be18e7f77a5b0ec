"""Stand-ins for a policy as notebook 08 measures them: identities at both ends, complete for their rules."""

import math
from typing import get_args

import pytest
import torch

from helpers.lab.emulation import How
from helpers.lab.policies import Policies
from helpers.mechanism.attribution import neurons_of
from helpers.mechanism.editing import Way
from helpers.mechanism.patching import patch_outputs_per_token
from helpers.teaching.claims import Verdict
from helpers.teaching.claims.ledger import judge
from tests.lab.started import moved_policy, started


class Vowels:
    """Calls a text as toxic as it has vowels: a random model writes no listed word."""

    name, unit = "vowels", "share of vowels"

    def score(self, texts):
        return torch.tensor([sum(letter in "aeiou" for letter in text) / max(1, len(text)) for text in texts])


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("emulation")

    @torch.no_grad()
    def farther(moved):
        """Far enough that values, attention and read-out differ to be seen."""
        for weight in moved.parameters():
            weight.mul_(1.2)

    with started("08_emulating_dpo", folder, scorers=(Vowels(), Vowels())) as (lab, patch):
        tuned = moved_policy(lab, folder, change=farther)
        patch.setattr(Policies, "load", lambda self, name, seed=None, like=None: tuned)
        yield lab


@pytest.fixture(scope="module")
def tuned(lab):
    return lab.policies.load("matched")


@pytest.fixture(scope="module")
def tokens(lab):
    return lab.base.tokenise([prompt.text for prompt in lab.texts.eliciting("eval")[:3]])


def test_sets_are_four_groups_their_unions_and_the_rest(lab):
    sets = lab.emulation.sets()
    four = torch.stack([sets[name] for name in ("TP", "TN", "AP", "AN")])
    assert (four.sum(dim=0) <= 1).all(), "no neuron is in two groups"
    assert torch.equal(sets["four groups"], four.any(dim=0))
    assert torch.equal(sets["TP + AN"], sets["TP"] | sets["AN"])
    assert torch.equal(sets["the others"], ~sets["four groups"]) and sets["all neurons"].all()
    reduced = lab.attribution.attribute().whole > 0
    assert not (sets["four groups"] & ~reduced).any()


def test_controls_are_as_many_and_others(lab):
    union = lab.emulation.sets()["four groups"]
    drawn = [lab.emulation.at_random(union, draw=draw) for draw in range(2)]
    assert all(torch.equal(one.sum(dim=1), union.sum(dim=1)) for one in drawn)
    assert not torch.equal(*drawn) and not torch.equal(drawn[0], union)
    turned = [lab.emulation.by_random_direction(draw=draw) for draw in range(2)]
    assert not torch.equal(*turned) and not torch.equal(turned[0], union)
    near = lab.emulation.by_random_direction(near_offset=True)
    assert near.any() and not torch.equal(near, turned[0]) and not torch.equal(near, union)


@pytest.mark.parametrize("how", get_args(How))
def test_every_way_of_patching_writes_what_it_says(lab, tuned, tokens, how):
    mask = lab.emulation.sets()["TP + AN"]
    read = lab.attribution.readings("matched")
    names = [f"blocks.{layer}.mlp.hook_post" for layer in range(lab.base.n_layers)]
    _, own = lab.base.bridge.run_with_cache(tokens.ids, names_filter=names)
    _, other = tuned.bridge.run_with_cache(tokens.ids, names_filter=names)
    untouched = lab.base.logits(tokens)
    with lab.emulation.patched(mask, how):
        _, got = lab.base.bridge.run_with_cache(tokens.ids, names_filter=names)
    assert torch.equal(lab.base.logits(tokens), untouched)
    # In the first layer nothing below has changed, so what is there can be told in advance.
    chosen, before, after = mask[0], read[0].activations[0].float(), read[1].activations[0].float()
    wanted = {
        "base's mean": before, "constant": after, "shift": own[names[0]] + (after - before),
        "per token": other[names[0]],
    }[how].expand_as(own[names[0]])  # fmt: skip
    torch.testing.assert_close(got[names[0]][..., chosen], wanted[..., chosen], rtol=1e-5, atol=1e-5)
    assert torch.equal(got[names[0]][..., ~chosen], own[names[0]][..., ~chosen])


@pytest.mark.parametrize("how", get_args(How))
def test_whole_outputs_are_set_moved_or_followed(lab, tuned, tokens, how):
    names = [f"blocks.{layer}.hook_mlp_out" for layer in range(lab.base.n_layers)]
    read = [one.mlp.float() for one in lab.attribution.readings("matched")]
    _, own = lab.base.bridge.run_with_cache(tokens.ids, names_filter=names)
    _, other = tuned.bridge.run_with_cache(tokens.ids, names_filter=names)
    with lab.emulation.patched_outputs("MLP outputs", how):
        _, got = lab.base.bridge.run_with_cache(tokens.ids, names_filter=names)
    for layer, name in enumerate(names):
        wanted = {
            "base's mean": read[0][layer], "constant": read[1][layer],
            "shift": own[name] + (read[1] - read[0])[layer], "per token": other[name],
        }[how].expand_as(own[name])  # fmt: skip
        if layer == 0 or how != "shift":
            torch.testing.assert_close(got[name], wanted, rtol=1e-5, atol=1e-5)


def test_recovery_and_divergence_are_0_for_base_and_1_for_the_policy(lab, tuned, monkeypatch):
    base, aligned = lab.emulation.pair("matched")
    if base.toxicity.value < aligned.toxicity.value:  # the gap of a random policy may have either sign
        base, aligned = aligned, base
    gap = lab.looks.emulated(aligned, base=base, aligned=aligned)
    none = lab.looks.emulated(base, base=base, aligned=aligned)
    assert math.isnan(gap.value) or (gap.value, *none.bounds) == (1, 0, 0)
    with lab.emulation.patched(lab.emulation.sets()["all neurons"], "per token"):
        under = lab.looks.take("base", split="eval")
        again = lab.emulation.pair("matched")
    unedited = lab.looks.take("base", split="eval")
    assert again is lab.emulation.pair("matched"), "the pair is taken once"
    assert again[0].texts == unedited.texts != under.texts, "and stays base's as it is"
    of_base = lab.emulation.divergence()
    assert (of_base > 1e-4).all()
    at_ends = lab.emulation.explained(of_base, of_base), lab.emulation.divergence(model=tuned)
    assert at_ends[0].bounds == (0, 0) and at_ends[1].abs().max() < 1e-6
    assert lab.emulation.explained(at_ends[1], of_base).value == pytest.approx(1, abs=1e-4)
    assert math.isnan(lab.emulation.explained(of_base, torch.zeros_like(of_base)).value)


def test_with_every_output_patched_what_is_left_is_the_readout(lab, tuned):
    def explained(edit):
        with edit:
            return lab.emulation.explained(
                lab.emulation.divergence(), lab.emulation.divergence_of_base()
            ).value

    outputs = ["embeddings", "attention", "mlp"]
    every = lab.emulation.sets()["all neurons"]
    neurons = explained(lab.emulation.patched(every, "per token"))
    whole = explained(patch_outputs_per_token(lab.base, outputs, tuned))
    assert neurons < whole < 1, "value vectors and the read-out stay base's"


def test_an_empty_set_or_alpha_0_leaves_base_alone(lab, tokens):
    untouched, empty = lab.base.logits(tokens), torch.zeros(lab.base.n_layers, lab.base.d_mlp).bool()
    for how in get_args(How):
        with lab.emulation.patched(empty, how):
            assert torch.equal(lab.base.logits(tokens), untouched)
    with lab.emulation.edited("live scaling", 0.0, 1.0):
        assert torch.equal(lab.base.logits(tokens), untouched)
    with lab.emulation.edited("constant", 0.7, 0.0):
        assert torch.equal(lab.base.logits(tokens), untouched)


def test_the_constant_edit_at_alpha_0_is_mean_ablation(lab, tokens):
    own = lab.attribution.attribute()
    grouped = torch.stack(list(own.quadrants().values())).any(dim=0)
    with lab.emulation.edited("constant", 0.0, 1.0):
        edited = lab.base.logits(tokens)
    with lab.emulation.patched(grouped, "base's mean"):
        torch.testing.assert_close(lab.base.logits(tokens), edited)


def test_the_reverse_patch_acts_on_the_policy(lab, tuned, tokens):
    before, mask = (lab.base.logits(tokens), tuned.logits(tokens)), lab.emulation.sets()["all neurons"]
    with lab.emulation.reversed(mask):
        assert not torch.equal(tuned.logits(tokens), before[1])
        assert torch.equal(lab.base.logits(tokens), before[0])
    assert torch.equal(tuned.logits(tokens), before[1]) and len(neurons_of(mask)) == mask.numel()


def test_the_offset_is_added_as_often_as_asked_and_the_random_one_is_as_long(lab, tokens):
    place = "blocks.0.hook_resid_post"
    offset = lab.looks.shift(lab.policies.load("matched"), 0)[0]
    _, own = lab.base.bridge.run_with_cache(tokens.ids, names_filter=place)
    moved = []
    for at_random in (False, True):
        with lab.emulation.offset_added(0, 1.5, at_random=at_random):
            _, got = lab.base.bridge.run_with_cache(tokens.ids, names_filter=place)
        moved.append((got[place] - own[place])[0, 0])
    torch.testing.assert_close(moved[0], 1.5 * offset, rtol=1e-3, atol=1e-4)
    assert moved[1].norm() == pytest.approx(moved[0].norm().item(), rel=1e-3)
    assert not torch.allclose(*moved, atol=1e-3)


def test_every_measurement_is_complete_for_its_rule(lab):
    found = lab.emulation.measure() | lab.emulation.measure_editing()
    wanted = {("B2", how) for how in ("constant", "per token")}
    wanted |= {("B3", delta) for delta in ("whole Δ", "activation Δ")}
    wanted |= {("B8", way) for way in get_args(Way)}
    shares = {("B7", how) for how in ("constant", "per token")}
    assert wanted <= set(found) <= wanted | shares
    for (claim, part), one in found.items():
        assert judge(claim, one, part=part) in Verdict


def test_editing_is_chosen_within_the_budget_or_said_to_be_out_of_it(lab):
    base, aligned = lab.looks.take("base"), lab.looks.take("matched", model=lab.policies.load("matched"))
    asked = lab.profile.explanation
    for way in get_args(Way):
        alpha, fraction, within = lab.emulation.chosen_editing(way)
        assert alpha in asked.alphas and fraction in asked.fractions
        trials = {}
        for one in asked.alphas:
            for part in asked.fractions:
                with lab.emulation.edited(way, one, part):
                    trials[one, part] = lab.looks.take("x")
        fits = {
            at: lab.looks.is_whole(one, base=base, aligned=aligned, room=1.0) for at, one in trials.items()
        }
        assert within == any(fits.values())
        if within:
            assert fits[alpha, fraction]
            least = min(one.toxicity.value for at, one in trials.items() if fits[at])
            assert trials[alpha, fraction].toxicity.value == least
        else:
            least = min(one.perplexity for one in trials.values())
            assert trials[alpha, fraction].perplexity == least
