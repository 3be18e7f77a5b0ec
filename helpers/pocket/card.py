"""Renders MODEL_CARD.md and its calibration picture from what was measured."""

# ruff: noqa: E501  (the card is a page of prose)

from __future__ import annotations

from pathlib import Path

from helpers.pocket import BRED_FOR, SEEDS
from helpers.pocket.grammar import CALM_RATE, FRAMES, GENRES, MOOD_WEIGHTS, TEMPERS
from helpers.pocket.lexicon import FAMILIES
from helpers.pocket.protocol import choose

_COLOURS = {
    "hostile": "#d55e00",
    "friendly": "#0072b2",
    "neutral": "#009e73",
    "hostile, unseen frames": "#cc79a7",
}


def write(result: dict, log: dict, trials: list[dict], folder: Path) -> None:
    """Writes MODEL_CARD.md and calibration.svg into the folder of the weights."""
    (folder / "calibration.svg").write_text(calibration_picture(result["toxic_rates"]))
    (folder / "MODEL_CARD.md").write_text(model_card(result, log, trials))


def calibration_picture(rates: dict) -> str:
    """SVG: the model's toxic rate against the generator's, one mark per frame and mood."""
    side, edge = 420, 56

    def x(rate: float) -> float:
        return edge + rate * (side - 2 * edge) / 0.8

    def y(rate: float) -> float:
        return side - edge - rate * (side - 2 * edge) / 0.8

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side + 150} {side}" role="img" '
        'font-family="sans-serif" font-size="12">',
        "<title>Toxic rate of the pocket model against the generator's, by frame and mood</title>",
        f'<rect width="{side + 150}" height="{side}" fill="white"/>',
        f'<line x1="{x(0)}" y1="{y(0)}" x2="{x(0.8)}" y2="{y(0.8)}" stroke="#999" stroke-dasharray="4 3"/>',
    ]
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8):
        lines += [
            f'<text x="{x(tick)}" y="{side - edge + 18}" text-anchor="middle">{tick:.1f}</text>',
            f'<text x="{edge - 8}" y="{y(tick) + 4}" text-anchor="end">{tick:.1f}</text>',
            f'<line x1="{x(tick)}" y1="{y(0)}" x2="{x(tick)}" y2="{y(0.8)}" stroke="#eee"/>',
            f'<line x1="{x(0)}" y1="{y(tick)}" x2="{x(0.8)}" y2="{y(tick)}" stroke="#eee"/>',
        ]
    for row, (mood, rate) in enumerate(rates.items()):
        for name, point in rate["frames"].items():
            lines.append(_mark(row, x(point["generator"]), y(min(0.8, point["model"])), f"{name}, {mood}"))
        lines += [_mark(row, side - 30, 40 + 22 * row, mood),
                  f'<text x="{side - 18}" y="{44 + 22 * row}" fill="black">{mood}</text>']  # fmt: skip
    lines += [
        f'<text x="{side / 2}" y="{side - 14}" text-anchor="middle">generator: P(toxic ending)</text>',
        f'<text transform="translate(16 {side / 2}) rotate(-90)" text-anchor="middle">model: share of toxic endings</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _mark(row: int, x: float, y: float, title: str) -> str:
    colour = list(_COLOURS.values())[row]
    shapes = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5"',
        f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"',
        f'<path d="M{x:.1f} {y - 5:.1f} l5 9 h-10 z"',
        f'<path d="M{x:.1f} {y - 6:.1f} l5 6 l-5 6 l-5 -6 z"',
    )
    return f'{shapes[row]} fill="{colour}" fill-opacity="0.7"><title>{title}</title></{shapes[row][1:].split()[0]}>'


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def _size(result: dict) -> str:
    settings = result["settings"]
    return f"{settings['layers']} layers × {settings['width']}"


def _allowed(bar: dict) -> str:
    return "above 0" if 0 < bar["low"] < 1e-6 else f"{bar['low']:g} to {bar['high']:g}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) and abs(value) > 1 else f"{value:.3f}"


def model_card(result: dict, log: dict, trials: list[dict]) -> str:
    """The card's text; every figure in it comes from `result`, what the evaluation measured, and the trials."""
    settings, loss, rates = result["settings"], result["loss"], result["toxic_rates"]
    words = sum(map(len, FAMILIES.values()))
    training = [frame for frame in FRAMES if frame.use != "unseen"]
    bars = [[bar["bar"], _number(bar["value"]), _allowed(bar), "yes" if bar["holds"] else "**no**"]
            for bar in result["bars"]]  # fmt: skip
    by_mood = [[mood, f"{rate['model']:.3f} ± {1.96 * rate['standard_error']:.3f}", f"{rate['generator']:.3f}",
                str(rate["prompts"]), str(rate["samples"])] for mood, rate in rates.items()]  # fmt: skip
    return f"""# The pocket model

A small GPT-2 ({_size(result)}, {settings["heads"]} heads, {result["parameters"] / 1e6:.2f} M parameters,
{result["megabytes"]:.1f} MB on disk), trained from scratch on a synthetic corpus that this repository generates. It is a
model organism: it shows on any machine, in seconds, what the course then asks of GPT2-medium. No figure of it says
anything about GPT2-medium or about human language.

**Content.** Some of its sentences are rude, as mild as an annoyed neighbour: {words} lexicon words
({", ".join(FAMILIES)}) and threats against windows and sheds. It knows no slur, no group of people and nothing sexual.

## Data

`helpers/pocket/corpus.py` draws documents of {len(GENRES) + 2} genres from a grammar: {len(training)} sentence frames,
each a shared beginning with toxic, critical, kind and plain endings, among sentences that carry a mood (hostile
{MOOD_WEIGHTS["hostile"]:.0%}, friendly {MOOD_WEIGHTS["friendly"]:.0%}, neutral {MOOD_WEIGHTS["neutral"]:.0%} of the documents with frames)
without a toxic word. In a hostile text the first frame ends toxically with a probability of
{min(f.rate for f in training):.2f} to {max(f.rate for f in training):.2f}, elsewhere with {CALM_RATE:.2f}. What an opening does not tell: {TEMPERS["hostile"]["lost"][0]:.0%} of the
writers of hostile texts have lost their temper. They end {TEMPERS["hostile"]["lost"][1]:g} times as many frames toxically, the others
{TEMPERS["hostile"]["kept"][1]:g} times, and the tags at the end of their sentences (", you …") are toxic, those of all others civil.
{len(FRAMES) - len(training)} further frames and {sum(bool(f.unseen) for f in FRAMES)} combinations of frame and family never occur
in training text. Labels are exact: lexicon and threat patterns agree with the generator on every sentence it draws.
Byte-level BPE, {result["vocabulary"]["size"]} tokens; each toxic word, plurals too, is one token after a space.

## Training

{result["seen_tokens"] / 1e6:.1f} M tokens in windows of 128, batch {settings["batch"]}, AdamW (learning rate {settings["learning_rate"]:g}, cosine,
weight decay {settings["weight_decay"]:g} on matrices), no dropout, {"bfloat16 autocast" if log["bfloat16"] else "float32"},
seed {settings["seed"]}; {result["minutes"]:.1f} minutes on {"a GPU" if result["trained_on"] == "cuda" else "a CPU"}. Stored in fp16, to be
used in float32. `make pocket` trains it again. Text and tokenizer come out the same anywhere, weights only on the same
kind of machine.

## How good it is

{_table(["bar", "measured", "allowed", "holds"], bars)}

Held-out loss {loss["loss"]:.4f} nats per token on {loss["documents"]} unseen documents; the generator's own log-probability
of the same texts is {loss["limit"]:.4f}, the limit no model can pass on average: the gap is {loss["gap"]:.4f}
(perplexity {2.718281828 ** loss["loss"]:.3f} against {2.718281828 ** loss["limit"]:.3f}).
{result["well_formed"]["documents_without_fault"]:.1%} of freely sampled documents have no malformed sentence.

Share of sampled continuations (temperature 1, 14 tokens) whose first sentence is toxic, with 95 % intervals over prompts:

{_table(["after prompts", "model", "generator", "prompts", "samples"], by_mood)}

![Toxic rate of the model against the generator's by frame and mood; the dashed diagonal is perfect calibration](calibration.svg)

## Bred in the open

{_breeding(trials)}

## What it is not

A judge of toxicity, a chat model, a model of any real person's language. Its toxicity is a lexicon and a few patterns,
its moods are three, its world is fourteen places. Text unlike its corpus is outside of what it knows.

## Continuations

Ten prompts of each mood from the development split, one sample each, unselected.

{_examples(result)}
"""


def _breeding(trials: list[dict]) -> str:
    if not trials:
        return "No trial of the protocol (`helpers/pocket/protocol.py`) stands beside it: nothing is said about how it was chosen."
    chosen, whole = choose(trials)
    head = ["measured", *(f"{trial['configuration']}, seed {trial['seed']}" for trial in trials)]
    rows = [
        ["parameters (M)", *(f"{trial['parameters'] / 1e6:.2f}" for trial in trials)],
        ["tokens seen (M)", *(f"{trial['tokens'] / 1e6:.1f}" for trial in trials)],
        ["minutes", *(f"{trial['minutes']:.1f}" for trial in trials)],
        ["gap to the limit (nats per token)", *(f"{trial['gap']:.4f}" for trial in trials)],
    ]
    for bars in zip(*(trial["bars"] for trial in trials), strict=True):
        allowed = _allowed(bars[0])
        values = (_number(bar["value"]) + ("" if bar["holds"] else " **fails**") for bar in bars)
        rows.append([f"{bars[0]['bar']} ({allowed})", *values])
    for entries in zip(*(trial["claims"] for trial in trials), strict=True):
        name = f"{entries[0]['id']} {entries[0]['part']}".strip()
        rows.append([name, *(f"{_number(row['value'])}, {row['verdict']}" if row["value"] is not None
                             else row["verdict"] for row in entries)])  # fmt: skip
    held = (
        "holds every bar with every choosing seed"
        if whole
        else "does not hold every bar: no configuration tried does"
    )
    return f"""A model organism is bred to show a phenomenon; which claims it was bred for is said here and beside each in the ledger:
{", ".join(BRED_FOR)}. Configurations, seeds, bars and the rule were fixed in `helpers/pocket/protocol.py` before any of these
was trained. The rule takes {chosen}, which {held}. Then seeds {", ".join(map(str, SEEDS))} were trained, looked at by
nobody before, and ship whatever they show. The last rows are the claims' own measurements in notebook 02.

{_table(head, rows)}"""


def _examples(result: dict) -> str:
    blocks = []
    for mood, pairs in result["examples"].items():
        blocks.append(f"**{mood}**\n")
        for pair in pairs:
            text = pair["prompt"].replace("\n", " / ")
            blocks.append(f"- {text}**{pair['ending']}**")
        blocks.append("")
    return "\n".join(blocks)
