"""What a run keeps and when it stops: rules on looks alone."""

import pytest

from helpers.alignment.policies import Look
from helpers.alignment.runs import TrainingRun, looks_of, read_run, reason_to_stop, roles_of, write_run
from helpers.profiles import DPO

SETTINGS = DPO(patience=2, ceiling_patience=2)
BASE = Look(0, 0.5, 10.0, 0.69)


def test_roles_name_the_step_of_each():
    looks = [
        BASE,
        Look(10, 0.3, 10.1, 0.5),
        Look(20, 0.2, 10.2, 0.3),
        Look(30, 0.1, 10.7, 0.4),
        Look(40, 0.0, 11.0, 0.6),
    ]
    assert roles_of(looks, SETTINGS) == {"matched": 20, "strong": 30, "best": 20, "last": 40}
    assert roles_of([Look(0), Look(10, validation_loss=0.5)], SETTINGS) == {
        "matched": None, "strong": None, "best": 10, "last": 10,
    }  # fmt: skip
    assert set(roles_of([BASE], SETTINGS).values()) == {None}


def test_training_stops_when_validation_loss_no_longer_falls():
    falling = [BASE, *(Look(step, 0.3, 10.0, 1 / step) for step in (10, 20, 30))]
    assert reason_to_stop(falling, SETTINGS) is None
    stuck = [*falling, Look(40, 0.3, 10.0, 0.5)]
    assert reason_to_stop(stuck, SETTINGS) is None
    assert "did not fall for 2 looks" in reason_to_stop([*stuck, Look(50, 0.3, 10.0, 0.5)], SETTINGS)


def test_training_stops_when_perplexity_stays_beyond_the_ceiling():
    looks = [BASE, Look(10, 0.3, 10.0, 0.6), Look(20, 0.2, 10.9, 0.5)]
    assert reason_to_stop(looks, SETTINGS) is None
    assert reason_to_stop([*looks, Look(30, 0.1, 10.7, 0.4)], SETTINGS) is None
    beyond = [*looks, Look(30, 0.1, 11.0, 0.4)]
    assert "beyond 1.08 × base's for 2 looks" in reason_to_stop(beyond, SETTINGS)
    assert reason_to_stop(beyond, SETTINGS.model_copy(update={"ceiling_patience": 0})) is None


def test_a_run_is_written_and_read(tmp_path):
    history = (
        {"kind": "look", "step": 0, "validation_loss": 0.69, "toxicity": 0.5, "perplexity": 10.0},
        {"kind": "train", "step": 1, "loss": 0.69},
        {"kind": "look", "step": 2, "validation_loss": 0.5},
    )
    run = TrainingRun(tmp_path, history, {"matched": None, "strong": None, "best": 2, "last": 2}, "why")
    write_run(run)
    assert read_run(tmp_path) == run
    assert run.looks == (BASE_AS_READ, Look(2, None, None, 0.5)) == looks_of(history)
    assert run.policy("best").folder == tmp_path / "step-00002"
    with pytest.raises(ValueError, match="no 'matched' policy .* it has: best, last"):
        run.policy("matched")
    with pytest.raises(FileNotFoundError, match="no finished training run"):
        read_run(tmp_path / "elsewhere")


BASE_AS_READ = Look(0, 0.5, 10.0, 0.69)
