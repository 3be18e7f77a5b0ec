"""PPLM: steering moves toward the probe, rows do not depend on their batch, the model is left alone."""

import copy
import dataclasses
import math

import pytest
import torch
from torch.nn import functional
from transformers import DynamicCache

from helpers.alignment.pplm import random_direction, steer, trace
from tests.alignment.makers import PPLM_SETTINGS, a_probe
from tests.language.builders import tiny_hf
from tests.language.lively import lively_hf

PROMPTS = [[5, 6, 7, 8], [9], [10, 11, 12, 13, 14, 15], [3, 4]]
NAMES = ["a", "b", "c", "d"]


def changed(**settings):
    return PPLM_SETTINGS.model_copy(update=settings)


@pytest.mark.parametrize("attribute", [None, a_probe(), a_probe(layer=0, pooling="mean_all")])
def test_a_batch_equals_its_rows_one_by_one(attribute):
    model = lively_hf()
    states = {"batch": [], "rows": []}
    together = steer(
        model, PROMPTS, NAMES, attribute, PPLM_SETTINGS, seed=0, on_iteration=states["batch"].append
    )
    for number, (prompt, name) in enumerate(zip(PROMPTS, NAMES, strict=True)):
        alone = steer(
            model, [prompt], [name], attribute, PPLM_SETTINGS, seed=0, on_iteration=states["rows"].append
        )
        assert alone[0].tolist() == together[number].tolist()
    # The first prompt's states, in the batch and alone; the second prompt has no past of its own at first.
    for one, all_ in zip(states["rows"], states["batch"], strict=False):
        torch.testing.assert_close(one.probabilities[0], all_.probabilities[0], atol=1e-4, rtol=1e-3)


def test_seed_and_name_fix_the_draw_and_nothing_else_does():
    model = lively_hf()
    first = steer(model, PROMPTS, NAMES, a_probe(), PPLM_SETTINGS, seed=0)
    torch.randn(7)
    assert torch.equal(first, steer(model, PROMPTS, NAMES, a_probe(), PPLM_SETTINGS, seed=0))
    reverse = steer(model, PROMPTS[::-1], NAMES[::-1], a_probe(), PPLM_SETTINGS, seed=0)
    assert torch.equal(first, reverse.flip(0))
    assert not torch.equal(first, steer(model, PROMPTS, NAMES, a_probe(), PPLM_SETTINGS, seed=1))


def test_each_iteration_raises_the_attribute():
    seen = trace(
        tiny_hf(), PROMPTS[2], "c", a_probe(), changed(step_size=0.3, kl_scale=0.0, iterations=8), seed=0
    )
    assert (seen.log_attribute[:, -1] > seen.log_attribute[:, 0]).all()
    assert seen.divergence[0, 0].abs() < 1e-6 and (seen.divergence[:, -1] > 0).all()
    torch.testing.assert_close(seen.probabilities.sum(dim=-1), torch.ones(5, 9))


def test_the_kl_term_holds_back():
    free = trace(tiny_hf(), PROMPTS[2], "c", a_probe(), changed(kl_scale=0.0, new_tokens=1), seed=0)
    held = trace(tiny_hf(), PROMPTS[2], "c", a_probe(), changed(kl_scale=10.0, new_tokens=1), seed=0)
    assert held.divergence[0, -1] < free.divergence[0, -1]


def test_no_iterations_worth_or_no_weight_is_no_steering():
    model = lively_hf()
    plain = steer(model, PROMPTS, NAMES, None, PPLM_SETTINGS, seed=0)
    for settings in (changed(step_size=1e-12), changed(gm_scale=0.0)):
        one_token = settings.model_copy(update={"new_tokens": 1})
        found = steer(model, PROMPTS, NAMES, a_probe(), one_token, seed=0)
        assert torch.equal(found[:, 0], plain[:, 0])


def test_the_opposite_direction_gives_other_text():
    model = tiny_hf()
    probe = a_probe()
    opposite = dataclasses.replace(probe, weight=-probe.weight)
    towards = trace(model, PROMPTS[2], "c", probe, PPLM_SETTINGS, seed=0)
    away = trace(model, PROMPTS[2], "c", opposite, PPLM_SETTINGS, seed=0)
    assert (towards.probabilities[0, -1] - away.probabilities[0, -1]).abs().max() > 1e-3


def test_the_first_gradient_step_is_the_one_written_out_by_hand():
    """The definition, for one prompt and one step, with Hugging Face's own calls."""
    model, probe = tiny_hf(), a_probe()
    settings = changed(iterations=1, new_tokens=1, step_size=0.5, kl_scale=0.1)
    prompt = PROMPTS[2]
    seen = trace(model, prompt, "c", probe, settings, seed=0)

    streams = []
    handle = model.transformer.h[-1].register_forward_hook(
        lambda module, inputs, output: streams.append(output)
    )
    ids = torch.tensor([prompt])
    whole = model(ids, use_cache=True)
    logits, residual = whole.logits[:, -1].detach(), streams[-1].detach()
    kept = [(layer.keys.detach(), layer.values.detach()) for layer in whole.past_key_values.layers]

    added = [torch.zeros(2, *keys[:, :, :-1].shape, requires_grad=True) for keys, _ in kept]

    def with_past(extra, tokens=None, embeddings=None, length=None):
        cache = DynamicCache()
        for number, ((keys, values), addition) in enumerate(zip(kept, extra, strict=True)):
            cache.update(keys[:, :, :length] + addition[0], values[:, :, :length] + addition[1], number)
        return model(input_ids=tokens, inputs_embeds=embeddings, past_key_values=cache, use_cache=True)

    nothing = [torch.zeros(2, *keys.shape) for keys, _ in kept]
    log_p = with_past(added, tokens=ids[:, -1:], length=-1).logits[:, -1].log_softmax(-1)
    last_residual = streams[-1][:, -1].detach()
    with_past(nothing, embeddings=(log_p.exp() @ model.transformer.wte.weight)[:, None])
    total = residual[:, 1:-1].sum(1) + last_residual + streams[-1][:, -1]
    mean = total / (len(prompt) - 1 + 1)
    divergence = (log_p.exp() * (log_p - logits.log_softmax(-1))).sum()
    loss = -functional.logsigmoid(probe.logit(mean)).sum() + 0.1 * divergence
    gradients = torch.autograd.grad(loss, added)
    stepped = [-0.5 * gradient / gradient.norm() for gradient in gradients]
    after = with_past(stepped, tokens=ids[:, -1:], length=-1).logits[:, -1].softmax(-1)
    handle.remove()

    torch.testing.assert_close(seen.probabilities[0, 0], logits[0].softmax(-1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(seen.probabilities[0, 1], after[0].detach(), atol=1e-5, rtol=1e-3)
    assert seen.log_attribute[0, 0].item() == pytest.approx(
        functional.logsigmoid(probe.logit(mean)).item(), abs=1e-4
    )


def test_a_window_changes_only_the_recent_past():
    """Steering the last position alone differs from steering all; a window of the whole past does not."""

    def after(**settings):
        return trace(tiny_hf(), PROMPTS[2], "c", a_probe(), changed(new_tokens=1, **settings), seed=0)

    everything = after().probabilities[0, -1]
    torch.testing.assert_close(after(window=5).probabilities[0, -1], everything)
    assert (after(window=1).probabilities[0, -1] - everything).abs().max() > 1e-4
    assert (after(window=3, decay=True).probabilities - after(window=3).probabilities).abs().max() > 1e-5


def test_only_the_top_k_are_drawn():
    likeliest = steer(tiny_hf(), PROMPTS, NAMES, None, changed(top_k=1), seed=3)
    assert torch.equal(likeliest, steer(tiny_hf(), PROMPTS, NAMES, None, PPLM_SETTINGS, seed=0, sample=False))


def test_end_of_text_is_barred_as_the_first_token_only():
    model, one = lively_hf(), changed(new_tokens=2)
    free = steer(model, PROMPTS[:1], NAMES[:1], None, one, seed=0, sample=False)[0].tolist()
    barred = steer(model, PROMPTS[:1], NAMES[:1], None, one, seed=0, sample=False, end_id=free[0])[0].tolist()
    assert barred[0] != free[0]
    assert (
        steer(model, PROMPTS[:1], NAMES[:1], None, one, seed=0, sample=False, end_id=free[1])[0].tolist()
        == free
    )


def test_the_unsteered_greedy_side_is_hugging_faces():
    model = lively_hf()
    found = steer(model, PROMPTS[:1], NAMES[:1], None, PPLM_SETTINGS, seed=0, sample=False)
    ids = torch.tensor(PROMPTS[:1])
    theirs = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=5,
        min_new_tokens=5,
        do_sample=False,
        pad_token_id=0,
    )
    assert found.tolist() == theirs[:, ids.shape[1] :].tolist()


def test_the_control_is_as_long_and_as_sure_but_points_elsewhere():
    probe = a_probe()
    control = random_direction(probe, seed=0)
    assert control.weight.norm().item() == pytest.approx(probe.weight.norm().item(), rel=1e-5)
    assert control.logit(probe.centre).item() == pytest.approx(probe.logit(probe.centre).item(), abs=1e-4)
    assert abs(functional.cosine_similarity(control.weight, probe.weight, dim=0)) < 0.6
    assert not torch.equal(control.weight, random_direction(probe, seed=1).weight)


def test_the_model_is_left_as_it_was():
    model = tiny_hf()
    before = copy.deepcopy(model.state_dict())
    hooks = len(model.transformer.h[-1]._forward_hooks)
    steer(model, PROMPTS, NAMES, a_probe(), PPLM_SETTINGS, seed=0)
    with pytest.raises(RuntimeError, match="stop here"):
        steer(model, PROMPTS, NAMES, a_probe(), PPLM_SETTINGS, seed=0, on_iteration=stop)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert len(model.transformer.h[-1]._forward_hooks) == hooks
    assert torch.is_grad_enabled()


def stop(iteration):
    raise RuntimeError("stop here")


@pytest.mark.parametrize(
    ("prompts", "attribute", "settings", "message"),
    [
        ([], a_probe(), {}, "wants prompts"),
        ([[1, 2], []], a_probe(), {}, "'b' has no tokens"),
        ([[1] * 60], a_probe(), {}, "has 60 tokens; with 5 new ones"),
        ([[1, 2]], a_probe(pooling="last"), {}, "fitted on 'last'"),
        ([[1, 2]], a_probe(), {"decay": True}, "set pplm.window"),
    ],
)
def test_bad_input_is_refused(prompts, attribute, settings, message):
    with pytest.raises(ValueError, match=message):
        steer(tiny_hf(), prompts, NAMES[: len(prompts)], attribute, changed(**settings), seed=0)


def test_a_trace_needs_a_past():
    with pytest.raises(ValueError, match="no past to steer"):
        trace(tiny_hf(), [4], "x", a_probe(), PPLM_SETTINGS, seed=0)


def test_broken_weights_are_noticed():
    model = tiny_hf()
    with torch.no_grad():
        model.transformer.ln_f.weight[0] = math.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        steer(model, PROMPTS, NAMES, None, PPLM_SETTINGS, seed=0)
