"""Makes and completes `.venv`; run by whatever `python3` there is, so standard library only."""

# Kept to the syntax of Python 3.6, so that an old `python3` says what is wrong instead of failing to parse.
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OLDEST = (3, 11)
TESTED = ("3.11", "3.12", "3.13")
STAMP = "toxicity-lab-stamp"
LOG = "toxicity-lab-setup.log"


class SetupError(Exception):
    """What went wrong, and what to do about it."""


def fingerprint(root, version):
    """A hash of what decides the content of `.venv`: both lists of packages and the Python version."""
    digest = hashlib.sha256(version.encode())
    for name in ("requirements.txt", "constraints.txt"):
        with open(os.path.join(root, name), "rb") as file:
            digest.update(name.encode() + file.read())
    return digest.hexdigest()


def venv_version(venv):
    """The Python version of a virtual environment ("3.11.7"), or "" where there is none that works."""
    if not os.path.exists(os.path.join(venv, "bin", "python")):  # also false for a link to a removed Python
        return ""
    try:
        with open(os.path.join(venv, "pyvenv.cfg")) as file:
            pairs = [line.split("=", 1) for line in file if "=" in line]
    except FileNotFoundError:
        return ""
    return {key.strip(): value.strip() for key, value in pairs}.get("version", "")


def is_ready(root, python=""):
    """True if `.venv` was completed for the present lists of packages (and for `python`, if asked for)."""
    venv = os.path.join(root, ".venv")
    version = venv_version(venv)
    try:
        with open(os.path.join(venv, STAMP)) as file:
            stamped = file.read().strip()
    except OSError:
        return False
    return (
        bool(version)
        and stamped == fingerprint(root, version)
        and (not python or as_numbers(ask_version(python)) == as_numbers(version))
    )


def ask_version(python):
    """The version of an interpreter as "3.12.1", or "" where it cannot be run (missing, an inactive shim)."""
    code = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
    try:
        answer = subprocess.run([python, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return ""
    return answer.stdout.decode().strip() if answer.returncode == 0 else ""


def as_numbers(version):
    return tuple(int(part) for part in version.split(".")[:2]) if version else (0, 0)


def find_python(wanted=""):
    """The interpreter to build on: `wanted`, else this one, else a tested version, else any newer one."""
    own = getattr(sys, "_base_executable", sys.executable)  # not a `.venv` that is about to be remade
    names = [wanted] if wanted else [own] + ["python" + v for v in reversed(TESTED)] + ["python3"]
    versions = [(name, ask_version(name)) for name in names]
    tested = [name for name, version in versions if ".".join(version.split(".")[:2]) in TESTED]
    newer = [name for name, version in versions if as_numbers(version) >= OLDEST]
    if tested or newer:
        return (tested + newer)[0]
    if wanted:
        found = dict(versions)[wanted]
        problem = "PYTHON=%s is Python %s" % (wanted, found) if found else "PYTHON=%s cannot be run" % wanted
    else:
        problem = "no Python 3.11 or newer found (tried %s; this one is %s)" % (
            ", ".join(names[1:]),
            ".".join(map(str, sys.version_info[:3])),
        )
    raise SetupError(
        problem + ".\nInstall Python 3.11, 3.12 or 3.13, or name one: PYTHON=/path/to/python3.12 make run"
    )


def check_can_make_venv(python):
    """Debian and Ubuntu ship a Python without `venv` or `ensurepip`: say so before anything is made."""
    missing = subprocess.run(
        [python, "-c", "import venv, ensurepip"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ).returncode
    if missing:
        short = ".".join(ask_version(python).split(".")[:2])
        raise SetupError(
            "%s cannot make virtual environments: its `venv` or `ensurepip` module is missing.\n"
            "On Debian and Ubuntu: sudo apt install python%s-venv    Then run the command again."
            % (python, short)
        )


def has_pip(venv):
    return (
        subprocess.run(
            [os.path.join(venv, "bin", "python"), "-m", "pip", "--version"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ).returncode
        == 0
    )


def remove_half_installed(venv):
    """Removes what an interrupted pip left unfinished, so that pip installs it again.

    pip writes a package's RECORD last: metadata without RECORD belongs to a package whose files may be
    incomplete, and pip would take it for installed.
    """
    removed = []
    for folder, subfolders, _ in os.walk(os.path.join(venv, "lib")):
        for name in [name for name in subfolders if name.endswith(".dist-info")]:
            if not os.path.exists(os.path.join(folder, name, "RECORD")):
                shutil.rmtree(os.path.join(folder, name))
                removed.append(name)
        if os.path.basename(folder) == "site-packages":
            subfolders[:] = []
    return removed


def install(root, venv):
    """Installs requirements.txt under constraints.txt; the full log stays in `.venv`."""
    command = [
        os.path.join(venv, "bin", "python"),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--progress-bar",
        "off",
        "-r",
        "requirements.txt",
        "-c",
        "constraints.txt",
    ]
    log_path = os.path.join(venv, LOG)
    with open(log_path, "w") as log:
        process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            lines = show_progress(process.stdout, log)
            status = process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
    if status:
        raise SetupError(
            "pip could not install the packages (log: %s). Its last lines:\n\n%s\n\nRun the command again "
            "when this is solved: it goes on where it stopped." % (log_path, "".join(lines[-15:]))
        )


def show_progress(stream, log):
    """Copies pip's lines into the log; shows large downloads and a sign of life. Returns the lines."""
    lines, packages, shown = [], 0, time.time()
    for raw in stream:
        line = raw.decode("utf-8", "replace")
        lines.append(line)
        log.write(line)
        log.flush()
        words = line.split()
        packages += line.startswith("Collecting ")
        large = line.lstrip().startswith("Downloading ") and line.rstrip().endswith(("MB)", "GB)"))
        if large or line.startswith("Installing collected") or time.time() - shown > 20:
            what = (
                "installing %d packages" % packages
                if line.startswith("Installing")
                else " ".join(words[:1] + words[-2:])
                if not large
                else "downloading %s %s" % (words[1].rsplit("/", 1)[-1].split("-")[0], " ".join(words[2:]))
            )
            print("  " + what, flush=True)
            shown = time.time()
    return lines


def prepare(root, wanted=""):
    """Brings `.venv` to the state that the stamp describes, whatever state it is in."""
    venv, version = os.path.join(root, ".venv"), venv_version(os.path.join(root, ".venv"))
    other = bool(wanted) and as_numbers(ask_version(wanted)) != as_numbers(version)
    if as_numbers(version) < OLDEST or other or not has_pip(venv):
        python = find_python(wanted)
        check_can_make_venv(python)
        print("Making .venv with Python %s" % ask_version(python), flush=True)
        subprocess.run([python, "-m", "venv", "--clear", venv], check=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(venv, STAMP))
        for name in remove_half_installed(venv):
            print("  completing %s" % name.replace(".dist-info", ""), flush=True)
    print(
        "Installing what the notebooks import into .venv (the first time: minutes, and 2 GB or more)",
        flush=True,
    )
    start = time.time()
    install(root, venv)
    temporary = os.path.join(venv, STAMP + ".new")
    with open(temporary, "w") as file:
        file.write(fingerprint(root, venv_version(venv)))
    os.replace(temporary, os.path.join(venv, STAMP))
    print("Installed in %d s." % (time.time() - start), flush=True)


def main():
    wanted = os.environ.get("PYTHON", "")
    if is_ready(ROOT, wanted):
        return 0
    # The lock is on the project's folder itself: no file to leave behind, and freed if we are killed.
    lock = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another set-up is running; waiting for it.", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_ready(ROOT, wanted):
            prepare(ROOT, wanted)
        return 0
    except SetupError as error:
        print("\nset-up: %s" % error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print("\nset-up: %s failed" % " ".join(error.cmd), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nset-up: interrupted; the next command goes on from here.", file=sys.stderr)
        return 130
    finally:
        os.close(lock)


if __name__ == "__main__":
    sys.exit(main())
