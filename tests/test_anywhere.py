"""Nothing that a reader runs needs what only POSIX has: all imports, and the front door, with it hidden."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HIDDEN = """
import importlib, pkgutil, sys
import psutil  # its part for Linux needs them; on Windows another part is loaded
for name in ("fcntl", "resource"):
    sys.modules[name] = None
import helpers
for module in pkgutil.walk_packages(helpers.__path__, "helpers."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from helpers.lab import Lab
lab = Lab.start("00_start_here")
print(lab.profile.name, lab.base.n_layers, len(lab.texts.eliciting("dev")) > 0)
"""


def test_modules_of_posix_are_not_missed(tmp_path: Path) -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("TOXICITY_LAB")}
    env |= {"TOXICITY_LAB_CACHE": str(tmp_path / "cache"), "TOXICITY_LAB_BUILD": str(tmp_path / "build")}
    done = subprocess.run([sys.executable, "-c", HIDDEN], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "pocket 4 True"
