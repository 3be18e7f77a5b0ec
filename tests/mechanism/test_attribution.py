"""Attribution in closed form: sums that must close, a slow version per token, nulls as they are called."""

import copy
import math

import pytest
import torch
from torch.nn.functional import layer_norm

from helpers.language.models import boot
from helpers.language.tokens import Tokens
from helpers.mechanism import attribution as at
from helpers.mechanism.statistics import measure_statistics
from helpers.mechanism.vectors import Neuron
from tests.language.builders import SENTENCES, tiny_hf, tiny_tokenizer

TEXTS = [*SENTENCES[:40:5], "You are", SENTENCES[13] + " " + SENTENCES[2]]
LAYERS, WIDTH = 3, 16
BOTH = [(definition, part) for definition in ("v1", "final") for part in ("whole", "activation")]


@pytest.fixture(scope="module")
def models():
    """Base, and a copy whose every weight has moved by a tenth: read-out, biases and LayerNorms too."""
    before = tiny_hf(layers=LAYERS, width=WIDTH)
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in before.parameters():  # biases start at 0, and gains at 1
            weight += 0.1 * torch.randn(weight.shape, generator=noise)
        after = copy.deepcopy(before)
        for weight in after.parameters():
            weight += 0.1 * weight.std() * torch.randn(weight.shape, generator=noise)
    return [boot(hf, tiny_tokenizer(), name=name) for hf, name in ((before, "base"), (after, "tuned"))]


@pytest.fixture(scope="module")
def texts(models):
    """The two models read texts of their own, some of other length."""
    return [models[0].tokenise(some) for some in (TEXTS, [text + " You are" for text in reversed(TEXTS)])]


@pytest.fixture(scope="module")
def read(models, texts):
    return [
        measure_statistics(model, tokens, counted=tokens.mask & (tokens.place >= 1))
        for model, tokens in zip(models, texts, strict=True)
    ]


@pytest.fixture(scope="module")
def direction():
    return 5 * torch.randn(WIDTH, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def found(models, read, direction):
    return at.attribute(*models, *read, direction)


def close(one, other, gross):
    """Equal up to float32 passes, in units of the gross reduction."""
    return torch.allclose(
        torch.as_tensor(one).double(), torch.as_tensor(other).double(), atol=1e-6 * float(gross)
    )


def test_it_is_what_projections_of_every_token_give(models, texts, direction, found):
    """m·v made for every token and layer, projected, and averaged over tokens: 1e-6 of gross apart."""
    means = []
    for model, tokens in zip(models, texts, strict=True):
        sites = [f"blocks.{layer}.mlp.hook_post" for layer in range(LAYERS)]
        with torch.no_grad():
            _, cache = model.bridge.run_with_cache(
                tokens.ids, attention_mask=tokens.mask.long(), names_filter=sites
            )
        counted = tokens.mask & (tokens.place >= 1)
        rows = []
        for layer, site in enumerate(sites):
            written = cache[site][counted].double()[..., None] * model.value_vectors[layer].double()
            rows.append((written @ (direction.double() / direction.double().norm())).mean(dim=0))
        means.append(torch.stack(rows))
    assert close(found.whole, means[0] - means[1], found.gross())
    assert found.whole.abs().max() > 1e-3 * found.gross()


def test_the_three_parts_add_up(found):
    assert torch.allclose(found.activation + found.value + found.interaction, found.whole, atol=1e-12)
    assert min(part.abs().sum() for part in (found.activation, found.value, found.interaction)) > 0


def test_neurons_and_bias_are_the_mlps_output(models, read, direction):
    unit = direction.double() / direction.double().norm()
    for model, means in zip(models, read, strict=True):
        for layer, block in enumerate(model.bridge.blocks):
            written = (
                means.activations[layer] @ model.value_vectors[layer].double() + block.mlp.b_out.double()
            )
            assert torch.isclose(written @ unit, means.mlp[layer] @ unit, atol=1e-5)


def test_quadrants_part_the_neurons_and_groups_their_reductions(found):
    assert torch.stack([*found.quadrants().values()]).sum(dim=0).eq(1).all()
    for name, inside in found.groups("final").items():
        assert (found.whole[inside] > 0).all() and (inside <= found.quadrants()[name]).all()
    lowers = torch.stack([*found.groups("final").values()]).any(dim=0)
    assert torch.equal(lowers, found.whole > 0)
    for name, inside in found.groups("v1").items():
        fell = (found.after < found.before)[inside]
        assert fell.all() if name[0] == "T" else not fell.any()


@pytest.mark.parametrize(("definition", "part"), BOTH)
def test_shares_add_up_to_one_and_are_sums_over_groups(found, definition, part):
    shares = found.shares(definition, part)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-12)
    sums = {
        name: sum(found.reduction(part)[spot].item() for spot in map(tuple, inside.nonzero().tolist()))
        for name, inside in found.groups(definition, part).items()
    }
    for name, each in shares.items():
        assert each == pytest.approx(sums[name] / sum(sums.values()), rel=1e-9)
    if definition == "final":
        assert sum(sums.values()) == pytest.approx(float(found.gross(part)))


def test_by_the_activation_part_both_definitions_are_one(found):
    for one, other in zip(
        *(found.shares(kind, "activation").values() for kind in ("v1", "final")), strict=True
    ):
        assert one == pytest.approx(float(other), abs=1e-9)


def test_without_a_change_there_are_no_shares(models, read, direction):
    nothing = at.attribute(models[0], models[0], read[0], read[0], direction)
    assert nothing.gross() == 0 and all(math.isnan(one) for one in nothing.shares().values())
    assert nothing.to_reach(0.5, of="net") == nothing.to_reach(0.5, of="gross") == 0
    assert math.isnan(nothing.share_of_top(4))


def test_the_largest_are_counted_until_they_reach(found):
    for of, goal in (("net", found.net()), ("gross", found.gross())):
        if goal <= 0:
            assert found.to_reach(0.5, of=of) == 0
            continue
        for fraction in (0.1, 0.5, 0.99):
            numbers = sorted(found.whole.flatten().tolist(), reverse=True)
            count = next(k for k in range(1, len(numbers)) if sum(numbers[:k]) >= fraction * goal)
            assert found.to_reach(fraction, of=of) == count
    assert found.to_reach(1.0, of="gross") <= found.whole.numel()


def test_the_top_share_counts_those_that_fired_and_fire_less(found):
    order = found.cosine.flatten().argsort(descending=True)[:30].tolist()
    flat = {name: getattr(found, name).flatten() for name in ("before", "after", "whole")}
    kept = [i for i in order if flat["before"][i] > 0 and flat["after"][i] < flat["before"][i]]
    wanted = sum(max(0.0, flat["whole"][i].item()) for i in kept) / found.gross().item()
    assert 0 < len(kept) < 30 and found.share_of_top(30) == pytest.approx(wanted)


def test_several_directions_at_once_are_each_as_alone(models, read, direction):
    some = torch.stack([direction, torch.ones(WIDTH)])
    together = at.attribute(*models, *read, some)
    for row, one in enumerate(some):
        alone = at.attribute(*models, *read, one)
        assert torch.allclose(together.whole[row], alone.whole, atol=1e-12)
        assert torch.equal(together.cosine[row] > 0, alone.cosine > 0)
        for name, each in together.shares("v1").items():
            assert each[row] == pytest.approx(float(alone.shares("v1")[name]))
    assert together.gross().shape == together.net().shape == (2,)


def test_the_length_and_nothing_else_of_a_direction_is_ignored(models, read, direction, found):
    longer, turned = (at.attribute(*models, *read, factor * direction) for factor in (7.0, -1.0))
    assert torch.allclose(longer.whole, found.whole) and torch.allclose(turned.whole, -found.whole)


# --- draws of texts ---------------------------------------------------------------------------------------
def test_a_draw_that_weighs_all_alike_is_the_attribution_itself(found, read, monkeypatch):
    monkeypatch.setattr(at, "resampling_weights", lambda items, *, n, seed: torch.full((n, items), 1 / items))
    (drawn,) = at.resamples(found, *read, n=3, seed=0)
    assert drawn.whole.shape == (3, *found.whole.shape)
    for row in range(3):
        assert torch.allclose(drawn.whole[row], found.whole, atol=1e-9)


def test_a_draw_is_the_attribution_of_its_texts(models, texts, read, found, direction, monkeypatch):
    """Ten texts in ten groups: weights of a draw stand for texts taken so many times."""
    taken = [0, 0, 3, 4, 4, 4, 7, 8, 9, 9]
    weights = torch.tensor([[taken.count(text) / len(taken) for text in range(len(taken))]])
    monkeypatch.setattr(at, "resampling_weights", lambda items, *, n, seed: weights)
    (drawn,) = at.resamples(found, *read, n=1, seed=0)
    again = [
        measure_statistics(
            model, Tokens(some.ids[taken], some.mask[taken]), counted=(some.mask & (some.place >= 1))[taken]
        )
        for model, some in zip(models, texts, strict=True)
    ]
    wanted = at.attribute(*models, *again, direction)
    assert close(drawn.whole[0], wanted.whole, found.gross())
    for name, each in wanted.shares().items():
        assert drawn.shares()[name].item() == pytest.approx(float(each), abs=1e-5)


def test_some_draws_at_a_time_are_the_same_draws(found, read, monkeypatch):
    together = torch.cat([one.whole for one in at.resamples(found, *read, n=9, seed=3)])
    noise = at.noise_of(found, *read, n=9, seed=3, part="whole")
    assert torch.allclose(noise, (together - together.mean(dim=0)).square().mean(dim=0).sqrt(), atol=1e-12)
    monkeypatch.setattr(at, "NUMBERS_AT_ONCE", 2 * found.whole.numel())
    pieces = [one.whole for one in at.resamples(found, *read, n=9, seed=3)]
    assert len(pieces) == 5 and torch.allclose(torch.cat(pieces), together, atol=1e-12)
    assert torch.allclose(at.noise_of(found, *read, n=9, seed=3, part="whole"), noise)


@pytest.mark.parametrize("part", ["whole", "activation"])
def test_exchanged_labels_turn_a_change_around(models, read, found, direction, part):
    """Where base is called tuned and tuned base, the same halves give the same change with the other sign."""
    (drawn,) = at.with_labels_exchanged(found, *read, n=4, seed=0, part=part)
    turned = at.attribute(*reversed(models), *reversed(read), direction)
    if part == "activation":  # of which the projections of base count, whoever is called so
        turned = at.Attribution(turned.before, turned.after, found.along, found.along, found.cosine)
    (other,) = at.with_labels_exchanged(turned, *reversed(read), n=4, seed=0, part=part)
    assert torch.allclose(drawn, -other, atol=1e-12)
    assert not torch.equal(drawn[0], drawn[1])


def test_what_both_differ_in_on_every_text_cancels(found, read):
    """Every group of texts the same: all of the change is the models', and exchange leaves nothing."""
    same = []
    for one in read:
        one = copy.copy(one)
        object.__setattr__(one, "sums", one.sums.mean(dim=0, keepdim=True).expand_as(one.sums))
        object.__setattr__(one, "counts", torch.full_like(one.counts, 7))
        same.append(one)
    (drawn,) = at.with_labels_exchanged(found, *same, n=3, seed=0)
    assert drawn.abs().max() < 1e-12


# --- nulls ------------------------------------------------------------------------------------------------
def test_random_directions_have_length_one_and_the_cosine_asked_for():
    noise = torch.Generator().manual_seed(0)
    like, offset = torch.randn(2, 40, generator=noise)
    plain = at.random_directions(60, like, seed=1)
    near = at.random_directions(60, like, seed=1, offset=3 * offset)
    wanted = float(like @ offset / like.norm() / offset.norm())
    for some in (plain, near):
        assert some.shape == (60, 40) and torch.allclose(some.norm(dim=1), torch.ones(60).double())
    assert torch.allclose(
        near @ offset.double() / offset.double().norm(), torch.full((60,), wanted).double(), atol=1e-6
    )
    rest = near - wanted * offset.double() / offset.double().norm()
    assert (rest @ rest.T / (1 - wanted**2) - torch.eye(60)).abs().max() < 0.8, "they differ besides"
    assert (plain @ like.double() / like.norm()).mean().abs() < 0.1
    assert torch.equal(plain, at.random_directions(60, like, seed=1))
    assert not torch.equal(plain, at.random_directions(60, like, seed=2))


def test_directions_are_turned_to_where_the_sum_fell(models, read):
    some = at.random_directions(30, torch.ones(models[0].d_model), seed=3)
    turned = at.turned_to_lower(some, *models, *read)
    nets = [float(at.attribute(*models, *read, each).net()) for each in some]
    signs = (turned * some).sum(dim=1).round()
    assert signs.tolist() == [1.0 if net >= 0 else -1.0 for net in nets] and 5 < (signs > 0).sum() < 25


def test_a_distance_is_what_would_have_to_move():
    null = torch.tensor([[0.4, 0.2, 0.2, 0.2], [0.2, 0.4, 0.2, 0.2]])
    value, spread = at.distance_from(torch.tensor([0.5, 0.3, 0.1, 0.1]), null)
    assert value == pytest.approx(0.2) and spread.tolist() == pytest.approx([0.2, 0.2])


# --- the whole account ------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def tokens_of(models):
    toxic = torch.zeros(models[0].vocab_size, dtype=torch.bool)
    used = toxic.clone()
    toxic[[5, 9]], used[2:30] = True, True
    return toxic, used


def test_the_account_closes(models, read, direction, found, tokens_of):
    account = at.account(*models, *read, direction, *tokens_of)
    assert abs(account.residue) < 1e-5
    assert sum(account.rows().values()) == pytest.approx(account.stream, abs=1e-5 * account.gross)
    assert all(abs(row) > 1e-5 for row in account.rows().values()), "every source has moved"
    unit = direction.double() / direction.double().norm()
    heads = account.heads.sum(dim=1) + account.attention_bias
    for layer in range(LAYERS):
        assert close(
            heads[layer], (read[0].attention[layer] - read[1].attention[layer]) @ unit, 10 * account.gross
        )
    neurons = account.activation + account.value + account.interaction
    assert torch.allclose(neurons, found.whole.sum(dim=1))


def test_the_toxic_logit_is_what_the_models_logits_say(models, texts, read, direction, tokens_of):
    toxic, used = tokens_of
    logits = []
    for model, tokens in zip(models, texts, strict=True):
        counted = tokens.mask & (tokens.place >= 1)
        rows = model.logits(tokens)[counted].double()
        logits.append((rows[:, toxic].mean(dim=1) - rows[:, used].mean(dim=1)).mean().item())
    for model, means, wanted in zip(models, read, logits, strict=True):
        assert at.toxic_logit(model, means, toxic, used) == pytest.approx(wanted, abs=1e-5)
    account = at.account(*models, *read, direction, toxic, used)
    assert account.read_by_stream + account.read_by_readout == pytest.approx(logits[0] - logits[1], abs=1e-5)
    assert at.toxic_logit(models[0], read[0], torch.zeros_like(toxic), used) == 0


def test_the_stream_row_reads_afters_stream_with_bases_readout(models, texts, read, direction, tokens_of):
    """The last stream of the tuned model, through base's last LayerNorm and unembedding."""
    toxic, used = tokens_of
    site = f"blocks.{LAYERS - 1}.hook_resid_post"
    with torch.no_grad():
        _, cache = models[1].bridge.run_with_cache(
            texts[1].ids, attention_mask=texts[1].mask.long(), names_filter=site
        )
    base = models[0].bridge
    counted = texts[1].mask & (texts[1].place >= 1)
    seen = layer_norm(cache[site][counted], (WIDTH,), base.ln_final.weight, base.ln_final.bias, 1e-5)
    step = base.unembed.W_U[:, toxic].mean(dim=1) - base.unembed.W_U[:, used].mean(dim=1)
    account = at.account(*models, *read, direction, toxic, used)
    wanted = at.toxic_logit(models[0], read[0], toxic, used) - (seen @ step).mean().item()
    assert account.read_by_stream == pytest.approx(wanted, abs=1e-5)


# --- sets -------------------------------------------------------------------------------------------------
def test_masks_and_lists_are_one_another():
    some = [Neuron(2, 1), Neuron(0, 3)]
    mask = at.mask_of(some, torch.Size((3, 5)))
    assert mask.sum() == 2 and at.neurons_of(mask) == sorted(some)


def test_shuffled_masks_keep_the_number_in_every_layer():
    mask = torch.rand(4, 50, generator=torch.Generator().manual_seed(0)) < 0.3
    one, other = (at.shuffled_within_layers(mask, seed=seed) for seed in (0, 1))
    assert torch.equal(one.sum(dim=1), mask.sum(dim=1)) and not torch.equal(one, mask)
    assert not torch.equal(one, other)
