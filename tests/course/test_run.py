"""`make run`: order, reports, what is kept and what is cleared; executions are simulated but for one."""

import json
import os
import signal
import sys
from pathlib import Path

import nbformat
import pytest

from helpers.course import run as command
from helpers.course.execute import Interrupted
from helpers.course.holding import Busy, hold
from helpers.course.run import Request, read_request, run
from helpers.course.series import running_order
from helpers.language import hub
from helpers.profiles import POCKET, ProfileError, load_profile
from helpers.teaching.claims import Ledger, LedgerWarning, Measurement, mark_of, write_fragment
from helpers.teaching.claims.ledger import find_claim
from tests.course.builders import outcome, save, small
from tests.tiny_profile import tiny_profile

RECORD = """
from pathlib import Path
import os
from helpers.profiles import POCKET
from helpers.teaching.claims import Ledger, Measurement, mark_of
measured = Measurement(0.9, (0.88, 0.92), control=0.5, control_interval=(0.4, 0.6), details=DETAILS)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    for name in ("00_start_here", "01_one", "02_two"):
        save(small("1", "2", number=name[:2], title=name), folder / f"{name}.ipynb")
    return folder


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    return Request(POCKET, tmp_path / "build", dict(os.environ), "")


def simulate(monkeypatch: pytest.MonkeyPatch, **failed: str) -> list[str]:
    """Stands in for kernels; `failed` names notebooks by number (`n01`) and gives their error."""
    ran = []

    def execute_all(jobs, at_once=1):
        for begin, done in jobs:
            execution = begin()
            notebook, number = execution.notebook, execution.notebook.cells[0].source[2:4]
            ran.append(number)
            execution.on_cell(1, 2)
            if failed.get(f"n{number}") == "interrupt":
                raise Interrupted([outcome(notebook)])
            done(outcome(notebook, failed.get(f"n{number}", "")))

    monkeypatch.setattr(command, "execute_all", execute_all)
    return ran


def test_the_start_comes_last_and_everything_is_left_in_the_build_folder(
    source: Path, request_: Request, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    ran = simulate(monkeypatch)
    assert run(request_, source) == 0
    assert ran == ["01", "02", "00"]
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    build = request_.build
    assert {path.stem for path in (build / "notebooks").iterdir()} == {"00_start_here", "01_one", "02_two"}
    assert (build / "html" / "02_two.html").is_file() and (build / "html" / "plotly.min.js").is_file()
    timings = json.loads((build / "timings.json").read_text())
    assert timings["profile"] == "pocket"
    assert timings["notebooks"]["01_one"] == {"minutes": 1.1, "peak_gb": 1.25, "finished": True}
    index = (build / "html" / "index.html").read_text()
    assert "01_one.html" in index and "1.1" in index and "Why is this so?" in index
    assert all(row["verdict"] == "not run" for row in json.loads((build / "claims.json").read_text()))
    said = capsys.readouterr().out
    assert "01_one" in said and " 1:06" in said and "index.html" in said


def test_a_failure_is_named_and_the_rest_goes_on(
    source: Path, request_: Request, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    ran = simulate(monkeypatch, n01="ZeroDivisionError: division by zero")
    assert run(request_, source) == 1
    assert ran == ["01", "02", "00"]
    said = capsys.readouterr()
    assert "FAILED in code cell 2" in said.out
    assert "01_one, code cell 2" in said.err and "ZeroDivisionError" in said.err
    assert (request_.build / "notebooks" / "01_one.ipynb").is_file()
    assert "a cell failed" in (request_.build / "html" / "index.html").read_text()


def test_an_equation_that_cannot_be_typeset_costs_one_page_only(
    source: Path, request_: Request, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    notebook = nbformat.read(source / "01_one.ipynb", as_version=4)
    notebook.cells[0].source += "\n\n$\\nosuchthing$"
    nbformat.write(notebook, source / "01_one.ipynb")
    ran = simulate(monkeypatch)
    assert run(request_, source) == 1
    assert ran == ["01", "02", "00"]
    assert "01_one has no page" in capsys.readouterr().err
    assert not (request_.build / "html" / "01_one.html").exists()
    assert (request_.build / "html" / "02_two.html").is_file()


@pytest.mark.parametrize("at", ["01", "02"])
def test_an_interrupt_keeps_what_was_made(
    source: Path, request_: Request, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    ran = simulate(monkeypatch, **{f"n{at}": "interrupt"})
    assert run(request_, source) == 130
    assert ran[-1] == at
    assert (request_.build / "html" / "01_one.html").is_file() == (at == "02")
    assert (request_.build / "html" / "index.html").is_file()


def test_running_some_keeps_the_others_unless_the_profile_changed(
    source: Path, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(monkeypatch)
    run(request_, source)
    some = Request(request_.profile, request_.build, request_.env, "02")
    run(some, source)
    assert set(json.loads((request_.build / "timings.json").read_text())["notebooks"]) == {
        "00_start_here",
        "01_one",
        "02_two",
    }


@pytest.mark.parametrize("changed", [{"name": "other"}, {"seed": 1}])
def test_another_profiles_results_are_set_aside_and_it_says_so(
    source: Path, request_: Request, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, changed
) -> None:
    simulate(monkeypatch)
    run(request_, source)
    other = Request(POCKET.model_copy(update=changed), request_.build, request_.env, "02")
    run(other, source)
    assert [path.stem for path in (request_.build / "notebooks").iterdir()] == ["02_two"]
    assert set(json.loads((request_.build / "timings.json").read_text())["notebooks"]) == {"02_two"}
    assert (request_.build / "set-aside" / "notebooks" / "01_one.ipynb").is_file()
    assert "What profile “pocket”" in capsys.readouterr().out


def test_a_profile_whose_files_were_edited_is_another_one(tmp_path: Path) -> None:
    path = tiny_profile(tmp_path)
    before = mark_of(load_profile(path))
    assert mark_of(load_profile(path)) == before
    with (tmp_path / "comments.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n")
    assert mark_of(load_profile(path)) != before


def test_two_runs_at_once_are_refused_and_the_second_learns_of_the_first(
    source: Path, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = simulate(monkeypatch)
    run(request_, source)
    before = sorted(path for path in request_.build.rglob("*") if path.name != "running.json")
    with hold(request_.build, "make run on mine"):
        with pytest.raises(Busy, match=rf"mine \(process {os.getpid()}\), since .*TOXICITY_LAB_BUILD"):
            run(request_, source)
        (request_.build / "running.json").write_text('{"doing')
        with pytest.raises(Busy, match="by another command"):
            run(request_, source)
    assert len(ran) == 3
    assert sorted(path for path in request_.build.rglob("*") if path.name != "running.json") == before
    assert run(request_, source) == 0


def test_what_a_stray_notebook_of_another_profile_records_is_left_out(
    source: Path, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(monkeypatch)
    run(request_, source)
    write_fragment(request_.build / "claims" / "01_one.json", "of another profile", [])
    some = Request(request_.profile, request_.build, request_.env, "02")
    with pytest.warns(LedgerWarning, match="01_one.json was recorded on another profile"):
        assert run(some, source) == 0


def test_claims_under_a_changed_rule_do_not_stop_the_run_that_records_them_again(
    source: Path, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = find_claim("A1").part("as found").rule
    details = {key: 0.5 for key in rule.needs}
    measured = Measurement(0.9, (0.88, 0.92), control=0.5, control_interval=(0.4, 0.6), details=details)
    folder = request_.build / "claims"

    def execute_all(jobs, at_once=1):
        for begin, done in jobs:
            notebook = begin().notebook
            if notebook.cells[0].source[2:4] == "01":
                ledger = Ledger(folder, "01_one", "pocket", mark=mark_of(POCKET))
                ledger.record("A1", measured, part="as found")
            done(outcome(notebook))

    def found() -> list[str]:
        rows = json.loads((request_.build / "claims.json").read_text())
        return [row["id"] for row in rows if row["value"] is not None]

    monkeypatch.setattr(command, "execute_all", execute_all)
    run(request_, source)
    assert found() == ["A1"]
    stale = folder / "01_one.json"
    stale.write_text(stale.read_text().replace(rule.text, "agrees always"))
    for only, left in (("02", []), ("01", ["A1"])):
        some = Request(request_.profile, request_.build, request_.env, only)
        with pytest.warns(LedgerWarning, match="another registry.*`ONLY=01_one make run`"):
            assert run(some, source) == 0
        assert found() == left


def test_notebooks_side_by_side_share_the_cores_but_the_start_has_them_all(
    source: Path, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def execute_all(jobs, at_once=1):
        for begin, done in jobs:
            execution = begin()
            asked.append((execution.notebook.cells[0].source[2:4], at_once, threads(execution.env)))
            done(outcome(execution.notebook))

    def threads(env):
        return env.get("OMP_NUM_THREADS")

    monkeypatch.setattr(command, "execute_all", execute_all)
    monkeypatch.setattr(command, "cores", lambda: 4)
    env = {name: value for name, value in request_.env.items() if name != "OMP_NUM_THREADS"}
    save(small("1", "2", number="04", title="04_four"), source / "04_four.ipynb")
    run(Request(POCKET, request_.build, env, "", at_once=2), source)
    assert asked == [("04", 2, "2"), ("01", 2, "2"), ("02", 2, "2"), ("00", 1, None)]
    asked.clear()
    run(Request(POCKET, request_.build, env | {"OMP_NUM_THREADS": "3"}, "01", at_once=2), source)
    assert asked == [("01", 1, "3")], "what a reader has set stays, and one alone shares with nobody"


def test_how_many_run_at_once_is_the_profiles_the_machines_or_the_readers(monkeypatch) -> None:
    monkeypatch.setattr(command, "cores", lambda: 1)
    assert read_request({}).at_once == 1
    monkeypatch.setattr(command, "cores", lambda: 4)
    assert read_request({}).at_once == POCKET.side_by_side == 2
    assert read_request({"JOBS": "3"}).at_once == 3
    for wrong in ("0", "two", "-1"):
        with pytest.raises(ValueError, match=f"JOBS={wrong}: say how many"):
            read_request({"JOBS": wrong})


@pytest.mark.parametrize(
    "damaged",
    ["timings.json", "profile.json", "claims.json", "claims/01_one.json", "notebooks/01_one.ipynb",
     "html/plotly.min.js", "html/index.html"],
)  # fmt: skip
@pytest.mark.parametrize("content", [b"", b'{"profile": "pock', b"\xff\x00"])
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_in_the_build_folder_does_not_stop_what_mends_it(
    source: Path, request_: Request, monkeypatch: pytest.MonkeyPatch, damaged: str, content: bytes
) -> None:
    simulate(monkeypatch)
    run(request_, source)
    whole = (request_.build / "html" / "plotly.min.js").read_bytes()
    (request_.build / damaged).write_bytes(content)
    assert run(Request(request_.profile, request_.build, request_.env, "01"), source) == 0
    assert (request_.build / "notebooks" / "02_two.ipynb").is_file() or damaged == "profile.json"
    assert damaged.startswith("claims/") or (request_.build / damaged).read_bytes() != content
    assert (request_.build / "html" / "plotly.min.js").read_bytes() == whole


def test_a_full_run_forgets_the_claims_of_the_last_one(
    source: Path, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = request_.build / "claims" / "01_one.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("[]")
    simulate(monkeypatch)
    run(request_, source)
    assert not stale.exists()


def test_only_wants_names_that_exist(source: Path) -> None:
    assert [path.stem for path in running_order(source, only="02, 00")] == ["02_two", "00_start_here"]
    with pytest.raises(ValueError, match="'07'; there is 00_start_here, 01_one, 02_two"):
        running_order(source, only="07")


@pytest.mark.parametrize("only", ["90", "01 90_toy"])
def test_a_source_without_a_notebook_is_told_what_makes_it(source: Path, only: str) -> None:
    (source / "py").mkdir()
    (source / "py" / "90_toy.py").write_text("1")
    with pytest.raises(ValueError, match="90_toy has a source but no notebook yet: `ONLY=90"):
        running_order(source, only=only)


def test_paths_count_from_where_the_command_was_given(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('inherits = "pocket"\nname = "mine"\n')
    env = {
        "LAB_FROM": str(tmp_path),
        "PROFILE": "mine.toml",
        "TOXICITY_LAB_CACHE": "here",
        "TOXICITY_LAB_BUILD": "out",
    }
    wanted = read_request(env)
    assert wanted.profile.name == "mine"
    assert wanted.build == tmp_path / "out" == Path(wanted.env["TOXICITY_LAB_BUILD"])
    assert wanted.env["TOXICITY_LAB_PROFILE"] == str(tmp_path / "mine.toml")
    assert wanted.env["TOXICITY_LAB_CACHE"] == str(tmp_path / "here")


def test_a_wrong_profile_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ProfileError):
        read_request({"LAB_FROM": str(tmp_path), "PROFILE": "gpt2-medum"})
    with pytest.raises(ProfileError):
        read_request({"LAB_FROM": str(tmp_path), "PROFILE": "missing.toml"})


def test_a_hub_out_of_reach_is_one_error_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    ran = simulate(monkeypatch)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("PROFILE", "gpt2-medium")
    monkeypatch.setenv("TOXICITY_LAB_BUILD", str(tmp_path / "build"))
    with monkeypatch.context() as patch:
        patch.setattr(signal, "signal", lambda *_: None)
        patch.setattr(os, "_exit", sys.exit)
        with pytest.raises(SystemExit, match="1"):
            command.main()
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("make run: Wanted the model openai-community/gpt2-medium") and "pocket" in said
    assert ran == [] and not (tmp_path / "build").exists()


def test_what_a_kernel_records_reaches_the_table_and_the_ledger(
    tmp_path: Path, request_: Request, capsys: pytest.CaptureFixture
) -> None:
    from helpers.teaching.claims.ledger import CLAIMS

    part = next(part for part in CLAIMS["A1"].parts if part.name == "as found")
    details = {key: 0.5 for key in part.rule.needs}
    cell = RECORD.replace("DETAILS", repr(details)) + (
        "Ledger(Path(os.environ['TOXICITY_LAB_BUILD']) / 'claims', '01_one', 'tiny', mark=mark_of(POCKET))"
        ".record('A1', measured, part='as found')"
    )
    source = tmp_path / "real"
    save(small(cell), source / "01_one.ipynb")
    root = str(Path(__file__).resolve().parents[2])
    env = {**request_.env, "TOXICITY_LAB_BUILD": str(request_.build), "PYTHONPATH": root}
    assert run(Request(POCKET, request_.build, env, ""), source) == 0, capsys.readouterr().err
    rows = json.loads((request_.build / "claims.json").read_text())
    found = [row for row in rows if row["value"] is not None]
    assert [(row["id"], row["part"], row["model"], row["value"]) for row in found] == [
        ("A1", "as found", "tiny", 0.9)
    ]
    assert "A1 as found" in capsys.readouterr().out
    stored = nbformat.read(request_.build / "notebooks" / "01_one.ipynb", as_version=4)
    assert stored.cells[1].execution_count == 1
