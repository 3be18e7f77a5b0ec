"""Runs tests in forks of a process that has imported the heavy libraries, which saves seconds a fault.

Started in a copy of the project; reads one job a line (`{"test": …, "log": …}`), answers with pytest's exit
status. Nothing of the project is imported before the fork, so each fork meets the files as they are then.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time

LIBRARIES = (
    "torch", "transformers", "transformer_lens.model_bridge", "trl", "datasets", "sklearn.linear_model",
    "scipy.stats", "plotly.graph_objects", "pandas", "jaxtyping", "beartype", "hypothesis", "nbconvert",
    "jupytext", "nbclient", "ipywidgets", "pydantic", "pytest",
)  # fmt: skip
UNUSED = ("xdist", "benchmark", "anyio", "typeguard")
SECONDS = 300


def run(test: str, log: str) -> int:
    """Pytest's exit status on one node, run in a fork; -1 if it took too long."""
    child = os.fork()
    if child == 0:
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, 1)
        os.dup2(target, 2)
        import hypothesis
        import pytest

        # One counter-example is enough: no time goes into making it small.
        kept = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
        hypothesis.settings.register_profile("sabotage", phases=kept)
        options = ["-x", "-q", "-p", "no:cacheprovider", "--tb=short"]
        options += [part for plugin in UNUSED for part in ("-p", f"no:{plugin}")]
        options += ["--hypothesis-profile=sabotage"]
        if ".ipynb" in test:
            options += ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", "120"]
        os._exit(pytest.main([*options, test]))
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -1


def main() -> None:
    """Imports, then answers jobs until the input ends."""
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # the forks share this memory; a collection that walked it would copy it
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
