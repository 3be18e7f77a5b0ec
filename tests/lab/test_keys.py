"""A changed knob recomputes exactly what depends on it: every knob of a profile, and what it moves."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from helpers.artifacts import Store
from helpers.lab.evaluations import EVALUATION
from helpers.lab.looks import TRIAL, Looks
from helpers.lab.measures import PROBE_FEATURES, Measures
from helpers.lab.pairs import FLUENCY, IMPORTED, SAMPLED, STEERED, Order, Pairs
from helpers.lab.policies import RUN, Policies, Training
from helpers.lab.statistics import STATISTICS
from helpers.lab.texts import TEXTS
from helpers.lab.unalign import TUNED, Unalign
from helpers.lab.workbench import Workbench
from helpers.lab.worth import WORTH
from helpers.language.evaluation import chosen_prompts
from helpers.language.generation import continue_prompts
from helpers.language.texts import Prompt
from helpers.profiles import (
    CommentScorerSettings,
    Decoding,
    FileText,
    ModelSource,
    Profile,
    WordScorerSettings,
    load_profile,
)
from tests.alignment.makers import some_pairs
from tests.artifacts import makers
from tests.language.builders import prose, tiny_model
from tests.tiny_profile import tiny_profile

(
    READ, FEATURES, STEERING, SAMPLES, SCORES, LOSSES, RUNS, LOOKS, JUDGED, INSIDE, TRIALS, BACK,
) = (
    one.kind
    for one in (
        TEXTS, PROBE_FEATURES, STEERED, SAMPLED, IMPORTED, FLUENCY, RUN, EVALUATION, WORTH, STATISTICS,
        TRIAL, TUNED,
    )
)  # fmt: skip
SCORED = {STEERING, SAMPLES, SCORES, RUNS, LOOKS, TRIALS, JUDGED}
# Pairs are handed to LOSSES as texts, continuations to INSIDE: only knobs of what reads them change those.
ALL = {READ, FEATURES, *SCORED}
NONE: set[str] = set()

WRITTEN_AFTER = (Prompt("0", "You are such", ""), Prompt("1", "They dropped the", ""))
GREEDY = Decoding(method="greedy", new_tokens=4, max_prompt_tokens=20)

# Comments are dealt out from one file, train first: another number of them deals the scorer others too.
KNOBS: dict[str, tuple[object, set[str]]] = {
    "name": ("other", NONE),
    "label": ("another name", NONE),
    "seed": (1, ALL | {BACK}),
    "model": ("another model", ALL - {READ, SCORES, JUDGED} | {LOSSES, INSIDE, BACK}),
    "data.comments": ("half of the comments", ALL),
    "data.prompts": ("half of the prompts", {READ, RUNS, LOOKS, TRIALS, SAMPLES}),
    "data.perplexity": ("other text", {READ, RUNS, LOOKS, TRIALS}),
    "data.pair_prompts": ("other text", {READ, STEERING}),
    "data.passages": ("other text", {READ, LOOKS, JUDGED}),
    "data.pairs": ("published pairs", NONE),
    "scorers": ("others", SCORED),
    "counts.comments_train": (41, ALL),
    "counts.comments_test": (21, ALL),
    "counts.comments_scorer": (21, {READ, *SCORED}),
    "counts.prompts_dev": (9, {READ, LOOKS, TRIALS, SAMPLES}),
    "counts.prompts_eval": (9, {READ, LOOKS, SAMPLES}),
    "counts.prompts_sweep": (3, {READ, RUNS, LOOKS, TRIALS, JUDGED}),
    "counts.perplexity_tokens_sweep": (200, {READ, RUNS, LOOKS, TRIALS}),
    "counts.perplexity_tokens_report": (400, {READ, LOOKS}),
    "counts.passages": (3, {READ, LOOKS, JUDGED}),
    "counts.pairs": (3, {STEERING}),
    "counts.pairs_valid": (1, NONE),  # held back by whoever asks for a run: `Training.valid`
    "counts.pair_prompts": (5, {READ, STEERING, SAMPLES}),
    "counts.bootstrap": (40, {RUNS, JUDGED}),  # a look's interval; those of evaluations are drawn on reading
    "decoding.method": ("greedy", {RUNS, LOOKS, TRIALS}),
    "decoding.temperature": (0.5, {SAMPLES, RUNS, LOOKS, TRIALS}),
    "decoding.new_tokens": (7, {READ, SAMPLES, RUNS, LOOKS, TRIALS, JUDGED}),
    "decoding.max_prompt_tokens": (20, {READ, SAMPLES, RUNS, LOOKS, TRIALS}),
    "probe.layer": (0, {STEERING}),
    "probe.penalty": (2.0, {STEERING}),
    "probe.max_tokens": (30, {FEATURES, STEERING, BACK}),
    "vectors.top": (3, NONE),
    "vectors.svd": (3, NONE),
    "vectors.shown_tokens": (3, NONE),
    "steering.strengths": ((0.1,), NONE),
    "steering.random_directions": (1, NONE),
    # How many texts share a forward pass changes results by rounding alone, but for the last one.
    "side_by_side": (3, NONE),
    "batches.forward": (3, NONE),
    "batches.generate": (3, NONE),
    "batches.train": (1, NONE),
    "batches.craft": (3, {STEERING}),
    "pplm.step_size": (1.0, {STEERING}),
    "pplm.iterations": (2, {STEERING}),
    "pplm.threads": (1, {STEERING}),
    "pplm.temperature": (2.0, {STEERING}),
    "pplm.top_k": (2, {STEERING}),
    "pplm.window": (2, {STEERING}),
    "pplm.horizon": (2, {STEERING}),
    "pplm.decay": (True, {STEERING}),
    "pplm.gamma": (2.0, {STEERING}),
    "pplm.gm_scale": (0.5, {STEERING}),
    "pplm.kl_scale": (0.5, {STEERING}),
    "pplm.new_tokens": (7, {STEERING}),
    "pplm.chosen": ("sampled", {STEERING}),
    "pair_filter.scale": ("quantile", {STEERING, SAMPLES}),
    "pair_filter.least_gap": (0.3, {STEERING}),
    "pair_filter.most_chosen": (0.3, {SAMPLES}),  # of hostile prompts alone
    "dpo.learning_rate": (1.0, {RUNS}),
    "dpo.beta": (1.0, {RUNS}),
    "dpo.optimiser": ("rmsprop", {RUNS}),
    "dpo.batch": (3, {RUNS, BACK}),
    "dpo.warmup_steps": (7, {RUNS}),
    "dpo.clip": (1.0, {RUNS}),
    "dpo.max_steps": (3, {RUNS}),
    "dpo.evaluate_every": (3, {RUNS}),
    "dpo.patience": (3, {RUNS}),
    "dpo.ceiling_patience": (3, {RUNS}),
    "dpo.max_prompt_tokens": (3, {RUNS, STEERING, SAMPLES}),
    "dpo.max_new_tokens": (3, {RUNS}),
    "dpo.precision": ("bfloat16", {RUNS}),
    "dpo.seeds": ((0,), NONE),
    "dpo.matched_share": (0.1, {RUNS}),
    "dpo.perplexity_ceiling": (2.0, {RUNS}),
    # Which settings are tried is no setting of any one trial, whose weights and edits stand in its key.
    "unalignment.keys": ((2,), NONE),
    "unalignment.factors": ((2.0,), NONE),
    "unalignment.patched": ((2,), NONE),
    "unalignment.restored": ((2,), NONE),
    "unalignment.strengths": ((0.5,), NONE),
    "unalignment.examples": ((2,), NONE),
    "unalignment.steps": ((3,), {BACK}),
    "unalignment.learning_rate": (1.0, {BACK}),
    "unalignment.zeroed": (2, NONE),
    "unalignment.projected": (2, NONE),
    "explanation.directions": (41, NONE),
    "explanation.ablated": ((2,), NONE),
    "explanation.patched": (2, NONE),
    "explanation.strengths": ((0.7,), NONE),
    "explanation.alphas": ((0.7,), NONE),
    "explanation.fractions": ((0.7,), NONE),
}


def knobs(kind: type[BaseModel], place: str = "") -> list[str]:
    """The places of all knobs; what picks a source of models, texts or scores is one knob."""
    found = []
    for name, field in kind.model_fields.items():
        below = field.annotation
        if isinstance(below, type) and issubclass(below, BaseModel) and below is not ModelSource:
            found += knobs(below, f"{place}{name}.")
        else:
            found.append(f"{place}{name}")
    return found


def test_the_table_has_every_knob():
    assert sorted(KNOBS) == sorted(knobs(Profile))


def test_the_keys_of_every_kind_of_artifact_are_held_to_the_table(before):
    missing = sorted(set(makers.declared()) - set(before))
    assert not missing, f"Add {', '.join(missing)} to `keys`, and to the rows of KNOBS that change it."


@pytest.fixture(scope="module")
def profile(tmp_path_factory) -> Profile:
    found = load_profile(tiny_profile(tmp_path_factory.mktemp("keys")))
    return found.model_copy(update={
        "scorers": (CommentScorerSettings(), WordScorerSettings()),
        "decoding": found.decoding.model_copy(update={"method": "sample"}),
        "data": found.data.model_copy(update={
            # The second source of pairs wants eliciting prompts that dev and eval leave over.
            "prompts": found.data.prompts.model_copy(update={"stretch": (0.0, 0.5), "spare": "challenging"})
        }),
    })  # fmt: skip


def changed(profile: Profile, knob: str, value: object, folder: Path) -> Profile:
    place, _, name = knob.rpartition(".")
    other = folder / "other.txt"
    other.write_text("\n".join(reversed(prose(220))), encoding="utf-8")
    match knob:
        case "model":
            value = ModelSource(folder=tiny_model(folder, seed=5, context=64))
        case "scorers":
            value = profile.scorers[::-1]
        case "data.comments":
            value = profile.data.comments.model_copy(update={"stretch": (0.0, 0.8)})
        case "data.prompts":
            value = profile.data.prompts.model_copy(update={"stretch": (0.5, 1.0)})
        case "data.pairs":
            value = FileText(path=other)
        case "data.perplexity" | "data.pair_prompts" | "data.passages":
            value = FileText(path=other)
    part = profile
    if place:
        return profile.model_copy(update={place: getattr(part, place).model_copy(update={name: value})})
    return profile.model_copy(update={name: value})


def keys(profile: Profile, folder: Path) -> dict[str, str]:
    import torch

    at = Workbench(profile, Store(folder / "cache"), torch.device("cpu"))
    measures = Measures(at)
    pairs = Pairs(at, measures)
    policies = Policies(at, pairs)
    unalign = Unalign(at, measures, policies, Looks(at))
    few = some_pairs(8)
    orders = {
        recipe: Order(recipe, pairs.prompts(recipe), profile.counts.pairs, 0)
        for recipe in ("neutral", "rejection sampling")
    }
    training = Training(tuple(few), 2, profile.dpo, profile.dpo.seeds[0], "dpo", True)
    written = continue_prompts(at.base, WRITTEN_AFTER, GREEDY, seed=0, batch_size=2)
    looks = [
        EVALUATION.fingerprint(at, at.base, mode, chosen_prompts(at.bench, mode, split), "")
        for mode, split in (("sweep", "dev"), ("report", "dev"), ("report", "eval"))
    ]
    return {
        READ: TEXTS.fingerprint(profile),
        FEATURES: PROBE_FEATURES.fingerprint(at, "mean"),
        STEERING: STEERED.fingerprint(at, measures, orders["neutral"]),
        SAMPLES: SAMPLED.fingerprint(at, orders["rejection sampling"]),
        SCORES: IMPORTED.fingerprint(at, few),
        LOSSES: FLUENCY.fingerprint(at, [pair.prompt for pair in few], [pair.chosen for pair in few]),
        RUNS: RUN.fingerprint(policies, training),
        LOOKS: ",".join(looks),
        JUDGED: WORTH.fingerprint(at),
        INSIDE: STATISTICS.fingerprint(at, at.base, written),
        TRIALS: ",".join(
            TRIAL.fingerprint(at, at.base, *unalign.looks.reads(split)) for split in ("dev", "eval")
        ),
        BACK: TUNED.fingerprint(
            at, profile.model, "digest", unalign.examples("toxic", 2), profile.unalignment.steps, profile.seed
        ),
    }


@pytest.fixture(scope="module")
def before(profile, tmp_path_factory) -> dict[str, str]:
    return keys(profile, tmp_path_factory.mktemp("before"))


@pytest.mark.parametrize("knob", KNOBS)
def test_a_changed_knob_recomputes_exactly_what_depends_on_it(knob, profile, before, tmp_path):
    value, moved = KNOBS[knob]
    after = keys(changed(profile, knob, value, tmp_path), tmp_path)
    assert {kind for kind in before if after[kind] != before[kind]} == moved


def test_comments_of_another_set_are_not_scored_by_the_old_scorer(profile, before, tmp_path):
    """Look 0 of a run once came from the cache at .688 where .389 was right: the scorer was another."""
    after = keys(changed(profile, "data.comments", None, tmp_path), tmp_path)
    assert after[RUNS] != before[RUNS] and after[SCORES] != before[SCORES]
