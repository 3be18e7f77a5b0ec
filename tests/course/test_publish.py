"""`make notebooks`: refuses early, stores only what succeeded, and renders the tables from what is stored."""

import json
import struct
import zlib
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_output

from helpers.course import badges, pictures, publish
from helpers.course.outputs import PLOTLY, PNG
from helpers.teaching.figures.figure import Figure
from tests.course.builders import figure_output, outcome, small

SOURCE = (
    "# %% [markdown]\n# # {number} · Title {number}\n#\n# **Question.** Why {number}?\n{more}\n# %%\nx = 1\n"
)
MAP = "# <!-- map:begin -->\n# <!-- map:end -->\n"
README = "# T\n<!-- notebooks:begin -->\n<!-- notebooks:end -->\n<!-- claims:begin -->\n<!-- claims:end -->\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three sources, a README, and publishing tools that work there with a simulated kernel and browser."""
    sources = tmp_path / "notebooks" / "py"
    sources.mkdir(parents=True)
    for name in ("00_start_here", "01_one", "02_two"):
        text = SOURCE.format(number=name[:2], more=f"#\n{MAP}" if name.startswith("00") else "")
        (sources / f"{name}.py").write_text(text)
    (tmp_path / "README.md").write_text(README)
    for module in (publish, badges):
        monkeypatch.setattr(module, "NOTEBOOKS", tmp_path / "notebooks")
        monkeypatch.setattr(module, "SOURCES", sources)
    monkeypatch.setattr(publish, "ROOT", tmp_path)
    monkeypatch.setattr(publish, "WORK", tmp_path / "build" / "publish")
    monkeypatch.setattr(pictures, "browser", lambda: "/usr/bin/chromium")
    monkeypatch.setattr(Figure, "to_png", lambda self, scale: b"picture")
    monkeypatch.setattr(pictures, "deflate", lambda png: png)
    monkeypatch.delenv("ONLY", raising=False)
    return tmp_path


def simulate(
    monkeypatch: pytest.MonkeyPatch, outputs: dict | None = None, failed: str = ""
) -> list[tuple[str, dict]]:
    """Stands in for kernels: gives each notebook these outputs, and fails the one with this number."""
    ran = []

    def execute(notebook, folder, env, on_cell):
        number = notebook.cells[0].source[2:4]
        ran.append((number, env))
        notebook.cells[-1].execution_count = 1
        notebook.cells[-1].outputs = [(outputs or {}).get(number, new_output("stream", text=number))]
        return outcome(notebook, "it broke" if number == failed else "")

    monkeypatch.setattr(publish, "execute", execute)
    return ran


def stored(project: Path, name: str) -> nbformat.NotebookNode:
    return nbformat.read(project / "notebooks" / f"{name}.ipynb", as_version=4)


def test_it_refuses_without_a_browser_before_it_executes(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    ran = simulate(monkeypatch)
    monkeypatch.setattr(pictures, "browser", lambda: None)
    assert publish.main() == 1
    assert ran == [] and "Chromium" in capsys.readouterr().err
    assert not list((project / "notebooks").glob("*.ipynb"))


def test_a_full_run_stores_outputs_claims_minutes_and_tables(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = simulate(monkeypatch, {"01": figure_output("A line that rises.")})
    assert publish.main() == 0
    assert [number for number, _ in ran] == ["01", "02", "00"]
    env = ran[0][1]
    assert env["TOXICITY_LAB_PROFILE"] == "pocket" and env["TOXICITY_LAB_AUTHORING"] == "1"
    assert env["TOXICITY_LAB_CACHE"] == str(project / "build" / "publish" / "cache")
    figure = stored(project, "01_one").cells[-1].outputs[0]
    assert PLOTLY in figure.data and figure.data[PNG] == "cGljdHVyZQ=="
    assert figure.metadata[PNG]["alt"] == "A line that rises."
    timings = json.loads((project / "notebooks" / "timings.json").read_text())
    assert timings["profile"] == "pocket" and timings["notebooks"]["02_two"] == {
        "minutes": 1.1,
        "peak_gb": 1.25,
    }
    assert json.loads((project / "notebooks" / "claims.json").read_text())[0]["verdict"] == "not run"
    readme = (project / "README.md").read_text()
    assert "| 02 | [Title 02](notebooks/02_two.ipynb) | Why 02? | 1.1 | 1.2 |" in readme
    assert "GPT2-medium" in readme and "not run" in readme
    for text in (
        (project / "notebooks" / "py" / "00_start_here.py").read_text(),
        stored(project, "00_start_here").cells[0].source,
    ):
        assert "[Title 01](01_one.ipynb)" in text
    assert stored(project, "00_start_here").cells[-1].outputs[0].text == "00"


def test_publishing_twice_changes_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(monkeypatch)
    publish.main()
    files = [path for path in project.rglob("*") if path.is_file() and "build" not in path.parts]
    before = {path: path.read_bytes() for path in files}
    publish.main()
    assert {path: path.read_bytes() for path in files} == before


def test_a_failure_stores_nothing_of_that_notebook_and_stops(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    ran = simulate(monkeypatch, failed="02")
    assert publish.main() == 1
    assert [number for number, _ in ran] == ["01", "02"]
    assert [path.stem for path in (project / "notebooks").glob("*.ipynb")] == ["01_one"]
    assert "02_two" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["/" + "home/someone/x.py", "/" + "tmp/x1/model", "/" + "root/.cache/y"])
def test_a_path_of_the_machine_is_not_stored(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, path: str
) -> None:
    simulate(monkeypatch, {"01": new_output("stream", text=f"read from {path}")})
    assert publish.main() == 1
    assert not (project / "notebooks" / "01_one.ipynb").exists()
    assert "code cell 1" in capsys.readouterr().err


def test_only_some_keeps_the_claims_and_minutes_of_the_others(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from helpers.artifacts import write_json
    from helpers.teaching.claims.ledger import Ledger, Measurement, find_claim, merge

    ran = simulate(monkeypatch)
    publish.main()
    claim = find_claim("A1")
    part = claim.part("as found")
    details = {key: 0.5 for key in part.rule.needs}
    measured = Measurement(0.9, (0.88, 0.92), control=0.5, control_interval=(0.4, 0.6), details=details)
    Ledger(project / "fragments", "01_one", "pocket").record("A1", measured, part="as found")
    write_json(project / "notebooks" / "claims.json", merge(project / "fragments"))
    timings = (project / "notebooks" / "timings.json").read_bytes()
    ran.clear()
    monkeypatch.setenv("ONLY", "02")
    assert publish.main() == 0
    assert [number for number, _ in ran] == ["02", "00"]
    assert "TOXICITY_LAB_CACHE" not in ran[0][1] or "publish" not in ran[0][1]["TOXICITY_LAB_CACHE"]
    assert (project / "notebooks" / "timings.json").read_bytes() == timings
    rows = json.loads((project / "notebooks" / "claims.json").read_text())
    assert [row["notebook"] for row in rows if row["value"] == 0.9] == ["01_one"]
    monkeypatch.setenv("ONLY", "01")
    publish.main()
    rows = json.loads((project / "notebooks" / "claims.json").read_text())
    assert all(row["value"] is None for row in rows), "01 ran again and recorded nothing"


def test_it_names_what_it_wrote_and_what_has_no_minutes(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    simulate(monkeypatch)
    publish.main()
    sources = project / "notebooks" / "py"
    capsys.readouterr()
    (sources / "90_toy.py").write_text(SOURCE.format(number="90", more=""))
    monkeypatch.setenv("ONLY", "90")
    assert publish.main() == 0
    said = capsys.readouterr().out
    assert "90_toy: minutes read “–”" in said
    new = ("00_start_here.ipynb", "90_toy.ipynb")
    written = ["README.md", *(f"notebooks/{name}" for name in new), "notebooks/py/00_start_here.py"]
    written += [f"notebooks/student/{name}" for name in (*new, "README.md")]
    assert f"Written: {', '.join(written)}\n" in said
    simulate(monkeypatch, failed="90")
    assert publish.main() == 1 and "Written: nothing" in capsys.readouterr().out


def test_badges_follow_the_address(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(monkeypatch)
    publish.main()
    before = {path: path.read_text() for path in project.rglob("*_*.*") if path.suffix in {".py", ".ipynb"}}
    monkeypatch.setattr(badges, "repository", lambda: "https://github.com/owner/name")
    badges.main()
    first = stored(project, "01_one").cells[0].source
    assert first.startswith("# 01 · Title 01\n\n[![Open in Colab]") and "/notebooks/01_one.ipynb" in first
    assert stored(project, "01_one").cells[-1].outputs[0].text == "01"
    handed_out = stored(project, "student/01_one").cells[0].source
    assert "(student edition)" in handed_out and "/notebooks/student/01_one.ipynb" in handed_out
    monkeypatch.setattr(badges, "repository", lambda: "")
    badges.main()
    assert {path: path.read_text() for path in before} == before


def test_pictures_are_not_drawn_twice() -> None:
    notebook = small("1")
    drawn = figure_output()
    drawn.data[PNG] = "there already"
    notebook.cells[1].outputs = [drawn]
    pictures.add_pictures(notebook)
    assert notebook.cells[1].outputs[0].data[PNG] == "there already"


def test_a_picture_takes_fewer_bytes_and_is_the_same() -> None:
    line = bytes([2, *range(60)])
    raw, packer = line * 200, zlib.compressobj(1)
    header = struct.pack(">IIBBBBB", 20, 200, 8, 2, 0, 0, 0)
    packed = packer.compress(raw) + packer.flush()
    body = [(b"IHDR", header), (b"IDAT", packed[:40]), (b"IDAT", packed[40:]), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in body
    )
    small = pictures.deflate(png)
    assert len(small) < len(png) and small[:33] == png[:33] and small[-12:] == png[-12:]
    length = int.from_bytes(small[33:37], "big")
    data, check = small[41 : 41 + length], small[41 + length : 45 + length]
    assert small[37:41] == b"IDAT" and zlib.decompress(data) == raw
    assert check == zlib.crc32(b"IDAT" + data).to_bytes(4, "big")
    assert pictures.deflate(small) == small
