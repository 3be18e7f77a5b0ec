"""The factory: filters that count, attempts that survive interruption, full disks and foreign settings."""

import errno
import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from helpers.alignment import attempts as attempts_module
from helpers.alignment import pairs as pairs_module
from helpers.alignment.attempts import AttemptLog
from helpers.alignment.encoding import PairError, encode_pairs
from helpers.alignment.pairs import PairRules, craft, rejection_sampling, select
from helpers.language.models import boot, load_hf
from helpers.language.texts import Pair, Prompt
from helpers.profiles import Decoding, ModelSource
from helpers.runtime import cpu_threads
from tests.alignment.makers import (
    DPO_SETTINGS,
    PPLM_SETTINGS,
    LengthScorer,
    a_probe,
    some_pairs,
    some_prompts,
)
from tests.language.builders import tiny_model, tiny_tokenizer
from tests.language.lively import lively_hf

ROOT = Path(__file__).parents[2]


def pair(name, chosen, rejected, *scores, prompt="You are"):
    return Pair(
        name,
        prompt,
        chosen,
        rejected,
        dict(zip(("chosen", "rejected"), scores, strict=True)) if scores else None,
    )


def test_each_dropped_pair_is_counted_once_under_its_reason():
    given = [
        pair("a", " kind.", " vile.", 0.0, 1.0),
        pair("b", " ", " vile.", 0.0, 1.0),
        pair("c", " kind.", " vile \ufffd", 0.0, 1.0),
        pair("d", " kind.", " kind.", 0.0, 0.0),
        pair("e", " kind.", " vile.", 0.0, 1.0),
        pair("f", " nasty.", " vile.", 0.9, 1.0),
        pair("g", " kind.", " good.", 0.0, 0.1),
        pair("h", " fine.", " vile.", 0.0, 1.0),
        pair("i", " well.", " vile.", 0.0, 1.0),
    ]
    found = select(given, None, PairRules(least_gap=0.5, most_chosen=0.5), wanted=2)
    assert [each.id for each in found.kept] == ["a", "h"]
    assert {reason: [each.id for each in pairs] for reason, pairs in found.dropped.items()} == {
        "a side is empty": ["b"],
        "a side holds half a character": ["c"],
        "both sides are the same": ["d"],
        "seen before": ["e"],
        "the chosen side is toxic": ["f"],
        "the rejected side is not more toxic": ["g"],
        "more than were wanted": ["i"],
    }
    assert found.counts["attempted"] == 9 == len(found.attempts) and sum(found.counts.values()) == 18


def test_without_rules_nothing_goes_by_score():
    assert len(select([pair("a", " kind.", " good.")], None, PairRules()).kept) == 1
    with pytest.raises(ValueError, match="hand in a scorer"):
        select([pair("a", " kind.", " good.")], None, PairRules(least_gap=0.1))


def test_scores_are_of_the_continuations_alone():
    (kept,) = select([pair("a", "x" * 10, "x" * 20)], LengthScorer(), PairRules(least_gap=0.2)).kept
    assert kept.scores == {"chosen": 0.25, "rejected": 0.5}


def legible_tokenizer():
    """Random models write bytes that are no characters; this one spells every token as a word."""
    tokenizer = tiny_tokenizer()
    tokenizer.decode = lambda ids: "".join(f" w{token}" for token in ids)
    return tokenizer


def crafted(folder, **changes):
    given = {"seed": 0, "batch_size": 4, "prompts": some_prompts(), "settings": PPLM_SETTINGS, **changes}
    prompts, settings = given.pop("prompts"), given.pop("settings")
    return craft(lively_hf(), legible_tokenizer(), prompts, a_probe(), settings, folder, **given)


def test_crafting_gives_prompt_plain_and_steered_text(tmp_path):
    said = []
    found = crafted(tmp_path, progress=lambda *state: said.append(state))
    assert [each.id for each in found.attempts] and {each.prompt for each in found.attempts} <= {
        prompt.text for prompt in some_prompts()
    }
    assert any(each.chosen != each.rejected for each in found.kept)
    assert said == [(4, 6, "pairs"), (6, 6, "pairs")]


def test_batch_size_and_going_on_change_nothing(tmp_path):
    whole = crafted(tmp_path / "a")
    assert crafted(tmp_path / "b", batch_size=1).attempts == whole.attempts
    crafted(tmp_path / "c", prompts=some_prompts()[:3])
    assert crafted(tmp_path / "c").attempts == whole.attempts


def test_wanted_stops_early_and_a_rerun_makes_nothing_twice(tmp_path, monkeypatch):
    first = crafted(tmp_path, wanted=2, batch_size=2)
    assert len(first.kept) == 2 and len(first.attempts) < 6
    monkeypatch.setattr("helpers.alignment.pairs.steer", lambda *args, **kwargs: pytest.fail("made again"))
    assert crafted(tmp_path, wanted=2).kept == first.kept


def test_too_few_pairs_are_said_early_with_the_scorers_range(tmp_path, monkeypatch):
    hf, tokenizer = load_hf(ModelSource(folder=tiny_model(tmp_path)))
    monkeypatch.setattr("helpers.alignment.pairs.EARLY", 4)

    def steer(hf, prompt_ids, keys, attribute, *_, **__):
        written = tokenizer(" you" if attribute is None else " you are a pain")["input_ids"]
        return torch.tensor([written] * len(keys))

    monkeypatch.setattr("helpers.alignment.pairs.steer", steer)

    def make(folder, rules, enough):
        return craft(
            hf, tokenizer, some_prompts(8), a_probe(), PPLM_SETTINGS, tmp_path / folder, seed=0,
            batch_size=2, scorer=LengthScorer(), rules=rules, enough=enough,
        )  # fmt: skip

    said = r"0 of the first 4 attempts.*score 9\.00 above.*range here is [+-]\d.*pair_filter\.least_gap"
    with pytest.warns(UserWarning, match=said) as warned:
        make("few", PairRules(least_gap=9.0), 8)
    assert len(warned) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make("few", PairRules(least_gap=9.0), 0)
        make("enough", PairRules(least_gap=0.01), 8)


def test_the_chosen_side_can_be_drawn(tmp_path):
    greedy = crafted(tmp_path / "a")
    drawn = crafted(tmp_path / "b", settings=PPLM_SETTINGS.model_copy(update={"chosen": "sampled"}))
    assert [each.rejected for each in greedy.attempts] and {each.chosen for each in greedy.attempts} != {
        each.chosen for each in drawn.attempts
    }


def test_a_killed_run_goes_on_and_loses_nothing(tmp_path):
    model = tiny_model(tmp_path)
    command = [
        sys.executable,
        "-m",
        "tests.alignment.interrupted",
        "craft",
        str(model),
        str(tmp_path / "work"),
        "2",
    ]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    log = tmp_path / "work" / "attempts.jsonl"
    before = log.read_text(encoding="utf-8").splitlines()
    assert len(before) == 1 + 2
    log.write_bytes(
        log.read_bytes() + b'{"content": [{"id": "p5", "prompt": "torn off'
    )  # as a kill within a write leaves it

    hf, tokenizer = load_hf(ModelSource(folder=model))
    made = (hf, tokenizer, some_prompts(), a_probe(), PPLM_SETTINGS)
    resumed = craft(*made, tmp_path / "work", seed=0, batch_size=2)
    assert log.read_text(encoding="utf-8").splitlines()[:3] == before
    assert resumed.attempts == craft(*made, tmp_path / "fresh", seed=0, batch_size=3).attempts


@pytest.mark.parametrize("outside", [1, 3])
def test_the_number_of_threads_is_the_profiles_whatever_it_is_outside(tmp_path, monkeypatch, outside):
    steer, seen = pairs_module.steer, set()

    def watched(*args, **kwargs):
        seen.add(torch.get_num_threads())
        return steer(*args, **kwargs)

    monkeypatch.setattr(pairs_module, "steer", watched)
    with cpu_threads(outside):
        crafted(tmp_path)
        assert torch.get_num_threads() == outside
    assert seen == {PPLM_SETTINGS.threads} == {2}


def test_other_settings_are_not_mixed_in(tmp_path):
    crafted(tmp_path)
    for changes, name in (
        ({"seed": 1}, "seed"),
        ({"settings": PPLM_SETTINGS.model_copy(update={"step_size": 2.0})}, "pplm"),
    ):
        with pytest.raises(PairError, match=f"other settings \\({name}\\)"):
            crafted(tmp_path, **changes)
    with pytest.raises(PairError, match="another text for prompt 'p0'"):
        crafted(tmp_path, prompts=[Prompt("p0", "Something else", "plain")])


@pytest.mark.parametrize("line", range(4))
def test_a_damaged_batch_and_what_follows_is_made_again(tmp_path, line):
    whole = crafted(tmp_path, batch_size=2)
    log = tmp_path / "attempts.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    flipped = bytearray(lines[line])
    flipped[len(flipped) // 2] ^= 1
    log.write_bytes(b"".join([*lines[:line], bytes(flipped), *lines[line + 1 :]]))
    with pytest.warns(UserWarning, match=f"is damaged after {max(0, line - 1)} batches"):
        assert crafted(tmp_path, batch_size=2) == whole
    assert log.read_bytes().splitlines(keepends=True) == lines


def test_a_full_disk_says_so_and_keeps_what_was_made(tmp_path, monkeypatch):
    log = AttemptLog(tmp_path / "attempts.jsonl", {"seed": 0})
    log.append([pair("a", " kind.", " vile.")])

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(attempts_module.os, "fsync", full)
    with pytest.raises(OSError, match="The 1 attempts before this batch are safe") as caught:
        log.append([pair("b", " fine.", " foul.")])
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert AttemptLog(tmp_path / "attempts.jsonl", {"seed": 0}).done["a"].rejected == " vile."


def test_bad_prompts_are_refused_before_work(tmp_path):
    with pytest.raises(ValueError, match="same id"):
        crafted(tmp_path, prompts=[*some_prompts(2), *some_prompts(1)])
    with pytest.raises(ValueError, match="does not fit the context of 64"):
        crafted(tmp_path, prompts=[Prompt("long", "word " * 80, "plain")])


def test_rejection_sampling_pairs_clean_with_toxic():
    model = boot(lively_hf(), tiny_tokenizer(), name="tiny")
    decoding = Decoding(method="sample", new_tokens=6, max_prompt_tokens=20)

    class Halves:
        name, unit = "halves", "1 for an even number of characters"

        def score(self, texts):
            return torch.tensor([float(len(text) % 2 == 0) for text in texts])

    def made(**changes):
        return rejection_sampling(
            model, some_prompts(), Halves(), decoding, **{"samples": 6, "seed": 0, "batch_size": 8, **changes}
        )

    pairs = made()
    assert pairs and all(each.scores == {"chosen": 0.0, "rejected": 1.0} for each in pairs)
    assert all(len(each.chosen) % 2 == 1 and len(each.rejected) % 2 == 0 for each in pairs)
    assert pairs == made(batch_size=5) and pairs != made(seed=1)
    with pytest.raises(ValueError, match="at least two"):
        made(samples=1)


def test_encoding_cuts_and_adds_nothing():
    tokenizer = tiny_tokenizer()
    settings = DPO_SETTINGS.model_copy(update={"max_prompt_tokens": 3, "max_new_tokens": 4})
    given = some_pairs(3)
    for each, encoded in zip(given, encode_pairs(given, tokenizer, settings, 64), strict=True):
        assert list(encoded.prompt) == tokenizer(each.prompt)["input_ids"][-3:]
        assert list(encoded.chosen) == tokenizer(each.chosen)["input_ids"][:4]
        assert tokenizer.eos_token_id not in encoded.chosen + encoded.rejected


@pytest.mark.parametrize(
    ("pairs", "context", "message"),
    [
        ([], 64, "no pairs"),
        ([pair("a", "", " vile.")], 64, "1 of 1 pairs have an empty response \\(the first: 'a'\\)"),
        ([pair("a", " x", " y", prompt="")], 64, "an empty prompt"),
        ([pair("a", " kind.", " kind.")], 64, "the same chosen and rejected"),
        ([pair("a", " kind.", " vile.", prompt="word " * 60)], 40, "exceed the context of 40 tokens"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(pairs, context, message):
    with pytest.raises(PairError, match=message):
        encode_pairs(pairs, tiny_tokenizer(), DPO_SETTINGS, context)


def test_attempts_are_plain_json(tmp_path):
    crafted(tmp_path)
    head, *rows = [json.loads(line) for line in (tmp_path / "attempts.jsonl").read_text().splitlines()]
    assert head["content"]["made_with"]["seed"] == 0
    assert {tuple(row) for batch in rows for row in batch["content"]} == {
        ("id", "prompt", "chosen", "rejected")
    }
