"""The commands of the course: `python -m helpers.course run`, as `make run` does; sets up `.venv` first."""

# Any Python starts this, so it is the standard library only, in the syntax of Python 3.6, as setup.py is.
import importlib
import os
import shlex
import signal
import subprocess
import sys

from helpers.course import setup

PYTEST = "pytest -p tests.notebooks.session -p no:benchmark -n 2 --dist loadfile --no-loadscope-reorder "
PYTEST += "--nbval-lax --nbval-current-env --nbval-cell-timeout 1800 notebooks tests "
PYTEST += "--ignore notebooks/student"  # their cells are the worked ones': tests/course/test_editions.py
COMMANDS = {  # name: (what it does, the module that does it with its arguments)
    "setup": ("make .venv and install what the notebooks import", ""),
    "run": ("execute all notebooks; pages in build/html, claims in build/claims.json", "helpers.course.run"),
    "estimate": (
        "measure in two minutes what a profile will cost here (ON=T4: by a machine's figures)",
        "helpers.course.estimate",
    ),
    "rehearse": (
        "every notebook at a profile's true shape, with random weights and the fewest of everything",
        "helpers.course.rehearse",
    ),
    "test": ("run the tests, and every notebook once on a temporary cache", PYTEST),
    "lab": ("open the notebooks in JupyterLab", "jupyterlab notebooks/00_start_here.ipynb"),
    "book": ("the pages of the stored notebooks as a site, in build/book; executes nothing",
             "helpers.course.book.make"),
    "figures": ("every figure of the pages as SVG, in build/figures (wants a Chromium)",
                "helpers.course.book.figures"),
    "pdf": ("the pages as one PDF, build/toxicity-lab.pdf (wants a Chromium)", "helpers.course.book.paper"),
    "bundle": ("one archive with packages, repository, weights and pages, for a room without network",
               "helpers.course.bundle"),
    "notebooks": (
        "authors: execute notebooks/py, store outputs, claims and README's tables",
        "helpers.course.publish",
    ),
    "browser": ("drive the explorer's page in headless Chromium (STORE=1 keeps its picture)",
                "helpers.course.browser"),
    "editions": (
        "authors: the students' copies in notebooks/student, the instructor's in build/instructor",
        "helpers.course.editions",
    ),
    "bench": ("measure speed (pytest-benchmark)", "pytest tests/benchmarks --benchmark-only"),
    "pocket": ("train the embedded model again from its corpus (SEED=1: a member of its family)",
               "helpers.pocket.train"),
    "replicate": ("run the series on the family of the embedded model: which verdicts survive the seed",
                  "helpers.course.replicate"),
    "constraints": (
        "authors: resolve constraints.txt from requirements.txt (UPGRADE=1 moves to newest)",
        "helpers.course.constraints",
    ),
    "badges": (
        "authors: render the Colab badges from the address in pyproject.toml",
        "helpers.course.badges",
    ),
}
EXAMPLES = """
  PROFILE=gpt2-medium make run      the subject of the papers (wants a GPU; downloads weights and data)
  PROFILE=gpt2-medium make estimate minutes, memory, disk and download of it, before you start
  PROFILE=path/to/mine.toml make run   your own model or texts
  ONLY="01 02" make run             only these notebooks (also for make notebooks)
  JOBS=1 make run                   one notebook at a time, on all cores
  SEED=3 make pocket                another member of the family, the profile pocket-3
  REPLICATE_ARGS=mine.toml make replicate   your own model too (goes on where it was stopped)
  PYTHON=python3.12 make run        with a Python of your choice (3.11 or newer)

Where there is no make: python -m helpers.course run, and so on, in the project's folder."""


def listed():
    """The commands, one a line."""
    lines = ["The commands (each sets up .venv first if it is missing or out of date):", ""]
    return "\n".join(lines + ["  make %-12s  %s" % (name, said) for name, (said, _) in COMMANDS.items()])


def is_root():
    """Whether we are the superuser of a system that has one."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def main():
    """Sets up, then hands over to the command in `.venv`; its exit status is ours."""
    name = (sys.argv[1:2] or ["help"])[0]
    sys.argv[2:] += shlex.split(os.environ.pop(name.upper() + "_ARGS", ""))
    if name == "help":
        print(listed() + "\n" + EXAMPLES)
        return 0
    if name not in COMMANDS:
        print("There is no command %r. %s" % (name, listed()), file=sys.stderr)
        return 2
    if name == "lab" and "--allow-root" not in sys.argv and is_root():
        said = "make lab: JupyterLab runs as root only if told to: LAB_ARGS=--allow-root make lab"
        print(said, file=sys.stderr)
        return 1
    status = setup.main()
    if status:
        return status
    if name == "setup":
        print("Ready: .venv is up to date.")
        return 0
    words = COMMANDS[name][1].split()
    ours = words[0].startswith("helpers.course.")
    if ours and os.path.realpath(sys.prefix) == os.path.realpath(setup.VENV):
        # There is nothing to tidy up yet: Ctrl-C ends the import at once, without a traceback from inside it.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        tool = importlib.import_module(words[0])
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return int(tool.main())
    os.environ.setdefault("LAB_FROM", os.getcwd())  # relative paths in the environment count from there
    os.chdir(setup.ROOT)
    asked = ["helpers.course", name] if ours else words
    command = [setup.venv_python(setup.VENV), "-m"] + asked + sys.argv[2:]
    if os.name == "nt":  # there, exec would return to the shell at once
        return subprocess.call(command)
    sys.stdout.flush()
    return os.execv(command[0], command)


if __name__ == "__main__":
    sys.exit(main())
