"""The stage of notebook 06: a model read on what was written, kept and found again."""

import pytest
import torch

from helpers.lab import Lab
from helpers.lab import statistics as stage
from helpers.mechanism.statistics import measure_statistics
from tests.tiny_profile import tiny_profile


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("TOXICITY_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TOXICITY_LAB_BUILD", str(tmp_path / "build"))
    return Lab.start("06_what_dpo_changed", tiny_profile(tmp_path))


def test_a_model_is_read_where_the_report_wrote_and_once(lab, monkeypatch):
    first = lab.statistics.read("base")
    tokens, counted = lab.statistics.texts("base")
    report = lab.evaluate("base", split="eval", mode="report").continuations
    assert int(first.counts.sum()) == int(counted.sum()) and int(report.mask.sum()) >= int(counted.sum()) > 0
    direct = measure_statistics(lab.base, tokens, counted=counted)
    torch.testing.assert_close(first.activations, direct.activations, atol=1e-6, rtol=1e-5)

    def refuse(*given, **settings):
        raise AssertionError("this was read before")

    monkeypatch.setattr(stage, "measure_statistics", refuse)
    for again in (lab.statistics.read(), lab.statistics.read("base", on="base")):
        assert again.tensors().keys() == first.tensors().keys()
        assert all(torch.equal(tensor, first.tensors()[name]) for name, tensor in again.tensors().items())
    with torch.no_grad():
        lab.base.bridge.blocks[0].mlp.b_in += 0.1
    with pytest.raises(AssertionError, match="read before"):
        lab.statistics.read("base")
