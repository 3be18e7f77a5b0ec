"""Value vectors: planted ones are found, read in the vocabulary as the model does, matched by controls."""

import copy

import pytest
import torch

from helpers.language.models import boot
from helpers.mechanism.probe import fit_probe, pooled_residuals
from helpers.mechanism.vectors import (
    Neuron,
    cosine_matched,
    cosines,
    layer_histogram,
    matched_random,
    project_to_vocabulary,
    svd_directions,
    top_neurons,
    top_tokens,
    toxic_share,
    used_vocabulary,
    vectors_of,
)
from tests.language.builders import SENTENCES, tiny_hf, tiny_tokenizer

PLANTED = [Neuron(2, 7), Neuron(0, 40), Neuron(1, 3), Neuron(2, 0)]


def random_stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def direction():
    vector = torch.randn(32, generator=random_stream(1))
    return vector / vector.norm()


@pytest.fixture(scope="module")
def hf(direction):
    """Four neurons write the direction, each less purely than the one before and at its own strength."""
    hf = tiny_hf(layers=3, width=32)
    noise = torch.randn(4, 32, generator=random_stream(2))
    noise -= (noise @ direction)[:, None] * direction
    noise /= noise.norm(dim=-1, keepdim=True)
    with torch.no_grad():
        for rank, neuron in enumerate(PLANTED):
            vector = direction + 0.1 * (rank + 1) * noise[rank]
            hf.transformer.h[neuron.layer].mlp.c_proj.weight[neuron.index] = (rank + 1) ** 2 * 0.1 * vector
    return hf


@pytest.fixture(scope="module")
def model(hf):
    return boot(copy.deepcopy(hf), tiny_tokenizer(), name="tiny")


# ---- naming


def test_neurons_are_written_and_read():
    neuron = Neuron.parse(" L19.770 ")
    assert neuron == Neuron(19, 770) and str(neuron) == "L19.770"
    assert sorted([Neuron(1, 5), Neuron(0, 9), Neuron(1, 2)]) == [Neuron(0, 9), Neuron(1, 2), Neuron(1, 5)]


@pytest.mark.parametrize("text", ["19/770", "L19", "L19.", "l19.770", "L-1.2", "L1.2.3", "19.770", ""])
def test_other_forms_are_refused_with_the_form_wanted(text):
    with pytest.raises(ValueError, match="for example L19.770"):
        Neuron.parse(text)


def test_negative_places_are_refused():
    with pytest.raises(ValueError, match="count from 0"):
        Neuron(0, -1)


# ---- ranking


def test_planted_neurons_rank_first_in_order_whatever_their_length(model, direction):
    assert top_neurons(cosines(model.value_vectors, direction), 4) == PLANTED
    # The dot product, which a forgotten norm would give, ranks them the other way round.
    by_dot = (model.value_vectors @ direction).flatten()
    places = [neuron.layer * model.d_mlp + neuron.index for neuron in PLANTED]
    assert by_dot[places].argsort().tolist() == [0, 1, 2, 3]


def test_the_whole_path_finds_planted_neurons_from_labelled_residuals(model, direction):
    """Toxic texts are those whose streams are pushed along the direction; the probe finds who writes it."""
    tokens = model.tokenise(SENTENCES[:48])
    toxic = torch.rand(48, generator=random_stream()) < 0.5
    clean = pooled_residuals(model, tokens, layers=[-1])[:, 0]
    features = clean + 4 * clean.std() * toxic[:, None] * direction
    probe = fit_probe(features, toxic)
    assert set(top_neurons(cosines(model.value_vectors, probe.direction), 4)) == set(PLANTED)


def test_keys_are_not_values(model, direction):
    """The same indices, read from the wrong matrix, are nothing special."""
    key_cosines = cosines(model.key_vectors, direction)
    assert not set(top_neurons(key_cosines, 4)) & set(PLANTED)
    assert model.key_vectors.shape == model.value_vectors.shape


def test_centring_the_value_vectors_would_change_cosines_and_ranks(hf, model):
    """Why raw: TransformerLens would take each value vector's mean off, while the probe keeps its own."""
    toward = torch.randn(32, generator=random_stream(3)) + 1.0
    processed = boot(copy.deepcopy(hf), tiny_tokenizer(), name="processed").bridge
    processed.enable_compatibility_mode(disable_warnings=True)
    raw, centred = model.value_vectors, processed.W_out.detach()
    assert torch.allclose(centred, raw - raw.mean(dim=-1, keepdim=True), atol=1e-5)
    before, after = cosines(raw, toward), cosines(centred, toward)
    assert (before - after).abs().max() > 0.05
    assert top_neurons(before, 10) != top_neurons(after, 10)
    assert set(top_neurons(before, 10)) != set(top_neurons(after, 10))


def test_cosines_agree_with_pytorch_for_any_stack_of_vectors(model, direction):
    vectors = model.value_vectors
    expected = torch.nn.functional.cosine_similarity(vectors, 7 * direction, dim=-1)
    assert torch.allclose(cosines(vectors, 7 * direction), expected, atol=1e-6)
    assert torch.allclose(cosines(vectors[0, 5], direction), expected[0, 5], atol=1e-6)


def test_a_zero_vector_has_no_cosine_and_a_zero_direction_is_refused(direction):
    assert cosines(torch.stack([torch.zeros(32), direction]), direction).tolist() == pytest.approx([0.0, 1.0])
    with pytest.raises(ValueError, match="zero"):
        cosines(torch.ones(2, 32), torch.zeros(32))


def test_ties_go_to_the_lower_layer_then_the_lower_index():
    scores = torch.zeros(3, 50)
    scores[1, 9] = scores[2, 0] = 1.0
    assert top_neurons(scores, 4) == [Neuron(1, 9), Neuron(2, 0), Neuron(0, 0), Neuron(0, 1)]
    assert top_neurons(-scores, 2, largest=False) == [Neuron(1, 9), Neuron(2, 0)]
    with pytest.raises(ValueError, match="150 neurons"):
        top_neurons(scores, 151)
    with pytest.raises(ValueError, match="1 scores are NaN"):
        top_neurons(torch.tensor([[0.0, torch.nan]]), 1)


def test_selection_keeps_the_order_and_counts_by_layer(model):
    rows = vectors_of(model.value_vectors, PLANTED)
    for neuron, row in zip(PLANTED, rows, strict=True):
        assert torch.equal(row, model.value_vector(neuron))
    assert layer_histogram(PLANTED, 4).tolist() == [1, 1, 2, 0]
    with pytest.raises(ValueError, match="layers 0 to 1"):
        layer_histogram(PLANTED, 2)
    with pytest.raises(ValueError, match="no L3.0"):
        vectors_of(model.value_vectors, [Neuron(3, 0)])


# ---- vocabulary


def read_out(model, residual):
    return model.bridge.unembed(model.bridge.ln_final(residual[None, None]))[0, 0]


def test_projection_is_the_read_out_of_a_vector_at_right_angles_to_the_stream(model):
    """d logits = projection / σ exactly, where the vector does not change σ."""
    x, v = 3 * torch.randn(2, 32, generator=random_stream(4))
    centred = x - x.mean()
    sigma = (centred.square().mean() + model.bridge.cfg.eps).sqrt()
    v = v - v.mean()
    v = v - (v @ centred) / (centred @ centred) * centred
    _, change = torch.func.jvp(lambda residual: read_out(model, residual), (x,), (v,))
    assert torch.allclose(change, project_to_vocabulary(model, v) / sigma, atol=1e-4)
    small = 1e-2
    difference = (read_out(model, x + small * v) - read_out(model, x - small * v)) / (2 * small)
    assert torch.allclose(difference, project_to_vocabulary(model, v) / sigma, atol=1e-3)


def test_what_the_projection_leaves_out_only_scales_the_logits_there_already(model):
    """For any v: d logits = (projection − (x̂ · v) / d · (logits of x, without the LayerNorm's bias)) / σ."""
    x, v = 3 * torch.randn(2, 32, generator=random_stream(5))
    centred = x - x.mean()
    sigma = (centred.square().mean() + model.bridge.cfg.eps).sqrt()
    _, change = torch.func.jvp(lambda residual: read_out(model, residual), (x,), (v,))
    through_sigma = (centred / sigma @ v) / len(v) * project_to_vocabulary(model, x) / sigma
    assert torch.allclose(change, (project_to_vocabulary(model, v) - through_sigma) / sigma, atol=1e-4)
    bias_logits = model.bridge.ln_final.bias @ model.bridge.W_U
    assert torch.allclose(
        project_to_vocabulary(model, x) / sigma, read_out(model, x) - bias_logits, atol=1e-4
    )


def test_projection_is_linear_and_ignores_a_constant_shift(model, direction):
    other = torch.randn(32, generator=random_stream(6))
    both = project_to_vocabulary(model, torch.stack([direction, other]))
    assert torch.allclose(
        project_to_vocabulary(model, 2 * direction - other), 2 * both[0] - both[1], atol=1e-4
    )
    assert torch.allclose(project_to_vocabulary(model, direction + 3.0), both[0], atol=1e-4)


def test_top_tokens_are_used_ones_in_order(model, direction):
    logits = project_to_vocabulary(model, direction)
    used = torch.rand(model.vocab_size, generator=random_stream()) < 0.5
    ids = top_tokens(logits, 10, used)
    assert used[ids].all()
    assert ids.tolist() == [i for i in logits.argsort(descending=True).tolist() if used[i]][:10]
    assert torch.equal(top_tokens(-logits, 10, used), top_tokens(logits, 10, used, largest=False))
    with pytest.raises(ValueError, match="used tokens"):
        top_tokens(logits, 10, torch.zeros(model.vocab_size, dtype=torch.bool))


def test_used_vocabulary_counts_tokens():
    assert used_vocabulary([[1, 3], [3]], 5).tolist() == [False, True, False, True, False]
    assert used_vocabulary([[1, 3], [3]], 5, at_least=2).tolist() == [False, False, False, True, False]
    with pytest.raises(ValueError, match="vocabulary of 3"):
        used_vocabulary([[1, 3]], 3)


def test_toxic_share_finds_a_planted_vector_and_reads_chance_elsewhere(model, monkeypatch):
    used = torch.ones(model.vocab_size, dtype=torch.bool)
    toxic = torch.zeros(model.vocab_size, dtype=torch.bool)
    planted = torch.randn(32, generator=random_stream(7))
    toxic[top_tokens(project_to_vocabulary(model, planted), 8, used)] = True
    vectors = torch.cat([planted[None], -planted[None], torch.randn(200, 32, generator=random_stream(8))])
    shares = toxic_share(model, vectors, toxic, used, k=10)
    assert shares[0].item() == pytest.approx(0.8) and shares[1].item() == 0.0
    assert shares[2:].mean() < 0.1
    # An unused token is not counted, and the memory bound does not show in the result.
    fewer = used.clone()
    fewer[toxic.nonzero()[0]] = False
    assert toxic_share(model, vectors[:1], toxic, fewer, k=10).item() == pytest.approx(0.7)
    monkeypatch.setattr("helpers.mechanism.vectors.LOGITS_AT_ONCE", 3 * model.vocab_size)
    assert torch.equal(toxic_share(model, vectors, toxic, used, k=10), shares)


# ---- SVD


def test_svd_recovers_a_planted_subspace_signs_and_order():
    random = random_stream(9)
    axes = torch.linalg.qr(torch.randn(24, 3, generator=random)).Q.T
    weights = torch.randn(200, 3, generator=random) * torch.tensor([3.0, 2.0, 1.0])
    vectors = weights @ axes * (1 + 100 * torch.rand(200, 1, generator=random))
    toward = axes[0] - axes[1] + 0.5 * axes[2]
    found = svd_directions(vectors, toward, 3)
    assert torch.allclose(found @ found.T, torch.eye(3), atol=1e-5)
    assert torch.allclose(axes @ (found.T @ found), axes, atol=1e-4)  # same subspace
    assert (found @ toward > 0).all()
    assert torch.allclose(svd_directions(vectors, -toward, 3), -found, atol=1e-5)


def test_svd_normalises_rows_and_does_not_centre_them():
    shared = torch.zeros(6)
    shared[0] = 1.0
    vectors = torch.cat([shared.expand(20, 6), 1000 * torch.eye(6)[1:2]])
    first = svd_directions(vectors, shared, 1)[0]
    # Centred, the shared part would be gone; not normalised, the one long row would win.
    assert torch.allclose(first, shared, atol=1e-5)


def test_svd_refuses_what_has_no_directions():
    with pytest.raises(ValueError, match="at most 3"):
        svd_directions(torch.eye(5)[:3], torch.ones(5), 4)
    with pytest.raises(ValueError, match="Vector 1 is zero"):
        svd_directions(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.ones(2), 1)


# ---- controls


def test_matched_neurons_share_layers_and_nothing_else():
    neurons = [Neuron(0, 1), Neuron(2, 5), Neuron(2, 6), Neuron(0, 2)]
    kept_out = [Neuron(2, index) for index in range(10, 64)]
    drawn = matched_random(neurons, d_mlp=64, seed=0, exclude=kept_out)
    assert [neuron.layer for neuron in drawn] == [0, 2, 2, 0]
    assert len(set(drawn)) == 4 and not set(drawn) & {*neurons, *kept_out}
    assert drawn == matched_random(neurons, d_mlp=64, seed=0, exclude=kept_out)
    assert drawn != matched_random(neurons, d_mlp=64, seed=1, exclude=kept_out)


def test_every_free_neuron_can_be_drawn():
    drawn = {matched_random([Neuron(0, 0)], d_mlp=6, seed=seed)[0].index for seed in range(100)}
    assert drawn == {1, 2, 3, 4, 5}


def test_matching_by_norm_draws_among_the_nearest():
    norms = torch.arange(100.0).flip(0).expand(2, 100)
    neurons = [Neuron(1, 50), Neuron(0, 10), Neuron(1, 90)]
    for seed in range(20):
        drawn = matched_random(neurons, d_mlp=100, seed=seed, norms=norms, nearest=4)
        for neuron, match in zip(neurons, drawn, strict=True):
            assert 1 <= abs(match.index - neuron.index) <= 2
    assert (
        len({tuple(matched_random(neurons, d_mlp=100, seed=s, norms=norms, nearest=4)) for s in range(20)})
        > 5
    )


def test_matching_refuses_repeats_strangers_and_full_layers():
    with pytest.raises(ValueError, match="repeats"):
        matched_random([Neuron(0, 1), Neuron(0, 1)], d_mlp=4, seed=0)
    with pytest.raises(ValueError, match="no L0.9"):
        matched_random([Neuron(0, 9)], d_mlp=4, seed=0)
    with pytest.raises(ValueError, match="Layer 0 has no neuron left"):
        matched_random([Neuron(0, index) for index in range(3)], d_mlp=4, seed=0)


# ---- the cosine-matched null


def null_setting():
    """Vectors of three layers of unlike lengths, some neurons of them, and a direction."""
    lengths = torch.tensor([1.0, 3.0, 0.2])[:, None, None]
    vectors = lengths * torch.randn(3, 20, 16, generator=random_stream(4))
    return vectors, [Neuron(2, 5), Neuron(0, 0), Neuron(0, 7), Neuron(1, 19)], vectors[1, 2] + vectors[0, 1]


def remainder(vectors, direction):
    unit = direction / direction.norm()
    rest = vectors - (vectors @ unit)[..., None] * unit
    return rest / rest.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("seed", range(3))
def test_the_null_keeps_cosine_norm_and_order(seed):
    vectors, neurons, direction = null_setting()
    null, own = cosine_matched(vectors, neurons, direction, seed=seed), vectors_of(vectors, neurons)
    assert torch.allclose(cosines(null, direction), cosines(own, direction), atol=1e-6)
    assert torch.allclose(null.norm(dim=-1), own.norm(dim=-1), rtol=1e-6)
    again = cosine_matched(vectors, neurons, 7 * direction, seed=seed)
    assert torch.allclose(null, again, atol=1e-6), "the direction's length is no matter"


def test_the_nulls_remainder_is_another_neurons_of_the_same_layer():
    vectors, neurons, direction = null_setting()
    kept_out = [Neuron(0, index) for index in range(1, 17)]
    null = remainder(cosine_matched(vectors, neurons, direction, seed=3, exclude=kept_out), direction)
    likeness = torch.einsum("nd,lid->nli", null, remainder(vectors, direction))
    for found, neuron in zip(likeness, neurons, strict=True):
        donors = [Neuron(*place) for place in (found > 1 - 1e-5).nonzero().tolist()]
        assert len(donors) == 1 and donors[0].layer == neuron.layer
        assert donors[0] not in (*neurons, *kept_out)


def test_the_null_differs_from_draw_to_draw_and_leaves_the_vectors_alone():
    vectors, neurons, direction = null_setting()
    before = vectors.clone()
    draws = [cosine_matched(vectors, neurons, direction, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.allclose(draws[0], draws[2])
    assert torch.equal(vectors, before)


def test_a_vector_along_the_direction_stays_and_a_donor_without_remainder_is_refused():
    direction = torch.eye(4)[0]
    vectors = torch.stack([3 * direction, torch.tensor([1.0, 1.0, 0.0, 0.0])])[None]
    assert torch.allclose(cosine_matched(vectors, [Neuron(0, 0)], direction, seed=0), 3 * direction)
    with pytest.raises(ValueError, match="L0.0 points along the direction alone"):
        cosine_matched(vectors, [Neuron(0, 1)], direction, seed=0)
