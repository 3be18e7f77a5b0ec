"""How long the steps that every notebook repeats take on the embedded model: measured, never asserted."""

from pathlib import Path

import pytest
import torch

from helpers.artifacts.store import Artifact, Store
from helpers.language.generation import continue_prompts
from helpers.language.models import LanguageModel, load_model
from helpers.language.texts import Texts, load_texts
from helpers.mechanism.pooling import pooled_residuals
from helpers.profiles import POCKET


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_model(POCKET.model, name="pocket")


@pytest.fixture(scope="module")
def texts() -> Texts:
    return load_texts(POCKET)


def test_loading(benchmark) -> None:
    benchmark.pedantic(load_model, (POCKET.model,), {"name": "pocket"}, rounds=3)


def test_one_forward_pass(benchmark, model: LanguageModel, texts: Texts) -> None:
    tokens = model.tokenise([comment.text for comment in texts.comments_test[:64]])
    benchmark(model.logits, tokens)


def test_pooling_residual_streams(benchmark, model: LanguageModel, texts: Texts) -> None:
    tokens = model.tokenise([comment.text for comment in texts.comments_test[:256]])
    layers = range(model.n_layers)
    benchmark.pedantic(pooled_residuals, (model, tokens), {"layers": layers, "batch_size": 64}, rounds=5)


def test_continuing_prompts(benchmark, model: LanguageModel, texts: Texts) -> None:
    options = {"seed": 0, "batch_size": POCKET.batches.generate}
    arguments = (model, texts.prompts_dev[:128], POCKET.decoding)
    benchmark.pedantic(continue_prompts, arguments, options, rounds=3)


def test_serving_an_artifact(benchmark, tmp_path: Path) -> None:
    store, artifact = Store(tmp_path), Artifact({"x": torch.zeros(1024, 1024)}, {})
    benchmark(store.get, "bench", {"size": 1}, lambda: artifact)
