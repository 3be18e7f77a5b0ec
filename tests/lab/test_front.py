"""The front door: what `Lab.start` gives, on a tiny model and tiny files, without touching the repository."""

import json

import pytest
import torch

from helpers.lab import Lab
from helpers.lab.front import is_published
from helpers.mechanism.vectors import cosines, svd_directions, top_neurons, vectors_of
from helpers.profiles import GPT2_MEDIUM, POCKET, ProfileError
from helpers.teaching.claims import judge
from tests.tiny_profile import tiny_profile


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("TOXICITY_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TOXICITY_LAB_BUILD", str(tmp_path / "build"))
    return Lab.start("01_toxicity_probe", tiny_profile(tmp_path))


def test_start_prints_the_panel_without_a_path_of_the_machine(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TOXICITY_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TOXICITY_LAB_BUILD", str(tmp_path / "build"))
    Lab.start("01_toxicity_probe", tiny_profile(tmp_path))
    shown = capsys.readouterr().out
    for row in ("model", "device", "memory", "cache", "decoding", "scorers", "versions"):
        assert row in shown
    for part in ("perplexity: plain.txt (0% to 30%)", "50% of 80 comments are toxic", "words: AUROC"):
        assert part in shown
    assert str(tmp_path) not in shown


def test_an_unknown_profile_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("TOXICITY_LAB_BUILD", str(tmp_path / "build"))
    with pytest.raises(ProfileError, match="pocket"):
        Lab.start("01_toxicity_probe", "pokcet")
    assert not (tmp_path / "build").exists()


def test_published_figures_are_compared_on_the_papers_model_with_a_published_scorer_only():
    assert is_published(GPT2_MEDIUM)
    assert not is_published(POCKET)
    assert not is_published(GPT2_MEDIUM.model_copy(update={"scorers": GPT2_MEDIUM.scorers[::-1]}))
    assert not is_published(GPT2_MEDIUM.model_copy(update={"model": POCKET.model}))


def test_features_come_back_the_same_from_the_cache(lab, tmp_path, monkeypatch):
    first = lab.measures.read_comments()
    again = Lab.start("01_toxicity_probe", tiny_profile(tmp_path))
    refuse = lambda *_, **__: pytest.fail("computed twice")  # noqa: E731
    monkeypatch.setattr("helpers.lab.measures.pooled_residuals", refuse)
    assert torch.equal(first.train, again.measures.read_comments().train)
    assert first.train.shape == (len(lab.texts.comments_train), lab.base.n_layers, lab.base.d_model)


def test_the_probe_is_the_profiles_own(lab):
    assert lab.measures.fit_probe().layer == lab.base.n_layers - 1
    assert lab.measures.fit_probe().penalty == lab.profile.probe.penalty
    assert lab.measures.fit_probe().direction.norm().item() == pytest.approx(1, abs=1e-5)


def test_guesses_are_kept_in_the_readers_own_folder(lab, tmp_path):
    lab.guess("01.1", "How much?", low=0, high=1, value=0.5)
    lab.answer("01.1", torch.tensor(0.4))
    kept = list((tmp_path / "build" / "guesses").rglob("*.json"))
    assert [path.name for path in kept] == ["01_toxicity_probe.json"]
    assert "Numbers: 1 guessed; half of them are off by 25% or less" in lab.calibration().text


def test_what_is_measured_near_a_direction_is_what_its_claims_ask_for(lab):
    direction, values = lab.measures.fit_probe().direction, lab.base.value_vectors
    found = lab.measures.measure_nearest(direction, draws=3)
    assert list(found) == [("A2", "top 10"), ("A2", "top 64"), ("A3", "U0"), ("A3", "U1"), ("A3", "U2")]
    for (claim, part), one in found.items():
        assert judge(claim, one, part=part)
        assert one.details["cosine_matched_low"] <= one.details["cosine_matched_high"]
    nearest = top_neurons(cosines(values, direction), 64)
    shares = lab.measures.toxic_share(vectors_of(values, nearest))
    assert found["A2", "top 10"].value == pytest.approx(shares[:10].mean().item())
    assert found["A2", "top 64"].value == pytest.approx(shares.mean().item())
    pool = top_neurons(cosines(values, direction), lab.profile.vectors.svd)
    first = svd_directions(vectors_of(values, pool), direction, 1)
    assert found["A3", "U0"].value == pytest.approx(lab.measures.toxic_share(first).item())
    assert found["A3", "U0"].details["cosine_with_probe"] == pytest.approx((first[0] @ direction).item())


def test_evaluation_runs_on_the_bench(lab):
    result = lab.evaluate("base")
    assert result.label == "base"
    assert len(result.prompt_ids) == min(lab.profile.counts.prompts_sweep, lab.profile.counts.prompts_dev)


def test_plain_weights_are_the_bridges(lab):
    plain = lab.load_plain()
    for layer in range(lab.base.n_layers):
        assert torch.equal(plain.transformer.h[layer].mlp.c_proj.weight, lab.base.value_vectors[layer])


def test_the_claims_table_shows_only_what_this_run_measured(lab):
    from helpers.teaching.claims import Measurement

    measured = Measurement(0.9, (0.8, 0.95), "AUROC", control=0.5, control_interval=(0.4, 0.6))
    lab.claims.record("A1", measured, part="matched")
    table = str(lab.claims_table("A1")._repr_html_())
    assert "0.9" in table and "not run" in table  # the other part was not measured
    rows = json.loads((lab.claims.path).read_text())["rows"]
    assert [row["id"] for row in rows] == ["A1"]


def test_toxic_families_cover_the_toxic_tokens(lab):
    together = torch.stack(list(lab.measures.toxic_families.values())).any(dim=0)
    assert torch.equal(together, lab.measures.toxic_tokens)


def test_vectors_are_read_in_words_and_counted(lab):
    vectors = lab.base.value_vectors[0, :3]
    ids, words = lab.measures.top_ids(vectors, 4), lab.measures.top_words(vectors, 4)
    assert ids.shape == (3, 4) and len(words) == 3
    counted = lab.measures.toxic_tokens[ids].float().mean(dim=1)
    assert torch.equal(lab.measures.toxic_share(vectors, 4), counted)
    assert lab.measures.used_tokens[ids].all()


def test_strengths_are_in_units_of_the_streams_mean_length(lab):
    tokens = lab.base.tokenise(
        [lab.texts.eliciting("dev")[0].text], max_tokens=lab.profile.decoding.max_prompt_tokens
    )
    assert lab.measures.measure_stream_norms().shape == (lab.base.n_layers,)
    with torch.no_grad():
        _, cache = lab.base.bridge.run_with_cache(tokens.ids, attention_mask=tokens.mask.long())
    one_text = cache["blocks.0.hook_resid_post"][0, 1:].norm(dim=-1).mean()
    assert 0.2 < (lab.measures.measure_stream_norms()[0] / one_text).item() < 5
