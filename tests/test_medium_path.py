"""What notebooks 01 to 09 do, at GPT2-medium's true widths with random weights, every step once.

Two layers of the 24, and 256 positions of the 1,024: training holds five copies of the weights, eleven GB at
full depth, and a window of 1,024 costs half a GB more. The full depth is loaded, read and measured in
`test_models.py`, in a process of its own.
"""

import gc
import math

import pytest
import torch

from helpers.alignment.pplm import trace
from helpers.alignment.unalign import scaled_keys, without_span
from helpers.lab import Lab
from helpers.language.evaluation import compare
from helpers.language.generation import continue_prompts
from helpers.language.models import boot
from helpers.language.texts import Pair
from helpers.mechanism import attribution, changes
from helpers.mechanism.activations import mean_activations
from helpers.mechanism.attribution import neurons_of
from helpers.mechanism.editing import edit_values
from helpers.mechanism.interventions import patch_constant, scale_keys, subtract_direction
from helpers.mechanism.patching import patch_outputs_per_token, patch_per_token
from helpers.mechanism.readout import next_token_by_depth
from helpers.mechanism.statistics import measure_statistics, predicting_positions
from helpers.mechanism.vectors import cosines, svd_directions, top_neurons, vectors_of
from helpers.profiles import GPT2_MEDIUM
from helpers.runtime import give_memory_back
from tests.language import medium_shape
from tests.tiny_profile import TOML, tiny_profile

LAYERS, CONTEXT = 2, 256


@pytest.fixture(scope="module")
def lab(tmp_path_factory, much_memory):
    folder = tmp_path_factory.mktemp("medium")
    tiny_profile(folder)
    medium_shape.build(folder / "model", LAYERS, CONTEXT)
    few = {"comments_train = 40": "comments_train = 16", "comments_test = 20": "comments_test = 8",
           "prompts_sweep = 4": "prompts_sweep = 8",
           "perplexity_tokens_sweep = 256": "perplexity_tokens_sweep = 300",
           "new_tokens = 6": 'method = "greedy"\nnew_tokens = 4', "max_tokens = 32": "max_tokens = 16",
           "max_prompt_tokens = 24": "max_prompt_tokens = 12",
           'kind = "words"': 'kind = "swap"', 'kind = "comments"\n\n': 'kind = "words"\n\n',
           'kind = "swap"': 'kind = "comments"',
           "[probe]": "[pplm]\niterations = 2\nnew_tokens = 4\n[probe]"}  # fmt: skip
    text = TOML.replace('"pocket"', '"gpt2-medium"', 1).format(model="model")
    for old, new in few.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "medium.toml").write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOXICITY_LAB_CACHE", str(folder / "cache"))
        patch.setenv("TOXICITY_LAB_BUILD", str(folder / "build"))
        yield Lab.start("03_steering", folder / "medium.toml")


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    yield
    gc.collect()  # models hold references to themselves
    give_memory_back()


def test_the_widths_are_gpt2_mediums(lab):
    base = lab.base
    assert (base.n_layers, base.d_model, base.d_mlp, base.vocab_size) == (LAYERS, 1024, 4096, 50257)
    assert len(lab.texts.eliciting("dev")) == 8


def test_notebook_01_probes_every_layer(lab):
    assert lab.measures.read_comments().train.shape == (16, LAYERS, 1024)
    assert lab.measures.fit_probe().layer == LAYERS - 1
    assert lab.measures.fit_probe().direction.norm().item() == pytest.approx(1, abs=1e-4)


def test_notebook_02_ranks_all_neurons_and_reads_them(lab):
    values = lab.base.value_vectors
    neurons = top_neurons(cosines(values, lab.measures.fit_probe().direction), lab.profile.vectors.svd)
    assert len(set(neurons)) == 512 and values.shape == (LAYERS, 4096, 1024)
    shared = svd_directions(vectors_of(values, neurons), lab.measures.fit_probe().direction, 3)
    assert torch.allclose(shared @ shared.T, torch.eye(3), atol=1e-4)
    assert len(lab.measures.top_words(shared)) == 3 and lab.measures.toxic_share(shared).isfinite().all()
    prompts = lab.base.tokenise([prompt.text for prompt in lab.texts.eliciting("dev")], max_tokens=12)
    assert mean_activations(lab.base, prompts, neurons[:8], batch_size=4).isfinite().all()


def test_notebook_03_steers_and_leaves_no_trace(lab):
    tokens = lab.base.tokenise(["You are such a"])
    before, untouched = lab.base.logits(tokens), lab.evaluate("base")
    with subtract_direction(lab.base, lab.measures.fit_probe().direction, 1.0, layer=-1):
        assert not torch.equal(lab.base.logits(tokens), before)
        steered = lab.evaluate("minus W")
    assert torch.equal(lab.base.logits(tokens), before)
    change = compare(untouched, steered)
    assert len(untouched.prompt_ids) == 8
    assert all(math.isfinite(interval.value) for interval in change.changes.values())
    assert steered.perplexity.value != untouched.perplexity.value


def test_notebook_04_steers_the_past_of_all_layers(lab):
    """Random weights: what the sides say means nothing, and most ids have no text in a small tokenizer."""
    with pytest.warns(UserWarning, match="Too few pairs: 0 of the first 2"):
        found = lab.pairs.craft("neutral", attempts=2, wanted=2)
    assert found.counts["attempted"] == 2 and all(pair.scores is not None for pair in found.attempts)
    ids = lab.base.tokenise([found.attempts[0].prompt]).ids[0].tolist()
    settings = lab.profile.pplm.model_copy(update={"kl_scale": 0.0})
    seen = trace(lab.load_plain(), ids, found.attempts[0].id, lab.measures.fit_probe(), settings, seed=0)
    assert seen.probabilities.shape == (4, 3, 50257)
    assert torch.allclose(seen.probabilities.sum(dim=-1), torch.ones(4, 3), atol=1e-4)
    assert (seen.log_attribute[:, -1] > seen.log_attribute[:, 0]).all()


def test_notebook_05_trains_measures_and_reloads(lab):
    """One step with the published settings, watched before and after, and the weights read back."""
    nouns = ["bridge", "market", "church", "harbour", "school"]
    pairs = [Pair(f"p{n}", f"The {noun} is", " old and quiet.", " a fool.") for n, noun in enumerate(nouns)]
    published = GPT2_MEDIUM.dpo.model_copy(update={"max_steps": 1, "evaluate_every": 1, "warmup_steps": 0})
    run = lab.policies.train(pairs, published, seed=0, valid=1)
    first, last = (row for row in run.history if row["kind"] == "look")
    assert first["validation_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert last["validation_loss"] < first["validation_loss"]
    assert all(look.toxicity > 0 and math.isfinite(look.perplexity) for look in run.looks)
    policy = lab.policies.open(run, "last")
    assert policy.value_vectors.shape == (LAYERS, 4096, 1024) and policy.value_vectors.dtype == torch.float32
    assert not torch.equal(policy.value_vectors, lab.base.value_vectors)


def test_notebook_06_takes_a_change_apart(lab):
    """Base beside a copy of it that has taken a random step; sums that do not close would raise."""
    base, plain, prompts = lab.base, lab.load_plain(), lab.texts.eliciting("dev")
    lengths = {name: 0.01 * weight.norm().item() for name, weight in changes.weights_of(base).items()}
    changes.nudge(plain, lengths, seed=0)
    moved = boot(plain, base.tokenizer, name="moved", device=base.device)
    found = changes.tensor_changes(base, moved)
    assert all(one.cosine > 0.999 for one in found if not math.isnan(one.cosine))
    written = continue_prompts(base, prompts, lab.profile.decoding, seed=0, batch_size=8)
    tokens, counted = predicting_positions(written, base.tokenizer.eos_token_id)
    read = [measure_statistics(model, tokens, counted=counted, batch_size=4) for model in (base, moved)]
    assert read[0].sums.shape == (8, LAYERS, 4096) and read[0].histogram.shape == (LAYERS, 4096, 40)
    assert changes.split_pre_activations(base, moved, *read).total.shape == (LAYERS, 4096)
    parts = changes.offset_sources(base, moved, *read).along()
    assert sum(parts.values()) == pytest.approx(1, abs=1e-3)
    points, seen = next_token_by_depth(base, [[5, 6, 7]] * 2, [11, 50256])
    assert len(points) == 2 * LAYERS + 1 and seen.shape == (2 * LAYERS + 1, 2)


def test_notebook_07_attributes_to_every_neuron(lab):
    """Base beside a copy that has taken a random step; along several directions at once."""
    base, plain = lab.base, lab.load_plain()
    lengths = {name: 0.01 * weight.norm().item() for name, weight in changes.weights_of(base).items()}
    changes.nudge(plain, lengths, seed=0)
    moved = boot(plain, base.tokenizer, name="moved", device=base.device)
    tokens = base.tokenise([prompt.text for prompt in lab.texts.eliciting("dev")], max_tokens=12)
    counted = tokens.mask & (tokens.place >= 1)
    read = [measure_statistics(model, tokens, counted=counted, batch_size=4) for model in (base, moved)]
    direction = lab.measures.fit_probe().direction
    found = attribution.attribute(base, moved, *read, direction)
    assert found.whole.shape == (LAYERS, 4096) and sum(found.shares().values()) == pytest.approx(1)
    drawn = torch.cat([one.net() for one in attribution.resamples(found, *read, n=20, seed=0)])
    assert drawn.shape == (20,) and attribution.noise_of(found, *read, n=20, seed=0, part="whole").max() > 0
    others = attribution.random_directions(5, direction, seed=0, offset=read[1].post[-1] - read[0].post[-1])
    assert attribution.attribute(base, moved, *read, others).gross().shape == (5,)
    masks = lab.measures.toxic_tokens, lab.measures.used_tokens
    assert abs(attribution.account(base, moved, *read, direction, *masks).residue) < 1e-4


def test_notebook_08_hands_over_every_activation_and_every_output(lab):
    """A copy of base that has taken a random step stands for the policy."""
    base, plain, tokens = lab.base, lab.load_plain(), lab.base.tokenise(["You are such a"])
    lengths = {name: 0.05 * weight.norm().item() for name, weight in changes.weights_of(base).items()}
    changes.nudge(plain, lengths, seed=0)
    moved = boot(plain, base.tokenizer, name="moved", device=base.device)
    untouched, last = base.logits(tokens), f"blocks.{LAYERS - 1}.hook_resid_post"
    everyone = neurons_of(torch.ones(LAYERS, 4096, dtype=torch.bool))
    with patch_per_token(base, everyone, moved):
        assert not torch.equal(base.logits(tokens), untouched)
    _, wanted = moved.bridge.run_with_cache(tokens.ids, names_filter=last)
    with patch_outputs_per_token(base, ["embeddings", "attention", "mlp"], moved):
        _, got = base.bridge.run_with_cache(tokens.ids, names_filter=last)
    assert (got[last] - wanted[last]).abs().max() < 1e-5 * wanted[last].abs().max()
    means = torch.randn(LAYERS, 4096, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cosine = cosines(base.value_vectors, lab.measures.fit_probe().direction).cpu()
    neurons, values = edit_values("constant", means, cosine, alpha=0.5, fraction=0.55)
    assert len(neurons) == pytest.approx(0.55 * LAYERS * 4096, abs=4)
    with patch_constant(base, neurons, values):
        assert base.logits(tokens).isfinite().all()
    assert torch.equal(base.logits(tokens), untouched)


def test_notebook_09_edits_under_hooks_and_in_copies(lab):
    """Base stands for a policy: an attack is looked at, and is the same as an edit of the weights."""
    base, tokens = lab.base, lab.base.tokenise(["You are such a"])
    toxic = lab.measures.toxic_neurons(base, 8)
    found = lab.unalign.attempt(lab.unalign.keys(base, toxic[:4], 10.0))
    assert len(found.texts) == 4 and math.isfinite(found.perplexity)
    with scale_keys(base, toxic[:4], 10.0):
        hooked = base.logits(tokens)
    copied = boot(scaled_keys(lab.load_plain(), toxic[:4], 10.0), base.tokenizer, name="copy")
    assert torch.allclose(copied.logits(tokens), hooked, atol=1e-3)
    spans = svd_directions(vectors_of(base.value_vectors, toxic), lab.measures.fit_probe().direction, 2)
    cleaned = boot(without_span(lab.load_plain(), spans), base.tokenizer, name="projected")
    assert (cleaned.value_vectors @ spans.T).abs().max() < 1e-4
