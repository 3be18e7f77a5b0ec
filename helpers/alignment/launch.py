"""Trains on a file of pairs from the command line, in one process or, under `accelerate launch`, in several.

    accelerate launch --num_processes 2 -m helpers.alignment.launch --profile gpt2-medium \\
        --pairs pairs.jsonl --folder policies --work unfinished --device cuda

The last `counts.pairs_valid` pairs validate. Development prompts are not measured, so of the policies only
*best* (validation loss) and *last* are kept; `helpers.alignment.dpo.train` is what the notebooks call.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from helpers.alignment.dpo import train
from helpers.alignment.jsonl import read_pairs
from helpers.profiles import load_profile


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the arguments and trains."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", help="a profile's name or a TOML file")
    parser.add_argument("--pairs", type=Path, required=True, help="JSONL, in our schema or the published one")
    parser.add_argument("--folder", type=Path, required=True, help="receives run.json and the kept weights")
    parser.add_argument("--work", type=Path, required=True, help="private folder; a run goes on from it")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seed", type=int, help="default: the profile's first")
    parser.add_argument("--objective", choices=("dpo", "sft"), default="dpo")
    chosen = parser.parse_args(arguments)
    profile = load_profile(chosen.profile)
    pairs = read_pairs(chosen.pairs)
    kept_back = profile.counts.pairs_valid
    train(
        profile.model,
        pairs[:-kept_back],
        pairs[-kept_back:],
        profile.dpo,
        chosen.folder,
        work=chosen.work,
        seed=profile.dpo.seeds[0] if chosen.seed is None else chosen.seed,
        device=chosen.device,
        micro_batch=profile.batches.train,
        objective=chosen.objective,
    )


if __name__ == "__main__":
    main()
