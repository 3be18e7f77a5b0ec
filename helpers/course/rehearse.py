"""`make rehearse`: every notebook at a profile's true shape: random weights, the fewest of everything.

It shows before a long run that every cell executes at that size, and what each notebook takes at its peak.
Texts, tokens and scorers are the pocket's, so nothing is downloaded; what the figures say means nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from helpers.artifacts import write_json, write_whole
from helpers.course.holding import Busy
from helpers.course.run import machine, read_request, read_timings, run
from helpers.course.series import NOTEBOOKS, ROOT
from helpers.course.shapes import config_of, write_toxic_tokenizer
from helpers.language.models import draw_weights, quiet
from helpers.pocket import WEIGHTS
from helpers.pocket.corpus import toxic_words
from helpers.profiles import Profile, ProfileError, load_profile

FEWEST = Path(__file__).with_name("fewest.toml")
STORED = NOTEBOOKS / "rehearsal.json"
"""What README's table is rendered from."""

SOURCES = ("comments", "prompts", "perplexity", "pair_prompts", "passages")


def prepare(profile: Profile, named: str, folder: Path) -> Path:
    """Writes model and profile of a rehearsal (once); the profile's file."""
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "model"
    if not (model / "tokenizer_config.json").is_file():  # written last
        config = config_of(profile)
        config.bos_token_id = config.eos_token_id = 0  # the pocket's end of text
        config.architectures = ["GPT2LMHeadModel"]
        with quiet():
            draw_weights(config, 0, torch.float32).save_pretrained(model)
        write_toxic_tokenizer(model, WEIGHTS, config.vocab_size, sorted(toxic_words()))
    texts = "".join(f'[data.{name}]\nkind = "pocket"\n' for name in SOURCES)
    scorers = '[[scorers]]\nkind = "pocket-exact"\n[[scorers]]\nkind = "pocket-masked"\n'
    shape = (
        f"inherits = {json.dumps(named)}\n"
        f'[model]\nfolder = "model"\n{texts}{scorers}'
        # Any two sides make a pair: a model that knows no words seldom writes one that is worse.
        "[pair_filter]\nleast_gap = 0\nmost_chosen = 1\n"
        # Drawn, because the likeliest token of a model without language is the last one once more.
        '[decoding]\nmethod = "sample"\n'
    )
    few = (
        'inherits = "shape.toml"\n'
        f"name = {json.dumps(f'{profile.name}-rehearsal')}\n"
        f"label = {json.dumps(f'random weights of the shape of {profile.label}')}\n"
        + FEWEST.read_text(encoding="utf-8")
    )
    path = folder / "rehearsal.toml"
    write_whole(folder / "shape.toml", shape)
    write_whole(path, few)
    return path


def table(stored: Mapping[str, Any]) -> str:
    """Minutes and peak memory by notebook, a column for each profile that was rehearsed, as Markdown."""
    if not stored:
        return "*Not run yet.*"
    names = sorted({name for one in stored.values() for name in one["notebooks"]})
    heads = [f"`{profile}`, {one['machine']}" for profile, one in stored.items()]
    lines = ["| notebook | " + " | ".join(heads) + " |", "|---|" + "--:|" * len(stored)]
    for name in names:
        rows = [one["notebooks"].get(name) for one in stored.values()]
        cells = [f"{row['minutes']:.1f} min, {row['peak_gb']:.1f} GB" if row else "–" for row in rows]
        lines.append(f"| {name[:2]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """The command's entry. PROFILE: of which shape (gpt2-medium); ONLY: which notebooks; STORE=1: keep it."""
    named = os.environ.get("PROFILE") or os.environ.get("TOXICITY_LAB_PROFILE") or "gpt2-medium"
    if named.endswith(".toml"):
        named = str(Path(os.environ.get("LAB_FROM") or ".").resolve() / named)
    try:
        profile = load_profile(named)
        folder = ROOT / "build" / "rehearsal" / profile.name
        path = prepare(profile, named, folder)
        build, cache = folder / "run", folder / "cache"
        ours = {"PROFILE": str(path), "TOXICITY_LAB_BUILD": str(build), "TOXICITY_LAB_CACHE": str(cache)}
        request = read_request({**os.environ, "JOBS": "1", **ours})
        status = run(request)
    except (Busy, ProfileError, ValueError) as error:
        print(f"make rehearse: {error}", file=sys.stderr)
        return 1
    if os.environ.get("STORE"):
        keep(profile.name, read_timings(build / "timings.json", request.profile.name))
        print(f"Stored in {STORED.name}; `make notebooks` renders README's table from it.")
    return status


def keep(profile: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Adds the notebooks that ran through to what README's table is rendered from."""
    stored = json.loads(STORED.read_text(encoding="utf-8")) if STORED.is_file() else {}
    kept = stored.get(profile, {}).get("notebooks", {})
    kept |= {
        name: {key: row[key] for key in ("minutes", "peak_gb")}
        for name, row in rows.items()
        if row["finished"]
    }
    if kept:
        stored[profile] = {"machine": machine(), "notebooks": dict(sorted(kept.items()))}
        write_json(STORED, stored)
