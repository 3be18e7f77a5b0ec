"""What one unit of work takes: measured here, or by the figures of a machine that is not at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from helpers.course.series import NOTEBOOKS, SOURCES, running_order
from helpers.course.work import Number, Shape, Work, disk_of, memory_of, prompt_tokens, work_of
from helpers.profiles import SHORTENED, HubScorerSettings, HubText, Profile

STORED = NOTEBOOKS / "estimate.json"
"""What README's table is rendered from."""

DOWNLOADS = {"openai-community/gpt2-medium": 1.52, "openai-community/gpt2": 0.55, "unitary/toxic-bert": 0.44,
             "monology/jigsaw": 0.06, "allenai/real-toxicity-prompts": 0.07,
             "Salesforce/wikitext": 0.01}  # fmt: skip
"""GB, as the hub's pages list them; of anything else nothing is known here."""

CLASSIFIER = 86e6
"""Weights of a BERT that every token of a scored text passes; a bag of n-grams costs next to nothing."""

SCORED_TOKENS = 25


@dataclass(frozen=True)
class Rates:
    """Seconds for one of each unit of `Work`, and for a notebook to start; `where` they were measured."""

    where: str
    start: Number
    read: Number
    written: Number
    scored: Number
    steered: Number
    trained: Number
    passed: Number
    measured: Number
    probed: Number
    opened: Number
    gigabytes: Number

    def seconds(self, work: Work) -> float:
        """What a notebook takes."""
        units = asdict(work).items()
        return float(self.start + sum(number * getattr(self, name) for name, number in units))


@dataclass(frozen=True)
class Machine:
    """A machine that is not at hand, by its figures: what is known of it, not what was measured on it.

    Attributes:
        flops: float32 operations a second that it reaches in practice.
        step: seconds that one pass over the layers takes however little is in it, for 24 layers.
        disk: GB written in a second.
        memory: GB.
    """

    name: str
    flops: float
    step: float
    disk: float
    memory: float


T4 = Machine("a Colab T4, by its figures", 4e12, 0.03, 0.5, 15.0)
GPU = Machine("a faster GPU, by its figures", 1e13, 0.015, 1.0, 40.0)
CPU = Machine("two CPU cores, by their figures", 8e10, 0.0, 0.5, 16.0)
MACHINES = {"T4": T4, "GPU": GPU, "CPU": CPU}


def by_figures(at: Machine, profile: Profile, shape: Shape) -> Rates:
    """Rates from arithmetic: 2 operations a weight and token, and no pass faster than its launches."""
    token = 2 * shape.parameters / at.flops
    step, batches = at.step * shape.layers / 24, profile.batches
    prompt = prompt_tokens(profile) / profile.decoding.new_tokens  # read for each token that is written
    two_ways = 2.5 * step
    return Rates(
        where=at.name,
        start=25.0,
        read=token,
        written=prompt * token + max(token, step / batches.generate),
        scored=SCORED_TOKENS * 2 * CLASSIFIER / at.flops if hub_scorers(profile) else 3e-4,
        steered=max(6 * token, two_ways / batches.craft),  # two tokens, forward and back, for each
        trained=max(70 * 4 * token, (two_ways + step) / profile.dpo.batch),
        passed=1.3 * token,
        measured=0.5 + 0.2 * shape.gigabytes,  # assumed: weights recognised, copied where new
        probed=2e-7,
        opened=4 + shape.gigabytes / (2 * at.disk),
        gigabytes=1 / at.disk,
    )


def hub_scorers(profile: Profile) -> list[HubScorerSettings]:
    """The scorers that are models themselves."""
    return [one for one in profile.scorers if isinstance(one, HubScorerSettings)]


def rows_of(profile: Profile, shape: Shape, rates: Rates) -> dict[str, dict[str, float]]:
    """Minutes and peak GB by notebook."""
    there = {path.stem[:2]: path.stem for path in running_order(SOURCES, ".py")}
    return {
        there[number]: {
            "minutes": round(rates.seconds(work) / 60, 2),
            "gb": round(memory_of(profile, shape, number), 1),
        }
        for number, work in work_of(profile, shape).items()
        if number in there
    }


def download_of(profile: Profile) -> tuple[float, list[str]]:
    """GB to fetch from the hub, and what of it has no known size."""
    names = {profile.model.id, *(one.id for one in hub_scorers(profile))}
    names |= {one.repository for _, one in profile.data if isinstance(one, HubText)}
    wanted = sorted(name for name in names if name)
    return float(sum(DOWNLOADS.get(name, 0) for name in wanted)), [n for n in wanted if n not in DOWNLOADS]


def advice(rows: Mapping[str, Mapping[str, float]], memory: float) -> list[str]:
    """What to lower, where it takes long or does not fit."""
    longest = max(rows, key=lambda name: rows[name]["minutes"])
    lower = {
        "01": "counts.comments_train", "03": "steering.strengths, counts.prompts_eval",
        "04": "pplm.iterations, counts.pairs (or import pairs under data.pairs)",
        "05": "dpo.max_steps, dpo.seeds; raise dpo.evaluate_every",
        "06": "counts.prompts_eval", "08": "counts.prompts_sweep, explanation.alphas",
        "09": "unalignment.keys, .examples; counts.perplexity_tokens_sweep",
    }  # fmt: skip
    said = [f"Longest: {longest}. To shorten it lower {lower.get(longest[:2], 'counts.prompts_sweep')}."]
    beyond = [name for name, row in rows.items() if row["gb"] > memory]
    if beyond:
        said.append(
            f"More than the {memory:.0f} GB there are: {', '.join(beyond)}. Lower batches.forward and "
            "batches.craft; what the copies of the weights take stays: a smaller model is the other way."
        )
    return said


def estimate(profile: Profile, shape: Shape, rates: Rates, memory: float) -> dict[str, Any]:
    """Everything that is printed, as it is stored."""
    rows = rows_of(profile, shape, rates)
    download, unknown = download_of(profile)
    return {
        "profile": profile.name, "rates": asdict(rates), "notebooks": rows,
        "total_minutes": round(sum(row["minutes"] for row in rows.values()), 1),
        "disk_gb": round(disk_of(profile, shape), 1), "download_gb": round(download, 2),
        "download_unknown": unknown, "advice": advice(rows, memory),
    }  # fmt: skip


def readme_table(stored: Mapping[str, Any]) -> str:
    """Stored estimates side by side, as Markdown: a row a notebook, a column an estimate."""
    if not stored:
        return "*Not run yet.*"
    columns = [*stored.values()]
    lines = [
        "| notebook | " + " | ".join(f"`{c['profile']}`, {c['rates']['where']}" for c in columns) + " |",
        "|---|" + "--:|" * len(columns),
    ]
    for name in columns[0]["notebooks"]:
        cells = [one["notebooks"].get(name) for one in columns]
        shown = [f"{clock(60 * c['minutes'])}, {c['gb']:.0f} GB" if c else "–" for c in cells]
        lines.append(f"| {name[:2]} | " + " | ".join(shown) + " |")
    totals = [f"{clock(60 * one['total_minutes'])}, disk {one['disk_gb']:.0f} GB" for one in columns]
    return "\n".join([*lines, "| all | " + " | ".join(totals) + " |"])


def clock(seconds: float) -> str:
    """No finer than an estimate is: "5 h 10", where there are no hours "7 min", where no minutes "37 s"."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d}"
    return f"{minutes} min" if seconds >= 60 else f"{seconds:.0f} s"


def short_table() -> str:
    """What `gpt2-medium-short` changes and why, as Markdown."""
    head = ["| knob | why less does | intervals |", "|---|---|---|"]
    return "\n".join(
        head + [f"| `{knob.replace(', ', '`, `')}` | {why} | {width} |" for knob, why, width in SHORTENED]
    )
