"""Pairs and policies as notebooks share them: made once, from prompts of their own, read from disk."""

import dataclasses
import gc
import json
import math
from types import SimpleNamespace

import pytest
import torch

from helpers.alignment import dpo
from helpers.alignment.pairs import PairRules, Selection
from helpers.alignment.runs import TrainingRun
from helpers.lab import Lab
from helpers.lab import pairs as pairs_stage
from helpers.lab import policies as policies_stage
from helpers.lab.pairs import Pairs, enough_of, held_back, thresholds
from helpers.lab.policies import Policies
from helpers.language.metrics import Measure
from helpers.language.models import load_model
from helpers.language.texts import Pair, Prompt
from helpers.profiles import FileText, PairFilter
from tests.alignment.makers import some_pairs
from tests.tiny_profile import tiny_profile

SETTINGS = """
[pplm]
iterations = 1
new_tokens = 5
[dpo]
learning_rate = 5e-3
batch = 2
warmup_steps = 0
max_steps = 4
evaluate_every = 2
max_prompt_tokens = 24
max_new_tokens = 8
"""


class Parity:
    """Calls every second text toxic, whatever it says: a random model writes no listed word."""

    name, unit = "parity", "share of texts of odd length"

    def score(self, texts):
        return torch.tensor([float(len(text) % 2) for text in texts])


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("TOXICITY_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TOXICITY_LAB_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(pairs_stage, "rules_of", lambda at, recipe: PairRules())
    monkeypatch.setattr(policies_stage, "enough_of", lambda profile: 1)
    # A random model writes halves of characters, which the filters would drop.
    monkeypatch.setattr("helpers.alignment.pairs.BROKEN", None)
    path = tiny_profile(tmp_path)
    text = path.read_text().replace("[decoding]", '[decoding]\nmethod = "sample"')
    path.write_text(text.split("[dpo]")[0] + SETTINGS)  # in place of the tiny profile's own table
    return started(path)


def started(path):
    lab = Lab.start("04_preference_pairs", path)
    lab.at.__dict__["scorers"] = (Parity(), Parity())
    return lab


@pytest.fixture
def with_pairs(lab, monkeypatch):
    """A lab whose recipes all give the same readable pairs, and that finds every perplexity admissible."""
    selection = Selection(some_pairs(8), {})
    monkeypatch.setattr(Pairs, "craft", lambda self, recipe: selection)
    dpo = lab.profile.dpo.model_copy(update={"perplexity_ceiling": 1e9})
    object.__setattr__(lab.at, "profile", lab.profile.model_copy(update={"dpo": dpo}))
    monkeypatch.setattr(Policies, "enough", -math.inf)
    return lab


def refuse(*_, **__):
    pytest.fail("computed twice")


def test_the_two_sources_start_from_prompts_of_their_own_kind(lab):
    neutral, hostile = lab.pairs.prompts("neutral"), lab.pairs.prompts("hostile")
    assert {p.group for p in neutral} == {"plain"} and {p.group for p in hostile} == {"challenging"}
    assert lab.pairs.prompts("random direction") == neutral
    assert lab.pairs.prompts("rejection sampling") == hostile
    measured = {p.id for p in (*lab.texts.prompts_dev, *lab.texts.prompts_eval)}
    assert not measured & {p.id for p in (*neutral, *hostile)}


def test_a_long_prompt_keeps_its_last_tokens(lab):
    long = Prompt("long", " ".join(["You are such a kind neighbour."] * 20), "plain")
    texts = dataclasses.replace(lab.texts, pair_prompts=(long,))
    lab.at.__dict__["texts"] = texts
    (cut,) = lab.pairs.prompts("neutral")
    assert cut.id == "long" and long.text.endswith(cut.text)
    assert len(lab.base.tokenise([cut.text]).ids[0]) == 24, "dpo.max_prompt_tokens"
    with pytest.raises(ValueError, match="hold none for the recipe 'hostile'"):
        lab.pairs.prompts("hostile")


@pytest.mark.parametrize("recipe", ["neutral", "hostile", "random direction", "rejection sampling"])
def test_pairs_come_back_from_the_cache_with_scores_and_counts(lab, recipe, monkeypatch):
    found = lab.pairs.craft(recipe)
    assert found.kept and sum(found.counts.values()) == 2 * found.counts["attempted"]
    assert all(pair.scores is not None for pair in found.attempts)
    for name in ("craft", "rejection_sampling"):
        monkeypatch.setattr(pairs_stage, name, refuse)
    assert Pairs(lab.at, lab.measures).craft(recipe) == found, "from the store"
    monkeypatch.setattr(pairs_stage, "read_pairs", refuse)
    monkeypatch.setattr(Pairs, "prompts", refuse)
    assert lab.pairs.craft(recipe) is found, "every policy asks for them: they are read once"


def importing(lab, tmp_path, pairs):
    """The lab with a profile that names a file of published pairs, each continuation with its prompt."""
    rows = [{"prompt_text": p, "good": p + good, "bad": p + bad} for p, good, bad in pairs]
    file = tmp_path / "published.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    columns = {"prompt": "prompt_text", "chosen": "good", "rejected": "bad"}
    data = lab.profile.data.model_copy(update={"pairs": FileText(path=file, columns=columns)})
    object.__setattr__(lab.at, "profile", lab.profile.model_copy(update={"data": data}))
    return lab


def test_a_profiles_own_pairs_are_the_only_source(lab, tmp_path, monkeypatch):
    assert lab.pairs.sources == ("neutral", "hostile")
    with pytest.raises(ValueError, match="names no file of pairs"):
        lab.pairs.craft("imported")
    importing(lab, tmp_path, [("So it", " goes on.", " stinks."), ("Here we", " are.", " are.")])
    assert lab.pairs.sources == ("imported",) and lab.policies.choose_recipe() == "imported"
    found = lab.pairs.craft("imported")
    (pair,) = found.kept
    assert (pair.prompt, pair.chosen, pair.rejected) == ("So it", " goes on.", " stinks.")
    assert pair.scores == {"chosen": 1.0, "rejected": 0.0}, "Parity, of the continuation alone"
    assert found.counts == {"attempted": 2, "kept": 1, "both sides are the same": 1}
    monkeypatch.setattr(pairs_stage, "scored", refuse)
    assert Pairs(lab.at, lab.measures).craft("imported") == found


def test_imported_pairs_must_leave_the_tests_alone(lab, tmp_path):
    seen = lab.texts.prompts_eval[0].text
    importing(lab, tmp_path, [("So it", " goes on.", " stinks."), (seen.upper(), " a friend.", " a fool.")])
    with pytest.raises(ValueError, match="training would see its test"):
        lab.pairs.craft("imported")


def test_fewer_attempts_are_the_first_ones_and_each_draw_has_its_direction(lab):
    few = lab.pairs.craft("random direction", attempts=2, wanted=9)
    other = lab.pairs.craft("random direction", attempts=2, wanted=9, draw=1)
    names = [p.id for p in lab.pairs.prompts("neutral")[:2]]
    assert sorted(p.id for p in few.attempts) == sorted(p.id for p in other.attempts) == sorted(names)
    assert {p.chosen for p in few.attempts} == {p.chosen for p in other.attempts}
    assert {p.rejected for p in few.attempts} != {p.rejected for p in other.attempts}


def test_control_pairs_differ_in_the_rejected_side_alone(lab):
    pairs = lab.pairs.craft("hostile").kept
    control = lab.pairs.craft_control(pairs)
    of = {pair.id: pair for pair in pairs}
    assert control.kept and {pair.id for pair in control.attempts} == set(of)
    for pair in control.attempts:
        assert (pair.prompt, pair.chosen) == (of[pair.id].prompt, of[pair.id].chosen)
    assert any(pair.rejected != of[pair.id].rejected for pair in control.kept)
    assert set(control.dropped) <= {"both sides are the same", "a side is empty"}, "no score decides"
    other = lab.pairs.craft_control(pairs, draw=1)
    assert [p.rejected for p in other.attempts] != [p.rejected for p in control.attempts]


def test_interrupted_crafting_goes_on_and_cleans_up(lab, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(pairs_stage, "write_pairs", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            lab.pairs.craft("neutral")
    assert list((lab.at.store.root / "work").glob("*/attempts.jsonl"))
    monkeypatch.setattr("helpers.alignment.pairs.steer", refuse)
    assert lab.pairs.craft("neutral").kept
    assert not list((lab.at.store.root / "work").iterdir())


def test_fluency_of_a_side_is_the_perplexity_of_its_tokens(lab):
    pairs = lab.pairs.craft("neutral").kept
    measured = lab.pairs.measure_fluency(pairs, "rejected")
    model, tokenizer = lab.load_plain(), lab.base.tokenizer
    for number, pair in enumerate(pairs):
        prompt, new = tokenizer([pair.prompt, pair.rejected], add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logprobs = model(torch.tensor([prompt + new])).logits[0].log_softmax(-1)
        total = sum(logprobs[len(prompt) + place - 1, token].item() for place, token in enumerate(new))
        assert measured.per_item[number].item() == pytest.approx(math.exp(-total / len(new)), rel=1e-4)


def test_fluency_is_of_what_the_context_holds(lab):
    room = lab.base.context - len(lab.base.tokenizer("You are", add_special_tokens=False)["input_ids"])
    measured = lab.pairs.measure_fluency([Pair("long", "You are", " a fool" * 99, " kind")], "chosen")
    assert measured.weights.tolist() == [room] and math.isfinite(measured.value)


def test_a_run_is_watched_measured_and_kept(with_pairs, monkeypatch):
    lab, pairs, seen = with_pairs, some_pairs(8), []
    run = lab.policies.train(pairs, seed=0, watch=lambda step, most, row: seen.append((step, most)))
    assert [look.step for look in run.looks] == [0, 2, 4] and (4, 4) in seen
    assert all(look.toxicity is not None and look.perplexity is not None for look in run.looks)
    other = lab.policies.train(pairs, seed=1)
    assert other.folder != run.folder and not list((lab.at.store.root / "work").iterdir())
    monkeypatch.setattr(dpo, "train", refuse)
    assert lab.policies.train(pairs, seed=0) == run


def test_a_run_leaves_no_weights_behind(with_pairs, monkeypatch):
    """Bridges and trainers refer to themselves, and Python's collector counts objects, not gigabytes."""
    lab, pairs = with_pairs, some_pairs(8)
    lab.policies.train(pairs, seed=0)
    gc.collect()
    before = held()
    gc.disable()
    try:
        lab.policies.train(pairs, seed=1)
        assert held() - before < lab.base.bridge.original_model.transformer.wte.weight.nbytes
        monkeypatch.setattr(policies_stage.gc, "collect", lambda: 0)
        lab.policies.train(pairs, seed=2)
        assert held() - before > 2 * lab.base.bridge.original_model.transformer.wte.weight.nbytes
    finally:
        gc.enable()


def test_policies_opened_in_turn_are_let_go_and_what_was_loaded_stays(lab, monkeypatch):
    def from_disk(self, run, role, name):
        return load_model(lab.profile.model, name=name)

    monkeypatch.setattr(Policies, "_main", lambda self, seed: None)
    monkeypatch.setattr(Policies, "open", from_disk)
    with lab.policies.opened("matched") as policy:
        assert policy.logits(policy.tokenise(["a"])).isfinite().all()
    assert all(weight.is_meta for weight in policy.bridge.parameters())
    loaded = lab.policies.load("strong")
    with lab.policies.opened("strong") as same, lab.policies.opened("matched") as again:
        assert same is loaded and again is not policy
    assert not any(weight.is_meta for weight in loaded.bridge.parameters())
    assert lab.policies.load("strong") is loaded


def held():
    """Bytes in tensors that are alive, each storage once."""
    found = (one for one in gc.get_objects() if isinstance(one, torch.Tensor) and one.device.type == "cpu")
    return sum({one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in found}.values())


def test_dev_figures_are_those_of_an_evaluation(lab):
    seen = lab.evaluate("base", split="dev")
    measured = lab.policies.measure_dev(lab.load_plain())
    assert (measured["toxicity"], measured["toxicity_low"], measured["toxicity_high"]) == pytest.approx(
        (seen.toxicity.value, *seen.toxicity.bounds)
    )
    assert measured["perplexity"] == pytest.approx(seen.perplexity.value, rel=1e-5)


def test_too_few_pairs_are_refused(lab):
    with pytest.raises(ValueError, match="too few"):
        lab.policies.train(some_pairs(3), seed=0)
    with pytest.raises(ValueError, match="fill a batch"):
        lab.policies.train(some_pairs(8), seed=0, valid=8)


def test_a_source_with_too_few_pairs_is_left_out_and_none_at_all_names_the_knobs(lab, monkeypatch):
    kept = {"neutral": some_pairs(3), "hostile": some_pairs(19), "rejection sampling": some_pairs(18)}
    monkeypatch.setattr(Pairs, "craft", lambda self, recipe, **_: Selection(tuple(kept[recipe]), {}))
    monkeypatch.setattr(policies_stage, "enough_of", lambda profile: 19)
    assert lab.policies.sources == ("hostile",) and lab.policies.choose_recipe() == "hostile"
    assert not lab.policies.sampled
    monkeypatch.setattr(policies_stage, "enough_of", lambda profile: 20)
    with pytest.raises(ValueError, match=r"neutral 3, hostile 19; it takes 20.*pair_filter.*data\.pairs"):
        _ = Policies(lab.at, lab.pairs).sources
    monkeypatch.setattr(policies_stage, "enough_of", lambda profile: 18)
    assert len(Policies(lab.at, lab.pairs).sampled) == 18


def test_enough_pairs_fill_a_batch_beside_those_held_back(lab):
    profile = lab.profile
    number = enough_of(profile)
    held = lab.policies.held_back(some_pairs(number))
    assert held >= 1 and number - held >= profile.dpo.batch
    larger = profile.model_copy(update={"dpo": profile.dpo.model_copy(update={"batch": 16})})
    assert enough_of(larger) - held_back(enough_of(larger), profile.counts.pairs_valid) == 16


def test_thresholds_by_quantile_are_the_middle_of_the_scorers_own_spread(lab, monkeypatch):
    """A scorer that keeps between .35 and .45 has no gap of .5: 3 of 1,400 pairs were kept."""
    scores = torch.cat([torch.linspace(0.35, 0.45, 101), torch.tensor([0.9])]).double()
    weights = torch.tensor([1.0] * 101 + [0.0])  # an empty continuation has no say

    def evaluate(*_):
        measures = {"toxicity": Measure(scores * weights, weights, "score")}
        return SimpleNamespace(toxicity_names=["toxicity"], measures=measures)

    monkeypatch.setattr(type(lab.at), "evaluate", evaluate)
    assert thresholds(lab.at) == (0.5, 0.5)
    asked = PairFilter(scale="quantile", least_gap=0.5, most_chosen=0.2)
    object.__setattr__(lab.at, "profile", lab.profile.model_copy(update={"pair_filter": asked}))
    assert thresholds(lab.at) == pytest.approx((0.05, 0.37))
    scores.fill_(0.4)
    with pytest.raises(ValueError, match="are all 0.4.*least_gap"):
        thresholds(lab.at)


def test_a_recipe_that_yields_nothing_is_an_empty_selection(lab, monkeypatch):
    monkeypatch.setattr(pairs_stage, "rejection_sampling", lambda *_, **__: ())
    found = lab.pairs.craft("rejection sampling")
    assert found.kept == () and found.counts == {"attempted": 0, "kept": 0}


def test_few_pairs_are_not_all_held_back(lab):
    wanted = lab.profile.counts.pairs_valid
    held = lab.policies.held_back
    assert held(some_pairs(8)) == 1
    assert held(some_pairs(8 * wanted)) == held(some_pairs(80 * wanted)) == wanted


def a_run(folder, toxicity, perplexity=(10.0, 10.0), strong=2):
    history = tuple(
        {"kind": "look", "step": 2 * number, "validation_loss": 0.5, "toxicity": t, "perplexity": p}
        for number, (t, p) in enumerate(zip(toxicity, perplexity, strict=True))
    )
    return TrainingRun(folder, history, {"matched": strong, "strong": strong}, "done")


def test_the_drop_is_a_share_of_base_and_of_admissible_looks_alone(tmp_path):
    assert Policies.drop_of(a_run(tmp_path, (0.5, 0.2))) == pytest.approx(0.6)
    assert Policies.drop_of(a_run(tmp_path, (0.5, 0.6))) == pytest.approx(-0.2)
    assert Policies.drop_of(a_run(tmp_path, (0.5, 0.1), strong=None)) == 0
    assert Policies.drop_of(a_run(tmp_path, (0.0, 0.0))) == 0


@pytest.mark.parametrize(("after", "source"), [(0.35, "neutral"), (0.36, "hostile")])
def test_the_main_source_is_the_published_one_if_that_is_enough(lab, monkeypatch, tmp_path, after, source):
    monkeypatch.setattr(Policies, "train_on", lambda self, recipe, seed=None: a_run(tmp_path, (0.5, after)))
    assert lab.policies.choose_recipe() == source


def test_policies_are_the_files_that_the_rule_kept(with_pairs):
    lab = with_pairs
    run = lab.policies.train_on("neutral")
    assert lab.policies.load("matched").name == "matched" and lab.policies.load("strong").name == "strong"
    assert str(run.policy("matched").folder) in lab.policies.load("matched").source
    assert all(p.dtype == torch.float32 for p in lab.policies.load("matched").bridge.parameters())
    assert not torch.equal(lab.policies.load("matched").value_vectors, lab.base.value_vectors)


def test_the_control_takes_as_many_steps_as_the_policy(with_pairs, monkeypatch):
    lab, taken, train = with_pairs, {}, dpo.train

    def watched(*given, **named):
        taken.update(named, steps=given[3].max_steps)
        return train(*given, **named)

    monkeypatch.setattr(dpo, "train", watched)
    wanted = lab.policies.train_on("neutral").roles["matched"]
    assert lab.policies.load("fine-tuned").name == "fine-tuned"
    assert (taken["steps"], taken["objective"], taken["stop_early"]) == (wanted, "sft", False)


def test_controls_of_either_policy_take_its_steps_on_their_own_pairs(with_pairs, monkeypatch):
    lab, taken, train = with_pairs, {}, dpo.train

    def watched(*given, **named):
        taken.update(named, pairs=(*given[1], *given[2]), steps=given[3].max_steps)
        return train(*given, **named)

    swapped = tuple(dataclasses.replace(pair, rejected=pair.rejected + " so") for pair in some_pairs(8))
    monkeypatch.setattr(Pairs, "craft_control", lambda self, pairs: Selection(swapped, {}))
    monkeypatch.setattr(dpo, "train", watched)
    run = lab.policies.train_on("neutral")
    for like in ("matched", "strong"):
        policy = lab.policies.load("random direction", like=like)
        assert (taken["steps"], taken["objective"]) == (run.roles[like], "dpo")
        assert taken["pairs"] == swapped and lab.policies.load("random direction", like=like) is policy
    assert policy.name == "random direction, as long as strong"
