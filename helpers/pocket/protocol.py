"""How the pocket model is bred: configurations, seeds, bars and rule, fixed before any training.

A model organism is bred to show a phenomenon; this says for which claims, and by which rule. Drafts of the
corpus were tried before with other seeds (90, 101, 111), which took part in nothing since. They taught that
toxic words must come often, and where civil words could stand as well: a probe reads whatever else two kinds
of text differ in. What the trials gave is in trials.json; `python -m helpers.course.breed` runs the protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TRIALS = Path(__file__).with_name("trials.json")
CONFIGURATIONS: dict[str, dict[str, int]] = {
    "4x192, 3.0 M": {"layers": 4, "width": 192, "heads": 6, "tokens": 3_000_000},
    "4x192, 4.5 M": {"layers": 4, "width": 192, "heads": 6, "tokens": 4_500_000},
    "6x160, 4.5 M": {"layers": 6, "width": 160, "heads": 5, "tokens": 4_500_000},
}
"""What is tried, smallest first, until one holds all bars, on the corpus of this commit; at most four."""
CHOOSING_SEEDS = (121, 122)
"""The seeds that ship (`helpers.pocket.SEEDS`) are trained when the choice is made, whatever they show."""


@dataclass(frozen=True)
class Bar:
    """What a trial has to hold: a measured value with the range that is allowed."""

    bar: str
    value: float | int
    low: float | int
    high: float | int

    @property
    def holds(self) -> bool:
        """Whether the value lies in its range."""
        return self.low <= self.value <= self.high


def text_bars(measured: Mapping) -> list[Bar]:
    """The bars on what a model writes, from its evaluation."""
    rates = measured["toxic_rates"]
    hostile, friendly, neutral = (rates[mood] for mood in ("hostile", "friendly", "neutral"))
    distance = abs(hostile["model"] - hostile["generator"])
    return [
        Bar("well-formed sentences", measured["well_formed"]["sentences"], 0.90, 1.0),
        Bar("P(toxic) after hostile prompts", hostile["model"], 0.35, 0.65),
        Bar("its distance from the generator's", distance, 0.0, 0.10),
        Bar("P(toxic) after friendly prompts", friendly["model"], 0.0, 0.06),
        Bar("P(toxic) after neutral prompts", neutral["model"], 0.0, 0.06),
        Bar("dead tokens", measured["vocabulary"]["dead"], 0, 0),
        Bar("toxic words in several tokens", len(measured["vocabulary"]["split_toxic_words"]), 0, 0),
        Bar("megabytes on disk", measured["megabytes"], 0.0, 5.0),
    ]


def claim_bars(ledger: Sequence[Mapping]) -> list[Bar]:
    """The bars on what notebook 02 finds in a trial: A2 and A3 as the ledger has them.

    Above the band of the cosine-matched null; and three toxic words in ten, half of U0's, which is what a
    reader takes for a toxic list.
    """
    rows = {(row["id"], row["part"]): row for row in ledger}
    found = []
    for part in ("top 10", "top 64"):
        row = rows["A2", part]
        above = row["value"] - row["details"]["cosine_matched_high"]
        found.append(Bar(f"A2, {part}: above the cosine-matched null's band by", above, 1e-9, 1.0))
    found.append(Bar("A2, top 10: share of toxic words", rows["A2", "top 10"]["value"], 0.3, 1.0))
    found.append(Bar("A3, U0: share of toxic words", rows["A3", "U0"]["value"], 0.5, 1.0))
    return found


def choose(trials: Sequence[Mapping]) -> tuple[str, bool]:
    """The configuration that the rule takes, and whether it holds every bar with every choosing seed.

    Of the configurations that hold all bars with both seeds, the one with fewest parameters times tokens.
    Where none does, the one that holds most bars with its worse seed; between equals, the smaller.

    Args:
        trials: rows with "configuration", "parameters", "tokens" and "bars" (each with "holds").
    """
    rows: dict[str, list[Mapping]] = {}
    for trial in sorted(trials, key=lambda trial: trial["parameters"] * trial["tokens"]):
        rows.setdefault(trial["configuration"], []).append(trial)
    held = {name: min(sum(bar["holds"] for bar in t["bars"]) for t in of) for name, of in rows.items()}
    best = max(held, key=held.__getitem__)  # the first of equals, which is the smaller
    return best, all(bar["holds"] for trial in rows[best] for bar in trial["bars"])
