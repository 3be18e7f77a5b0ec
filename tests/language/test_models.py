"""Models: the bridge is the checkpoint, raw and in float32, and padding never reaches the real positions."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import datasets
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import GPT2LMHeadModel

from helpers.language import models
from helpers.language.models import (
    LanguageModel,
    ModelError,
    Tokens,
    boot,
    booted,
    checksums,
    fixed_prompt,
    load_hf,
    load_model,
    quiet,
)
from helpers.profiles import ModelSource, ProfileError
from tests.language.builders import SENTENCES, tiny_hf, tiny_model, tiny_tokenizer

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Place:
    layer: int
    index: int


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models"), layers=3, width=24, heads=3)


@pytest.fixture(scope="module")
def model(folder):
    return load_model(ModelSource(folder=folder), name="tiny")


@pytest.fixture(scope="module")
def hf(folder):
    return load_hf(ModelSource(folder=folder))[0]


def test_shape_and_flags(model):
    shape = (model.n_layers, model.d_model, model.d_mlp, model.n_heads, model.context, model.vocab_size)
    assert shape == (3, 24, 96, 3, 64, 320)
    assert model.bridge.cfg.default_prepend_bos is False
    assert not model.bridge.training
    assert not any(parameter.requires_grad for parameter in model.bridge.parameters())
    assert {parameter.dtype for parameter in model.bridge.parameters()} == {torch.float32}
    assert model.device == torch.device("cpu")
    assert "tiny" in repr(model) and len(repr(model)) < 200


def swapped(rows):
    return rows[[1, 0, *range(2, len(rows))]]


def one_bit(rows):
    rows = rows.clone()
    rows[0, 0] = torch.nextafter(rows[0, 0], rows[1, 0])
    return rows


EDITS = {
    "a last bit of one": one_bit,
    "two rows change places": swapped,
    "two coordinates of one row change places": lambda w: torch.cat([swapped(w[0])[None], w[1:]]),
    "a row is turned round": lambda w: torch.cat([-w[:1], w[1:]]),
    "two rows are turned round": lambda w: torch.cat([-w[:2], w[2:]]),
    "a row is reversed": lambda w: torch.cat([w[:1].flip(1), w[1:]]),
    "all is scaled": lambda w: 1.01 * w,
    "a row is zeroed": lambda w: torch.cat([0 * w[:1], w[1:]]),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_checksums_tell_edits_apart(edit):
    weight = torch.randn(40, 24, generator=torch.Generator().manual_seed(0))
    other = torch.arange(5.0)
    before = checksums([weight, other])
    assert checksums([weight.clone(), other]) == before
    assert checksums([weight.T.contiguous().T, other], at_once=7) == before
    after = checksums([edit(weight), other])
    assert after[0] != before[0] and after[1] == before[1]


def test_weights_on_a_gpu_are_copied_once_for_each_state(folder, monkeypatch):
    model = load_model(ModelSource(folder=folder), name="tiny")
    on_cpu, copied = model.weights_digest(), []
    monkeypatch.setattr(LanguageModel, "device", property(lambda self: torch.device("cuda")))
    digest_of = models.digest_of
    monkeypatch.setattr(models, "digest_of", lambda *given: copied.append(1) or digest_of(*given))
    assert model.weights_digest() == model.weights_digest() == on_cpu and len(copied) == 1
    row = model.bridge.original_model.transformer.wte.weight.data[5]  # `.data` leaves no trace in autograd
    row.neg_()
    assert model.weights_digest() == model.weights_digest() != on_cpu and len(copied) == 2
    row.neg_()
    assert model.weights_digest() == on_cpu and len(copied) == 2


def test_vectors_are_the_checkpoints_own(model, folder):
    weights = load_file(folder / "model.safetensors")
    for layer in range(model.n_layers):
        name = f"transformer.h.{layer}.mlp."
        assert torch.equal(model.value_vectors[layer], weights[f"{name}c_proj.weight"])
        assert torch.equal(model.key_vectors[layer], weights[f"{name}c_fc.weight"].T)
        assert torch.equal(model.value_vector(Place(layer, 5)), weights[f"{name}c_proj.weight"][5])


def test_vectors_are_copies(model):
    before = model.logits(model.tokenise(SENTENCES[:1]))
    for copy in (model.value_vectors, model.key_vectors, model.value_vector(Place(1, 2))):
        copy.zero_()
    assert torch.equal(model.logits(model.tokenise(SENTENCES[:1])), before)


def test_unknown_neuron_is_refused(model):
    for place in (Place(3, 0), Place(0, 96), Place(-1, 0)):
        with pytest.raises(IndexError, match="layers run 0 to 2"):
            model.value_vector(place)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_makes_no_difference_to_real_positions(model, hf, side):
    texts = [SENTENCES[0], "You", SENTENCES[40], "The idiot praised"]
    tokens = model.tokenise(texts, side=side)
    assert not tokens.mask.all(), "the texts must differ in length for this to test anything"
    logits = model.logits(tokens)
    positions = (tokens.mask.long().cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        expected = hf(tokens.ids, attention_mask=tokens.mask.long(), position_ids=positions).logits
    torch.testing.assert_close(logits[tokens.mask], expected[tokens.mask], atol=1e-4, rtol=1e-4)
    for row, text in enumerate(texts):
        alone = model.logits(model.tokenise([text]))[0]
        torch.testing.assert_close(logits[row][tokens.mask[row]], alone, atol=1e-4, rtol=1e-4)


def test_what_stands_in_the_padding_is_never_read(model):
    tokens = model.tokenise([SENTENCES[0], "You"], side="left")
    other = Tokens(torch.where(tokens.mask, tokens.ids, torch.full_like(tokens.ids, 77)), tokens.mask)
    torch.testing.assert_close(model.logits(tokens)[tokens.mask], model.logits(other)[tokens.mask])


def test_tokenise_adds_nothing_and_cuts_the_end(model):
    text = SENTENCES[3]
    tokens = model.tokenise([text])
    assert tokens.mask.all()
    assert model.tokenizer.decode(tokens.ids[0]) == text == "".join(model.token_strings(tokens.ids[0]))
    assert torch.equal(model.tokenise([text], max_tokens=3).ids, tokens.ids[:, :3])
    assert len(model.tokenise(SENTENCES[:4])[1:3]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": []}, "non-empty list"),
        ({"texts": "a text"}, "non-empty list"),
        ({"texts": ["a", ""]}, "Text 1 has no tokens"),
        ({"texts": ["a"], "side": "middle"}, "left"),
        ({"texts": ["a"], "max_tokens": 0}, "at least 1"),
    ],
)
def test_tokenise_refuses(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.tokenise(**arguments)


def test_a_text_longer_than_the_context_is_refused(model):
    with pytest.raises(ValueError, match="context of 64.*max_tokens=64"):
        model.logits(model.tokenise([" ".join(SENTENCES[:20])]))


def test_a_cache_leaves_no_hook_that_counts_and_a_hook_by_hand_does(model):
    tokens = model.tokenise(SENTENCES[:1])
    model.bridge.run_with_cache(tokens.ids)
    assert not model.has_unknown_hooks
    with model.bridge.hooks(fwd_hooks=[("blocks.0.hook_mlp_out", lambda value, hook: value)]):
        assert model.has_unknown_hooks
    assert not model.has_unknown_hooks


def test_strings_handed_to_the_bridge_get_no_start_token(model):
    assert torch.equal(model.bridge.to_tokens(SENTENCES[0]), model.tokenise([SENTENCES[0]]).ids)


def test_half_precision_file_becomes_float32(tmp_path):
    folder = tiny_model(tmp_path)
    weights = {name: value.half() for name, value in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text()) | {"dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(config))
    model = load_model(ModelSource(folder=folder), name="half")
    assert model.value_vectors.dtype == torch.float32
    assert torch.equal(model.value_vectors[0], weights["transformer.h.0.mlp.c_proj.weight"].float())


def test_an_untrained_model_has_the_shape_and_the_weights_that_training_would_start_at(tmp_path):
    folder = tiny_model(tmp_path, seed=3)
    before = torch.get_rng_state()
    drawn, tokenizer = load_hf(ModelSource(folder=folder, untrained=5))
    assert torch.equal(torch.get_rng_state(), before), "drawing weights must not move anybody's noise"
    torch.manual_seed(5)
    fresh = transformers.GPT2LMHeadModel(drawn.config)
    torch.set_rng_state(before)
    for (name, one), other in zip(drawn.named_parameters(), fresh.parameters(), strict=True):
        assert torch.equal(one, other), name
    own = load_hf(ModelSource(folder=folder))[0]
    shapes = [[(name, p.shape) for name, p in model.named_parameters()] for model in (own, drawn)]
    assert shapes[0] == shapes[1]
    assert tokenizer.get_vocab() == load_hf(ModelSource(folder=folder))[1].get_vocab()
    other = load_hf(ModelSource(folder=folder, untrained=6))[0]
    assert not torch.equal(drawn.lm_head.weight, other.lm_head.weight)
    load_model(ModelSource(folder=folder, untrained=5), name="untrained")


def test_missing_weights_are_an_error_not_a_random_model(tmp_path):
    folder = tiny_model(tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["transformer.h.1.mlp.c_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="missing keys.*h.1.mlp.c_proj.weight"):
        load_model(ModelSource(folder=folder), name="torn")


def test_tokenizer_of_another_model_is_refused(tmp_path):
    folder = tiny_model(tmp_path, vocab=300)
    tiny_tokenizer(320).save_pretrained(folder)
    with pytest.raises(ModelError, match="do not belong together"):
        load_hf(ModelSource(folder=folder))


def test_boot_refuses_other_precision_and_broken_weights():
    with pytest.raises(ModelError, match="float32.*bfloat16"):
        boot(tiny_hf().bfloat16(), tiny_tokenizer(), name="low")
    broken = tiny_hf()
    with torch.no_grad():
        broken.transformer.h[0].mlp.c_proj.bias.fill_(float("nan"))
    with pytest.raises(ModelError, match="NaN"):
        boot(broken, tiny_tokenizer(), name="broken")


def test_a_model_for_the_time_being_lets_its_weights_go():
    hf = tiny_hf()
    expected = hf(fixed_prompt(320, 64)).logits
    with booted(hf, tiny_tokenizer(), name="trial") as model:
        assert torch.allclose(model.bridge(fixed_prompt(320, 64)), expected, atol=1e-4)
    assert all(weight.is_meta for weight in model.bridge.parameters())
    with pytest.raises(ZeroDivisionError), booted(hf := tiny_hf(), tiny_tokenizer(), name="trial"):
        raise ZeroDivisionError
    assert all(weight.is_meta for weight in hf.parameters())


def test_boot_refuses_libraries_that_lose_the_cache_between_them(monkeypatch):
    """As transformers 5.24 under TransformerLens 4.3: no error, a warning at most, and wrong text."""
    whole = GPT2LMHeadModel.forward

    def forgetful(self, *args, past_key_values=None, **words):
        return whole(self, *args, **words)

    boot(tiny_hf(), tiny_tokenizer(), name="whole")
    monkeypatch.setattr(GPT2LMHeadModel, "forward", forgetful)
    with pytest.raises(ModelError, match="key-value cache.*constraints.txt"):
        boot(tiny_hf(), tiny_tokenizer(), name="forgetful")


def test_boot_shares_the_weights_it_is_given():
    hf = tiny_hf()
    weight = hf.transformer.h[0].mlp.c_proj.weight
    model = boot(hf, tiny_tokenizer(), name="shared")
    assert model.bridge.blocks[0].mlp.W_out.data_ptr() == weight.data_ptr()


def test_missing_folder_never_becomes_a_hub_request(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.language.hub._ask", lambda *_: pytest.fail("the hub was asked"))
    with pytest.raises(ProfileError, match="does not exist"):
        load_model(ModelSource(folder=tmp_path / "models" / "dpo"), name="absent")


def test_loading_is_quiet_and_leaves_no_setting_behind(folder, capfd, recwarn):
    messages = transformers.logging

    def settings():
        return (
            messages.get_verbosity(), messages.is_progress_bar_enabled(), logging.getLogger().level,
            datasets.are_progress_bars_disabled(), list(warnings.filters),
        )  # fmt: skip

    before = settings()
    load_model(ModelSource(folder=folder), name="quiet")
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn] == []
    with pytest.raises(RuntimeError, match="inside"), quiet():
        assert settings()[:4] == (40, False, logging.ERROR, True)
        raise RuntimeError("inside")
    assert before == settings()


def test_fixed_prompt_fits_any_model():
    assert fixed_prompt(50257, 1024).shape == (1, 16)
    assert fixed_prompt(5, 3).max() < 5 and fixed_prompt(5, 3).shape == (1, 3)


def test_gpt2_medium_shape_loads_hooks_and_fits(tmp_path, much_memory):
    """Peak memory: the libraries' own (measured before loading) plus at most 1.3 times the weights."""
    folder = tmp_path / "medium"

    def run(task: str) -> str:
        command = [sys.executable, "-m", "tests.language.medium_shape", task, str(folder)]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    run("build")
    found = json.loads(run("load"))
    assert found["shape"] == [24, 1024, 16, 4096, 50257]
    assert found["hook"] and found["hook"][0][-1] == 4096
    assert found["finite"]
    assert found["peak"] - found["before"] <= 1.3 * found["weights"]
    assert found["before"] < 1e9, "the stated constant: the libraries take less than 1 GB"
