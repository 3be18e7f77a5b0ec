"""What a profile costs: the work is counted from its knobs; the short profile keeps to an hour and a half."""

import json
from dataclasses import asdict, fields
from fnmatch import fnmatch

import pytest

from helpers.course.rates import (
    CPU,
    GPU,
    STORED,
    T4,
    Rates,
    by_figures,
    clock,
    estimate,
    readme_table,
    short_table,
)
from helpers.course.shapes import config_of, shape_of
from helpers.course.work import Counting, Shape, Work, prompt_tokens, work_of
from helpers.profiles import GPT2_MEDIUM, GPT2_MEDIUM_SHORT, POCKET, SHORTENED, load_profile

MEDIUM = Shape(24, 1024, 50257, 1024, 4096)
SMALL = Shape(4, 192, 1441, 128, 768)


def test_parameters_are_gpt2_mediums_and_pockets():
    assert MEDIUM.parameters == 354_823_168
    assert SMALL.parameters == 2_081_088


def rates(**seconds):
    """One second for nothing but what is named."""
    return Rates("here", **{one.name: 0.0 for one in fields(Rates)[1:]} | seconds)


def test_seconds_are_units_times_rates():
    work = Work(read=10, written=4, opened=2)
    assert rates(start=1, read=2, written=3, opened=5).seconds(work) == 1 + 20 + 12 + 10
    assert (work + work * 2) == Work(read=30, written=12, opened=6)


@pytest.mark.parametrize(
    ("knob", "change", "unit", "notebook"),
    [
        ("pplm", {"iterations": 100}, "steered", "04"),
        ("dpo", {"max_steps": 3360}, "trained", "05"),
        ("dpo", {"evaluate_every": 12}, "gigabytes", "05"),
        ("counts", {"comments_train": 40_000}, "read", "01"),
        ("counts", {"prompts_eval": 2048}, "passed", "06"),
        ("steering", {"strengths": (0.1,) * 10}, "measured", "03"),
        ("unalignment", {"keys": (1, 2, 3, 4, 5, 6, 7, 8)}, "measured", "09"),
    ],
)
def test_more_of_a_knob_is_more_work_where_it_is_used(knob, change, unit, notebook):
    more = GPT2_MEDIUM.model_copy(update={knob: getattr(GPT2_MEDIUM, knob).model_copy(update=change)})
    before, after = (work_of(profile, MEDIUM)[notebook] for profile in (GPT2_MEDIUM, more))
    assert getattr(after, unit) > 1.1 * getattr(before, unit)


def test_05_is_counted_with_the_looks_that_it_takes():
    each = POCKET.dpo.max_steps / POCKET.dpo.evaluate_every
    runs = 2 + len(POCKET.dpo.seeds) - 1  # two sources of pairs, and the main one with the other seeds
    variants, longer = 3 * each / 2, 2 * each / 4  # looked at half and a quarter as often
    controls, reports = 5, 6 + len(POCKET.dpo.seeds)
    assert work_of(POCKET, SMALL)["05"].measured == runs * each + variants + longer + controls + reports


def test_a_prompt_is_read_once_to_write_and_once_by_the_judge():
    one = Counting(POCKET, SMALL)
    wanted = one.asked(10)
    assert wanted.written == 10 * POCKET.decoding.new_tokens  # the first reading is part of writing
    assert wanted.read == 10 * (prompt_tokens(POCKET) + POCKET.decoding.new_tokens)
    at = by_figures(CPU, POCKET, SMALL)
    assert at.written * POCKET.decoding.new_tokens == pytest.approx(
        at.read * (prompt_tokens(POCKET) + POCKET.decoding.new_tokens)
    )


def test_imported_pairs_cost_no_steering():
    pairs = {"kind": "file", "path": "pairs.jsonl"}
    text = GPT2_MEDIUM.model_dump(mode="json")
    profile = type(GPT2_MEDIUM).model_validate({**text, "data": {**text["data"], "pairs": pairs}})
    assert work_of(profile, MEDIUM)["05"].steered == 0
    assert work_of(profile, MEDIUM)["04"].steered < 0.01 * work_of(GPT2_MEDIUM, MEDIUM)["04"].steered


def test_the_short_profile_takes_an_hour_and_a_half_on_a_t4_and_fits():
    found = by_figures(T4, GPT2_MEDIUM_SHORT, MEDIUM)
    work = work_of(GPT2_MEDIUM_SHORT, MEDIUM)
    minutes = sum(found.seconds(work[number]) for number in work if "01" <= number <= "09") / 60
    assert 45 < minutes <= 90
    rows = estimate(GPT2_MEDIUM_SHORT, MEDIUM, found, T4.memory)["notebooks"]
    assert max(row["gb"] for row in rows.values()) < T4.memory


def test_every_knob_of_the_short_profile_has_its_reason():
    long, short = (profile.model_dump() for profile in (GPT2_MEDIUM, GPT2_MEDIUM_SHORT))
    differs = {
        f"{part}.{knob}"
        for part in long
        if isinstance(long[part], dict) and part not in ("model", "data")
        for knob in long[part]
        if long[part][knob] != short[part][knob]
    }
    named = [name for names, _, _ in SHORTENED for name in names.split(", ")]
    pairs = {(knob, name) for knob in differs for name in named if fnmatch(knob, name)}
    assert {knob for knob, _ in pairs} == differs
    assert {name for _, name in pairs} == set(named)
    assert {part for part in long if long[part] != short[part]} - {one.split(".")[0] for one in differs} == {
        "name", "label",
    }  # fmt: skip


def test_a_smaller_gpt2_is_one_line_more_than_what_it_inherits(tmp_path):
    path = tmp_path / "gpt2.toml"
    path.write_text('inherits = "gpt2-medium"\nmodel = { id = "openai-community/gpt2" }\n', encoding="utf-8")
    profile = load_profile(path)
    assert profile.model.revision is None and profile.counts == GPT2_MEDIUM.counts
    assert shape_of(config_of(profile)).parameters == 124_439_808


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(36.9, "37 s"), (60.0, "1 min"), (579.0, "10 min"), (3599.0, "1 h 00"), (18_620.0, "5 h 10")],
)
def test_an_estimates_time_is_said_no_finer_than_it_is(seconds, said):
    assert clock(seconds) == said


def test_tables_show_what_is_stored():
    found = estimate(POCKET, SMALL, by_figures(GPU, POCKET, SMALL), GPU.memory)
    table = readme_table({"pocket on GPU": found})
    assert table.splitlines()[0] == f"| notebook | `pocket`, {GPU.name} |"
    assert len(table.splitlines()) == 3 + len(found["notebooks"])
    assert readme_table({}) == "*Not run yet.*"
    assert short_table().count("\n") == len(SHORTENED) + 1


def test_what_is_stored_is_what_the_profiles_ask_for_today():
    """Counts change, and with them README's figures: `ON=… STORE=1 make estimate` stores them anew."""
    profiles = {one.name: one for one in (GPT2_MEDIUM, GPT2_MEDIUM_SHORT)}
    for name, kept in json.loads(STORED.read_text(encoding="utf-8")).items():
        profile = profiles[kept["profile"]]
        again = Rates(**kept["rates"])
        work = work_of(profile, MEDIUM)
        for notebook, row in kept["notebooks"].items():
            now = again.seconds(work[notebook[:2]]) / 60
            assert row["minutes"] == pytest.approx(now, abs=0.02), (name, asdict(work[notebook[:2]]))
