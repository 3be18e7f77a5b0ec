"""Measures the pocket model against its bars and writes its card: `python -m helpers.pocket.evaluate`."""

from __future__ import annotations

import argparse
import json
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
from helpers.pocket.preliminary import preliminary
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
        "preliminary": preliminary(pocket),
        "examples": examples,
    }
    return result | {"bars": bars(result)}


def bars(result: dict) -> list[dict]:
    """Each bar with what was measured and whether it holds."""
    hostile, friendly, neutral = (result["toxic_rates"][mood] for mood in MOODS)
    rows = [
        ("well-formed sentences", result["well_formed"]["sentences"], 0.90, 1.0),
        ("P(toxic) after hostile prompts", hostile["model"], 0.35, 0.65),
        ("its distance from the generator's", abs(hostile["model"] - hostile["generator"]), 0.0, 0.10),
        ("P(toxic) after friendly prompts", friendly["model"], 0.0, 0.06),
        ("P(toxic) after neutral prompts", neutral["model"], 0.0, 0.06),
        ("dead tokens", result["vocabulary"]["dead"], 0, 0),
        ("toxic words in several tokens", len(result["vocabulary"]["split_toxic_words"]), 0, 0),
        ("megabytes on disk", result["megabytes"], 0.0, 15.0),
    ]
    return [
        {"bar": name, "value": value, "from": low, "to": high, "holds": low <= value <= high}
        for name, value, low, high in rows
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--others", type=Path, nargs="*", default=[],
                        help="folders of other sizes or seeds, evaluated before, for the card")  # fmt: skip
    given = parser.parse_args(arguments)
    result = evaluate(load(given.weights, str(choose_device(given.device))))
    others = [json.loads((folder / "evaluation.json").read_text()) for folder in given.others]
    result["others"] = [
        {key: value for key, value in other.items() if key not in ("examples", "others")} for other in others
    ]
    (given.weights / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n")
    card.write(result, json.loads((given.weights / "trainlog.json").read_text()), given.weights)
    for bar in result["bars"]:
        print(
            f"{'holds' if bar['holds'] else 'FAILS'}  {bar['bar']}:"
            f" {bar['value']:.3f} ({bar['from']} to {bar['to']})"
        )
    loss = result["loss"]
    print(f"loss {loss['loss']:.4f}, limit {loss['limit']:.4f}, gap {loss['gap']:.4f} nats per token")
    if not all(bar["holds"] for bar in result["bars"]):
        raise SystemExit("some bars do not hold")


if __name__ == "__main__":
    main()
