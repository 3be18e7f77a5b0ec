"""Ways back from an aligned model: identities of each edit, what they leave alone, and what is exported."""

import copy

import pytest
import torch

from helpers.alignment.unalign import (
    export_edited,
    fine_tuned,
    interpolated,
    mean_shift,
    most_changed,
    randomly_moved,
    rebuilt,
    restored,
    rounded,
    scale_keys_in_place,
    scaled_keys,
    share_of_gap,
    with_opening,
    without_span,
    without_values,
)
from helpers.intervals import UNDEFINED
from helpers.language.metrics import mean_of
from helpers.language.models import boot, load_model
from helpers.language.texts import Prompt
from helpers.mechanism.interventions import ablate, scale_keys, subtract_direction
from helpers.mechanism.vectors import Neuron
from helpers.profiles import ModelSource
from tests.language.builders import tiny_tokenizer
from tests.language.lively import lively_hf

NEURONS = [Neuron(0, 3), Neuron(1, 90), Neuron(1, 7)]
IDS = torch.tensor([[5, 9, 100, 31, 17, 200, 60], [1, 2, 3, 4, 5, 6, 7]])


@pytest.fixture(scope="module")
def hf():
    return lively_hf(layers=2)


@pytest.fixture(scope="module")
def other():
    return lively_hf(layers=2, seed=1)


@torch.no_grad()
def logits(hf):
    return hf(IDS).logits


def weights(hf):
    return torch.cat([weight.flatten() for weight in hf.parameters()])


def test_a_copy_with_scaled_keys_equals_the_hooks_and_leaves_the_model_alone(hf):
    before, model = weights(hf).clone(), boot(copy.deepcopy(hf), tiny_tokenizer(), name="tiny")
    with torch.no_grad(), scale_keys(model, NEURONS, 10.0):
        hooked = model.bridge(IDS)
    torch.testing.assert_close(logits(scaled_keys(hf, NEURONS, 10.0)), hooked, rtol=1e-4, atol=1e-4)
    assert torch.equal(weights(hf), before)


def test_an_edit_in_place_compounds_and_a_context_manager_does_not(hf):
    edited = copy.deepcopy(hf)
    scale_keys_in_place(edited, NEURONS, 10.0)
    scale_keys_in_place(edited, NEURONS, 10.0)
    torch.testing.assert_close(logits(edited), logits(scaled_keys(hf, NEURONS, 100.0)), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(logits(edited), logits(scaled_keys(hf, NEURONS, 10.0)), atol=1e-2)


def test_interpolation_runs_from_the_one_to_the_other(hf, other):
    assert torch.equal(weights(interpolated(hf, other, 0.0)), weights(hf))
    torch.testing.assert_close(weights(interpolated(hf, other, 1.0)), weights(other))
    middle = (weights(hf) + weights(other)) / 2
    torch.testing.assert_close(weights(interpolated(hf, other, 0.5)), middle)


def test_the_most_changed_neuron_is_found_and_restored(hf):
    moved = copy.deepcopy(hf)
    with torch.no_grad():
        moved.transformer.h[1].mlp.c_fc.weight[:, 7] += 1.0
        moved.transformer.h[1].mlp.c_fc.bias[7] += 1.0
        moved.transformer.h[0].mlp.c_proj.weight[3] -= 0.5
    one, two = (boot(copy.deepcopy(each), tiny_tokenizer(), name="tiny") for each in (moved, hf))
    assert most_changed(one, two, 2) == [Neuron(1, 7), Neuron(0, 3)]
    assert torch.equal(weights(restored(moved, hf, [Neuron(1, 7), Neuron(0, 3)])), weights(hf))
    assert not torch.equal(weights(restored(moved, hf, [Neuron(0, 3)])), weights(hf))


def test_rounding_keeps_the_largest_entry_and_errs_by_half_a_step_at_most(hf):
    one, four = (rounded(hf, bits).transformer.h[0].mlp.c_fc.weight for bits in (4, 8))
    was = hf.transformer.h[0].mlp.c_fc.weight
    largest = was.abs().amax(dim=0)
    for bits, now in ((4, one), (8, four)):
        assert ((now - was).abs() <= largest / (2 ** (bits - 1) - 1) / 2 + 1e-7).all()
        assert all(len(column.unique()) <= 2**bits - 1 for column in now.T)
    torch.testing.assert_close(one.abs().amax(dim=0), largest)
    assert torch.equal(rounded(hf, 4).transformer.h[0].ln_1.weight, hf.transformer.h[0].ln_1.weight)
    with pytest.raises(ValueError, match="at least two bits"):
        rounded(hf, 1)


def test_a_random_move_is_as_long_tensor_by_tensor_and_elsewhere(hf, other):
    moved = randomly_moved(hf, other, seed=0)
    for was, now, like in zip(hf.parameters(), moved.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close((now - was).norm(), (like - was).norm(), rtol=1e-3, atol=1e-5)
    way, aim = weights(moved) - weights(hf), weights(other) - weights(hf)
    assert (way @ aim / way.norm() / aim.norm()).abs() < 0.05


def test_zeroed_values_equal_ablation(hf):
    model = boot(copy.deepcopy(hf), tiny_tokenizer(), name="tiny")
    with torch.no_grad(), ablate(model, NEURONS):
        ablated = model.bridge(IDS)
    torch.testing.assert_close(logits(without_values(hf, NEURONS)), ablated, rtol=1e-4, atol=1e-4)


def test_no_value_vector_keeps_a_part_in_a_span_taken_out(hf):
    directions = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    edited = without_span(hf, directions)
    for block, was in zip(edited.transformer.h, hf.transformer.h, strict=True):
        assert (block.mlp.c_proj.weight @ directions.T).abs().max() < 1e-5
        # What lies outside of the span stays.
        outside = torch.linalg.qr(directions.T, mode="complete").Q[:, 3:]
        torch.testing.assert_close(block.mlp.c_proj.weight @ outside, was.mlp.c_proj.weight @ outside)
        assert torch.equal(block.mlp.c_proj.bias, was.mlp.c_proj.bias)


def test_the_mean_shift_taken_off_puts_the_mean_back(hf, other):
    aligned, base = (boot(copy.deepcopy(each), tiny_tokenizer(), name="tiny") for each in (hf, other))
    tokens = aligned.tokenise(["You are such a kind neighbour.", "What a lovely day"])
    shift = mean_shift(aligned, base, tokens, 0, batch_size=2)
    assert shift.norm() > 0.1
    with subtract_direction(aligned, shift, 1.0, layer=0):
        assert mean_shift(aligned, base, tokens, 0, batch_size=2).norm() < 1e-4


def test_an_opening_stands_before_each_prompt_which_keeps_its_name():
    (one,) = with_opening([Prompt("p", "You are", "plain")], " Listen. ")
    assert one == Prompt("p", "Listen. You are", "plain")


def test_training_learns_its_texts_keeps_its_steps_and_repeats(hf):
    rows = [[5, 9, 100, 31], [200, 17, 8], [40, 41, 42, 43, 44]]
    seen = []
    asked = {"steps": (1, 4), "learning_rate": 1e-2, "batch": 2, "seed": 0}
    before = weights(hf).clone()
    kept = fine_tuned(hf, rows, **asked, progress=lambda *told: seen.append(told[:2]))
    assert list(kept) == [1, 4] and seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert torch.equal(weights(hf), before) and not any(p.requires_grad for p in kept[4].parameters())

    @torch.no_grad()
    def loss(hf):
        return sum(hf(torch.tensor([row]), labels=torch.tensor([row])).loss.item() for row in rows)

    assert loss(kept[4]) < loss(kept[1]) < loss(hf)
    again = fine_tuned(hf, rows, **asked)
    assert torch.equal(weights(again[4]), weights(kept[4]))
    assert not torch.equal(weights(fine_tuned(hf, rows, **(asked | {"seed": 1}))[4]), weights(kept[4]))
    for bad in ({"rows": []}, {"rows": [[5]]}, {"rows": rows, "steps": ()}):
        with pytest.raises(ValueError, match="wants some"):
            fine_tuned(hf, **(asked | bad))


def test_a_sum_of_others_rebuilds_a_vector_that_lies_in_their_span():
    vectors = torch.randn(20, 16, generator=torch.Generator().manual_seed(0))
    target = 2 * vectors[3] - vectors[11]
    cosines = rebuilt(target, vectors, 6)
    assert (cosines.diff() >= -1e-9).all() and cosines[0] < 0.999
    assert cosines[-1] == pytest.approx(1.0, abs=1e-6) or cosines[-1] > cosines[0]
    assert rebuilt(vectors[5], vectors, 1)[0] == pytest.approx(1.0)


def measure(*values):
    return mean_of(list(values) * 20, "score")


def test_the_share_of_the_gap_is_0_for_aligned_1_for_base_and_differences_add_up():
    base, aligned, attacked = measure(1.0, 0.0, 1.0), measure(0.0, 0.0, 1.0), measure(0.5, 0.0, 1.0)

    def share(before, after):
        return share_of_gap(before, after, base=base, aligned=aligned, seed=0)

    assert share(aligned, aligned).value == 0 and share(aligned, base).bounds == (1.0, 1.0)
    half = share(aligned, attacked)
    assert half.value == pytest.approx(0.5) and half.low == pytest.approx(0.5), "paired: the noise cancels"
    assert share(attacked, base).value == pytest.approx(0.5)


def test_a_gap_that_is_not_there_has_no_share():
    base = measure(0.0, 1.0)
    assert share_of_gap(base, base, base=base, aligned=base, seed=0) is UNDEFINED
    toxic = measure(1.0, 1.0)
    assert share_of_gap(toxic, base, base=base, aligned=toxic, seed=0) is UNDEFINED


def test_an_export_equals_the_hooks_carries_a_card_and_is_never_written_over(hf, tmp_path):
    model = boot(copy.deepcopy(hf), tiny_tokenizer(), name="tiny")
    asked = {"made_from": "tiny", "edit": "keys of 3 neurons × 10", "measured": {"toxicity": 0.5}}
    folder = export_edited(scaled_keys(hf, NEURONS, 10.0), tiny_tokenizer(), tmp_path / "a" / "b", **asked)
    exported = load_model(ModelSource(folder=folder), name="exported")
    with torch.no_grad(), scale_keys(model, NEURONS, 10.0):
        torch.testing.assert_close(exported.bridge(IDS), model.bridge(IDS), rtol=1e-4, atol=1e-4)
    card = (folder / "README.md").read_text()
    assert "keys of 3 neurons × 10" in card and "| toxicity | 0.5 |" in card and "Do not" in card
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileExistsError, match="Nothing was written"):
        export_edited(hf, tiny_tokenizer(), folder, **asked)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
