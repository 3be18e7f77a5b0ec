"""A maker whose code changed has a new version, so that no result of the old code is served for the new."""

import json

import pytest

from tests.artifacts import makers

RECORDED = json.loads(makers.RECORD.read_text(encoding="utf-8"))


def test_every_kind_is_on_record():
    assert sorted(RECORDED) == sorted(makers.declared())


@pytest.mark.parametrize("kind", RECORDED)
def test_changed_code_has_a_new_version(kind):
    one, recorded = makers.declared()[kind], RECORDED[kind]
    assert (one.version, makers.digest(one)) == (recorded["version"], recorded["code"]), (
        f"The code behind the artifact {kind!r} changed. If its result may differ, raise the version of its "
        "Declared; then record it: python -m tests.artifacts.makers (--same-results if no result moved)."
    )


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
