"""What fewer PPLM steps cost: the same way gone in 50 steps a token, as published, or in fewer.

Each row says how many attempts give a usable pair, how far apart the sides score, how surprising the steered
side is, and the seconds. On `pocket`, or on the profile that TOXICITY_LAB_PROFILE names. STORE=1 keeps the
rows for README's table.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Literal

import pytest
import torch

from helpers.alignment.pairs import SPARE, Selection
from helpers.course import fewer_steps
from helpers.intervals import bootstrap, wilson
from helpers.lab import Lab
from helpers.profiles import load_profile

STEPS = (1, 2, 4, 10, 20, 50)
ATTEMPTS = 192


@pytest.mark.parametrize("iterations", STEPS)
def test_the_same_way_in_fewer_steps(
    benchmark, tmp_path: Path, monkeypatch, capsys, iterations: int
) -> None:
    monkeypatch.setenv("TOXICITY_LAB_CACHE", str(tmp_path / "cache"))  # pairs made, not read
    named = os.environ.get("TOXICITY_LAB_PROFILE", "pocket")
    profile = load_profile(named)
    way = profile.pplm.iterations * profile.pplm.step_size
    file = tmp_path / "steps.toml"
    file.write_text(
        f"inherits = {json.dumps(str(Path(named).resolve()) if named.endswith('.toml') else named)}\n"
        f"[pplm]\niterations = {iterations}\nstep_size = {way / iterations}\n",
        encoding="utf-8",
    )
    lab = Lab.start("04_preference_pairs", file)
    lab.measures.fit_probe()
    lab.pairs.prompts("neutral")
    began = time.process_time()
    made = benchmark.pedantic(
        lambda: lab.pairs.craft("neutral", wanted=ATTEMPTS, attempts=ATTEMPTS), rounds=1
    )
    seconds = time.process_time() - began
    benchmark.group = f"PPLM on {profile.label}, {ATTEMPTS} neutral prompts, steps × size = {way:g}"
    found = row(lab, made)
    benchmark.extra_info.update(found)
    if os.environ.get("STORE"):
        fewer_steps.keep(profile.label, iterations, found | {"step_size": way / iterations})
        fewer_steps.keep(profile.label, 0, {"perplexity": fluency(lab, made, "chosen")})
    with capsys.disabled():
        said = ", ".join(f"{name} {value}" for name, value in found.items())
        print(f"\n{profile.label}, {iterations} × {way / iterations:.3g}: {said}; {seconds:.0f} CPU seconds")


def row(lab: Lab, made: Selection) -> dict[str, str]:
    """Usable pairs, the mean gap in score, and the steered side's perplexity, each with its interval."""
    n, seed = lab.profile.counts.bootstrap, lab.profile.seed
    usable = len(made.kept) + made.counts.get(SPARE, 0)
    gaps = [pair.scores["rejected"] - pair.scores["chosen"] for pair in made.written if pair.scores]
    return {
        "usable": str(wilson(usable, made.counts["attempted"])),
        "gap": str(bootstrap(torch.tensor(gaps), n=n, seed=seed)),
        "perplexity": fluency(lab, made, "rejected"),
    }


def fluency(lab: Lab, made: Selection, side: Literal["chosen", "rejected"]) -> str:
    """The perplexity of one side of all that was written, with its interval."""
    of = lab.pairs.measure_fluency(made.written, side)
    return str(of.interval(n=lab.profile.counts.bootstrap, seed=lab.profile.seed))
