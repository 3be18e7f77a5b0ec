"""Neuron activations: the parts of what the MLP writes."""

import pytest
import torch

from helpers.language.models import boot
from helpers.mechanism.activations import mean_activations, neuron_activations
from helpers.mechanism.forward import run_to_layer
from helpers.mechanism.vectors import Neuron
from tests.language.builders import SENTENCES, tiny_hf, tiny_tokenizer

TEXTS = [SENTENCES[0], "You", SENTENCES[20] + " " + SENTENCES[3]]


@pytest.fixture(scope="module")
def model():
    return boot(tiny_hf(layers=2, width=16), tiny_tokenizer(), name="tiny")


def test_activations_times_value_vectors_plus_bias_is_the_mlp_output(model):
    tokens = model.tokenise(TEXTS)
    neurons = [Neuron(1, index) for index in range(model.d_mlp)]
    activations = neuron_activations(model, tokens, neurons)
    written = activations @ model.value_vectors[1] + model.bridge.b_out[1]
    _, cache = model.bridge.run_with_cache(tokens.ids, attention_mask=tokens.mask.long())
    assert torch.allclose(written[tokens.mask], cache["blocks.1.hook_mlp_out"][tokens.mask], atol=1e-5)


def test_neurons_of_several_layers_come_in_the_order_asked_for(model):
    tokens = model.tokenise(TEXTS)
    neurons = [Neuron(1, 9), Neuron(0, 3), Neuron(1, 2), Neuron(1, 9)]
    together = neuron_activations(model, tokens, neurons)
    for place, neuron in enumerate(neurons):
        assert torch.equal(together[..., place], neuron_activations(model, tokens, [neuron])[..., 0])
    _, cache = model.bridge.run_with_cache(tokens.ids, attention_mask=tokens.mask.long())
    expected = cache["blocks.0.mlp.hook_post"][..., 3]
    assert torch.allclose(together[..., 1][tokens.mask], expected[tokens.mask], atol=1e-6)


def test_padding_reads_zero_and_its_side_does_not_matter(model):
    neurons = [Neuron(0, 3), Neuron(1, 5)]
    right, left = model.tokenise(TEXTS), model.tokenise(TEXTS, side="left")
    on_right, on_left = (neuron_activations(model, tokens, neurons) for tokens in (right, left))
    assert not on_right[~right.mask].any() and on_right[right.mask].all()
    assert torch.allclose(on_right[right.mask], on_left[left.mask], atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("first", [True, False])
def test_mean_activations_count_each_token_once(model, side, first):
    neurons = [Neuron(0, 3), Neuron(1, 5)]
    found = mean_activations(model, model.tokenise(TEXTS, side=side), neurons, batch_size=2, first=first)
    texts = [neuron_activations(model, model.tokenise([text]), neurons)[0] for text in TEXTS]
    expected = torch.cat([text if first else text[1:] for text in texts]).mean(dim=0)
    assert torch.allclose(found, expected, atol=1e-5)


def test_neurons_read_in_small_batches_are_the_same(model):
    tokens, neurons = model.tokenise(TEXTS, side="left"), [Neuron(1, 5), Neuron(0, 3)]
    small, whole = (neuron_activations(model, tokens, neurons, batch_size=size) for size in (1, 8))
    assert torch.allclose(small, whole, atol=1e-5) and whole[tokens.mask].all()


@pytest.mark.parametrize("layer", [0, 1])
def test_a_run_to_a_layer_sees_what_a_full_run_sees_and_skips_the_rest(model, layer):
    tokens = model.tokenise(TEXTS)
    seen, beyond = [], []
    names = [f"blocks.{later}.hook_resid_post" for later in range(layer + 1, 2)]
    hooks = [(f"blocks.{layer}.hook_resid_post", lambda value, hook: seen.append(value.clone()))]
    hooks += [(name, lambda value, hook: beyond.append(value.shape)) for name in names]
    hooks += [("unembed.hook_out", lambda value, hook: beyond.append(value.shape[1]))]
    before = model.logits(tokens)
    run_to_layer(model, tokens, layer, hooks)
    _, cache = model.bridge.run_with_cache(tokens.ids, attention_mask=tokens.mask.long())
    assert torch.equal(seen[0], cache[f"blocks.{layer}.hook_resid_post"])
    assert beyond == ([] if layer == 0 else [1])
    assert torch.equal(model.logits(tokens), before)


def test_unknown_neurons_and_empty_means_are_refused(model):
    tokens = model.tokenise(["You"])
    with pytest.raises(IndexError, match="L2.0"):
        neuron_activations(model, tokens, [Neuron(2, 0)])
    with pytest.raises(ValueError, match="at least one neuron"):
        neuron_activations(model, tokens, [])
    with pytest.raises(ValueError, match="one token each"):
        mean_activations(model, tokens, [Neuron(0, 0)])
