"""The statistics of a pass: identities that must close, the slow obvious version, batches and padding."""

import pytest
import torch
from torch.nn.functional import pad as widen

from helpers.intervals import resampling_weights
from helpers.language.generation import Continuations, continue_prompts
from helpers.language.models import boot
from helpers.language.texts import Prompt
from helpers.language.tokens import Tokens
from helpers.mechanism import statistics
from helpers.mechanism.statistics import Statistics, measure_statistics, predicting_positions
from helpers.mechanism.vectors import Neuron
from helpers.profiles import Decoding
from tests.language.builders import SENTENCES, tiny_hf, tiny_tokenizer

DECODING = Decoding(method="sample", new_tokens=6, max_prompt_tokens=24)
PROMPTS = [
    Prompt(str(n), text, "")
    for n, text in enumerate(["The boat", "You", *SENTENCES[:30:7], SENTENCES[13] + " They", "My song."])
]

NEURONS = [Neuron(1, 3), Neuron(1, 60)]


@pytest.fixture(scope="module")
def model():
    return boot(tiny_hf(layers=3, width=16), tiny_tokenizer(), name="tiny")


@pytest.fixture(scope="module")
def texts(model):
    written = continue_prompts(model, PROMPTS, DECODING, seed=0, batch_size=4)
    return predicting_positions(written, padding=0)


@pytest.fixture(scope="module")
def found(model, texts):
    return measure_statistics(model, texts[0], counted=texts[1], batch_size=3)


def slowly(model, texts, site):
    """The activations at the counted positions, text by text, each in a pass of its own."""
    tokens, counted = texts
    rows = []
    for ids, mask, counts in zip(tokens.ids, tokens.mask, counted, strict=True):
        _, cache = model.bridge.run_with_cache(ids[mask][None])
        rows.append(cache[site][0][counts[mask]].double())
    return rows


def test_a_token_is_predicted_one_position_before_its_own():
    written = Continuations(
        prompts=tuple(PROMPTS[:4]),
        prompt_ids=((5, 6, 7), (8,), (9, 4), (3, 2)),
        ids=torch.tensor([[1, 2, 3], [1, 2, 3], [1, 0, 3], [0, 1, 1]]),
        mask=torch.tensor([[True] * 3, [True] * 3, [True, False, False], [False] * 3]),
        texts=("",) * 4,
    )
    tokens, counted = predicting_positions(written, padding=11)
    assert tokens.ids.tolist() == [
        [5, 6, 7, 1, 2, 3], [8, 1, 2, 3, 11, 11], [9, 4, 1, 11, 11, 11], [3, 2, 11, 11, 11, 11],
    ]  # fmt: skip
    # Token 1 after the one-token prompt is predicted at position 0, which never counts.
    assert [row.nonzero().flatten().tolist() for row in counted] == [[2, 3, 4], [1, 2], [1], []]


def test_what_mlps_add_is_the_sum_over_their_neurons_of_means(model, found):
    for layer in range(model.n_layers):
        mlp = model.bridge.blocks[layer].mlp
        neurons = found.activations[layer] @ model.value_vectors[layer].double()
        torch.testing.assert_close(neurons + mlp.b_out.double(), found.mlp[layer], atol=1e-5, rtol=1e-5)


def test_embedding_attention_and_mlps_add_up_to_the_stream(found):
    added = torch.stack([found.attention, found.mlp], dim=1).flatten(0, 1).cumsum(dim=0)
    stream = torch.stack([found.mid, found.post], dim=1).flatten(0, 1)
    torch.testing.assert_close(found.embedding + added, stream, atol=1e-5, rtol=1e-5)


def test_keys_read_the_mean_input_as_they_read_each(model, found):
    for layer in range(model.n_layers):
        block = model.bridge.blocks[layer]
        read = found.standardised[layer] * block.ln2.weight.double() + block.ln2.bias.double()
        mean = model.key_vectors[layer].double() @ read + block.mlp.b_in.double()
        torch.testing.assert_close(mean, found.pre_activations[layer], atol=1e-5, rtol=1e-5)


def test_the_slow_way_finds_the_same(model, texts, found):
    for layer in range(model.n_layers):
        rows = slowly(model, texts, f"blocks.{layer}.mlp.hook_post")
        everywhere = torch.cat(rows)
        torch.testing.assert_close(found.activations[layer], everywhere.mean(dim=0), atol=1e-6, rtol=1e-5)
        assert found.histogram[layer].sum(dim=1).eq(len(everywhere)).all()
        for index in range(0, model.d_mlp, 9):
            column = everywhere[:, index]
            inside = column[(column >= 0.1) & (column < 0.3)]
            edges = found.bin_edges
            first, last = (int((edges - edge).abs().argmin()) for edge in (0.1, 0.3))
            near = min((column - edge).abs().min() for edge in (0.1, 0.3)) < 1e-5
            assert near or found.histogram[layer, index, first:last].sum() == len(inside)
            for values, ordered in (
                (found.top_values, column.sort(descending=True)), (found.low_values, column.sort()),
            ):  # fmt: skip
                wanted = ordered.values[: statistics.CONTEXTS].float()
                torch.testing.assert_close(values[layer, index], wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("end", ["top", "low"])
def test_a_neuron_has_that_activation_in_the_place_that_is_named(model, texts, found, end):
    tokens, counted = texts
    values, rows, places = (found.tensors()[f"{end}_{what}"] for what in ("values", "texts", "positions"))
    for layer in range(model.n_layers):
        for index, nth in ((0, 0), (5, 3), (40, 7)):
            row, place = int(rows[layer, index, nth]), int(places[layer, index, nth])
            assert counted[row, place]
            _, cache = model.bridge.run_with_cache(tokens.ids[row][tokens.mask[row]][None])
            there = cache[f"blocks.{layer}.mlp.hook_post"][0, place, index]
            torch.testing.assert_close(values[layer, index, nth], there, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 32])
def test_batches_and_padding_change_rounding_alone(model, texts, found, batch_size):
    tokens, counted = texts
    left = Tokens(widen(tokens.ids, (4, 0)), widen(tokens.mask, (4, 0)))
    again = measure_statistics(model, left, counted=widen(counted, (4, 0)), batch_size=batch_size)
    for name, before in found.tensors().items():
        if name == "histogram":  # an activation may stand on an edge
            assert (again.histogram - before).abs().sum() <= 0.001 * before.sum()
        elif "texts" in name or "positions" in name:  # two places may tie
            assert (again.tensors()[name] == before).float().mean() > 0.99
        else:
            torch.testing.assert_close(again.tensors()[name], before, atol=1e-5, rtol=1e-5)


def test_groups_are_of_texts_and_weigh_as_resamples_do(model, texts, found, monkeypatch):
    rows = slowly(model, texts, "blocks.1.mlp.hook_post")
    monkeypatch.setattr(statistics, "GROUPS", 4)
    few = measure_statistics(model, texts[0], counted=texts[1])
    assert few.counts.tolist() == [sum(map(len, rows[group::4])) for group in range(4)]
    weights = resampling_weights(4, n=3, seed=0)
    for resample, mean in zip(weights, few.resampled(weights, NEURONS), strict=True):
        drawn = [
            row
            for group in range(4)
            for _ in range(round(4 * float(resample[group])))
            for row in rows[group::4]
        ]
        torch.testing.assert_close(mean, torch.cat(drawn).mean(dim=0)[[3, 60]], atol=1e-6, rtol=1e-5)
    even = found.resampled(torch.full((1, len(found.counts)), 1 / len(found.counts)), NEURONS)[0]
    torch.testing.assert_close(even, found.activations[1, [3, 60]])
    with pytest.raises(ValueError, match="one weight|groups of texts"):
        found.resampled(torch.ones(1, 3), NEURONS)


def test_memory_does_not_grow_with_the_number_of_texts(model):
    sizes = []
    for texts in (40, 80):
        ids = torch.arange(5 * texts).reshape(texts, 5) % 300
        tokens = Tokens(ids, torch.ones_like(ids, dtype=torch.bool))
        found = measure_statistics(model, tokens, counted=tokens.mask & (tokens.place >= 1), batch_size=8)
        sizes.append({name: tensor.shape for name, tensor in found.tensors().items()})
    assert sizes[0] == sizes[1]


def test_texts_in_which_nothing_counts_are_refused(model):
    tokens = model.tokenise(["You", "They"])
    with pytest.raises(ValueError, match="no position to average"):
        measure_statistics(model, tokens, counted=torch.zeros_like(tokens.mask))


def test_it_is_taken_back_from_its_tensors(found):
    again = Statistics(**found.tensors())
    assert torch.equal(again.activations, found.activations)
