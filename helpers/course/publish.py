"""`make notebooks`: executes the sources on `pocket`, stores outputs with pictures, renders the tables."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from helpers.artifacts import write_json
from helpers.course.cover import cover
from helpers.course.editions import EditionError, write_students
from helpers.course.execute import Interrupted, execute, write
from helpers.course.fewer_steps import table as fewer_steps
from helpers.course.holding import Busy, hold
from helpers.course.outputs import machine_paths
from helpers.course.pairing import read_source, update_text
from helpers.course.pictures import PictureError, add_pictures, check_browser
from helpers.course.rates import readme_table as estimates
from helpers.course.rates import short_table
from helpers.course.rehearse import table as rehearsals
from helpers.course.run import Screen, read_timings, show_failure, timing, write_timings
from helpers.course.series import NOTEBOOKS, ROOT, SOURCES, heading, running_order
from helpers.course.tables import between, notebook_table, repository, rewrite, with_costs
from helpers.profiles import GPT2_MEDIUM, POCKET
from helpers.teaching.claims import NOT_RUN, Replication, mark_of, merge, render_table, write_fragment

START = "00_start_here"
SEEDS_CLAIM = "N7"
"""Settled by no notebook, but by `make replicate`, whose stored result has its row."""
WORK = ROOT / "build" / "publish"


class PublishError(RuntimeError):
    """Why nothing, or nothing more, was stored."""


def check_stored(notebook: NotebookNode, name: str) -> None:
    """What must not reach the repository: paths of this machine.

    Raises:
        PublishError: names the cells.
    """
    if found := machine_paths(notebook):
        raise PublishError(
            f"{name} prints paths of this machine, so it is not stored: {'; '.join(found[:5])}"
        )


def seed_fragments(executed: set[str]) -> None:
    """Starts the ledger from the committed claims, without those of the notebooks that are about to run."""
    shutil.rmtree(WORK / "claims", ignore_errors=True)
    (WORK / "claims").mkdir(parents=True)
    committed = NOTEBOOKS / "claims.json"
    rows = json.loads(committed.read_text(encoding="utf-8")) if committed.is_file() else []
    by_notebook: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["verdict"] != NOT_RUN and row["notebook"] not in executed:
            by_notebook.setdefault(row["notebook"], []).append(row)
    for name, kept in by_notebook.items():
        write_fragment(WORK / "claims" / f"{name}.json", mark_of(POCKET), kept)


def publish(only: str) -> int:
    """Executes, checks and stores one notebook after another, 00 always last; stops at the first that fails.

    A full run starts from an empty cache, so that its minutes are a newcomer's; with `only` the usual cache
    serves and the recorded minutes stay.
    """
    sources = running_order(SOURCES, ".py", only)
    if only and all(path.stem != START for path in sources):
        sources += running_order(SOURCES, ".py", START)
    env = {
        **os.environ,
        "TOXICITY_LAB_PROFILE": POCKET.name,
        "TOXICITY_LAB_BUILD": str(WORK),
        "TOXICITY_LAB_AUTHORING": "1",
        "TOXICITY_LAB_PROGRESS": "0",
    }
    if not only:
        shutil.rmtree(WORK, ignore_errors=True)
        env["TOXICITY_LAB_CACHE"] = str(WORK / "cache")
    seed_fragments({path.stem for path in sources})
    timings = read_timings(NOTEBOOKS / "timings.json", POCKET.name)
    screen = Screen([path.stem for path in sources])
    for source in sources:
        notebook = read_source(source)
        write_json(WORK / "claims.json", merge(WORK / "claims", mark_of(POCKET)))
        screen.start(source.stem)
        try:
            outcome = execute(notebook, NOTEBOOKS, env, partial(screen.cell, source.stem))
        except Interrupted:
            raise PublishError(f"interrupted; {source.stem} and what follows is as it was") from None
        screen.done(source.stem, outcome)
        if outcome.failure:
            show_failure(source.stem, outcome.failure)
            raise PublishError(f"{source.stem} failed, so it is not stored; what follows was not executed")
        add_pictures(notebook)
        check_stored(notebook, source.stem)
        write(notebook, NOTEBOOKS / f"{source.stem}.ipynb")
        if not only:
            timings[source.stem] = {key: value for key, value in timing(outcome).items() if key != "finished"}
    entries = merge(WORK / "claims", mark_of(POCKET))
    write_json(NOTEBOOKS / "claims.json", entries)
    if not only:
        write_timings(NOTEBOOKS / "timings.json", POCKET.name, timings)
    render(entries, timings)
    if new := [source.stem for source in sources if source.stem not in timings]:
        print(f"{', '.join(new)}: minutes read “–” until `make notebooks` runs all, from an empty cache")
    return 0


def stored() -> dict[Path, bytes]:
    """What this command may change, as it is."""
    found = [ROOT / "README.md", *NOTEBOOKS.glob("*.*"), *SOURCES.glob("*.py")]
    found += NOTEBOOKS.glob("student/*.*")
    return {path: path.read_bytes() for path in found if path.is_file()}


def render(entries: list[dict[str, Any]], timings: Mapping[str, Any]) -> None:
    """The tables in README, the map in 00, and what each notebook says it takes, from what is stored now."""
    headings = {
        path.stem: heading(nbformat.read(path, as_version=4), path.stem) for path in running_order(NOTEBOOKS)
    }
    readme = ROOT / "README.md"
    if readme.is_file():
        text = readme.read_text(encoding="utf-8")
        text = between(text, "notebooks", notebook_table(headings, timings, repository(), "notebooks/"))
        if found := Replication.read(NOTEBOOKS / "replication.json"):
            text = between(text, "replication", found.table())
            seeds = [row for row in found.rows if row["id"] == SEEDS_CLAIM]
            entries = [row for row in entries if row["id"] != SEEDS_CLAIM] + seeds
        text = between(text, "claims", render_table(entries, by="claim"))
        tables = {"estimate": estimates, "rehearsal": rehearsals, "pplm_steps": fewer_steps}
        for name, rendered in tables.items():
            if (found_there := NOTEBOOKS / f"{name}.json").is_file():
                text = between(text, name, rendered(json.loads(found_there.read_text(encoding="utf-8"))))
        if "<!-- short:begin -->" in text:
            text = between(text, "short", short_table())
        if picture := cover(NOTEBOOKS):
            text = between(text, "picture", picture)
        rewrite(readme, text)
    kept = NOTEBOOKS / "estimate.json"
    columns = json.loads(kept.read_text(encoding="utf-8")).values() if kept.is_file() else ()
    asked = [one for one in columns if one["profile"] == GPT2_MEDIUM.name]
    for source in running_order(SOURCES, ".py"):
        text, name = source.read_text(encoding="utf-8"), source.stem
        estimated = [
            (one["rates"]["where"].split(",")[0], one["notebooks"][name])
            for one in asked
            if name in one["notebooks"]
        ]
        text = with_costs(text, timings.get(name), estimated)
        if name == START:
            text = between(text, "map", notebook_table(headings, timings, ""), prefix="# ")
        executed = NOTEBOOKS / f"{name}.ipynb"
        if rewrite(source, text) and executed.is_file():
            update_text(source, executed)


def render_stored() -> None:
    """The tables once more, from what the repository stores."""
    entries = json.loads((NOTEBOOKS / "claims.json").read_text(encoding="utf-8"))
    render(entries, read_timings(NOTEBOOKS / "timings.json", POCKET.name))


def main() -> int:
    """The command's entry: a refusal ends with one clear message."""
    try:
        check_browser()
        # `make run` reads the notebooks that this rewrites.
        with hold(WORK.parent, "make notebooks"):
            before = stored()
            try:
                return publish(os.environ.get("ONLY", ""))
            finally:
                write_students(NOTEBOOKS)
                changed = [path for path, content in stored().items() if before.get(path) != content]
                names = sorted(path.relative_to(ROOT).as_posix() for path in changed)
                print(f"Written: {', '.join(names) or 'nothing'}")
    except (Busy, EditionError, PictureError, PublishError, ValueError) as error:
        print(f"\nmake notebooks: {error}", file=sys.stderr)
        return 1
