"""On Colab, installs what the notebooks need and the runtime lacks; elsewhere importing this does nothing.

The runtime's own PyTorch, NumPy and Jupyter are held where they are: the installer gets their versions as
constraints and is not asked for newer ones. What is installed has the version that was tested. When nothing
is missing, nothing is called.
"""
from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements.txt"
TESTED = REQUIREMENTS.with_name("constraints.txt")
HELD = {"google-colab", "ipykernel", "ipython", "ipywidgets", "notebook", "numpy", "pandas", "pyzmq",
        "requests", "torch", "torchaudio", "torchvision", "tornado", "traitlets"}


@dataclass(frozen=True)
class Plan:
    """What to do in a runtime: requirements to install, packages to hold, and what is held though too old."""

    install: list[str]
    constraints: list[str]
    too_old: list[str]


def on_colab(modules: Iterable[str], environment: Mapping[str, str]) -> bool:
    """Whether a process with these imported modules and environment variables is a Colab runtime."""
    return "google.colab" in modules or "COLAB_RELEASE_TAG" in environment


def first_section(requirements: str) -> list[str]:
    """The requirements above the second comment of `requirements.txt`: what notebooks and helpers import.

    >>> first_section("# To run.\\ntorch>=2.6\\n\\n# To test.\\npytest")
    ['torch>=2.6']
    """
    wanted: list[str] = []
    for line in map(str.strip, requirements.splitlines()):
        if line.startswith("#") and wanted:
            break
        if line and not line.startswith("#"):
            wanted.append(line)
    return wanted


def tested(constraints: str) -> dict[str, str]:
    """The versions that were tested, by name, as far as they are meant for this Python and machine.

    >>> tested("# The set.\\ntrl==1.16.0\\nappnope==1.0.0 ; sys_platform == 'plan9'")
    {'trl': '1.16.0'}
    """
    from packaging.requirements import Requirement

    lines = [line for line in constraints.splitlines() if line.strip() and not line.startswith("#")]
    pins = [one for one in map(Requirement, lines) if one.marker is None or one.marker.evaluate()]
    return {one.name: str(one.specifier).removeprefix("==") for one in pins}


def plan(
    wanted: Iterable[str], installed: Mapping[str, str], versions: Mapping[str, str] | None = None
) -> Plan:
    """Decides what to install, given requirements, the installed versions by name, and those tested."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pins = {canonicalize_name(name): version for name, version in (versions or {}).items()}
    there = {canonicalize_name(name): version for name, version in installed.items()}
    held = {name for name in there if name in HELD or name.startswith("jupyter")}
    install, too_old = [], []
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        if name in there and requirement.specifier.contains(there[name], prereleases=True):
            continue
        if name in held:
            too_old.append(f"{name} {there[name]} (made for {requirement.specifier})")
        else:
            install.append(f"{name}=={pins[name]}" if name in pins else str(requirement))
    return Plan(install, [f"{name}=={there[name]}" for name in sorted(held)], too_old)


def imported_before(before: Mapping[str, str], after: Mapping[str, str], modules: Iterable[str]) -> list[str]:
    """The distributions whose version changed although their module of the same name is imported already."""
    changed = (name for name in before if name in after and before[name] != after[name])
    return sorted(name for name in changed if name.lower().replace("-", "_") in modules)


def said_of(before: Mapping[str, str], after: Mapping[str, str], seconds: float) -> str:
    """What an installation changed, in a line or two, and that PyTorch and NumPy are what they were.

    >>> said_of({"torch": "2.6", "trl": "1.0"}, {"torch": "2.6", "trl": "1.1", "fancy": "3"}, 41.2)
    'Done in 41 s. New: fancy 3. Replaced: trl 1.0 by 1.1. Kept: torch 2.6.'
    """
    new = [f"{name} {after[name]}" for name in sorted(set(after) - set(before))]
    other = [
        f"{name} {before[name]} by {after[name]}"
        for name in sorted(set(before) & set(after))
        if before[name] != after[name]
    ]
    kept = [f"{name} {after[name]}" for name in ("torch", "numpy") if before.get(name) == after.get(name, "")]
    parts = {"New": new, "Replaced": other, "Kept": kept}
    lines = [f"{what}: {', '.join(names)}." for what, names in parts.items() if names]
    return " ".join([f"Done in {seconds:.0f} s.", *lines])


def installed_versions() -> dict[str, str]:
    """The versions of all installed distributions by name."""
    found = [(distribution.name, distribution.version) for distribution in metadata.distributions()]
    # Of two with one name the first on the path is imported; remains of a failed removal have no name.
    return {name: version for name, version in reversed(found) if name}


def installers() -> dict[str, list[str]]:
    """The commands that can install here, the quicker first: uv takes a fraction of pip's time."""
    uv = shutil.which("uv")
    pip = {"pip": [sys.executable, "-m", "pip", "install"]}
    return {"uv": [uv, "pip", "install", "--python", sys.executable], **pip} if uv else pip


def install_missing() -> None:
    """Installs the first section of `requirements.txt` as far as it is missing.

    Raises `RuntimeError` with pip's last words if pip fails too.
    """
    before = installed_versions()
    wanted = first_section(REQUIREMENTS.read_text(encoding="utf-8"))
    todo = plan(wanted, before, tested(TESTED.read_text(encoding="utf-8")))
    if todo.too_old:
        print(f"Left as the runtime has them: {', '.join(todo.too_old)}.")
    if not todo.install:
        return
    print(f"Installing {', '.join(todo.install)}; this takes up to a minute.")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(todo.constraints) + "\n", encoding="utf-8")
        for name, command in installers().items():
            done = subprocess.run(
                [*command, "--quiet", "--constraint", str(constraints), *todo.install],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode == 0:
                break
            words = (done.stderr or done.stdout).strip().splitlines()[-15:]
            if name != "pip":
                print(f"{name} could not ({words[-1] if words else done.returncode}); pip goes on.")
        else:
            raise RuntimeError(
                f"pip could not install {', '.join(todo.install)} beside the runtime's own packages "
                f"(exit code {done.returncode}):\n" + "\n".join(words) + "\n"
                "Run this cell again if the network failed; otherwise choose the newest runtime under "
                "Runtime > Change runtime type, which has recent versions of PyTorch and NumPy."
            )
    importlib.invalidate_caches()
    after = installed_versions()
    print(said_of(before, after, time.monotonic() - began))
    stale = imported_before(before, after, sys.modules)
    if stale:
        raise RuntimeError(
            f"{', '.join(stale)} had been imported before the installation replaced it. Choose Runtime > "
            "Restart session and run the notebook again; nothing will be installed the second time."
        )


if on_colab(sys.modules, os.environ):
    install_missing()
