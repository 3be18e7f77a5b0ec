"""`make replicate`: runs the series on the family, and on profiles named; says which verdicts they share."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import nbformat

from helpers.artifacts import fingerprint, write_json
from helpers.course import publish
from helpers.course.book.bind import write_replication
from helpers.course.holding import Busy, hold
from helpers.course.outputs import MACHINE_PATH, code_cells
from helpers.course.run import Request, machine, read_left, read_request, read_timings, run, shown
from helpers.course.series import NOTEBOOKS, ROOT, running_order
from helpers.profiles import FAMILY, POCKET, UNTRAINED, ProfileError
from helpers.teaching.claims import Column, Ledger, Replication, mark_of, merge, over_training_seeds

MEMBERS = (*(member.name for member in FAMILY), UNTRAINED.name)


def replicate(profiles: Sequence[str], env: Mapping[str, str], source: Path = NOTEBOOKS) -> int:
    """Runs what is not finished yet, one profile after another, and renders the table of all.

    A profile that cannot be run, or fails, costs its own column alone.

    Args:
        profiles: names and TOML files, seen from where the command was given.
        env: as for `make run`; `ONLY` names notebooks, `STORE` asks that the table be published.

    Returns the exit status: 1 if a column says why it is not whole, 130 if interrupted.

    Raises:
        ValueError: two of the profiles, or their models, go by one name; `ONLY` names what there is not.
        Busy: another command works in the build folder.
    """
    place = Path(env.get("LAB_FROM") or ".").resolve()
    build = place / env["TOXICITY_LAB_BUILD"] if env.get("TOXICITY_LAB_BUILD") else ROOT / "build"
    wanted = [path.stem for path in running_order(source, only=env.get("ONLY", ""))]
    requests, absent = read_requests(profiles, env, build / "replicate")
    for name, why in absent.items():
        print(f"{name} will be absent: {why}", flush=True)
    with hold(build, "make replicate"):
        code, why_not = code_of(source), dict[str, str]()
        for name, request in requests.items():
            open_ones = unfinished(request, wanted, code)
            if not open_ones:
                print(f"{name} has been run on this code: kept", flush=True)
                continue
            try:
                status = run(replace(request, only=" ".join(open_ones)), source)
            except (Busy, ValueError) as error:
                print(f"make replicate: {name}: {error}", file=sys.stderr)
                why_not[name] = str(error)
                continue
            if status == 130:
                print("make replicate: run it again to go on from here", file=sys.stderr)
                return status
        columns = []
        for name in map(key_of, profiles):
            if name in requests:
                columns.append(column_of(name, requests[name], wanted, why_not.get(name, "")))
            else:
                columns.append(Column(name, name, None, absent[name]))
        return render(build, columns, requests, bool(env.get("STORE")))


def key_of(profile: str) -> str:
    """What a profile goes by in folders and columns: a built-in one's name, a file's without its ending."""
    return Path(profile).stem if profile.endswith(".toml") else profile


def read_requests(
    profiles: Sequence[str], env: Mapping[str, str], folder: Path
) -> tuple[dict[str, Request], dict[str, str]]:
    """What to run, by name, each in a build folder of its own; and why the others cannot be run.

    Raises ValueError where two profiles, or their models, would share a column.
    """
    twice = [name for name, count in Counter(map(key_of, profiles)).items() if count > 1]
    if twice:
        raise ValueError(f"two profiles go by the name {twice[0]!r}: rename one of the files")
    requests, absent = dict[str, Request](), dict[str, str]()
    for profile in profiles:
        name = key_of(profile)
        own = {**env, "PROFILE": profile, "TOXICITY_LAB_BUILD": str(folder / name)}
        try:
            requests[name] = read_request(own)
        except ProfileError as error:
            absent[name] = without_folders(str(error), env)
    labels = Counter([request.profile.label for request in requests.values()] + list(absent))
    shared = [label for label, count in labels.items() if count > 1]
    if shared:
        raise ValueError(f"two models would be called {shared[0]!r} in the table: give one another `label`")
    return requests, absent


def without_folders(text: str, env: Mapping[str, str]) -> str:
    """A message on one line, with paths seen from where the command was given: tables may be published."""
    for folder in (Path(env.get("LAB_FROM") or ".").resolve(), ROOT):
        text = text.replace(f"{folder}/", "")
    return " ".join(text.split())


def code_of(source: Path) -> str:
    """Stands for all code that a notebook runs: its cells and the package; the commands around it aside."""
    helpers = ROOT / "helpers"
    files = [path for path in helpers.rglob("*.py") if path.parent != helpers / "course"]
    cells = {
        path.stem: [cell.source for cell in code_cells(nbformat.read(path, as_version=4))]
        for path in running_order(source)
    }
    return fingerprint({"cells": cells, "files": {path.relative_to(ROOT).as_posix(): path for path in files}})


def unfinished(request: Request, wanted: Sequence[str], code: str) -> list[str]:
    """The notebooks that have not finished on this profile with this code; clears what others left."""
    now = {"code": code, "profile": mark_of(request.profile)}
    if read_left(request.build / "replicated.json") != now:
        shutil.rmtree(request.build, ignore_errors=True)
        write_json(request.build / "replicated.json", now)
    timings = read_timings(request.build / "timings.json", request.profile.name)
    return [name for name in wanted if not timings.get(name, {}).get("finished")]


def column_of(name: str, request: Request, wanted: Sequence[str], why: str) -> Column:
    """How a profile's run went, from what it left; `why` if it ended before it could leave that."""
    timings = read_timings(request.build / "timings.json", request.profile.name)
    failed = [stem for stem in wanted if not timings.get(stem, {}).get("finished")]
    errors = [f"{stem[:2]}: {timings[stem].get('error', '')}" for stem in failed if stem in timings]
    return Column(
        profile=name,
        model=request.profile.label,
        minutes=round(sum(row["minutes"] for row in timings.values()), 2),
        why=without_folders("; ".join(filter(None, [why, *errors])), request.env),
        failed=tuple(stem[:2] for stem in failed),
    )


def render(build: Path, columns: Sequence[Column], requests: Mapping[str, Request], store: bool) -> int:
    """Judges N7, writes the table into the build folder and, where asked for, into the repository."""
    rows = [
        row
        for request in requests.values()
        for row in merge(request.build / "claims", mark_of(request.profile))
        if row["value"] is not None
    ]
    ledger = Ledger(build / "replicate" / ".family", "replicate", POCKET.label)
    seeds = ledger.record("N7", over_training_seeds(rows))
    found = Replication(machine(), tuple(columns), (*rows, asdict(seeds)))
    found.write(build / "replication.json")
    page = write_replication(found, build / "html")
    for column in columns:
        print(f"{column.model}: {column.state}")
    print(f"{seeds}\nThe table is in {shown(page)}.")
    if store:
        if path := MACHINE_PATH.search(found.table()):
            raise ValueError(f"the table names a path of this machine, so it is not stored: {path[0]}")
        found.write(NOTEBOOKS / "replication.json")
        publish.render_stored()
        print("Stored. `ONLY=00 make notebooks` shows it in notebook 00.")
    return int(any(column.why for column in columns))


def main() -> int:
    """The command's entry: bad requests end with one clear message."""
    try:
        return replicate([*MEMBERS, *sys.argv[2:]], os.environ)
    except (Busy, ValueError) as error:
        print(f"make replicate: {error}", file=sys.stderr)
        return 1
