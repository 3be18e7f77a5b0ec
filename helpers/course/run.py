"""`make run`: executes every notebook into build/, renders pages, merges claims, says where to look."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import psutil

from helpers.artifacts import write_json
from helpers.course import pages
from helpers.course.book.bind import bind, read_run
from helpers.course.execute import Begin, Done, Execution, Failure, Interrupted, Outcome, execute_all, write
from helpers.course.holding import Busy, hold
from helpers.course.mathml import EquationError
from helpers.course.neuron_links import link_pages
from helpers.course.series import NOTEBOOKS, ROOT, running_order
from helpers.language.checks import check_profile
from helpers.language.hub import HubError
from helpers.language.prefetch import fetch_all
from helpers.profiles import Profile, ProfileError, load_profile
from helpers.teaching.claims import label, mark_of, merge, value_text


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line and in the environment, with every path absolute."""

    profile: Profile
    build: Path
    env: dict[str, str]
    only: str
    at_once: int = 1


def read_request(env: Mapping[str, str]) -> Request:
    """Profile, build folder and the kernels' environment; relative paths count from where `make` was called.

    Raises:
        ProfileError: the profile, or a file it names, is not usable; nothing has been executed yet.
        ValueError: JOBS is no number of notebooks.
    """
    caller = Path(env.get("LAB_FROM") or ".").resolve()
    name = env.get("PROFILE") or env.get("TOXICITY_LAB_PROFILE") or "pocket"
    if name.endswith(".toml"):
        name = str(caller / name)
    profile = load_profile(name)
    check_profile(profile)
    build = caller / env["TOXICITY_LAB_BUILD"] if env.get("TOXICITY_LAB_BUILD") else ROOT / "build"
    kernel = {**env, "TOXICITY_LAB_PROFILE": name, "TOXICITY_LAB_BUILD": str(build)}
    if env.get("TOXICITY_LAB_CACHE"):
        kernel["TOXICITY_LAB_CACHE"] = str(caller / env["TOXICITY_LAB_CACHE"])
    kernel.setdefault("TOXICITY_LAB_PROGRESS", "0")  # nobody watches the bars of an executed copy
    at_once = min(profile.side_by_side, cores())
    if jobs := env.get("JOBS"):
        if not jobs.isdecimal() or int(jobs) < 1:
            raise ValueError(f"JOBS={jobs}: say how many notebooks run at once, 1 or more.")
        at_once = int(jobs)
    return Request(profile, build, kernel, env.get("ONLY", ""), at_once)


class Screen:
    """One line per finished notebook; on a terminal a last one counts cells and seconds of those that run."""

    def __init__(self, names: Sequence[str]) -> None:
        self.width, self.live = max(map(len, names)), sys.stdout.isatty()
        self.running: dict[str, tuple[float, str]] = {}

    def start(self, name: str) -> None:
        """A notebook begins."""
        self.running[name] = (time.monotonic(), "starts")
        self._show()

    def cell(self, name: str, at: int, of: int) -> None:
        """Progress within a notebook."""
        self.running[name] = (self.running[name][0], f"cell {at}/{of}")
        self._show()

    def done(self, name: str, outcome: Outcome) -> None:
        """Elapsed time and peak memory, or which cell failed."""
        del self.running[name]
        tail = f"   FAILED in code cell {outcome.failure.cell}" if outcome.failure else ""
        clear = "\r\033[K" if self.live else ""
        took = f"{clock(outcome.seconds)}  {outcome.peak_gb:4.1f} GB"
        print(f"{clear}  {name:<{self.width}}  {took}{tail}", flush=True)
        self._show()

    def _show(self) -> None:
        if self.live:
            now = [
                f"{name[:2]} {what} {clock(time.monotonic() - since).strip()}"
                for name, (since, what) in self.running.items()
            ]
            print(f"\r\033[K  {' · '.join(now)}", end="", flush=True)


def clock(seconds: float) -> str:
    """Minutes and seconds: "1:07"."""
    return f"{int(seconds) // 60:2d}:{int(seconds) % 60:02d}"


def machine() -> str:
    """What the timings were measured on, without a name that identifies it."""
    return f"{cores()} CPU cores, {psutil.virtual_memory().total / 1024**3:.0f} GB"


def cores() -> int:
    """The cores this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_timings(path: Path, profile: str) -> dict[str, dict[str, Any]]:
    """The rows of a timings file of the same profile; empty where there is none, or none that can be read."""
    record = read_left(path)
    if not isinstance(record, dict) or record.get("profile") != profile:
        return {}
    return dict(record.get("notebooks", {}))


def read_left(path: Path) -> Any:
    """What an earlier run wrote as JSON; None where it is missing or, with a warning, damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        warnings.warn(f"{path.name} in {path.parent} is damaged; it is made again.", stacklevel=3)
        return None


def write_timings(path: Path, profile: str, rows: Mapping[str, Mapping[str, object]]) -> None:
    """Minutes and peak memory by notebook, with the profile and the kind of machine."""
    record = {
        "profile": profile,
        "machine": machine(),
        "notebooks": {name: rows[name] for name in sorted(rows)},
    }
    write_json(path, record)


def timing(outcome: Outcome) -> dict[str, Any]:
    """One row of a timings file; where a cell failed, with the last line of what it said."""
    said = {"error": outcome.failure.error.strip().splitlines()[-1]} if outcome.failure else {}
    return {
        "minutes": round(outcome.seconds / 60, 3),
        "peak_gb": round(outcome.peak_gb, 2),
        "finished": outcome.failure is None,
        **said,
    }


RESULTS = ("claims", "notebooks", "html", "claims.json", "timings.json")


def prepare(build: Path, profile: Profile, only: str) -> dict[str, dict[str, Any]]:
    """Clears what an earlier run left; a run of some notebooks on the same profile keeps the others' results.

    Results of another profile, or of this one before it or a file of its was edited, are set aside: nothing
    of theirs may stand beside ours. Returns the timings that are kept.
    """
    ours = {"profile": profile.name, "mark": mark_of(profile)}
    theirs, aside = read_left(build / "profile.json"), build / "set-aside"
    left = [build / name for name in RESULTS if (build / name).exists()]
    if left and theirs != ours:
        name = theirs.get("profile", "") if isinstance(theirs, dict) else ""
        of = f"profile “{name}” with other settings or files" if name == profile.name else f"profile “{name}”"
        print(f"What {of if name else 'an unknown profile'} left in {shown(build)} is in {shown(aside)} now.")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        for path in left:
            os.replace(path, aside / path.name)
    elif not only:
        for path in left:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in ("claims", "notebooks", "html"):
        (build / name).mkdir(parents=True, exist_ok=True)
    write_json(build / "profile.json", ours)
    return read_timings(build / "timings.json", profile.name)


def run(request: Request, source: Path = NOTEBOOKS) -> int:
    """Executes, renders and reports; returns the exit status (1 if a notebook failed, 130 if interrupted)."""
    paths, build = running_order(source, only=request.only), request.build
    if not paths:
        print(f"No notebooks in {source}", file=sys.stderr)
        return 1
    with hold(build, f"make run on {request.profile.name}"):
        return _run(request, source, paths)


def _run(request: Request, source: Path, paths: Sequence[Path]) -> int:
    build, mark = request.build, mark_of(request.profile)
    timings = prepare(build, request.profile, request.only)
    others = [path for path in paths if not path.stem.startswith("00")]
    at_once = min(request.at_once, len(others) or 1)
    if at_once > 1:  # 05 takes longest, and waits for the pairs that 04 crafts
        others.sort(key=lambda path: not path.stem.startswith("04"))
    print(
        f"Running {len(paths)} notebook{'s' * (len(paths) > 1)} on profile “{request.profile.name}”: "
        f"{request.profile.label}{f', {at_once} at once' * (at_once > 1)}"
    )
    write_timings(build / "timings.json", request.profile.name, timings)
    screen, begin = Screen([path.stem for path in paths]), time.monotonic()
    failures: list[str] = []
    # One page is written while the next notebook runs, for the kernel's work is not this process's.
    writer, written = ThreadPoolExecutor(max_workers=1), dict[str, Future[Path]]()

    def job(path: Path, env: Mapping[str, str]) -> tuple[Begin, Done]:
        name = path.stem

        def start() -> Execution:
            # 00 shows the table of all claims, so what the others found is merged before it starts.
            write_json(build / "claims.json", merge(build / "claims", mark))
            screen.start(name)
            notebook = nbformat.read(path, as_version=4)
            return Execution(notebook, source, env, partial(screen.cell, name))

        def done(outcome: Outcome) -> None:
            screen.done(name, outcome)
            timings[name] = timing(outcome)
            write(outcome.notebook, build / "notebooks" / path.name)
            write_timings(build / "timings.json", request.profile.name, timings)
            if outcome.failure:
                failures.append(name)
                show_failure(name, outcome.failure)
            written[name] = writer.submit(pages.write_page, outcome.notebook, name, build / "html")

        return start, done

    interrupted = False
    try:
        execute_all([job(path, shared_out(request.env, at_once)) for path in others], at_once)
        execute_all([job(path, request.env) for path in paths if path not in others])
    except Interrupted as stop:
        interrupted = True
        for name, outcome in zip(screen.running, stop.outcomes, strict=True):
            write(outcome.notebook, build / "notebooks" / f"{name}.ipynb")
        print("interrupted; run it again to go on from what is finished", flush=True)
    writer.shutdown()
    for name, page in written.items():
        try:
            page.result()
        except EquationError as error:
            failures.append(name)
            print(f"\n    {name} has no page: {error}\n", file=sys.stderr)
    entries = merge(build / "claims", mark)
    write_json(build / "claims.json", entries)
    explored = "" if interrupted or failures else make_explorer(request)
    bind(read_run(build, request.profile.label), build / "html")
    if (build / "html" / pages.EXPLORER).is_file():
        link_pages(build / "html", pages.EXPLORER)
    report(entries, request, failures, time.monotonic() - begin)
    if explored:
        print(explored)
    return 130 if interrupted else int(bool(failures))


EXPLORED = ("06", "07", "08", "09", "10")
"""Notebooks after any of which a cache holds the policy and the statistics that the explorer's page shows."""


def make_explorer(request: Request) -> str:
    """Makes the explorer's page in a process of its own, as notebooks are; returns what is to be said of it.

    A page that an earlier run left is of the same profile, and stays where no such notebook has run.
    """
    executed = (request.build / "notebooks").glob("*.ipynb")
    if not any(path.stem.startswith(EXPLORED) for path in executed):
        return f"{pages.EXPLORER} is made once one of the notebooks {', '.join(EXPLORED)} has run."
    command = [sys.executable, "-m", "helpers.course.explorer_page", str(request.build / "html")]
    done = subprocess.run(command, env=request.env, capture_output=True, text=True, cwd=ROOT)
    said = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return said[-1] if said else f"{pages.EXPLORER} was not made, and nothing was said why."


def shared_out(env: Mapping[str, str], at_once: int) -> dict[str, str]:
    """A kernel's environment where several share the machine: each computes on its part of the cores."""
    return {"OMP_NUM_THREADS": str(max(1, cores() // at_once)), **env} if at_once > 1 else dict(env)


def show_failure(name: str, failure: Failure) -> None:
    """Notebook, cell, its source and the end of the traceback."""
    print(f"\n    {name}, code cell {failure.cell}:\n", file=sys.stderr)
    for line in [*failure.source.splitlines()[:12], "", *failure.error.splitlines()[-25:]]:
        print(f"    | {line}", file=sys.stderr)
    print(file=sys.stderr, flush=True)


def report(entries: Sequence[Mapping], request: Request, failures: Sequence[str], seconds: float) -> None:
    """The claims that were measured, the count of verdicts, and where everything lies."""
    measured = [row for row in entries if row["value"] is not None]
    if measured:
        print(f"\nClaims measured on {measured[0]['model']}:")
        lines = [(label(row), value_text(row), row["unit"], row["verdict"]) for row in measured]
        widths = [max(len(line[column]) for line in lines) for column in range(3)]
        for line in lines:
            print(
                "  "
                + "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=False))
                + f"  {line[3]}"
            )
    counts = Counter(row["verdict"] for row in entries)
    print("\n" + ", ".join(f"{verdict}: {count}" for verdict, count in counts.most_common()))
    print(
        f"Took {clock(seconds).strip()}. Open {shown(request.build / 'html' / 'index.html')} in a browser; "
        "executed copies are in "
        f"{shown(request.build / 'notebooks')}, claims in {shown(request.build / 'claims.json')}."
    )
    if failures:
        print(f"FAILED: {', '.join(dict.fromkeys(failures))}", file=sys.stderr)


def shown(path: Path) -> str:
    """A path as short as it can be said from the project's folder."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def main() -> int:
    """The command's entry: bad requests end with one clear message."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # tidied up after as after Ctrl-C
    try:
        request = read_request(os.environ)
        fetch_all(request.profile)
        return run(request)
    except HubError as error:
        print(f"make run: {error}", file=sys.stderr, flush=True)
        os._exit(1)  # the library's threads may wait for a silent hub for two minutes yet
    except (Busy, ProfileError, ValueError) as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nmake run: stopped; run it again to go on from what is finished", file=sys.stderr)
        return 130
