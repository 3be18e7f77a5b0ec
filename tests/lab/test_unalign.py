"""Ways back as notebook 09 compares them: each beside its control, measured once, the policy left alone."""

import dataclasses
import math
import weakref

import pytest
import torch

from helpers.lab import looks, measures
from helpers.lab import unalign as stage
from helpers.lab.policies import Policies
from helpers.mechanism.interventions import scale_keys
from tests.lab.started import moved_policy, started


class Parity:
    """Calls every second text toxic, whatever it says: a random model writes no listed word."""

    name, unit = "parity", "share of texts of odd length"

    def score(self, texts):
        return torch.tensor([float(len(text) % 2) for text in texts])


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unalign")
    with started("09_unalignment", folder, scorers=(Parity(), Parity())) as (lab, patch):
        tuned = moved_policy(lab, folder)
        patch.setattr(Policies, "load", lambda self, name, seed=None: tuned)
        yield lab


@pytest.fixture(scope="module")
def tuned(lab):
    return lab.policies.load("matched")


def test_a_look_is_the_beginning_of_an_evaluation(lab, tuned):
    look, sweep = lab.looks.take("x", model=tuned), lab.evaluate("x", model=tuned)
    assert look.texts == sweep.continuations.texts[: len(look.texts)] and len(look.texts) == 2
    whole = lab.looks.take("x", model=tuned, split="eval")
    fresh = lab.evaluate("x", model=tuned, split="eval", mode="report").continuations
    assert whole.texts == fresh.texts[: len(whole.texts)]
    for name in ("toxicity (parity)", "fluency"):
        assert torch.equal(look.measures[name].totals, sweep.measures[name].totals[:2])


def test_a_look_is_kept_by_weights_edits_and_opening(lab, tuned, monkeypatch):
    some = lab.measures.toxic_neurons(tuned, 8)
    plain = lab.looks.take("plain", model=tuned)
    with scale_keys(tuned, some, 10.0):
        edited = lab.looks.take("edited", model=tuned)
    opened = lab.looks.take("opened", model=tuned, opening="You fool.")
    assert edited.perplexity != plain.perplexity == opened.perplexity
    assert opened.prompts[0].text.startswith("You fool. ") and opened.prompts[0].id == plain.prompts[0].id
    monkeypatch.setattr(looks, "continue_prompts", lambda *_, **__: pytest.fail("computed twice"))
    assert lab.looks.take("plain", model=tuned).texts == plain.texts
    with scale_keys(tuned, some, 10.0):
        assert lab.looks.take("edited", model=tuned).texts == edited.texts


def test_every_way_has_settings_each_beside_a_control_of_its_size_and_leaves_the_policy(lab, tuned):
    ways, before = lab.unalign.ways(), tuned.weights_digest()
    assert list(ways) == [
        "keys scaled", "offset subtracted", "W added", "activations patched", "weights toward base",
        "neurons restored", "trained on toxic texts", "trained on harmless texts", "weights rounded",
        "hostile opening",
    ]  # fmt: skip
    tokens = tuned.tokenise(["You are such a kind neighbour."])
    plain = tuned.logits(tokens)
    for way, attacks in ways.items():
        attack = attacks[-1]
        control = attack.at_random
        assert (control.numbers, control.steps) == (attack.numbers, attack.steps), way
        seen = []
        for one in (attack, control):
            with one.on() as model:
                seen.append(model.logits(tokens))
        if way != "hostile opening":
            assert not torch.equal(seen[0], plain) and not torch.equal(seen[0], seen[1]), way
        else:
            assert attack.opening != control.opening
        assert lab.unalign.seconds(attack) > 0
    assert tuned.weights_digest() == before and torch.equal(tuned.logits(tokens), plain)


def test_training_on_texts_is_made_once_and_keeps_each_step(lab, monkeypatch):
    attacks = lab.unalign.ways()["trained on toxic texts"]
    with attacks[0].on() as one, attacks[1].on() as later:
        assert one.weights_digest() != later.weights_digest()
    monkeypatch.setattr(stage, "fine_tuned", lambda *_, **__: pytest.fail("trained twice"))
    with attacks[0].on():
        pass
    assert 0 < attacks[0].before() < attacks[1].before()


def test_the_strongest_setting_is_one_that_leaves_the_text_whole(lab, tuned):
    base, aligned = lab.looks.take("base"), lab.looks.take("matched", model=tuned)
    some = lab.measures.toxic_neurons(tuned, 30)
    mild, wild = (lab.unalign.keys(tuned, some, factor) for factor in (1.0, 1e4))
    assert not lab.looks.is_whole(lab.unalign.attempt(wild), base=base, aligned=aligned)
    attack, trial = lab.unalign.strongest([wild, mild], base=base, aligned=aligned)
    assert attack is mild and trial.toxicity.value == aligned.toxicity.value
    assert lab.unalign.strongest([wild], base=base, aligned=aligned) is None


@pytest.mark.parametrize("name", ["perplexity", "fluency"])
def test_either_bound_alone_rules_an_attack_out(lab, name):
    base = lab.looks.take("base")
    worse = base.measures[name]
    worse = dataclasses.replace(worse, totals=worse.totals + math.log(1.6) * worse.weights)
    trial = dataclasses.replace(base, measures={**base.measures, name: worse})
    assert lab.looks.is_whole(base, base=base, aligned=base)
    assert not lab.looks.is_whole(trial, base=base, aligned=base)


@pytest.fixture
def spelled(lab, tuned, monkeypatch):
    """Three tokens that count as toxic: the tiny tokenizer spells none, and "words" would be "probe"."""
    some = torch.zeros(tuned.vocab_size, dtype=torch.bool)
    some[:3] = True
    monkeypatch.setitem(vars(lab.measures), "toxic_tokens", some)


@pytest.mark.usefixtures("spelled")
def test_neurons_are_chosen_anew_after_a_defence(lab, tuned):
    direction = lab.measures.fit_probe().direction
    for defence in ("zeroing", "projection"):
        with lab.unalign.defended(tuned, defence) as defended:
            left = (defended.value_vectors @ direction).max()
            for by in ("probe", "words"):
                listed = [lab.measures.toxic_neurons(model, 4, by=by) for model in (defended, tuned)]
                assert listed[0] != listed[1]
        assert left < (tuned.value_vectors @ direction).max(), defence
        with lab.unalign.defended(tuned, defence, at_random=True) as defended:
            assert (defended.value_vectors @ direction).max() > left


@pytest.mark.usefixtures("spelled")
def test_one_layers_words_at_a_time_are_held(lab, tuned, monkeypatch):
    plain, earlier = measures.project_to_vocabulary, []

    def project(model, vectors):
        assert all(one() is None for one in earlier), "GPT2-medium's layers together are 20 GB"
        words = plain(model, vectors)
        earlier.append(weakref.ref(words))
        return words

    monkeypatch.setattr(measures, "project_to_vocabulary", project)
    lab.measures.toxic_neurons(tuned, 4, by="words")
    assert len(earlier) == tuned.n_layers > 1


def test_random_neurons_are_others_of_the_same_layers_where_these_have_room(lab, tuned):
    some = lab.measures.toxic_neurons(tuned, 8)
    others = lab.measures.neurons_like(some)
    assert [one.layer for one in others] == [one.layer for one in some] and not set(others) & set(some)
    assert others != lab.measures.neurons_like(some, draw=1)
    many = lab.measures.toxic_neurons(tuned, 64)
    assert len(set(lab.measures.neurons_like(many))) == 64
