"""Changes between two models: sums that must close, slow obvious versions, and what cannot be asked."""

import copy
import math

import pytest
import torch
from torch.nn.functional import gelu

from helpers.language.models import boot
from helpers.mechanism import changes
from helpers.mechanism.statistics import measure_statistics
from helpers.mechanism.vectors import Neuron
from tests.language.builders import SENTENCES, tiny_hf, tiny_tokenizer

TEXTS = [*SENTENCES[:40:5], "You are", SENTENCES[13] + " " + SENTENCES[2]]
LAYERS = 3


@pytest.fixture(scope="module")
def plain():
    """A plain model and one whose every weight, LayerNorms and biases too, has moved by a twentieth."""
    before = tiny_hf(layers=LAYERS, width=16)
    after = copy.deepcopy(before)
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in after.parameters():
            weight += 0.05 * weight.std() * torch.randn(weight.shape, generator=noise)
    return before, after


@pytest.fixture(scope="module")
def models(plain):
    return [
        boot(copy.deepcopy(hf), tiny_tokenizer(), name=name) for hf, name in zip(plain, "ba", strict=True)
    ]


@pytest.fixture(scope="module")
def read(models):
    tokens = models[0].tokenise(TEXTS)
    counted = tokens.mask & (tokens.place >= 1)
    return [measure_statistics(model, tokens, counted=counted) for model in models]


def test_every_weight_of_the_checkpoint_is_compared_once(plain, models):
    before, after = (dict(hf.named_parameters()) for hf in plain)
    found = changes.tensor_changes(*models)
    assert [one.name for one in found] == [name.removeprefix("transformer.") for name in before]
    for one in found:
        old, new = (hf[f"transformer.{one.name}"].detach().double() for hf in (before, after))
        assert math.isclose(
            one.cosine, torch.cosine_similarity(old.flatten(), new.flatten(), dim=0), rel_tol=1e-9
        )
        assert math.isclose(one.length, (new - old).norm(), rel_tol=1e-6)
        assert math.isclose(one.relative, (new - old).norm() / old.norm(), rel_tol=1e-6)


def test_a_tensor_that_was_zero_has_no_cosine():
    models = []
    for fill in (0.0, 1.0):
        hf = tiny_hf(layers=1, width=16)
        with torch.no_grad():
            hf.transformer.h[0].mlp.c_fc.bias.fill_(fill)
        models.append(boot(hf, tiny_tokenizer(), name="tiny"))
    moved = {one.name: one for one in changes.tensor_changes(*models)}["h.0.mlp.c_fc.bias"]
    assert math.isnan(moved.cosine) and math.isinf(moved.relative) and moved.length == 8


def test_models_of_two_shapes_are_not_compared(models):
    with pytest.raises(ValueError, match="differ in n_layers: 3 and 2"):
        changes.tensor_changes(models[0], boot(tiny_hf(width=16), tiny_tokenizer(), name="two"))


def test_rows_are_compared_one_by_one(models):
    before, after = (model.value_vectors for model in models)
    found = changes.row_changes(before, after)
    for layer, index in ((0, 0), (2, 63)):
        one, other = before[layer, index], after[layer, index]
        torch.testing.assert_close(found.cosine[layer, index], one @ other / one.norm() / other.norm())
        torch.testing.assert_close(found.length[layer, index], (one - other).norm())
        torch.testing.assert_close(found.relative[layer, index], (one - other).norm() / one.norm())
    with pytest.raises(ValueError, match="1 of the vectors are zero"):
        changes.row_changes(torch.eye(3)[:, :2], torch.ones(3, 2))


def test_a_nudge_is_as_long_as_a_change_and_points_elsewhere(plain, models):
    wanted = {one.name: one.length for one in changes.tensor_changes(*models)}
    nudged = []
    for seed in (0, 0, 1):
        hf = copy.deepcopy(plain[0])
        changes.nudge(hf, wanted, seed=seed)
        nudged.append(hf)
    for name, old in plain[0].named_parameters():
        one, again, other = (dict(hf.named_parameters())[name].detach() - old.detach() for hf in nudged)
        assert math.isclose(one.norm(), wanted[name.removeprefix("transformer.")], rel_tol=1e-3)
        assert (
            torch.equal(one, again) and torch.cosine_similarity(one.flatten(), other.flatten(), dim=0) < 0.9
        )
    with pytest.raises(ValueError, match="other names"):
        changes.nudge(plain[0], {"wte.weight": 1.0}, seed=0)


def test_the_parts_of_a_pre_activations_change_add_up_and_are_what_they_say(models, read):
    split = changes.split_pre_activations(*models, *read)
    change = read[1].pre_activations - read[0].pre_activations
    torch.testing.assert_close(split.total, change, atol=1e-4, rtol=1e-4)
    for layer, index in ((0, 3), (2, 50)):
        (ln, mlp), (new_ln, new_mlp) = (
            (m.bridge.blocks[layer].ln2, m.bridge.blocks[layer].mlp) for m in models
        )
        key, new_key = mlp.W_in[:, index].double(), new_mlp.W_in[:, index].double()
        n, new_n = (one.standardised[layer] for one in read)
        shift = key @ (ln.weight.double() * (new_n - n))
        norm = key @ ((new_ln.weight - ln.weight).double() * new_n + (new_ln.bias - ln.bias).double())
        moved = (new_key - key) @ (new_ln.weight.double() * new_n + new_ln.bias.double())
        for found, wanted in (
            (split.stream, shift), (split.norm, norm), (split.key, moved),
            (split.bias, (new_mlp.b_in - mlp.b_in)[index].double()),
        ):  # fmt: skip
            torch.testing.assert_close(found[layer, index], wanted, atol=1e-6, rtol=1e-4)


def test_the_sources_of_the_offset_add_up(models, read):
    for layer in range(1, LAYERS):
        found = changes.offset_sources(*models, *read, layer=layer)
        torch.testing.assert_close(found.offset, read[1].mid[layer] - read[0].mid[layer])
        assert math.isclose(sum(found.along().values()), 1.0, abs_tol=1e-4)
        assert math.isclose(float(found.neurons.sum()), found.along()["value"], rel_tol=1e-6)
    slow = torch.zeros(16).double()
    for index in range(64):
        slow += read[0].activations[0, index] * (
            models[1].value_vector(Neuron(0, index)) - models[0].value_vector(Neuron(0, index))
        )
    torch.testing.assert_close(found.value[0], slow, atol=1e-6, rtol=1e-5)
    shift = models[1].value_vector(Neuron(1, 7)) - models[0].value_vector(Neuron(1, 7))
    cosine = torch.cosine_similarity(shift.double(), found.offset, dim=0)
    torch.testing.assert_close(found.cosine[1, 7], cosine, atol=1e-6, rtol=1e-5)
    assert torch.equal(changes.offset_sources(*models, *read).offset, found.offset)  # the last layer


def test_pairing_anew_leaves_what_the_means_alone_give(models, read):
    found = changes.offset_sources(*models, *read)
    means = sum(
        64 * m.mean() * shift.mean() for m, shift in zip(found.activations, found.shifts, strict=True)
    )
    drawn = found.shuffled(400, seed=0)
    assert abs(drawn.mean() - means) < 4 * drawn.std() / 20
    assert torch.equal(drawn[:3], found.shuffled(3, seed=0))


def test_parts_of_two_sets_of_texts_do_not_pass_for_a_change(models, read):
    tokens = models[0].tokenise(TEXTS[:2])
    elsewhere = measure_statistics(models[1], tokens, counted=tokens.mask)
    broken = copy.copy(elsewhere)
    object.__setattr__(broken, "pre_activations", read[0].pre_activations)
    with pytest.raises(ArithmeticError, match="pre-activations do not add up"):
        changes.split_pre_activations(*models, read[0], broken)
    object.__setattr__(broken, "mid", read[1].mid)
    with pytest.raises(ArithmeticError, match="sources of the offset do not add up"):
        changes.offset_sources(*models, read[0], broken)
    with pytest.raises(ValueError, match="no MLP below"):
        changes.offset_sources(*models, *read, layer=0)
    with pytest.raises(ValueError, match="nothing differs"):
        changes.offset_sources(models[0], models[0], read[0], read[0])


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_texts_stream_is_the_mean_over_its_positions(models, side):
    tokens = models[0].tokenise(TEXTS, side=side)
    counted, sites = (
        tokens.mask & (tokens.place >= 1),
        ["blocks.1.hook_resid_mid", "blocks.0.hook_resid_post"],
    )
    found = changes.text_streams(models[0], tokens, counted, sites=sites, batch_size=4)
    for number, text in enumerate(TEXTS):
        _, cache = models[0].bridge.run_with_cache(models[0].tokenise([text]).ids)
        for row, site in zip(found, sites, strict=True):
            torch.testing.assert_close(row[number], cache[site][0, 1:].mean(dim=0), atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="no position counts"):
        changes.text_streams(models[0], tokens, torch.zeros_like(tokens.mask), sites=sites)


def test_the_spectrum_of_one_direction_and_of_many():
    line = torch.outer(torch.tensor([1.0, 2.0, -3.0]), torch.tensor([3.0, 4.0]))
    found = changes.spectrum(line)
    torch.testing.assert_close(found.shares, torch.tensor([1.0, 0.0]).double())
    assert math.isclose(found.directions, 1.0, rel_tol=1e-9)
    even = changes.spectrum(torch.eye(5))
    assert math.isclose(even.directions, 5.0, rel_tol=1e-9)
    torch.testing.assert_close(even.to_mean, torch.full((5,), 5**-0.5))
    with pytest.raises(ValueError, match="zero"):
        changes.spectrum(torch.zeros(3, 2))


def test_a_pre_activation_of_the_stream_is_the_models_own(models):
    tokens, neuron = models[0].tokenise(TEXTS[:3]), Neuron(2, 11)
    _, cache = models[0].bridge.run_with_cache(tokens.ids, attention_mask=tokens.mask.long())
    found = changes.pre_activation(models[0], neuron, cache["blocks.2.hook_resid_mid"])
    torch.testing.assert_close(found, cache["blocks.2.mlp.hook_pre"][..., 11], atol=1e-5, rtol=1e-4)
    post = gelu(found, approximate="tanh")
    torch.testing.assert_close(post, cache["blocks.2.mlp.hook_post"][..., 11], atol=1e-5, rtol=1e-4)
    with pytest.raises(IndexError, match=r"L7\.0"):
        changes.pre_activation(models[0], Neuron(7, 0), cache["blocks.2.hook_resid_mid"])
