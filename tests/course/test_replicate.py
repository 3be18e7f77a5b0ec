"""`make replicate`: each profile in its own folder, only what is unfinished, and a table whatever happens."""

import json
from pathlib import Path

import nbformat
import pytest

from helpers.course import publish, replicate
from helpers.course import run as command
from helpers.course.replicate import key_of
from helpers.profiles import load_profile
from helpers.teaching.claims import Ledger, mark_of
from helpers.teaching.claims.ledger import Measurement
from tests.course.builders import outcome, save, small


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three toy notebooks, and profiles over the pocket's weights that go by the family's names."""
    for name in ("00_start_here", "01_one", "02_two"):
        save(small("1", f"'{name}'", number=name[:2], title=name), tmp_path / "notebooks" / f"{name}.ipynb")
    for name in ("pocket", "pocket-1", "pocket-2"):
        (tmp_path / f"{name}.toml").write_text(f'inherits = "pocket"\nname = "{name}"\nlabel = "{name}"\n')
    return tmp_path


FAMILY = ["pocket.toml", "pocket-1.toml", "pocket-2.toml"]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Stands in for kernels: what ran, by profile and notebook; 02 records B3. `at` makes one go wrong."""

    class Seen(list):
        at: dict = {}

    seen = Seen()

    def execute_all(jobs, at_once=1):
        for begin, done in jobs:
            execution = begin()
            done(run_one(execution.notebook, execution.env))

    def run_one(notebook, env):
        number, build = notebook.cells[0].source[2:4], Path(env["TOXICITY_LAB_BUILD"])
        seen.append((build.name, number))
        happens = seen.at.get((build.name, number), "")
        if happens == "killed":
            raise Killed
        if number == "02" and not happens:
            profile = load_profile(env["TOXICITY_LAB_PROFILE"])
            ledger = Ledger(build / "claims", "02_two", profile.label, mark=mark_of(profile))
            share = 0.9 if build.name == "pocket-1" else 0.6
            ledger.record("B3", Measurement(share, unit="share of the four groups", control=0.1, details={
                "final_share": 0.3, "top_128_share": 0.1, "effect_share": 0.2,
            }), part="whole Δ", policy="matched")  # fmt: skip
        return outcome(notebook, happens)

    monkeypatch.setattr(command, "execute_all", execute_all)
    return seen


def replicated(project: Path, *profiles: str, **env: str) -> int:
    names = list(profiles or FAMILY)
    whole = {"LAB_FROM": str(project), "TOXICITY_LAB_BUILD": "build", **env}
    return replicate.replicate(names, whole, project / "notebooks")


def columns(project: Path) -> dict[str, dict]:
    record = json.loads((project / "build" / "replication.json").read_text())
    return {column["profile"]: column for column in record["columns"]}


def test_each_runs_in_its_own_folder_and_a_table_is_made_of_all(project, ran, capsys):
    assert replicated(project) == 0
    assert ran == [(key_of(name), number) for name in FAMILY for number in ("01", "02", "00")]
    record = json.loads((project / "build" / "replication.json").read_text())
    assert [(row["model"], row["id"], row["value"]) for row in record["rows"]] == [
        ("pocket", "B3", 0.6), ("pocket-1", "B3", 0.9), ("pocket-2", "B3", 0.6), ("pocket", "N7", 0.0),
    ]  # fmt: skip
    assert columns(project)["pocket-1"]["minutes"] == 3.3
    page = (project / "build" / "html" / "replication.html").read_text()
    assert "B3 whole" in page and 'href="../replicate/pocket-2/html/index.html"' in page
    assert (project / "build" / "replicate" / "pocket-2" / "html" / "02_two.html").is_file()
    assert "N7: 0 verdicts that differ → agrees" in capsys.readouterr().out


def test_what_is_finished_for_the_same_code_and_profile_is_kept(project, ran):
    replicated(project)
    ran.clear()
    assert replicated(project) == 0 and ran == []
    (project / "pocket-1.toml").write_text((project / "pocket-1.toml").read_text() + "seed = 3\n")
    replicated(project)
    assert ran == [("pocket-1", number) for number in ("01", "02", "00")]
    ran.clear()
    notebook = nbformat.read(project / "notebooks" / "01_one.ipynb", as_version=4)
    notebook.cells[0].source += " More words."
    save(notebook, project / "notebooks" / "01_one.ipynb")
    assert replicated(project) == 0 and ran == [], "words are no code"
    notebook.cells[1].source = "2"
    save(notebook, project / "notebooks" / "01_one.ipynb")
    replicated(project)
    assert len(ran) == 9


def test_killed_half_way_it_goes_on_where_it_stopped(project, ran):
    ran.at = {("pocket-1", "02"): "killed"}
    with pytest.raises(Killed):
        replicated(project)
    assert ran[-1] == ("pocket-1", "02") and not (project / "build" / "replication.json").exists()
    ran.clear()
    ran.at = {}
    assert replicated(project) == 0
    assert ran == [("pocket-1", "02"), ("pocket-1", "00")] + [("pocket-2", n) for n in ("01", "02", "00")]
    assert len(json.loads((project / "build" / "replication.json").read_text())["rows"]) == 4


def test_a_failure_and_an_unusable_profile_cost_their_own_columns(project, ran, capsys):
    ran.at = {("pocket-1", "02"): "Traceback …\nValueError: no pairs"}
    (project / "broken.toml").write_text('inherits = "pocket"\nsede = 1\n')
    assert replicated(project, "broken.toml", *FAMILY, "pocket-7") == 1
    told = capsys.readouterr().out
    assert told.index("broken will be absent") < told.index("Running 3 notebooks")
    found = columns(project)
    assert found["pocket"]["why"] == found["pocket-2"]["why"] == ""
    assert (found["pocket-1"]["why"], found["pocket-1"]["failed"]) == ("02: ValueError: no pairs", ["02"])
    assert "broken.toml is not a usable profile: sede: there is no such key" in found["broken"]["why"]
    assert found["pocket-7"]["minutes"] is None and "make pocket SEED=7" in found["pocket-7"]["why"]
    rows = json.loads((project / "build" / "replication.json").read_text())["rows"]
    assert [row["verdict"] for row in rows if row["id"] == "N7"] == ["not run"]
    ran.clear()
    ran.at = {}
    replicated(project)
    assert ran == [("pocket-1", "02")], "what failed is tried again"


def test_two_under_one_name_are_refused_before_anything_runs(project, ran):
    with pytest.raises(ValueError, match="two profiles go by the name 'pocket'"):
        replicated(project, "pocket", "pocket.toml")
    (project / "mine.toml").write_text('inherits = "pocket"\nlabel = "pocket"\n')
    with pytest.raises(ValueError, match="two models would be called 'pocket'"):
        replicated(project, "pocket.toml", "mine.toml")
    with pytest.raises(ValueError, match="ONLY names '07'"):
        replicated(project, ONLY="07")
    assert ran == []


def test_only_some_notebooks_and_the_rest_later(project, ran):
    assert replicated(project, "pocket.toml", ONLY="02") == 0
    assert replicated(project, "pocket.toml") == 0
    assert ran == [("pocket", "02"), ("pocket", "01"), ("pocket", "00")]


def test_stored_it_reaches_the_readme_and_the_claims_table(project, ran, monkeypatch):
    stored = project / "stored"
    stored.mkdir()
    for module in (publish, replicate):
        monkeypatch.setattr(module, "NOTEBOOKS", stored)
        monkeypatch.setattr(module, "ROOT", project)
    monkeypatch.setattr(publish, "SOURCES", stored / "py")
    tables = ("notebooks", "claims", "replication")
    markers = [f"<!-- {name}:begin -->\n<!-- {name}:end -->\n" for name in tables]
    (project / "README.md").write_text("".join(markers))
    (stored / "claims.json").write_text(json.dumps(publish.merge(project / "nothing")))
    assert replicated(project, STORE="1") == 0
    assert (stored / "replication.json").read_text() == (project / "build" / "replication.json").read_text()
    readme = (project / "README.md").read_text()
    assert "| over the training seeds |" in readme and "✓ agrees: 0 of 1 differ |" in readme
    line = next(line for line in readme.splitlines() if "| make replicate |" in line)
    assert line.startswith("| N7 |") and "| ✓ agrees |" in line


def test_a_path_of_the_machine_is_not_stored(project, ran, monkeypatch):
    monkeypatch.setattr(replicate, "NOTEBOOKS", project / "stored")
    ran.at = {("pocket", "02"): "ValueError: see /" + "home/me/x"}
    with pytest.raises(ValueError, match="names a path of this machine"):
        replicated(project, STORE="1")
    assert not (project / "stored").exists()
