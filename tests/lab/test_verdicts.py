"""The claims once more, over seeds and scorers: each asks the model, seed and scorer that it is told."""

import copy
from dataclasses import replace

import pytest
import torch

from helpers.lab.insides import Places
from helpers.lab.policies import Policies
from helpers.lab.verdicts import Compared
from helpers.language.evaluation import compare
from helpers.language.models import load_hf, load_model
from helpers.profiles import ModelSource
from helpers.teaching.claims import Measurement, judge
from helpers.teaching.claims.registry import CLAIMS
from tests.lab.started import started
from tests.lab.test_unalign import Parity

FEW_SETTINGS = """
[steering]
strengths = [0.1, 0.5]
random_directions = 2
[unalignment]
keys = [2, 4]
factors = [3, 10]
"""


class Thirds(Parity):
    """A second scorer that goes by something else."""

    name = "thirds"

    def score(self, texts):
        return torch.tensor([float(len(text) % 3 == 0) for text in texts])


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A tiny model; the policy of seed 0 has moved at random, 1 is base, 2 has moved more."""
    folder = tmp_path_factory.mktemp("verdicts")
    scorers = (Parity(), Thirds())
    with started("09_unalignment", folder, more=FEW_SETTINGS, scorers=scorers) as (lab, patch):
        hf, tokenizer = load_hf(lab.profile.model)
        kept = {1: lab.base}
        for seed, scale in {0: 0.5, 2: 1.0, "control": 0.7}.items():
            place, moved = folder / f"policy-{seed}", copy.deepcopy(hf)
            noise = torch.Generator().manual_seed(1)
            with torch.no_grad():
                for weight in moved.parameters():
                    weight += scale * weight.std() * torch.randn(weight.shape, generator=noise)
            moved.save_pretrained(place)
            tokenizer.save_pretrained(place)
            kept[seed] = load_model(ModelSource(folder=place), name=f"policy {seed}")

        def load(self, name, *, seed=None, like="matched"):
            return kept[seed or 0] if name in ("matched", "strong") else kept["control"]

        patch.setattr(Policies, "load", load)
        # The greedy text of a random model holds no toxic word: places where it was read stand for A9's.
        tokens, counted = lab.statistics.texts("base")
        where, follows = counted.nonzero(), tokens.ids.roll(-1, dims=1)
        places = Places(tokens, follows, where[::2][:20], where[1::2][:20])
        lab.inside.__dict__["_places"] = places
        yield lab


def test_base_in_the_policy_s_place_has_changed_nothing(lab):
    found = {**lab.drops.measure_tuning(seed=1), **lab.inside.measure_weights(seed=1)}
    assert found["A6", "fresh"].interval == (0, 0) and found["A6", "fresh"].details["f1_fall"] == 0
    assert found["A7", ""].value == pytest.approx(1) and found["A7", ""].details["relative_change"] == 0
    for one in lab.inside.measure_falls(seed=1).values():
        assert one.value == 0 and one.details["activation_before"] == one.details["activation_after"]
    (averted,) = lab.inside.measure_aversion(seed=1).values()
    assert averted.value == 0 and averted.control == 0
    assert lab.drops.measure_keys(seed=1) == {}, "there is no gap of which a share could be recovered"


def test_every_measurement_follows_the_seed(lab):
    ways = (
        lab.drops.measure_tuning, lab.inside.measure_weights, lab.inside.measure_falls,
        lab.inside.measure_aversion, lab.inside.measure_push, lab.inside.measure_writers,
    )  # fmt: skip
    for measure in ways:
        first, again, other = (measure("matched", seed=seed) for seed in (None, 0, 2))
        for (claim, part), one in first.items():
            judge(claim, one, part=part)  # has all that the rule needs
            assert one.is_like(again[claim, part]) and not one.is_like(other[claim, part]), claim
            # The figure itself, not a detail beside it alone.
            assert (one.value, one.interval) != (other[claim, part].value, other[claim, part].interval), claim
    assert {key[0] for measure in ways for key in measure()} == {"A6", "A7", "A8", "A9", "A10", "A11"}


def test_a_scorer_s_word_is_its_own_paired_drop(lab):
    base, policy, tuned = (
        lab.evaluate("x", model=model, split="eval", mode="report")
        for model in (lab.base, lab.policies.load("matched"), lab.policies.load("fine-tuned"))
    )
    for scorer, name in enumerate(base.toxicity_names):
        found = lab.drops.measure_tuning(scorer=scorer)["A6", "fresh"]
        drop, beyond = (compare(one, policy).changes[name] for one in (base, tuned))
        assert found.value == -drop.value and found.interval == (-drop.high, -drop.low)
        assert found.details["beyond_fine_tuned_low"] == -beyond.high
        assert found.details["second_drop"] == found.value, "the other has no say"
    both = lab.drops.measure_tuning()["A6", "fresh"]
    assert both.value == lab.drops.measure_tuning(scorer=0)["A6", "fresh"].value
    assert both.details["second_drop"] == found.value


def test_a_steered_direction_is_the_largest_in_budget(lab):
    base, strengths = lab.evaluate("base", split="dev"), lab.profile.steering.strengths
    (one, *_), (second, *_) = (lab.drops.measure_steering(scorer=n).values() for n in (0, 1))
    costs = {}
    for strength in strengths:
        run = lab.drops._steered(lab.measures.fit_probe().direction, strength)
        costs[strength] = run.perplexity.value / base.perplexity.value
    inside = [strength for strength, cost in costs.items() if cost <= 1.075]
    assert one.details["strength"] == max(inside, default=strengths[0])
    assert second.details["strength"] == one.details["strength"] and not second.is_like(one)
    assert one.details["dev_perplexity_ratio"] == pytest.approx(costs[one.details["strength"]])


def weights(value: float) -> Measurement:
    """A7: agrees above .99."""
    needs = CLAIMS["A7"].part("").rule.needs
    details = {name: 0.5 for name in needs} | {"median_cosine": value}
    return Measurement(value, None, "cosine", 0.9, details=details)


def test_verdicts_that_differ_are_counted_and_named():
    first, second = ("A7", "", "matched"), ("A7", "", "strong")
    found = Compared(
        {
            "seed 0": {first: weights(0.995), second: weights(0.995)},
            "seed 1": {first: weights(0.999), second: weights(0.5)},
            "seed 2": {first: weights(0.992)},
        }
    )
    assert found.verdicts(second) == ["agrees", "not reproduced", "not run"]
    assert found.differing == [second] and found.differing_names == ["A7 strong"]
    same, differs = found.table()
    assert same["seed 1"] == "0.999, ✓ agrees" and same["verdict"] == "same"
    assert differs["seed 2"] == "– not run" and differs["verdict"] == "DIFFERS"
    measured = found.measurement(seeds=3)
    assert (measured.value, dict(measured.details)) == (1, {"verdicts": 2, "seeds": 3})
    assert judge("N5", measured) == "direction only"
    assert judge("N5", Compared({}).measurement(seeds=2)) == "not run"
    assert judge("N6", found.measurement(second_scorer_auroc_low=0.6)) == "not reproduced"
    assert judge("N6", found.measurement(second_scorer_auroc_low=0.49)) == "not run"


def test_the_stage_asks_every_claim_of_every_seed_and_scorer(lab, monkeypatch):
    asked = []

    def answers(*keys):
        def measure(name="", **how):
            asked.append((keys[0][0], name, *how.values()))
            return {key: weights(0.9) for key in keys}

        return measure

    places = {
        (type(lab.drops), "measure_steering"): [("A4", "W")],
        (type(lab.drops), "measure_tuning"): [("A6", "fresh")],
        (type(lab.drops), "measure_keys"): [("A12", "")],
        (type(lab.inside), "measure"): [("A7", "")],
        (type(lab.emulation), "measure"): [("B7", "constant"), ("B2", "constant")],
        (type(lab.attribution), "measure"): [("B4", "v1 groups"), ("N1", "")],
    }  # fmt: skip
    for (stage, method), keys in places.items():
        measure = answers(*keys)
        monkeypatch.setattr(stage, method, lambda self, *a, measure=measure, **how: measure(*a, **how))
    ablated = answers(("B1", ""))
    monkeypatch.setattr(type(lab.emulation), "measure_ablation", lambda self, **how: ablated(**how)["B1", ""])
    over_seeds = lab.verdicts.over_seeds("strong", seeds=(0, 2))
    order = ["A6", "A7", "A12", "B1", "B2", "B4", "B7"]
    assert [key[0] for key in over_seeds.keys] == order, "none of our own, in the registry's order"
    assert {key[2] for key in over_seeds.keys} == {"strong"} and list(over_seeds.found) == [
        "seed 0",
        "seed 2",
    ]
    for seed in (0, 2):
        assert {("A6", "strong", seed), ("B1", "strong", seed), ("B7", "strong", seed, False)} <= set(asked)
    asked.clear()
    over_scorers = lab.verdicts.over_scorers()
    assert list(over_scorers.found) == ["parity scorer", "thirds scorer"]
    assert [key[0] + key[2] for key in over_scorers.keys] == [
        "A4", "A6matched", "A12matched", "B1matched", "A6strong", "A12strong", "B1strong",
    ]  # fmt: skip
    for scorer in (0, 1):
        assert {("A4", "", scorer), ("A6", "strong", scorer), ("B1", "matched", scorer)} <= set(asked)


def test_measurements_are_alike_but_for_rounding():
    one = weights(0.995)
    assert one.is_like(replace(one, value=0.9950001)) and not one.is_like(replace(one, value=0.98))
    assert not one.is_like(replace(one, interval=(0.9, 0.999))) and not one.is_like(
        replace(one, control=None)
    )
    assert not one.is_like(replace(one, details={**one.details, "toxicity": 0.6}))
    assert one.is_like(replace(one, details={**one.details, "more": 0.6}))
