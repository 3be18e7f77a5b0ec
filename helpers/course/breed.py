"""Runs the protocol by which the pocket model is bred: `python -m helpers.course.breed`.

Trains the configurations of helpers/pocket/protocol.py, smallest first, with both choosing seeds, measures
each trial against the bars, notebook 02 included, writes trials.json and says which one the rule
takes. The seeds that ship are trained after that, by `make pocket SEED=…`. A killed run goes on from what is
finished; trials lie in build/breed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from helpers.artifacts import write_json, write_whole
from helpers.course.series import ROOT
from helpers.pocket import BRED_FOR
from helpers.pocket.protocol import CHOOSING_SEEDS, CONFIGURATIONS, TRIALS, choose, claim_bars, text_bars

WORK = ROOT / "build" / "breed"


def folder_of(name: str, seed: int) -> Path:
    """Where a trial lies."""
    return WORK / f"{name}-{seed}".replace(", ", "-").replace(" ", "")


def trial(name: str, seed: int) -> dict:
    """Trains (or goes on, or reads) one trial and measures it; returns its row of trials.json."""
    folder, settings = folder_of(name, seed), CONFIGURATIONS[name]
    weights, build = folder / "weights", folder / "build"
    if not (weights / "trainlog.json").is_file():
        given = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
        _call("helpers.pocket.train", "--out", str(weights), "--seed", str(seed), *given)
    if not (weights / "evaluation.json").is_file():
        _call("helpers.pocket.evaluate", "--weights", str(weights), failing_is_a_result=True)
    if not (build / "claims.json").is_file():
        profile = folder / f"{folder.name}.toml"
        label = f'inherits = "pocket"\nlabel = "{name}, seed {seed}"\n'
        write_whole(profile, f'{label}[model]\nfolder = "{weights}"\n')
        partial = {"PROFILE": str(profile), "TOXICITY_LAB_BUILD": str(build), "ONLY": "02"}
        _call("helpers.course", "run", env=partial)
    evaluation = json.loads((weights / "evaluation.json").read_text(encoding="utf-8"))
    rows = json.loads((build / "claims.json").read_text(encoding="utf-8"))
    measured = [row for row in rows if row["id"] in BRED_FOR]
    return {
        "configuration": name,
        "seed": seed,
        "parameters": evaluation["parameters"],
        "tokens": evaluation["seen_tokens"],
        "minutes": evaluation["minutes"],
        "gap": evaluation["loss"]["gap"],
        "bars": [
            {**asdict(bar), "holds": bar.holds} for bar in [*text_bars(evaluation), *claim_bars(measured)]
        ],
        "claims": measured,
    }


def _call(
    module: str, *arguments: str, env: Mapping[str, str] | None = None, failing_is_a_result: bool = False
) -> None:
    command, env = [sys.executable, "-m", module, *arguments], {**os.environ, **(env or {})}
    done = subprocess.run(command, cwd=ROOT, env=env)
    if done.returncode and not failing_is_a_result:
        raise SystemExit(f"{module} ended with status {done.returncode}: see above; run this again to go on")


def main() -> int:
    """Runs the protocol and says what it chose."""
    trials = []
    for name in CONFIGURATIONS:
        for seed in CHOOSING_SEEDS:
            trials.append(trial(name, seed))
            write_json(TRIALS, trials)
            for bar in trials[-1]["bars"]:
                if not bar["holds"]:
                    print(f"{name}, seed {seed}: FAILS {bar['bar']}: {bar['value']:.3f}", flush=True)
        if choose(trials)[1]:
            break  # the rule takes the smallest that holds all bars: a larger one could not win
    name, whole = choose(trials)
    said = "holds" if whole else "does NOT hold"
    print(f"The rule takes {name}; it {said} every bar with every choosing seed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
