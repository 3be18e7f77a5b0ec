"""What notebooks 01 to 03 do, at GPT2-medium's true shape with random weights: 8 prompts, every step once."""

import math

import pytest
import torch

from helpers.lab import Lab
from helpers.language.evaluation import compare
from helpers.mechanism.activations import mean_activations
from helpers.mechanism.interventions import subtract_direction
from helpers.mechanism.vectors import cosines, select, svd_directions, top_neurons
from tests.language import medium_shape
from tests.tiny_profile import TOML, tiny_profile


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("medium")
    tiny_profile(folder)
    medium_shape.build(folder / "model")
    few = {"comments_train = 40": "comments_train = 16", "comments_test = 20": "comments_test = 8",
           "prompts_sweep = 4": "prompts_sweep = 8",
           "perplexity_tokens_sweep = 256": "perplexity_tokens_sweep = 1100",
           "new_tokens = 6": 'method = "greedy"\nnew_tokens = 4', "max_tokens = 32": "max_tokens = 16",
           "max_prompt_tokens = 24": "max_prompt_tokens = 12"}  # fmt: skip
    text = TOML.replace('"pocket"', '"gpt2-medium"', 1).format(model="model")
    for old, new in few.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "medium.toml").write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOXICITY_LAB_CACHE", str(folder / "cache"))
        patch.setenv("TOXICITY_LAB_BUILD", str(folder / "build"))
        yield Lab.start("03_steering", folder / "medium.toml")


def test_the_shape_is_gpt2_mediums(lab):
    assert (lab.base.n_layers, lab.base.d_model, lab.base.d_mlp, lab.base.vocab_size) == (
        24,
        1024,
        4096,
        50257,
    )
    assert len(lab.texts.eliciting("dev")) == 8


def test_notebook_01_probes_every_layer(lab):
    assert lab.probe_data.train.shape == (16, 24, 1024)
    assert lab.probe.layer == 23
    assert lab.probe.direction.norm().item() == pytest.approx(1, abs=1e-4)


def test_notebook_02_ranks_all_neurons_and_reads_them(lab):
    values = lab.base.value_vectors
    neurons = top_neurons(cosines(values, lab.probe.direction), lab.profile.vectors.svd)
    assert len(set(neurons)) == 512 and values.shape == (24, 4096, 1024)
    shared = svd_directions(select(values, neurons), lab.probe.direction, 3)
    assert torch.allclose(shared @ shared.T, torch.eye(3), atol=1e-4)
    assert len(lab.top_words(shared)) == 3 and lab.toxic_share(shared).isfinite().all()
    prompts = lab.base.tokenise([prompt.text for prompt in lab.texts.eliciting("dev")], max_tokens=12)
    assert mean_activations(lab.base, prompts, neurons[:8], batch_size=4).isfinite().all()


def test_notebook_03_steers_and_leaves_no_trace(lab):
    tokens = lab.base.tokenise(["You are such a"])
    before, untouched = lab.base.logits(tokens), lab.evaluate("base")
    with subtract_direction(lab.base, lab.probe.direction, 5.0, layer=-1):
        assert not torch.equal(lab.base.logits(tokens), before)
        steered = lab.evaluate("minus W")
    assert torch.equal(lab.base.logits(tokens), before)
    change = compare(untouched, steered)
    assert len(untouched.prompt_ids) == 8
    assert all(math.isfinite(interval.value) for interval in change.changes.values())
    assert steered.perplexity.value != untouched.perplexity.value
