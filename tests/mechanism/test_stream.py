"""The streaming pass: what a slow loop over single texts finds, in bounded memory, whatever happens."""

import heapq

import pytest
import torch

from helpers.language.models import boot
from helpers.language.tokens import Tokens
from helpers.mechanism.interventions import add_direction
from helpers.mechanism.stream import Mean, stream
from tests.language.builders import SENTENCES, tiny_hf, tiny_tokenizer

TEXTS = [SENTENCES[0], "You", SENTENCES[13] + " " + SENTENCES[2], "The boat today", SENTENCES[7], "My song."]
SITES = [
    "hook_embed", "blocks.0.hook_resid_pre", "blocks.0.mlp.hook_pre", "blocks.1.mlp.hook_post",
    "blocks.1.hook_resid_mid", "blocks.2.hook_attn_out", "blocks.2.hook_resid_post",
]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return boot(tiny_hf(layers=3, width=16), tiny_tokenizer(), name="tiny")


class Strongest:
    """A reducer with a bounded heap: where one unit is strongest, and how strong."""

    def __init__(self, unit, keep):
        self.unit, self.keep, self.heap = unit, keep, []

    def read(self, activation, batch):
        strength = activation[..., self.unit].masked_fill(~batch.counted, -torch.inf).flatten()
        return strength.topk(min(self.keep, len(strength)))

    def add(self, part, batch):
        width = batch.tokens.ids.shape[1]
        for value, at in zip(part.values.tolist(), part.indices.tolist(), strict=True):
            heapq.heappush(self.heap, (value, batch.texts[at // width], at % width))
            if len(self.heap) > self.keep:
                heapq.heappop(self.heap)

    def result(self):
        return sorted(self.heap, reverse=True)


class Counting:
    """A reducer that counts how often each text is added."""

    def __init__(self):
        self.seen = []

    def read(self, activation, batch):
        return len(activation)

    def add(self, part, batch):
        assert part == len(batch.texts)
        self.seen += batch.texts

    def result(self):
        return self.seen


def slowly(model, site):
    """The activations of each text by itself, in a full pass."""
    rows = []
    for text in TEXTS:
        _, cache = model.bridge.run_with_cache(model.tokenise([text]).ids)
        rows.append(cache[site][0])
    return rows


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("batch_size", [2, 32])
def test_means_are_those_of_the_slow_way(model, side, batch_size):
    tokens = model.tokenise(TEXTS, side=side)
    found = stream(model, tokens, {site: Mean() for site in SITES}, batch_size=batch_size)
    for site in SITES:
        expected = torch.cat([row[1:] for row in slowly(model, site)]).double().mean(dim=0)
        assert found[site].dtype == torch.float64
        torch.testing.assert_close(found[site], expected, atol=1e-5, rtol=1e-5)


def test_only_the_positions_that_count_are_averaged(model):
    tokens = model.tokenise(TEXTS, side="left")
    counted = torch.zeros_like(tokens.mask)
    counted[2, -3] = counted[4, -1] = counted[1, 0] = True  # the last is padding and never counts
    found = stream(model, tokens, {SITES[3]: Mean(torch.abs)}, counted=counted)[SITES[3]]
    rows = slowly(model, SITES[3])
    torch.testing.assert_close(found, torch.stack([rows[2][-3], rows[4][-1]]).abs().double().mean(dim=0))


def test_a_bounded_heap_finds_the_strongest_positions(model):
    tokens = model.tokenise(TEXTS, side="left")
    found = stream(model, tokens, {SITES[3]: Strongest(5, keep=4)}, batch_size=2)[SITES[3]]
    everywhere = [
        (float(value), text, place)
        for text, row in enumerate(slowly(model, SITES[3]))
        for place, value in enumerate(row[:, 5])
        if place >= 1
    ]
    assert [each[1:] for each in found] == [each[1:] for each in sorted(everywhere, reverse=True)[:4]]


def test_running_out_of_memory_halves_the_batch_and_counts_each_text_once(model):
    """The first layers have been read when memory runs out; what they said must not count."""
    tokens = model.tokenise(TEXTS)

    def fits_two(value, hook):
        if len(value) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    reducers = {SITES[2]: Mean(), SITES[3]: Mean(), SITES[6]: Counting()}
    progress = []
    with (
        model.bridge.hooks(fwd_hooks=[("blocks.2.hook_attn_out", fits_two)]),
        pytest.warns(UserWarning, match="trying 2"),
    ):
        found = stream(
            model, tokens, reducers, batch_size=4, progress=lambda done, total, what: progress.append(done)
        )
    assert sorted(found[SITES[6]]) == list(range(len(TEXTS))) and progress == [2, 4, 6]
    expected = stream(model, tokens, {site: Mean() for site in SITES[2:4]}, batch_size=2)
    for site in expected:
        assert torch.equal(found[site], expected[site])


def test_memory_does_not_grow_with_the_number_of_texts(model):
    """What is alive at the end of each batch: the same few tensors, however many texts have been read."""
    alive, largest = [], []

    class Watching(Mean):
        def add(self, part, batch):
            super().add(part, batch)
            alive.append(self.total.numel() * self.total.element_size())
            largest.append(part.numel())

    tokens = Tokens(torch.arange(400).reshape(80, 5) % 300, torch.ones(80, 5, dtype=torch.bool))
    stream(model, tokens, {SITES[3]: Watching()}, batch_size=4)
    assert len(alive) == 20 and set(alive) == {8 * model.d_mlp} and set(largest) == {model.d_mlp}


def test_what_is_not_finite_is_named_and_nothing_stays_on_the_model(model):
    tokens = model.tokenise(TEXTS)
    before = model.logits(tokens)

    def spoil(value, hook):
        # Row 0 is the shortest text, number 1; what is read before the spoilt site is not kept either.
        return torch.where(torch.arange(len(value))[:, None, None] == 0, torch.nan, value)

    reducers = {"blocks.0.hook_resid_post": Mean(), SITES[3]: Mean()}
    with model.bridge.hooks(fwd_hooks=[("blocks.1.hook_resid_pre", spoil)]):
        with pytest.raises(FloatingPointError, match=r"blocks\.1\.mlp\.hook_post is NaN .* text 1"):
            stream(model, tokens, reducers)
        assert all(reducer.total is None for reducer in reducers.values())
    assert torch.equal(model.logits(tokens), before) and not model.has_unknown_hooks


def test_it_reads_what_an_intervention_leaves(model):
    tokens, step = model.tokenise(TEXTS), torch.ones(model.d_model)
    site = SITES[6]
    plain = stream(model, tokens, {site: Mean()})[site]
    with add_direction(model, step, 2.0, layer=-1):
        moved = stream(model, tokens, {site: Mean()})[site]
    torch.testing.assert_close(moved, plain + 2.0, atol=1e-5, rtol=1e-5)
    assert not model.has_unknown_hooks


def test_a_reducer_goes_on_over_further_texts(model):
    tokens, site = model.tokenise(TEXTS), SITES[6]
    mean = Mean()
    for half in (tokens[:3], tokens[3:]):
        stream(model, half, {site: mean})
    torch.testing.assert_close(mean.result(), stream(model, tokens, {site: Mean()})[site])


def test_what_cannot_be_read_is_refused(model):
    tokens = model.tokenise(TEXTS)
    with pytest.raises(ValueError, match="no site"):
        stream(model, tokens, {})
    with pytest.raises(ValueError, match="no texts"):
        stream(model, tokens[:0], {SITES[0]: Mean()})
    with pytest.raises(ValueError, match="Text 0 has .*max_tokens=64"):
        stream(model, model.tokenise([" ".join(SENTENCES[:9])]), {SITES[0]: Mean()})
    empty = tokens.mask & (torch.arange(len(TEXTS)) != 1)[:, None]
    with pytest.raises(ValueError, match="Text 1 has 0 tokens"):
        stream(model, Tokens(tokens.ids, empty), {SITES[0]: Mean()})
    with pytest.raises(ValueError, match="no position to average"):
        stream(model, model.tokenise(["You"]), {SITES[0]: Mean()})
    for site in ("blocks.0.hook_nothing", "blocks.7.hook_resid_post"):
        with pytest.raises(KeyError, match=site):
            stream(model, tokens, {site: Mean()})
    for site in ("unembed.hook_out", "blocks.0.attn.hook_pattern"):
        with pytest.raises(ValueError, match="cannot be streamed"):
            stream(model, tokens, {site: Mean()})
