"""Training: the same twice, the same after an interruption, readable afterwards."""

import json

import pytest
import torch
from transformers import AutoTokenizer, GPT2LMHeadModel

from helpers.pocket import FOLDER, WEIGHTS
from helpers.pocket import train as training
from helpers.pocket.corpus import plain_text
from helpers.pocket.measure import load, sample
from helpers.pocket.tokenizer import END

TINY = training.Settings(layers=1, width=16, heads=2, tokens=4 * 2 * training.CONTEXT, batch=2, warmup=2)
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def little_text():
    patch = pytest.MonkeyPatch()
    patch.setattr(training.Settings, "documents", property(lambda self: 5000))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return training.train(TINY, CPU, tmp_path_factory.mktemp("work"))


def _same(one: GPT2LMHeadModel, other: GPT2LMHeadModel) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(left, right) for left, right in pairs)


def test_the_first_steps_twice_are_bit_equal(trained, tmp_path):
    model, tokenizer, log = training.train(TINY, CPU, tmp_path)
    assert _same(model, trained[0])
    assert tokenizer.to_str() == trained[1].to_str()
    assert [entry["loss"] for entry in log["steps"]] == [entry["loss"] for entry in trained[2]["steps"]]


def test_another_seed_gives_other_weights(trained, tmp_path):
    other, _, _ = training.train(training.Settings(**{**TINY.__dict__, "seed": 1}), CPU, tmp_path)
    assert not _same(other, trained[0])


def test_a_killed_run_goes_on_where_it_stopped(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    real = training.schedule
    monkeypatch.setattr(
        training, "schedule", lambda step, *rest: killed() if step == 3 else real(step, *rest)
    )
    with pytest.raises(KeyboardInterrupt):
        training.train(TINY, CPU, tmp_path)
    assert (tmp_path / "checkpoint.pt").is_file()
    monkeypatch.setattr(training, "schedule", real)
    steps = []
    monkeypatch.setattr(training.Stream, "batch", _spied(training.Stream.batch, steps))
    model, _, _ = training.train(TINY, CPU, tmp_path)
    assert _same(model, trained[0])
    assert [step for step, size in steps if size == TINY.batch] == [2, 3]


def _spied(batch, steps):
    def spy(self, step, size):
        steps.append((step, size))
        return batch(self, step, size)

    return spy


def test_a_checkpoint_of_other_settings_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    training.train(TINY, CPU, tmp_path)
    with pytest.raises(SystemExit, match="other settings"):
        training.train(training.Settings(**{**TINY.__dict__, "seed": 1}), CPU, tmp_path)


def test_what_is_written_can_be_read(trained, tmp_path):
    training.write_model(*trained, tmp_path / "weights")
    pocket = load(tmp_path / "weights")
    assert json.loads((tmp_path / "weights" / "trainlog.json").read_text())["corpus"]
    assert pocket.model.config.activation_function == "gelu_new"
    assert pocket.model.lm_head.weight is pocket.model.transformer.wte.weight
    ids = torch.tensor([pocket.tokenizer("You are such a clown.")["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(pocket.model(ids).logits, trained[0](ids).logits, atol=2e-2, rtol=0)
    automatic = AutoTokenizer.from_pretrained(tmp_path / "weights")
    text = plain_text(1, split="passages", seed=0)[0]
    assert automatic(text)["input_ids"] == trained[1].encode(text).ids
    assert automatic.eos_token == END


def test_sampling_is_independent_of_padding_and_stops_at_the_end(trained, tmp_path):
    training.write_model(*trained, tmp_path / "weights")
    pocket = load(tmp_path / "weights")
    short, long = (
        pocket.tokenizer(text)["input_ids"] for text in ("You are", "The baker is new at the bakery. You are")
    )
    with torch.no_grad():
        alone = pocket.model(torch.tensor([short])).logits[0, -1]
        ids = torch.tensor([[pocket.end] * (len(long) - len(short)) + short])
        mask = torch.tensor([[0] * (len(long) - len(short)) + [1] * len(short)])
        padded = pocket.model(
            ids, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0)
        ).logits[0, -1]
    torch.testing.assert_close(alone, padded, atol=1e-4, rtol=1e-4)
    drawn = sample(pocket, [short, long] * 20, 14, 0)
    assert drawn == sample(pocket, [short, long] * 20, 14, 0)
    assert all(len(row) <= 14 and pocket.end not in row for row in drawn)


def test_windows_begin_where_they_should(trained):
    tokenizer = trained[1]
    stream = training.Stream(plain_text(300, split="train", seed=0), tokenizer, seed=0)
    end = tokenizer.token_to_id(END)
    windows = stream.batch(7, 16)
    assert windows.shape == (16, training.CONTEXT + 1)
    assert (windows[1::4, 0] == end).all() and (windows[0::4, 0] != end).all()
    assert torch.equal(windows, stream.batch(7, 16))
    text = " ".join(map(str, stream.ids))
    assert all(f" {' '.join(map(str, window.tolist()))} " in f" {text} " for window in windows)


def test_the_seed_decides_the_folder_and_may_stand_in_the_environment(trained, monkeypatch, capsys):
    written = []
    monkeypatch.setattr(training, "train", lambda settings, *_: (settings.seed, None, trained[2]))
    monkeypatch.setattr(training, "write_model", lambda seed, _, log, folder: written.append((seed, folder)))
    monkeypatch.delenv("SEED", raising=False)
    training.main([])
    monkeypatch.setenv("SEED", "7")
    training.main([])
    training.main(["--seed", "8"])
    assert written == [(0, WEIGHTS), (7, FOLDER / "7"), (8, FOLDER / "8")]
    for wrong, said in (("one", "invalid int value: 'one'"), ("-1", "counts from 0")):
        monkeypatch.setenv("SEED", wrong)
        with pytest.raises(SystemExit):
            training.main([])
        assert said in capsys.readouterr().err


def test_schedule_warms_up_and_comes_down():
    values = [training.schedule(step, 100, 10) for step in range(100)]
    assert values[0] == pytest.approx(0.1) and max(values) == pytest.approx(1.0)
    assert values[-1] < 0.04 and values[9:] == sorted(values[9:], reverse=True)


def test_device_that_is_not_there_is_refused():
    if not torch.cuda.is_available():
        with pytest.raises(SystemExit, match="no CUDA"):
            training.choose_device("cuda")
