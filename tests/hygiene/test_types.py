"""The package's annotations hold, as mypy reads them."""

import subprocess
import sys

from tests.hygiene.files import ROOT


def test_annotations_hold():
    mypy = [sys.executable, "-m", "mypy"]
    found = subprocess.run(mypy, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
