"""The package's annotations hold, as mypy reads them.

Not among `hygiene`, whose turn comes while notebooks still run: mypy takes more than a gigabyte.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_annotations_hold(much_memory):
    mypy = [sys.executable, "-m", "mypy"]
    found = subprocess.run(mypy, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
