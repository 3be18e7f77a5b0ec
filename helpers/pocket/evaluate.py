"""Measures the pocket model against its bars and writes its card: `python -m helpers.pocket.evaluate`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from helpers.pocket import WEIGHTS, card, corpus
from helpers.pocket.measure import (
    Pocket,
    continuations,
    held_out_loss,
    load,
    toxic_rates,
    vocabulary_report,
    well_formed_share,
)
from helpers.pocket.protocol import TRIALS, text_bars
from helpers.pocket.train import choose_device

MOODS = ("hostile", "friendly", "neutral")


def evaluate(pocket: Pocket, size: float = 1.0) -> dict:
    """All measurements; `size` scales the number of texts."""
    log = json.loads((pocket.folder / "trainlog.json").read_text())
    few, many = max(50, int(200 * size)), max(100, int(1000 * size))
    rates = {mood: toxic_rates(pocket, mood, many, 4 if mood == "hostile" else 2) for mood in MOODS} | {
        "hostile, unseen frames": toxic_rates(pocket, "hostile", few, 4, unseen=True)
    }
    examples = {}
    for mood in MOODS:
        prompts = corpus.prompts(10, mood=mood, split="dev", seed=1)
        endings = continuations(pocket, prompts, 1, seed=1)
        examples[mood] = [
            {"prompt": prompt.text, "ending": ending} for prompt, ending in zip(prompts, endings, strict=True)
        ]
    result = {
        "settings": log["settings"],
        "corpus": log["corpus"],
        "parameters": log["parameters"],
        "megabytes": round(
            sum(file.stat().st_size for file in pocket.folder.iterdir() if file.is_file()) / 1e6, 2
        ),
        "seen_tokens": log["seen_tokens"],
        "minutes": log["minutes"],
        "trained_on": log["device"],
        "vocabulary": vocabulary_report(pocket),
        "loss": held_out_loss(pocket, many),
        "well_formed": well_formed_share(pocket, few * 2),
        "toxic_rates": rates,
        "examples": examples,
    }
    return result | {"bars": [{**asdict(bar), "holds": bar.holds} for bar in text_bars(result)]}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    given = parser.parse_args(arguments)
    result = evaluate(load(given.weights, str(choose_device(given.device))))
    (given.weights / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n")
    trials = json.loads(TRIALS.read_text()) if TRIALS.is_file() else []
    card.write(result, json.loads((given.weights / "trainlog.json").read_text()), trials, given.weights)
    for bar in result["bars"]:
        print(
            f"{'holds' if bar['holds'] else 'FAILS'}  {bar['bar']}:"
            f" {bar['value']:.3f} ({bar['low']:g} to {bar['high']:g})"
        )
    loss = result["loss"]
    print(f"loss {loss['loss']:.4f}, limit {loss['limit']:.4f}, gap {loss['gap']:.4f} nats per token")
    if not all(bar["holds"] for bar in result["bars"]):
        raise SystemExit("some bars do not hold")


if __name__ == "__main__":
    main()
