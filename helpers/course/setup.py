"""Makes and completes `.venv`; run by whatever `python3` there is, so standard library only."""

# Kept to the syntax of Python 3.6, so that an old `python3` says what is wrong instead of failing to parse.
import contextlib
import hashlib
import json
import os
import platform
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VENV = os.path.join(ROOT, ".venv")
OLDEST, NEWEST = (3, 11), (3, 13)  # what the tested set is resolved for
UV = "uv==0.13.9"
STAMP, UNFINISHED = "toxicity-lab-stamp", "unfinished"


class SetupError(Exception):
    """What went wrong, and what to do about it."""


def venv_python(venv):
    """Where a virtual environment has its interpreter."""
    return os.path.join(venv, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))


def read(*parts):
    """A file's content, or nothing where there is none."""
    try:
        with open(os.path.join(*parts), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def venv_version(venv):
    """The Python version of a virtual environment ("3.11.7"), or "" where there is none that works."""
    if not os.path.exists(venv_python(venv)):  # also false for a link to a removed Python
        return ""
    pairs = [line.split("=", 1) for line in read(venv, "pyvenv.cfg").decode().splitlines() if "=" in line]
    return {key.strip(): value.strip() for key, value in pairs}.get("version", "")


def fingerprint(root, version):
    """A hash of what decides the content of `.venv`: both lists of packages and the Python version."""
    lists = [read(root, name) for name in ("requirements.txt", "constraints.txt")]
    return hashlib.sha256(b"\0".join([version.encode()] + lists)).hexdigest()


def as_numbers(version):
    """Major and minor version, to compare: (3, 12) for "3.12.1", (0, 0) where there is none."""
    return tuple(int(part) for part in version.split(".")[:2]) if version else (0, 0)


def ask_version(python):
    """The version of an interpreter as "3.12.1", or "" where it cannot be run (missing, an inactive shim)."""
    code = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
    try:
        answer = subprocess.run([python, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return ""
    return answer.stdout.decode().strip() if answer.returncode == 0 else ""


def is_ready(root, wanted=""):
    """True if `.venv` was completed for the present lists of packages (and for `wanted`, if asked for)."""
    venv = os.path.join(root, ".venv")
    version = venv_version(venv)
    return (
        bool(version)
        and read(venv, STAMP).decode().strip() == fingerprint(root, version)
        and (not wanted or as_numbers(ask_version(wanted)) == as_numbers(version))
    )


def find_python(wanted=""):
    """The interpreter to build on: `wanted`, else this one, else a tested version, else any newer one."""
    own = getattr(sys, "_base_executable", sys.executable)  # not a `.venv` that is about to be remade
    names = [wanted] if wanted else [own, "python3.13", "python3.12", "python3.11", "python3"]
    found = [(as_numbers(ask_version(name)), name) for name in names]
    tested = [name for numbers, name in found if OLDEST <= numbers <= NEWEST]
    newer = [name for numbers, name in found if numbers > NEWEST]
    if tested or newer:
        return (tested + newer)[0]
    seen = ", ".join("%s is %s" % (name, ask_version(name) or "not there") for name in names)
    raise SetupError(
        "no Python 3.11 or newer found (%s).\nInstall Python 3.11, 3.12 or 3.13, "
        "or name one: PYTHON=/path/to/python3.12 make run" % seen
    )


def run(*commands):
    """Runs these until one succeeds; what they say goes to the screen."""
    for command in commands:
        if subprocess.call(command, cwd=ROOT) == 0:
            return
    raise SetupError(
        "this failed, for the reason above:\n  %s\nRun the command again when it is solved: what was "
        "downloaded is kept." % " ".join(commands[-1])
    )


def answers(command):
    """Whether a command succeeds soon."""
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    once = dict(os.environ, UV_HTTP_RETRIES="0")
    try:
        return subprocess.call(command, cwd=ROOT, timeout=20, env=once, **silent) == 0
    except subprocess.TimeoutExpired:
        return False


def install(python):
    """Installs requirements.txt under constraints.txt; uv does what pip would, many packages at once.

    uv's choice of PyTorch's index is by the machine's GPU: the build for the CPU where there is none. Where
    that index does not answer, pip brings PyTorch, and all else where uv cannot: it may know a mirror.
    Where `make bundle` put the packages beside us, they are installed from there, and nobody is asked.
    """
    pip, limits = [python, "-m", "pip", "install", "--disable-pip-version-check"], ["-c", "constraints.txt"]
    wheels = os.path.join(ROOT, "wheels")
    if os.path.isdir(wheels):
        check_bundle(wheels, python)
        run(pip + ["--no-index", "--find-links", wheels, "--quiet", "-r", "requirements.txt"] + limits)
        return
    run(pip + ["--quiet", UV])
    # Compiled once here, and not at every start where Python may not write bytecode: that took half a minute.
    uv = [python, "-m", "uv", "pip", "install", "--python", python, "--compile-bytecode"]
    build = ["--torch-backend", "auto"]
    if not answers(uv + build + ["--dry-run", "torch"] + limits):
        print("PyTorch's own index does not answer; pip brings its default build", flush=True)
        run(pip + ["torch"] + limits)
        build = []
    run(uv + build + ["-r", "requirements.txt"] + limits, pip + ["-r", "requirements.txt"] + limits)


def kind_of_machine():
    """System and processor, as wheels tell them apart: "linux-x86_64"."""
    return ("%s-%s" % (platform.system(), platform.machine())).lower()


def check_bundle(wheels, python):
    """Raises SetupError where the packages of a bundle are not for this Python or this kind of machine."""
    made = json.loads(read(wheels, "bundle.json").decode() or "{}")
    here = {"python": "%d.%d" % as_numbers(ask_version(python)), "platform": kind_of_machine()}
    if made != here:
        raise SetupError(
            "the packages in the folder `wheels` are for Python %s on %s; this is Python %s on %s.\n"
            "Name that Python (PYTHON=python%s make run), take the bundle for this machine, or remove the "
            "folder: then they come from the network."
            % (made.get("python", "?"), made.get("platform", "?"), here["python"], here["platform"],
               made.get("python", "3.11"))
        )  # fmt: skip


def prepare(root, wanted=""):
    """Brings `.venv` to the state that the stamp describes, whatever state it is in.

    What an interrupted installation left is made anew, since a package may be there by half.
    """
    venv, start = os.path.join(root, ".venv"), time.time()
    version = as_numbers(venv_version(venv))
    usable = version >= OLDEST and (not wanted or as_numbers(ask_version(wanted)) == version)
    interrupted = read(venv, STAMP).decode() == UNFINISHED
    if not usable or interrupted or not answers([venv_python(venv), "-m", "pip", "--version"]):
        python = find_python(wanted)
        print("Making .venv with Python %s" % ask_version(python), flush=True)
        run([python, "-m", "venv", "--clear", venv])
    stamp(venv, UNFINISHED)
    print("Installing what the notebooks import (the first time: minutes, and 2 GB or more)", flush=True)
    install(venv_python(venv))
    stamp(venv, fingerprint(root, venv_version(venv)))
    print("Installed in %d s." % (time.time() - start), flush=True)


def stamp(venv, text):
    """Says in one step what state the environment is in."""
    path = os.path.join(venv, STAMP)
    with open(path + ".new", "w") as file:
        file.write(text)
    os.replace(path + ".new", path)


def lock(file):
    """Takes the lock or raises OSError; the system frees it, also where we are killed."""
    if os.name == "nt":
        import msvcrt

        os.lseek(file.fileno(), 2**30, os.SEEK_SET)  # beyond the end: what is there stays readable
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def alone():
    """Waits until no other set-up runs; the lock is on this very file, so that none is left behind."""
    with open(os.path.abspath(__file__)) as file:
        waiting = False
        while True:
            try:
                lock(file)
                break
            except OSError:
                if not waiting:
                    print("Another set-up is running; waiting for it.", flush=True)
                waiting = True
                time.sleep(0.5)
        yield


def main():
    """Exit status 0 once `.venv` is ready; at once where it is ready already."""
    wanted = os.environ.get("PYTHON", "")
    if is_ready(ROOT, wanted):
        return 0
    try:
        with alone():
            if not is_ready(ROOT, wanted):
                prepare(ROOT, wanted)
        return 0
    except SetupError as error:
        print("\nset-up: %s" % error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nset-up: interrupted; the next command goes on with what is downloaded.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
