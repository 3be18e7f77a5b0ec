"""Training: it learns, it repeats, it goes on after a kill or a full disk, it leaves what it promises."""

import errno
import json
import math
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from helpers.alignment import journal as journal_module
from helpers.alignment import launch
from helpers.alignment.dpo import train
from helpers.alignment.encoding import PairError, encode_pairs
from helpers.alignment.jsonl import write_pairs
from helpers.alignment.loss import dpo_loss, lay_out, sequence_logprobs
from helpers.alignment.runs import read_run
from helpers.language.models import load_hf
from helpers.profiles import ModelSource
from tests.alignment.makers import DPO_SETTINGS, some_pairs
from tests.language.builders import tiny_model

ROOT = Path(__file__).parents[2]
PAIRS = some_pairs()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model"))


def trained(model, folder, *, settings=None, **changes):
    given = {"pairs": PAIRS[4:], "valid": PAIRS[:4], "seed": 0, **changes}
    settings = DPO_SETTINGS.model_copy(update=settings or {})
    pairs, valid = given.pop("pairs"), given.pop("valid")
    return train(
        ModelSource(folder=model), pairs, valid, settings, folder / "out", work=folder / "work", **given
    )


def weights(run, role="last"):
    return load_file(run.policy(role).folder / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def falling(figures):
    """A stand-in for the measurement on dev: hands out given figures, look by look."""
    left = iter(figures)

    def probe_dev(hf):
        toxicity, perplexity = next(left)
        return {"toxicity": toxicity, "perplexity": perplexity, "weight": hf.lm_head.weight.sum().item()}

    return probe_dev


FIGURES = [(0.5, 10.0), (0.24, 10.2), (0.1, 10.5), (0.0, 20.0)]


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    watched = []
    result = trained(model, folder, probe_dev=falling(FIGURES), watch=lambda *state: watched.append(state))
    return result, watched, folder


def test_it_starts_at_the_reference_and_learns_the_preference(run):
    result, _, _ = run
    first, *_, last = (row for row in result.history if row["kind"] == "look")
    assert first["step"] == 0 and first["validation_loss"] == pytest.approx(math.log(2))
    assert first["validation_margin"] == 0
    assert last["validation_loss"] < first["validation_loss"] and last["validation_margin"] > 0
    for row in result.history:
        names = ("chosen", "rejected", "margin")
        names = names if row["kind"] == "train" else tuple(f"validation_{name}" for name in names)
        chosen, rejected, margin = (row[name] for name in names)
        assert chosen - rejected == pytest.approx(margin, abs=1e-5)
    losses = [row["loss"] for row in result.history if row["kind"] == "train"]
    assert len(losses) == 6 and losses[-1] < losses[0]


def test_every_row_is_watched_in_order(run):
    result, watched, _ = run
    assert [row for _, _, row in watched] == list(result.history)
    assert [step for step, _, _ in watched] == [0, 1, 2, 2, 3, 4, 4, 5, 6, 6] and {
        total for _, total, _ in watched
    } == {6}


def test_policies_are_kept_and_everything_else_is_gone(run):
    result, _, folder = run
    assert result.roles == {"matched": 2, "strong": 4, "best": 6, "last": 6}
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "run.json",
        "step-00002",
        "step-00004",
        "step-00006",
    ]
    assert not (folder / "work").exists()
    kept = {path.suffix for path in result.folder.rglob("*") if path.is_file()}
    assert kept == {".json", ".safetensors"}


def test_a_base_that_was_measured_is_not_measured_again(model, tmp_path):
    base = {"toxicity": 0.5, "perplexity": 10.0, "more": 1.0}
    result = trained(model, tmp_path, probe_dev=falling(FIGURES[1:]), base_dev=base)
    seen = [row for row in result.history if row["kind"] == "look"]
    assert {key: seen[0][key] for key in base} == base
    assert [look.toxicity for look in result.looks] == [0.5, 0.24, 0.1, 0.0]


def test_what_is_kept_is_float32_and_what_was_measured(run):
    result, _, _ = run
    for look in result.history:
        if look["kind"] == "look" and look["step"] in (2, 4, 6):
            folder = result.folder / f"step-{look['step']:05d}"
            assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {
                torch.float32
            }
            assert load_hf(ModelSource(folder=folder))[0].lm_head.weight.sum().item() == look["weight"]


def test_configuration_and_tokenizer_stay_the_base_models(run, model):
    kept = run[0].policy("matched").folder
    for name in ("config.json", "generation_config.json"):
        assert json.loads((kept / name).read_text()) == json.loads((model / name).read_text())
    theirs = load_hf(ModelSource(folder=model))[1]
    mine = load_hf(ModelSource(folder=kept))[1]
    assert mine.pad_token == theirs.pad_token and mine("You painted") == theirs("You painted")


def test_the_same_seed_repeats_and_another_differs(model, tmp_path, run):
    assert same(weights(trained(model, tmp_path / "a")), weights(run[0]))
    assert not same(weights(trained(model, tmp_path / "b", seed=1)), weights(run[0]))


def test_it_takes_the_steps_of_the_plain_loop(model, tmp_path):
    """One batch a pass, so that order does not matter: TRL's steps against ours, written out."""
    pairs = PAIRS[4:8]
    result = trained(
        model, tmp_path, pairs=pairs, settings={"max_steps": 3, "evaluate_every": 3, "clip": 1e9}
    )
    policy, tokenizer = load_hf(ModelSource(folder=model))
    rows = encode_pairs(pairs, tokenizer, DPO_SETTINGS, 64)
    batch = lay_out([r.prompt for r in rows], [r.chosen for r in rows], [r.rejected for r in rows], padding=0)
    reference = sequence_logprobs(policy, batch).detach()
    optimiser = torch.optim.AdamW(policy.parameters(), lr=DPO_SETTINGS.learning_rate, weight_decay=0.0)
    losses = []
    for _ in range(3):
        terms = dpo_loss(
            *sequence_logprobs(policy, batch).chunk(2), *reference.chunk(2), beta=DPO_SETTINGS.beta
        )
        optimiser.zero_grad()
        terms.loss.backward()
        optimiser.step()
        losses.append(terms.loss.item())
    theirs = [row["loss"] for row in result.history if row["kind"] == "train"]
    assert theirs == pytest.approx(losses, abs=1e-4)


def test_micro_batches_add_up(model, tmp_path, run):
    split = [row["loss"] for row in trained(model, tmp_path, micro_batch=1).history if row["kind"] == "train"]
    assert split == pytest.approx([row["loss"] for row in run[0].history if row["kind"] == "train"], abs=1e-4)


def test_the_control_learns_the_chosen_texts(model, tmp_path):
    result = trained(model, tmp_path, objective="sft")
    tokenizer = load_hf(ModelSource(folder=model))[1]
    rows = encode_pairs(PAIRS[4:], tokenizer, DPO_SETTINGS, 64)
    batch = lay_out([r.prompt for r in rows], [r.chosen for r in rows], [r.rejected for r in rows], padding=0)
    with torch.no_grad():
        before = sequence_logprobs(load_hf(ModelSource(folder=model))[0], batch)
        after = sequence_logprobs(load_hf(result.policy("last"))[0], batch)
    assert (after - before)[: len(rows)].mean() > 0
    assert len([row for row in result.history if row["kind"] == "train"]) == 6


def test_it_stops_early_only_if_told(model, tmp_path):
    settings = {"ceiling_patience": 1}
    stopped = trained(model, tmp_path / "a", settings=settings, probe_dev=falling([(0.5, 10.0), (0.2, 11.0)]))
    assert (
        stopped.roles["last"] == 2 and "beyond 1.08" in stopped.stopped and stopped.roles["matched"] is None
    )
    beyond = falling([(0.5, 10.0), *[(0.2, 11.0)] * 3])
    whole = trained(model, tmp_path / "b", settings=settings, probe_dev=beyond, stop_early=False)
    assert whole.roles["last"] == 6 and whole.stopped == "all 6 steps were taken"


def test_a_last_stretch_shorter_than_a_look_is_looked_at(model, tmp_path):
    result = trained(model, tmp_path, settings={"max_steps": 3})
    assert [look.step for look in result.looks] == [0, 2, 3] and result.roles["last"] == 3


def test_a_stopped_run_goes_on_to_the_same_weights(model, tmp_path, run):
    """Here by an exception; with SIGKILL below."""

    def watch(step, total, row):
        if step >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(model, tmp_path, watch=watch)
    assert not (tmp_path / "out").exists()
    seen = []
    result = trained(model, tmp_path, watch=lambda step, total, row: seen.append(step))
    assert seen[0] == 3 and same(weights(result), weights(run[0]))
    keys = ("kind", "step", "loss", "validation_loss")
    assert [[row.get(key) for key in keys] for row in result.history] == [
        [row.get(key) for key in keys] for row in run[0].history
    ]


def test_a_killed_run_goes_on_to_the_same_weights(model, tmp_path, run):
    command = [sys.executable, "-m", "tests.alignment.interrupted", "train", str(model), str(tmp_path), "5"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    torn = tmp_path / "private" / "checkpoints" / "checkpoint-6"
    torn.mkdir()
    (torn / "trainer_state.json").write_text("{")  # a kill while the next checkpoint was being written
    seen = []
    result = train(
        ModelSource(folder=model), PAIRS[4:], PAIRS[:4], DPO_SETTINGS, tmp_path / "out",
        work=tmp_path / "private", seed=0, watch=lambda step, total, row: seen.append(step),
    )  # fmt: skip
    assert seen[0] == 5 and same(weights(result), weights(run[0])) and not (tmp_path / "private").exists()


def test_a_run_killed_while_publishing_only_publishes(model, tmp_path, run, monkeypatch):
    def cut(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("helpers.alignment.journal.write_run", cut)
    with pytest.raises(KeyboardInterrupt):
        trained(model, tmp_path)
    with pytest.raises(FileNotFoundError):
        read_run(tmp_path / "out")
    monkeypatch.undo()
    seen = []
    result = trained(model, tmp_path, watch=lambda *state: seen.append(state))
    assert not seen and same(weights(result), weights(run[0]))


def test_a_full_disk_says_so_and_loses_nothing(model, tmp_path, run, monkeypatch):
    save, calls = journal_module.save_weights, []

    def full(weights_of, beside, folder):
        calls.append(folder)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(weights_of, beside, folder)

    monkeypatch.setattr("helpers.alignment.dpo.save_weights", full)
    with pytest.raises(OSError, match="What was finished is there: make room") as caught:
        trained(model, tmp_path)
    assert caught.value.errno == errno.ENOSPC and (tmp_path / "work" / "journal.json").is_file()
    assert same(weights(trained(model, tmp_path)), weights(run[0]))


@pytest.mark.parametrize("name", ["journal.json", "reference.json"])
def test_a_damaged_journal_is_noticed_and_the_run_begins_anew(model, tmp_path, run, name):
    def watch(step, total, row):
        if step >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(model, tmp_path, watch=watch)
    file = tmp_path / "work" / name
    file.write_bytes(file.read_bytes().replace(b"0", b"1", 1))
    with pytest.warns(UserWarning, match=f"{name} is damaged"):
        result = trained(model, tmp_path)
    assert same(weights(result), weights(run[0]))


def test_another_runs_work_is_not_continued(model, tmp_path, run):
    def watch(step, total, row):
        if step >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(model, tmp_path, seed=1, watch=watch)
    with pytest.warns(UserWarning, match="other pairs or settings; beginning anew"):
        assert same(weights(trained(model, tmp_path)), weights(run[0]))


def test_errors_come_before_work_or_say_what_to_do(model, tmp_path):
    with pytest.raises(PairError, match="no pairs"):
        trained(model, tmp_path / "a", valid=())
    with pytest.raises(ValueError, match="fill one batch"):
        trained(model, tmp_path / "b", pairs=PAIRS[:2])
    with pytest.raises(ValueError, match="must measure perplexity and toxicity"):
        trained(model, tmp_path / "c", probe_dev=lambda hf: {"figure": 1.0})
    with pytest.raises(FloatingPointError, match="lower dpo.learning_rate"):
        trained(model, tmp_path / "d", settings={"learning_rate": 1e30})


def test_two_processes_take_the_same_steps(model, tmp_path):
    """`accelerate launch` with two processes on the CPU against one, through the command line of `launch`."""
    write_pairs(tmp_path / "pairs.jsonl", PAIRS)
    profile = tmp_path / "two.toml"
    values = DPO_SETTINGS.model_dump(exclude={"seeds"})
    dpo = "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
    profile.write_text(
        f'inherits = "pocket"\n[model]\nfolder = "{model}"\n[counts]\npairs_valid = 4\n[dpo]\n{dpo}\n',
        encoding="utf-8",
    )

    def arguments(name):
        return [
            "--profile", str(profile), "--pairs", str(tmp_path / "pairs.jsonl"),
            "--folder", str(tmp_path / name), "--work", str(tmp_path / f"{name}-work"),
        ]  # fmt: skip

    launch.main(arguments("one"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.accelerate_cli",
        "launch",
        "--cpu",
        "--num_processes",
        "2",
    ]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", str(port), "-m", "helpers.alignment.launch", *arguments("two")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-3000:]
    one, two = read_run(tmp_path / "one"), read_run(tmp_path / "two")
    for key in ("loss", "margin", "accuracy", "validation_loss"):
        assert [row.get(key) for row in one.history] == pytest.approx(
            [row.get(key) for row in two.history], abs=1e-4
        )
    for name, value in weights(one).items():
        torch.testing.assert_close(weights(two)[name], value, atol=1e-3, rtol=1e-3)
