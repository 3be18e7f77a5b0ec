"""The explorer's page, driven in a headless Chromium on a tiny model with the network cut."""

import pytest

from helpers.alignment.unalign import randomly_moved
from helpers.course.browser import check_page
from helpers.course.explorer_page import EXPLORER, NoPage, explorer_page, write_explorer
from helpers.lab import Lab
from helpers.lab.policies import Policies
from helpers.language.models import load_hf, load_model
from helpers.profiles import ModelSource
from helpers.teaching.figures.figure import browser
from tests.tiny_profile import tiny_profile


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explorer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOXICITY_LAB_CACHE", str(folder / "cache"))
        patch.setenv("TOXICITY_LAB_BUILD", str(folder / "build"))
        lab = Lab.start("10_neuron_explorer", tiny_profile(folder))
        hf, tokenizer = load_hf(lab.profile.model)
        randomly_moved(hf, lab.load_plain().half().float(), seed=0).save_pretrained(folder / "policy")
        tokenizer.save_pretrained(folder / "policy")
        tuned = load_model(ModelSource(folder=folder / "policy"), name="matched")
        # No pairs come of a random model, so nothing trains it: a model moved at random stands in.
        patch.setattr(Policies, "load", lambda self, name, *, seed=None, like="matched": tuned)
        patch.setattr(Policies, "is_trained", lambda self, seed: seed == 1)
        yield lab


def test_a_reader_is_served_and_the_models_are_pytorchs(lab, tmp_path):
    chromium = browser()
    if chromium is None:
        pytest.skip("no Chromium or Chrome on this machine")
    found = check_page(write_explorer(lab, tmp_path), lab, str(chromium), tmp_path / "pictures")
    assert found.neurons == lab.base.n_layers * lab.base.d_mlp
    assert (tmp_path / "pictures" / "light.png").stat().st_size > 10_000


def test_the_page_asks_for_nothing_and_ends_its_scripts_where_it_should(lab):
    page = explorer_page(lab)
    assert page.count("</script>") == page.count("<script")
    assert 'src="' not in page and "import(" not in page and "fetch(" not in page
    assert len(page) < 30_000_000


def test_a_model_too_large_has_no_page(lab, monkeypatch):
    monkeypatch.setattr("helpers.course.explorer_page.LARGEST", 10)
    with pytest.raises(NoPage, match="at most 10"):
        explorer_page(lab)
    assert EXPLORER == "explorer.html"
