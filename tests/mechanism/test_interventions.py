"""Interventions equal plain PyTorch hooks on the Hugging Face model, everywhere, and leave no trace."""

from __future__ import annotations

import contextlib
import copy
from dataclasses import dataclass

import pytest
import torch
from torch.nn import functional as F

from helpers.language.generation import continue_ids
from helpers.language.metrics import perplexity
from helpers.language.models import boot
from helpers.mechanism.interventions import (
    SITES,
    ablate,
    add_direction,
    patch_constant,
    project_out,
    scale_activations,
    scale_keys,
    set_outputs,
    shift_activations,
    subtract_direction,
)
from helpers.mechanism.patching import patch_outputs_per_token, patch_per_token
from helpers.profiles import Decoding
from tests.language.builders import tiny_tokenizer
from tests.language.lively import lively_hf
from tests.mechanism.hf_edits import (
    hf_direction,
    hf_neurons,
    hf_outputs,
    hf_outputs_of,
    hf_projection,
    slow_continuation,
)

PROMPTS = [[5, 9, 100, 31], [200, 17], [40, 41, 42, 43, 44, 45, 46], [300]]
GREEDY = Decoding(method="greedy", temperature=1.0, new_tokens=6, max_prompt_tokens=32)


@dataclass(frozen=True)
class Unit:
    """A stand-in for `Neuron`, which lives in another file: anything with a layer and an index will do."""

    layer: int
    index: int


NEURONS = [Unit(0, 3), Unit(1, 90), Unit(1, 7), Unit(2, 0)]
VALUES = torch.tensor([3.0, -0.5, 0.25, 2.0])


@pytest.fixture(scope="module")
def pair():
    """(hooked model, the same model as Hugging Face has it)."""
    hf = lively_hf(layers=3)
    return boot(copy.deepcopy(hf), tiny_tokenizer(), name="tiny"), hf


@pytest.fixture(scope="module")
def other():
    """A second model of the same shape, hooked and plain."""
    hf = lively_hf(layers=3, seed=1)
    return boot(copy.deepcopy(hf), tiny_tokenizer(), name="other"), hf


def bias(hf, number):
    return hf.transformer.h[NEURONS[number].layer].mlp.c_fc.bias[NEURONS[number].index]


DIRECTION = torch.linspace(-1, 1, 32)
ROWS = torch.linspace(-1, 1, 96).reshape(3, 32).sin()
KINDS = {
    **{
        f"add at {site} of layer {layer}": (
            lambda model, site=site, layer=layer: add_direction(
                model, DIRECTION, 1.5, layer=layer, site=site
            ),
            lambda hf, site=site, layer=layer: hf_direction(hf, DIRECTION, 1.5, layer, site),
        )
        for site in SITES
        for layer in (0, 2)
    },
    "subtract": (
        lambda model: subtract_direction(model, DIRECTION, 1.5, layer=-2),
        lambda hf: hf_direction(hf, DIRECTION, -1.5, 1, "resid_post"),
    ),
    "project out": (
        lambda model: project_out(model, DIRECTION, layer=1),
        lambda hf: hf_projection(hf, DIRECTION, 1),
    ),
    "ablate": (
        lambda model: ablate(model, NEURONS),
        lambda hf: hf_neurons(hf, NEURONS, lambda value, number: value * 0, before_gelu=False),
    ),
    "patch by constants": (
        lambda model: patch_constant(model, NEURONS, VALUES),
        lambda hf: hf_neurons(
            hf,
            NEURONS,
            lambda value, number: torch.full_like(value, VALUES[number].item()),
            before_gelu=False,
        ),
    ),
    "shift activations": (
        lambda model: shift_activations(model, NEURONS, VALUES),
        lambda hf: hf_neurons(hf, NEURONS, lambda value, number: value + VALUES[number], before_gelu=False),
    ),
    **{
        f"{'add to' if add else 'set'} every {site}": (
            lambda model, site=site, add=add: set_outputs(model, site, ROWS, add=add),
            lambda hf, site=site, add=add: hf_outputs(hf, site, ROWS, add=add),
        )
        for site in ("attn_out", "mlp_out")
        for add in (True, False)
    },
    "scale activations": (
        lambda model: scale_activations(model, NEURONS, VALUES),
        lambda hf: hf_neurons(hf, NEURONS, lambda value, number: value * VALUES[number], before_gelu=False),
    ),
    "scale keys": (
        lambda model: scale_keys(model, NEURONS, 10.0),
        lambda hf: hf_neurons(
            hf,
            NEURONS,
            lambda value, number: 10 * (value - bias(hf, number)) + bias(hf, number),
            before_gelu=True,
        ),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_equals_plain_hooks_in_the_forward_pass(pair, kind):
    model, hf = pair
    ours, theirs = KINDS[kind]
    ids = torch.tensor([[5, 9, 100, 31, 17, 200, 60], [1, 2, 3, 4, 5, 6, 7]])
    before = hf(ids).logits
    with theirs(hf):
        expected = hf(ids).logits
    with ours(model):
        got = model.bridge(ids)
    assert (expected - before).abs().amax(dim=(0, 2)).min() > 1e-3, "the edit should move every position"
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_nothing_is_left_along_a_direction_projected_out(pair):
    model, _ = pair
    with project_out(model, DIRECTION, layer=2):
        _, cache = model.bridge.run_with_cache(torch.tensor([[5, 9, 100, 31]]))
    assert (cache["blocks.2.hook_resid_post"] @ DIRECTION).abs().max() < 1e-4
    with pytest.raises(ValueError, match="not all zero"):
        project_out(model, torch.zeros(32), layer=2)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_equals_plain_hooks_in_cached_single_token_steps(pair, kind):
    model, hf = pair
    ours, theirs = KINDS[kind]
    ids = torch.tensor([[5, 9, 100, 31, 17, 200, 60]])
    with theirs(hf):
        expected = hf(ids).logits
    cache, steps = None, []
    with ours(model):
        for step in ids.split([3, 1, 1, 1, 1], dim=1):
            output = model.bridge.original_model(step, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            steps.append(output.logits)
    torch.testing.assert_close(torch.cat(steps, dim=1), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_equals_plain_hooks_in_cached_generation(pair, kind):
    model, hf = pair
    ours, theirs = KINDS[kind]
    with theirs(hf):
        expected = [slow_continuation(hf, row, GREEDY.new_tokens) for row in PROMPTS]
    with ours(model):
        got = continue_ids(model, PROMPTS, list("abcd"), GREEDY, seed=0, batch_size=3)
    assert got.tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_equals_plain_hooks_in_perplexity(pair, kind):
    model, hf = pair
    ours, theirs = KINDS[kind]
    tokens = torch.arange(45) * 7 % 320
    with theirs(hf):
        windows = [
            F.cross_entropy(hf(w[None]).logits[0, :-1], w[1:], reduction="sum") for w in tokens.split(20)
        ]
    expected = (torch.stack(windows).sum() / (19 + 19 + 4)).exp()
    with ours(model):
        got = perplexity(model, tokens, window=20, batch_size=2)
    assert got.value == pytest.approx(expected.item(), rel=1e-4)


@torch.no_grad()
def test_scaled_keys_equal_the_edited_checkpoint(pair):
    model, hf = pair
    edited = copy.deepcopy(hf)
    for neuron, factor in zip(NEURONS, VALUES, strict=True):
        edited.transformer.h[neuron.layer].mlp.c_fc.weight[:, neuron.index] *= factor
    ids = torch.tensor([[5, 9, 100, 31, 17]])
    with scale_keys(model, NEURONS, VALUES):
        torch.testing.assert_close(model.bridge(ids), edited(ids).logits, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_ablation_equals_zeroed_value_vectors(pair):
    model, hf = pair
    edited = copy.deepcopy(hf)
    for neuron in NEURONS:
        edited.transformer.h[neuron.layer].mlp.c_proj.weight[neuron.index] = 0
    ids = torch.tensor([[5, 9, 100, 31, 17]])
    with ablate(model, NEURONS):
        torch.testing.assert_close(model.bridge(ids), edited(ids).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_nothing_is_left_behind_even_by_an_exception(pair, kind):
    model, _ = pair
    ids = torch.tensor([[5, 9, 100, 31, 17]])
    weights = {name: value.clone() for name, value in model.bridge.original_model.state_dict().items()}
    before = model.bridge(ids)
    with contextlib.suppress(KeyError), KINDS[kind][0](model):
        model.bridge(ids)
        raise KeyError
    assert torch.equal(model.bridge(ids), before)
    for name, value in model.bridge.original_model.state_dict().items():
        assert torch.equal(value, weights[name]), name
    assert not any(point.fwd_hooks for point in model.bridge.hook_dict.values())
    assert not model.bridge.original_model._forward_pre_hooks


@torch.no_grad()
def test_nested_interventions_both_act_and_the_outer_first(pair):
    model, _ = pair
    ids = torch.tensor([[5, 9, 100]])
    with patch_constant(model, NEURONS, VALUES):
        patched = model.bridge(ids)
        with scale_activations(model, NEURONS, 2.0):
            both = model.bridge(ids)
        assert torch.equal(model.bridge(ids), patched)
    with patch_constant(model, NEURONS, 2 * VALUES):
        torch.testing.assert_close(model.bridge(ids), both)


@torch.no_grad()
def test_neutral_edits_change_no_bit(pair):
    model, _ = pair
    ids = torch.tensor([[5, 9, 100, 31, 17]])
    before = model.bridge(ids)
    for neutral in (
        add_direction(model, DIRECTION, 0.0, layer=1),
        scale_activations(model, NEURONS, 1.0),
        scale_keys(model, NEURONS, 1.0),
        shift_activations(model, NEURONS, torch.zeros(4)),
        set_outputs(model, "mlp_out", torch.zeros(3, 32), add=True),
        patch_per_token(model, NEURONS, model),
        patch_outputs_per_token(model, ["embeddings", "attention", "mlp"], model),
    ):
        with neutral:
            assert torch.equal(model.bridge(ids), before)


# --- per-token patching
# --------------------------------------------------------------------------------------


@contextlib.contextmanager
def hf_patched(hf, source):
    """Plain version: the source reads the whole text anew before each uncached forward pass."""
    recorded = {}

    def record(layer):
        def hook(module, args):
            recorded[layer] = args[0]

        return hook

    def follow(module, args, kwargs):
        with torch.no_grad():
            source(*args, **kwargs)

    def patch(layer):
        def hook(module, args):
            activation = args[0].clone()
            for neuron in NEURONS:
                if neuron.layer == layer:
                    activation[..., neuron.index] = recorded[layer][..., neuron.index]
            return (activation,)

        return hook

    handles = [hf.register_forward_pre_hook(follow, with_kwargs=True)]
    for layer in range(3):
        handles.append(source.transformer.h[layer].mlp.c_proj.register_forward_pre_hook(record(layer)))
        handles.append(hf.transformer.h[layer].mlp.c_proj.register_forward_pre_hook(patch(layer)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def test_per_token_patch_equals_plain_hooks(pair, other):
    (model, hf), (source, hf_source) = pair, other
    ids = torch.tensor([[5, 9, 100, 31, 17]])
    tokens = torch.arange(45) * 7 % 320
    with hf_patched(hf, hf_source):
        expected = hf(ids).logits
        texts = [slow_continuation(hf, row, GREEDY.new_tokens) for row in PROMPTS]
        windows = [
            F.cross_entropy(hf(w[None]).logits[0, :-1], w[1:], reduction="sum") for w in tokens.split(20)
        ]
    assert (expected - hf(ids).logits).abs().max() > 1e-2
    with patch_per_token(model, NEURONS, source):
        torch.testing.assert_close(model.bridge(ids), expected, rtol=1e-4, atol=1e-4)
        got = continue_ids(model, PROMPTS, list("abcd"), GREEDY, seed=0, batch_size=3)
        whole = model.bridge.original_model(ids[:, :3], use_cache=True)
        step = model.bridge.original_model(ids[:, 3:4], past_key_values=whole.past_key_values, use_cache=True)
        ppl = perplexity(model, tokens, window=20, batch_size=2)
    torch.testing.assert_close(step.logits, expected[:, 3:4], rtol=1e-4, atol=1e-4)
    assert got.tolist() == texts
    assert ppl.value == pytest.approx((torch.stack(windows).sum() / 42).exp().item(), rel=1e-4)


@torch.no_grad()
def test_per_token_patch_of_every_neuron_follows_the_source(pair, other):
    (model, _), (source, _) = pair, other
    everything = [Unit(layer, index) for layer in range(3) for index in range(model.d_mlp)]
    ids = torch.tensor([[5, 9, 100, 31, 17]])
    names = [f"blocks.{layer}.mlp.hook_post" for layer in range(3)]
    _, wanted = source.bridge.run_with_cache(ids, names_filter=names)
    with patch_per_token(model, everything, source):
        _, got = model.bridge.run_with_cache(ids, names_filter=names)
    for name in names:
        assert torch.equal(got[name], wanted[name])


@torch.no_grad()
def test_per_token_patch_leaves_both_models_as_they_were(pair, other):
    (model, _), (source, _) = pair, other
    ids = torch.tensor([[5, 9, 100, 31, 17]])
    before = model.bridge(ids), source.bridge(ids)
    with contextlib.suppress(KeyError), patch_per_token(model, NEURONS, source):
        model.bridge(ids)
        raise KeyError
    assert torch.equal(model.bridge(ids), before[0]) and torch.equal(source.bridge(ids), before[1])
    for bridge in (model.bridge, source.bridge):
        assert not any(point.fwd_hooks for point in bridge.hook_dict.values())
        assert not bridge.original_model._forward_pre_hooks and not bridge.original_model._forward_hooks


@torch.no_grad()
def test_per_token_patch_refuses_a_cache_begun_outside(pair, other):
    (model, _), (source, _) = pair, other
    module = model.bridge.original_model
    cache = module(input_ids=torch.tensor([[5, 9]]), use_cache=True).past_key_values
    with patch_per_token(model, NEURONS, source), pytest.raises(RuntimeError, match="begun outside"):
        module(input_ids=torch.tensor([[7]]), past_key_values=cache, use_cache=True)
    assert not source.bridge.original_model._forward_pre_hooks


OUTPUTS = [["mlp"], ["attention"], ["attention", "mlp"], ["embeddings"], ["embeddings", "attention", "mlp"]]


@pytest.mark.parametrize("outputs", OUTPUTS, ids="+".join)
@torch.no_grad()
def test_patched_outputs_equal_plain_hooks_and_leave_no_trace(pair, other, outputs):
    (model, hf), (source, hf_source) = pair, other
    ids = torch.tensor([[5, 9, 100, 31, 17]])
    tokens = torch.arange(45) * 7 % 320
    before = model.bridge(ids), source.bridge(ids)
    with hf_outputs_of(hf, hf_source, outputs):
        expected = hf(ids).logits
        texts = [slow_continuation(hf, row, GREEDY.new_tokens) for row in PROMPTS]
        windows = [
            F.cross_entropy(hf(w[None]).logits[0, :-1], w[1:], reduction="sum") for w in tokens.split(20)
        ]
    assert (expected - before[0]).abs().max() > 1e-2
    with patch_outputs_per_token(model, outputs, source):
        torch.testing.assert_close(model.bridge(ids), expected, rtol=1e-4, atol=1e-4)
        got = continue_ids(model, PROMPTS, list("abcd"), GREEDY, seed=0, batch_size=3)
        ppl = perplexity(model, tokens, window=20, batch_size=2)
    assert got.tolist() == texts
    assert ppl.value == pytest.approx((torch.stack(windows).sum() / 42).exp().item(), rel=1e-4)
    assert torch.equal(model.bridge(ids), before[0]) and torch.equal(source.bridge(ids), before[1])


@torch.no_grad()
def test_with_every_output_patched_the_stream_is_the_sources_and_only_the_readout_differs(pair, other):
    (model, hf), (source, _) = pair, other
    ids, last = torch.tensor([[5, 9, 100, 31, 17]]), "blocks.2.hook_resid_post"
    _, wanted = source.bridge.run_with_cache(ids, names_filter=last)
    with patch_outputs_per_token(model, ["embeddings", "attention", "mlp"], source):
        logits, got = model.bridge.run_with_cache(ids, names_filter=last)
    assert (got[last] - wanted[last]).abs().max() < 1e-5 * wanted[last].abs().max()
    read = hf.lm_head(hf.transformer.ln_f(wanted[last]))
    torch.testing.assert_close(logits, read, rtol=1e-4, atol=1e-4)
    assert (logits - source.bridge(ids)).abs().max() > 1e-2


def test_patched_outputs_are_named_and_of_one_shape(pair):
    model, _ = pair
    for wrong in ([], ["neurons"]):
        with pytest.raises(ValueError, match="There is no output"):
            patch_outputs_per_token(model, wrong, model)
    small = boot(lively_hf(layers=2), tiny_tokenizer(), name="small")
    with pytest.raises(ValueError, match="small cannot be patched into tiny: n_layers is 2"):
        patch_outputs_per_token(model, ["mlp"], small)


# --- bad input
# -----------------------------------------------------------------------------------------------

BAD = {
    "There is no site": lambda m: add_direction(m, DIRECTION, 1.0, layer=0, site="mlp_in"),
    "can be read but not edited": lambda m: add_direction(m, DIRECTION, 1.0, layer=0, site="resid_mid"),
    "has layers 0 to 2": lambda m: add_direction(m, DIRECTION, 1.0, layer=3),
    "has 32 dimensions": lambda m: add_direction(m, torch.ones(31), 1.0, layer=0),
    "direction holds NaN": lambda m: add_direction(m, torch.full((32,), torch.nan), 1.0, layer=0),
    "strength holds NaN": lambda m: add_direction(m, DIRECTION, float("inf"), layer=0),
    "There are no neurons": lambda m: ablate(m, []),
    "has no neuron": lambda m: ablate(m, [Unit(3, 0)]),
    "neurons 0 to 127": lambda m: scale_keys(m, [Unit(0, 128)], 2.0),
    "named twice": lambda m: ablate(m, [Unit(0, 1), Unit(0, 1)]),
    "values holds NaN": lambda m: patch_constant(m, [Unit(0, 1)], torch.tensor([torch.nan])),
    "one number for each of 2": lambda m: patch_constant(m, [Unit(0, 1), Unit(0, 2)], torch.ones(3)),
    "Wanted \"attn_out\" or \"mlp_out\"": lambda m: set_outputs(m, "resid_post", ROWS),
    "3 vectors of 32": lambda m: set_outputs(m, "mlp_out", ROWS[:2]),
    "factor holds NaN": lambda m: scale_activations(m, [Unit(0, 1)], float("nan")),
}


@pytest.mark.parametrize("message", BAD)
@torch.no_grad()
def test_bad_input_is_refused_before_anything_is_touched(pair, message):
    model, _ = pair
    ids = torch.tensor([[5, 9, 100]])
    before = model.bridge(ids)
    with pytest.raises((ValueError, IndexError), match=message):
        BAD[message](model)
    assert torch.equal(model.bridge(ids), before)


def test_per_token_patch_refuses_another_shape(pair):
    model, _ = pair
    small = boot(lively_hf(layers=2), tiny_tokenizer(), name="small")
    with pytest.raises(ValueError, match="small cannot be patched into tiny: n_layers is 2"):
        patch_per_token(model, NEURONS[:1], small)
