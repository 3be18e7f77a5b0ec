"""A maker whose code changed has a new version, so that no result of the old code is served for the new."""

import json

import pytest

from helpers.artifacts import Declared
from tests.artifacts import makers

RECORDED = json.loads(makers.RECORD.read_text(encoding="utf-8"))


def test_every_kind_is_on_record():
    how = ".venv/bin/python -m tests.artifacts.makers"
    assert sorted(RECORDED) == sorted(makers.declared()), f"Record them: {how}"


@pytest.mark.parametrize("kind", RECORDED)
def test_changed_code_has_a_new_version(kind):
    one, recorded = makers.declared()[kind], RECORDED[kind]
    assert (one.version, makers.digest(one)) == (recorded["version"], recorded["code"]), (
        f"The code behind the artifact {kind!r} changed. If its result may differ, raise the version of its "
        "Declared; then record it: .venv/bin/python -m tests.artifacts.makers (--same-results if none moved)."
    )


def test_recording_says_what_it_recorded(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(makers, "RECORD", tmp_path / "makers.json")
    monkeypatch.setattr(makers, "declared", lambda: {"toy": Declared("toy", 2, inner, inner)})
    assert makers.main(False) == 0 and "toy 2" in capsys.readouterr().out
    assert makers.main(False) == 0 and "nothing" in capsys.readouterr().out


def outer(n):
    """A docstring."""
    return inner(n) + 1  # a comment


def inner(n):
    return n


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("probe-features", {"pooled_residuals", "run_to_layer", "LanguageModel.tokenise"}),
        ("texts", {"load_texts", "plain_text", "check_disjoint", "Chain"}),
        ("pair-fluency", {"continuation_losses"}),
        ("pairs-steered", {"steer", "fit_probe", "build_scorer", "write_pairs"}),
        ("policies", {"choose_policies", "PreferenceTrainer", "perplexity", "continue_prompts"}),
        ("evaluations", {"overlap_f1", "fluency", "build_scorer", "gumbel"}),
    ],
)
def test_the_digest_reaches_what_the_result_depends_on(kind, wanted):
    names = makers.code_behind(makers.declared()[kind].make)
    reached = {name for name in names for end in wanted if name.endswith(f".{end}")}
    assert {end for end in wanted if any(name.endswith(f".{end}") for name in reached)} == wanted


def test_comments_and_docstrings_do_not_count_but_code_does():
    assert makers.plain(outer) == "defouter(n):returninner(n)+1"
