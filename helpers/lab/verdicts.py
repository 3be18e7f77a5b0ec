"""Whether answers survive another training seed of DPO, and another scorer: claims N5 and N6."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helpers.lab.attribution import Attributions
from helpers.lab.drops import Drops, Found
from helpers.lab.emulation import Emulation
from helpers.lab.insides import Insides
from helpers.lab.policies import Chosen
from helpers.lab.workbench import Workbench
from helpers.teaching.claims import NOT_RUN, Measurement, judge, label
from helpers.teaching.claims.table import verdict_text

Key = tuple[str, str, str]
"""A claim, its part, and the policy that it was measured on ("" for base)."""

POLICIES: tuple[Chosen, ...] = ("matched", "strong")


@dataclass(frozen=True)
class Compared:
    """The same claims measured under several conditions.

    `found` holds, by the condition's name, the measurements by claim, part and policy. One that a condition
    lacks counts as *not run* there.
    """

    found: Mapping[str, Mapping[Key, Measurement]]

    @property
    def keys(self) -> list[Key]:
        """What any condition measured, in the order in which it was first met."""
        return list(dict.fromkeys(key for each in self.found.values() for key in each))

    def verdicts(self, key: Key) -> list[str]:
        """Each condition's verdict, by the claim's own rule."""
        claim, part, _ = key
        return [
            str(judge(claim, each[key], part=part)) if key in each else NOT_RUN
            for each in self.found.values()
        ]

    @property
    def differing(self) -> list[Key]:
        """What the conditions do not agree on."""
        return [key for key in self.keys if len(set(self.verdicts(key))) > 1]

    @property
    def differing_names(self) -> list[str]:
        """The same, as tables call them."""
        return [named(key) for key in self.differing]

    def measurement(self, **details: float | int) -> Measurement:
        """How many verdicts differ, of how many that any condition gave."""
        told: dict[str, float | int] = {"verdicts": len(self.keys), **details}
        return Measurement(len(self.differing), unit="verdicts that differ", details=told)

    def table(self) -> list[dict[str, str]]:
        """A row for each claim: value and verdict under each condition, and whether the verdicts differ."""
        rows = []
        for key in self.keys:
            verdicts = self.verdicts(key)
            cells = {
                name: f"{each[key].value:.4g}, {marked(verdict)}" if key in each else marked(verdict)
                for (name, each), verdict in zip(self.found.items(), verdicts, strict=True)
            }
            same = "DIFFERS" if key in self.differing else "same"
            rows.append({"claim": named(key), **cells, "verdict": same})
        return rows


def marked(verdict: str) -> str:
    """A verdict with its sign: "✓ agrees"."""
    return verdict_text({"verdict": verdict})


def named(key: Key) -> str:
    """How tables call a claim's part on a policy: "A8 own continuations, matched"."""
    claim, part, policy = key
    return label({"id": claim, "part": part, "policy": policy})


@dataclass(frozen=True, eq=False)
class Verdicts:
    """The stage of N5 and N6, which notebook 09 records: every claim once more, elsewhere."""

    at: Workbench
    drops: Drops
    inside: Insides
    attribution: Attributions
    emulation: Emulation

    def measure(self, name: Chosen = "matched", *, seed: int | None = None) -> Found:
        """What claims A6 to B7 measure of a policy, by claim and part, each as its notebook does.

        Of B7 without the sets that only its table shows: its verdict is about the union of the four groups.
        """
        asked: dict[str, Any] = {"name": name, "seed": seed}
        found = {
            **self.drops.measure_tuning(**asked),
            **self.inside.measure(**asked),
            **self.drops.measure_keys(**asked),
            ("B1", ""): self.emulation.measure_ablation(**asked),
        }
        found |= self.emulation.measure(**asked, every_set=False)
        found |= self.attribution.measure(**asked)
        kept = {key: one for key, one in found.items() if key[0][0] in "AB"}
        return dict(sorted(kept.items(), key=lambda row: (row[0][0][0], int(row[0][0][1:]))))

    def over_seeds(self, name: Chosen = "matched", seeds: Sequence[int] | None = None) -> Compared:
        """Claims A6 to B7 on the policy of each training seed of the profile."""
        seeds = self.at.profile.dpo.seeds if seeds is None else seeds
        return Compared(
            {
                f"seed {seed}": {(*key, name): one for key, one in self.measure(name, seed=seed).items()}
                for seed in seeds
            }
        )

    def over_scorers(self) -> Compared:
        """Claims A4, A6, A12 and B1 by each scorer's word alone, on both policies."""
        found: dict[str, dict[Key, Measurement]] = {}
        for scorer, one in enumerate(self.at.scorers):
            rows: dict[Key, Measurement] = {
                (*key, ""): found for key, found in self.drops.measure_steering(scorer=scorer).items()
            }
            for name in POLICIES:
                by: dict[str, Any] = {"name": name, "scorer": scorer}
                measured = {
                    **self.drops.measure_tuning(**by),
                    **self.drops.measure_keys(**by),
                    ("B1", ""): self.emulation.measure_ablation(**by),
                }
                rows |= {(*key, name): found for key, found in measured.items()}
            found[f"{one.name} scorer"] = rows
        return Compared(found)
