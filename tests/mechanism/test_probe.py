"""The probe: its objective, its coordinates, and the residual streams it is fitted on."""

import copy
import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from helpers.language.models import boot
from helpers.language.tokens import Tokens
from helpers.mechanism.pooling import POOLINGS, mean_stream_norms
from helpers.mechanism.probe import (
    Probe,
    check_labelled,
    common_scale,
    equivalent_C,
    equivalent_penalty,
    fit_probe,
    mean_difference,
    mean_difference_probe,
    pooled_residuals,
)
from helpers.mechanism.probe_scores import accuracy, auroc, group_baseline, penalty_sweep, shuffled_control
from tests.language.builders import SENTENCES, tiny_hf, tiny_tokenizer

TEXTS = [SENTENCES[0], "You", SENTENCES[13] + " " + SENTENCES[2], "The boat today", SENTENCES[7], "My song."]
LONG = [text for text in TEXTS if text != "You"]


@pytest.fixture(scope="module")
def hf():
    return tiny_hf(layers=3, width=16)


@pytest.fixture(scope="module")
def model(hf):
    return boot(copy.deepcopy(hf), tiny_tokenizer(), name="tiny")


def planted(n=300, d_model=12, seed=0, shift=1.5):
    """Two clouds apart along one known direction, off centre, with unequal spreads by dimension."""
    random = torch.Generator().manual_seed(seed)
    direction = torch.randn(d_model, generator=random)
    direction /= direction.norm()
    toxic = torch.rand(n, generator=random) < 0.3
    features = torch.randn(n, d_model, generator=random) + 5.0
    features += shift * torch.where(toxic, 1.0, -1.0)[:, None] * direction
    return features, toxic, direction


# ---- pooling


def one_by_one(hf, model, text, layer, pooling):
    """Hugging Face, one unpadded text at a time; hooked, as its last hidden state is already normed."""
    seen = {}
    handle = hf.transformer.h[layer].register_forward_hook(
        lambda module, args, output: seen.update(x=output[0] if isinstance(output, tuple) else output)
    )
    ids = torch.tensor([model.tokenizer(text)["input_ids"]])
    with torch.no_grad():
        states = hf(ids, output_hidden_states=True).hidden_states
    handle.remove()
    residual = seen["x"].reshape(ids.shape[1], -1)
    if layer + 1 < hf.config.n_layer:
        assert torch.equal(states[layer + 1][0], residual)
    else:
        assert not torch.allclose(states[-1][0], residual, atol=1e-2)
        assert torch.allclose(states[-1][0], hf.transformer.ln_f(residual), atol=1e-5)
    return {
        "mean": lambda: residual[1:].mean(dim=0),
        "mean_all": lambda: residual.mean(dim=0),
        "last": lambda: residual[-1],
        "first": lambda: residual[0],
    }[pooling]()


@pytest.mark.parametrize("pooling", ["mean", "mean_all", "last", "first"])
def test_pooled_residuals_agree_with_hugging_face_text_by_text(hf, model, pooling):
    found = pooled_residuals(model, model.tokenise(LONG), layers=[0, 2], pooling=pooling, batch_size=2)
    assert found.shape == (len(LONG), 2, 16)
    for text, vectors in zip(LONG, found, strict=True):
        for layer, vector in zip((0, 2), vectors, strict=True):
            expected = one_by_one(hf, model, text, layer, pooling)
            assert torch.allclose(vector, expected, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_neither_padding_nor_batches_matter(model, pooling):
    settings = {"layers": [-1], "pooling": pooling}
    right = model.tokenise(LONG)
    reference = pooled_residuals(model, right, **settings, batch_size=1)
    left = model.tokenise(LONG, side="left")
    # What stands under the padding must not matter either.
    scrambled = Tokens(torch.where(right.mask, right.ids, 7), right.mask)
    wider = Tokens(torch.nn.functional.pad(right.ids, (0, 5)), torch.nn.functional.pad(right.mask, (0, 5)))
    for tokens in (right, left, scrambled, wider):
        for batch_size in (2, 64):
            found = pooled_residuals(model, tokens, **settings, batch_size=batch_size)
            assert torch.allclose(found, reference, atol=1e-4)


def test_end_of_text_inside_a_text_is_a_token_like_others(model):
    end = model.tokenizer.eos_token_id
    ids = torch.tensor([[40, 41, end, 42]])
    tokens = Tokens(ids, torch.ones_like(ids, dtype=torch.bool))
    last = pooled_residuals(model, tokens, layers=[-1], pooling="last")
    without = Tokens(ids[:, :2], tokens.mask[:, :2])
    assert not torch.allclose(last, pooled_residuals(model, without, layers=[-1], pooling="last"), atol=1e-2)


def test_mean_leaves_out_the_first_position(model):
    """n · mean_all = first + (n − 1) · mean."""
    tokens = model.tokenise(LONG)
    counts = tokens.mask.sum(dim=1)[:, None, None]
    pooled = {how: pooled_residuals(model, tokens, layers=[0, 1], pooling=how) for how in POOLINGS}
    assert torch.allclose(
        counts * pooled["mean_all"], pooled["first"] + (counts - 1) * pooled["mean"], atol=1e-3
    )


@pytest.mark.parametrize("side", ["left", "right"])
def test_stream_norms_are_means_over_all_positions_but_the_first(model, side):
    found = mean_stream_norms(model, model.tokenise(TEXTS, side=side), batch_size=4)
    for layer in range(3):
        norms = []
        for text in LONG:
            _, cache = model.bridge.run_with_cache(model.tokenise([text]).ids)
            norms.append(cache[f"blocks.{layer}.hook_resid_post"][0, 1:].norm(dim=-1))
        assert float(found[layer]) == pytest.approx(float(torch.cat(norms).mean()), rel=1e-4)
    with pytest.raises(ValueError, match="no position to average"):
        mean_stream_norms(model, model.tokenise(["You"]))


def test_layers_come_in_the_order_asked_for_and_count_from_the_end(model):
    tokens = model.tokenise(LONG)
    found = pooled_residuals(model, tokens, layers=[2, 0, -1])
    assert torch.equal(found[:, 0], found[:, 2])
    assert torch.equal(found[:, 1:2], pooled_residuals(model, tokens, layers=[0]))


def test_pooling_leaves_no_hook_and_runs_inside_an_intervention(model):
    tokens = model.tokenise(LONG)
    plain, logits = pooled_residuals(model, tokens, layers=[1]), model.logits(tokens)
    with model.bridge.hooks(fwd_hooks=[("blocks.1.hook_mlp_out", lambda value, hook: value + 1.0)]):
        moved = pooled_residuals(model, tokens, layers=[1])
        again = pooled_residuals(model, tokens, layers=[1])
    assert torch.allclose(moved, plain + 1.0, atol=1e-4) and torch.equal(moved, again)
    assert torch.equal(model.logits(tokens), logits)


def test_progress_counts_texts(model):
    seen = []
    pooled_residuals(
        model,
        model.tokenise(LONG),
        layers=[0],
        batch_size=2,
        progress=lambda done, total, what: seen.append((done, total)),
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_texts_and_settings_that_cannot_be_pooled_are_named(model):
    tokens = model.tokenise(TEXTS)
    assert int(tokens.mask[1].sum()) == 1
    with pytest.raises(ValueError, match="Text 1 has 1 token"):
        pooled_residuals(model, tokens, layers=[0])
    assert pooled_residuals(model, tokens, layers=[0], pooling="mean_all").isfinite().all()
    with pytest.raises(ValueError, match="0 to 2"):
        pooled_residuals(model, tokens, layers=[3])
    with pytest.raises(ValueError, match="mean_all, last"):
        pooled_residuals(model, tokens, layers=[0], pooling="median")
    with pytest.raises(ValueError, match="max_tokens=64"):
        pooled_residuals(model, model.tokenise([" ".join(SENTENCES[:9])]), layers=[0])


def test_a_broken_residual_stream_is_an_error_that_names_the_text(model):
    def break_third(value, hook):
        return torch.where(torch.arange(len(value))[:, None, None] == 2, torch.nan, value)

    same_length = Tokens(torch.arange(20).reshape(4, 5) + 30, torch.ones(4, 5, dtype=torch.bool))
    with (
        model.bridge.hooks(fwd_hooks=[("blocks.0.hook_mlp_out", break_third)]),
        pytest.raises(FloatingPointError, match="hook_resid_post is NaN or infinite in text 2"),
    ):
        pooled_residuals(model, same_length, layers=[1])


# ---- fitting


@pytest.mark.parametrize("penalty", [1e-3, 0.1, 1.0, 100.0])
def test_the_fit_is_stationary_in_the_stated_objective(penalty):
    features, toxic, _ = planted()
    probe = fit_probe(features, toxic, penalty=penalty)
    z = (features.double() - features.double().mean(dim=0)) / common_scale(features)
    w = (probe.weight.double() * probe.scale).requires_grad_()
    at_centre = probe.bias + float(probe.centre.double() @ probe.weight.double())
    b = torch.tensor(at_centre, dtype=torch.float64, requires_grad=True)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(z @ w + b, toxic.double())
    (loss + penalty * w.square().sum()).backward()
    assert w.grad.abs().max() < 1e-5 and b.grad.abs() < 1e-5
    # The bound means something: a weight one per cent off is far from stationary.
    off = (w.detach() * 1.01).requires_grad_()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(z @ off + b.detach(), toxic.double())
    (loss + penalty * off.square().sum()).backward()
    assert off.grad.abs().max() > 1e-5


def test_the_scale_is_one_number_and_standardises():
    features, _, _ = planted()
    z = (features - features.mean(dim=0)) / common_scale(features)
    assert z.square().mean().item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("C", [1.0, 0.01])
def test_equivalent_penalty_is_scikit_learn_on_raw_features(C):
    features, toxic, _ = planted()
    penalty = equivalent_penalty(C, len(features), common_scale(features))
    probe = fit_probe(features, toxic, penalty=penalty)
    raw = LogisticRegression(C=C, tol=1e-10, max_iter=5000).fit(features.double().numpy(), toxic.numpy())
    assert torch.allclose(probe.weight, torch.from_numpy(raw.coef_[0]).float(), atol=1e-4)
    assert probe.bias == pytest.approx(float(raw.intercept_[0]), abs=1e-3)


def test_penalty_and_C_are_each_others_inverse():
    assert equivalent_penalty(equivalent_C(0.3, 70), 70) == pytest.approx(0.3)


def test_logits_are_those_of_weight_and_bias_in_raw_coordinates():
    features, toxic, _ = planted()
    probe = fit_probe(features, toxic)
    direct = features.double() @ probe.weight.double() + probe.bias
    assert torch.allclose(probe.logit(features).double(), direct, atol=1e-5)
    assert torch.allclose(probe.probability(features), torch.sigmoid(direct).float(), atol=1e-5)
    assert probe.logit(features[0]).shape == ()


def test_logits_stay_exact_where_one_dimension_is_huge():
    """As in GPT-2, whose residual stream has dimensions in the thousands."""
    features, toxic, _ = planted()
    features[:, 3] += 30_000.0
    probe = fit_probe(features, toxic, penalty=0.01)
    direct = features.double() @ probe.weight.double() + probe.bias
    assert torch.allclose(probe.logit(features).double(), direct, atol=1e-4)


def test_the_logit_hands_its_gradient_on():
    features, toxic, _ = planted()
    probe = fit_probe(features, toxic)
    x = features[0].clone().requires_grad_()
    probe.logit(x).backward()
    assert torch.allclose(x.grad, probe.weight)


def test_a_planted_direction_is_found_with_its_sign_and_unit_norm():
    features, toxic, direction = planted(n=4000)
    probe = fit_probe(features, toxic)
    assert probe.direction.norm().item() == pytest.approx(1.0, abs=1e-6)
    assert float(probe.direction @ direction) > 0.99
    assert float(fit_probe(features, ~toxic).direction @ direction) < -0.99
    assert float(mean_difference(features, toxic) @ direction) > 0.99


def test_scaling_the_stream_keeps_the_direction_and_the_read_out():
    features, toxic, _ = planted()
    probe, scaled = fit_probe(features, toxic), fit_probe(1000 * features, toxic)
    assert torch.allclose(probe.direction, scaled.direction, atol=1e-5)
    assert torch.allclose(probe.logit(features), scaled.logit(1000 * features), atol=1e-4)


def test_an_endless_penalty_gives_the_mean_difference():
    features, toxic, _ = planted()
    features = features * torch.linspace(0.2, 3.0, 12)
    untuned = mean_difference_probe(features, toxic)
    probes = [fit_probe(features, toxic, penalty=penalty) for penalty in (1e-3, 1.0, 1e5)]
    cosine = [float(probe.direction @ untuned.direction) for probe in probes]
    assert cosine[0] < cosine[1] < cosine[2]
    assert cosine[2] == pytest.approx(1.0, abs=1e-5)
    assert math.isinf(untuned.penalty)
    midpoint = (features[toxic].mean(dim=0) + features[~toxic].mean(dim=0)) / 2
    assert untuned.logit(midpoint).item() == pytest.approx(0.0, abs=1e-5)
    assert untuned.logit(features[toxic].mean(dim=0)) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x, torch.ones_like(y)), "all 300 labels are the same"),
        (lambda x, y: (x.where(x > 5, torch.nan), y), "NaN"),
        (lambda x, y: (torch.ones_like(x), y), "same features"),
    ],
)
def test_data_that_cannot_be_fitted_is_refused(change, message):
    features, toxic = change(*planted()[:2])
    with pytest.raises(ValueError, match=message):
        fit_probe(features, toxic)


def test_one_label_per_text_is_wanted():
    features, toxic, _ = planted()
    with pytest.raises(ValueError, match="299 texts' features but 300 labels"):
        check_labelled(features[:-1], toxic)


@pytest.mark.parametrize("penalty", [0.0, -1.0, math.inf, math.nan])
def test_penalties_without_a_solution_are_refused(penalty):
    with pytest.raises(ValueError, match="penalty must be positive"):
        fit_probe(*planted()[:2], penalty=penalty)


# ---- judging


def test_accuracy_and_auroc_agree_with_scikit_learn():
    features, toxic, _ = planted(shift=0.5)
    probe = fit_probe(features, toxic)
    scores = probe.logit(features).round(decimals=1)  # with ties
    blunt = Probe(torch.tensor([1.0]), 0.0, -1, "mean", 1.0, torch.tensor([0.0]), 1.0)
    found = auroc(blunt, scores[:, None], toxic, n=200)
    assert found.value == pytest.approx(roc_auc_score(toxic.numpy(), scores.numpy()))
    assert found.low < found.value < found.high
    right = (probe.probability(features) > 0.5) == toxic
    assert accuracy(probe, features, toxic, n=200).value == pytest.approx(right.float().mean().item())


def test_auroc_reads_a_bare_direction_and_knows_its_sign():
    features, toxic, direction = planted()
    forward = auroc(direction, features, toxic, n=50).value
    assert forward > 0.9
    assert auroc(-direction, features, toxic, n=50).value == pytest.approx(1 - forward)


def test_shuffled_labels_read_at_chance_where_the_probe_does_not():
    features, toxic, _ = planted(n=800)
    held_out, labels = features[400:], toxic[400:]
    features, toxic = features[:400], toxic[:400]
    control = shuffled_control(features, toxic, held_out, labels, repeats=20, seed=0, penalty=0.01)
    # Chance has an AUROC of one half on average; a single repeat may point anywhere.
    assert control.auroc.low < 0.5 < control.auroc.high
    probe = fit_probe(features, toxic, penalty=0.01)
    assert accuracy(probe, held_out, labels).low > control.accuracy.high
    again = shuffled_control(features, toxic, held_out, labels, repeats=20, seed=0, penalty=0.01)
    assert torch.equal(control.accuracies, again.accuracies)
    assert len(set(control.aurocs.tolist())) > 10


def test_a_group_alone_answers_with_its_own_commonest_label():
    toxic = torch.tensor([True, True, False, False, False])
    test_toxic = torch.tensor([True, False, False, True, False])
    always, area = group_baseline([""] * 5, toxic, [""] * 5, test_toxic, n=50)
    assert always.tolist() == [False, True, True, False, True] and area.value == 0.5
    always, _ = group_baseline([""] * 5, ~toxic, [""] * 5, test_toxic, n=50)
    assert always.tolist() == [True, False, False, True, False], "most are toxic, so all are"
    moods = ["angry", "angry", "angry", "calm", "calm"]
    alone, area = group_baseline(moods, toxic, ["angry", "angry", "calm", "calm", "new"], test_toxic, n=50)
    assert alone.tolist() == [True, False, True, False, True]
    # Pairs: 2/3 against 2/3, 0 and .4, then 0 against the same three.
    assert area.value == pytest.approx((0.5 + 1 + 1 + 0 + 0.5 + 0) / 6)


def test_under_a_strong_penalty_and_few_toxic_texts_accuracy_falls_to_always_clean_but_auroc_does_not():
    """Why AUROC stands beside accuracy: the penalty shrinks the logit toward the base rate, order intact."""
    features, toxic, _ = planted(n=800, shift=3.0)
    probe = fit_probe(features, toxic, penalty=100.0)
    assert accuracy(probe, features, toxic, n=50).value == pytest.approx((~toxic).float().mean().item())
    assert auroc(probe, features, toxic, n=50).low > 0.99


def test_a_sweep_returns_one_row_per_penalty_in_order():
    features, toxic, _ = planted(shift=0.4)
    held_out, labels, _ = planted(seed=0, shift=0.4, n=100)
    rows = penalty_sweep(features, toxic, held_out, labels, [10.0, 1e-3], layer=2, pooling="last", n=50)
    penalties = [row.probe.penalty for row in rows]
    assert penalties == [10.0, 1e-3]
    assert rows[0].probe.layer == 2 and rows[0].probe.pooling == "last"
    assert pytest.approx(equivalent_C(10.0, 300)) == rows[0].C
    assert rows[0].cosine_to_mean_difference > rows[1].cosine_to_mean_difference
    assert rows[1].accuracy == accuracy(fit_probe(features, toxic, penalty=1e-3), held_out, labels, n=50)
