"""GPT2-medium's path from an empty hub cache to the last cell: its profile, less of everything, our hub.

One test, so that it runs once, whichever worker has this file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import nbformat

from helpers.course.series import running_order
from helpers.profiles import GPT2_MEDIUM, HubText
from tests.hub_imitation.rehearsal import ROOT, imitated, rehearse

UNDEFINED = re.compile(r"(?<![\w.])(?:nan|inf)(?!\w)", re.IGNORECASE)


def test_every_notebook_runs_through_from_an_empty_hub_cache(
    tmp_path: Path, much_memory: None, record_property: Callable[[str, object], None]
) -> None:
    with imitated(tmp_path) as hub:
        said = rehearse(hub, tmp_path)
        fetched = [path for path in hub.asked if "/resolve/" in path]
    names = [path.stem for path in running_order(ROOT / "notebooks")]
    timings = json.loads((tmp_path / "build" / "timings.json").read_text())["notebooks"]
    assert set(timings) == set(names), said
    assert all(row["finished"] for row in timings.values()), said
    pins = {one.revision for _, one in GPT2_MEDIUM.data if isinstance(one, HubText)}
    pins |= {GPT2_MEDIUM.model.revision, GPT2_MEDIUM.scorers[0].revision}
    assert {path.split("/resolve/")[1].split("/")[0] for path in fetched} == pins
    assert not [path for path in fetched if path.endswith((".bin", ".gitattributes", "README.md"))]
    lines = [f"{name}: {row['minutes']:.2f} min" for name, row in sorted(timings.items())]
    record_property("table", "\n".join(["the imitation of GPT2-medium", *lines]))
    undefined = {name: where for name in names if (where := cells_with_undefined(tmp_path, name))}
    assert not undefined, "a figure that is undefined is said to be, not printed as nan"


def cells_with_undefined(folder: Path, name: str) -> list[str]:
    """Lines of text output that hold a nan or inf."""
    notebook = nbformat.read(folder / "build" / "notebooks" / f"{name}.ipynb", as_version=4)
    texts = [
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]
    return [line for text in texts for line in text.splitlines() if UNDEFINED.search(line)]
