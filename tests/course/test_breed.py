"""The run of the protocol goes on from what is finished and never measures twice."""

import json

import pytest

from helpers.course import breed
from helpers.course.series import ROOT


@pytest.fixture
def finished(tmp_path, monkeypatch):
    monkeypatch.setattr(breed, "WORK", tmp_path)
    name, calls = next(iter(breed.CONFIGURATIONS)), []
    rate = {"model": 0.5, "generator": 0.5}
    evaluation = {
        "parameters": 10, "seen_tokens": 20, "minutes": 1.0, "loss": {"gap": 0.1}, "megabytes": 1.0,
        "toxic_rates": {"hostile": rate, "friendly": {"model": 0.0}, "neutral": {"model": 0.0}},
        "well_formed": {"sentences": 1.0}, "vocabulary": {"dead": 0, "split_toxic_words": []},
    }  # fmt: skip
    claims = [
        {"id": claim, "part": part, "value": 0.9, "details": {"cosine_matched_high": 0.5}}
        for claim, part in (("A2", "top 10"), ("A2", "top 64"), ("A3", "U0"), ("A4", "W"))
    ]
    made = {
        "helpers.pocket.train": ("weights/trainlog.json", {}),
        "helpers.pocket.evaluate": ("weights/evaluation.json", evaluation),
        "helpers.course": ("build/claims.json", claims),
    }

    def call(module, *_, **__):
        calls.append(module)
        path, content = made[module]
        target = tmp_path / breed.folder_of(name, 7).name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(content))

    monkeypatch.setattr(breed, "_call", call)
    return name, calls


def test_a_trial_is_trained_evaluated_and_run_once(finished):
    name, calls = finished
    first = breed.trial(name, 7)
    assert calls == ["helpers.pocket.train", "helpers.pocket.evaluate", "helpers.course"]
    assert breed.trial(name, 7) == first and len(calls) == 3
    assert all(bar["holds"] for bar in first["bars"])
    assert {row["id"] for row in first["claims"]} == {"A2", "A3"}


def test_a_trial_killed_after_training_goes_on_with_what_is_missing(finished, tmp_path):
    name, calls = finished
    breed.trial(name, 7)
    (breed.folder_of(name, 7) / "build" / "claims.json").unlink()
    breed.trial(name, 7)
    assert calls[3:] == ["helpers.course"]


@pytest.mark.parametrize(
    "module", ["helpers/pocket/train.py", "helpers/pocket/evaluate.py", "helpers/course/__main__.py"]
)
def test_what_a_trial_runs_can_be_run(module):
    """A module without an entry ends at once with status 0, as if its work were done."""
    assert 'if __name__ == "__main__"' in (ROOT / module).read_text(encoding="utf-8")


def test_a_step_that_fails_ends_the_run_and_says_so():
    with pytest.raises(SystemExit, match="no_such_module ended with status 1"):
        breed._call("no_such_module")
