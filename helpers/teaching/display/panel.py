"""The start panel: one compact block that says what this run is made of."""

from __future__ import annotations

import html
import importlib.metadata
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.language.models import LanguageModel
from helpers.language.texts import Texts
from helpers.language.worth import Worth, share_caution
from helpers.profiles import Decoding, FileText, HubText, PocketText, Profile, ScorerSettings
from helpers.runtime import DeviceChoice, memory_report

PACKAGES = ("torch", "transformers", "transformer-lens", "trl", "datasets")


@dataclass(frozen=True)
class Panel:
    """Rows of (name, value); shows as a small table in a notebook and as lines of text elsewhere."""

    title: str
    rows: tuple[tuple[str, str], ...]

    def _repr_html_(self) -> str:
        body = "".join(
            f"<tr><td style='text-align:left'><b>{html.escape(name)}</b></td>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for name, value in self.rows
        )
        return f"<table><caption>{html.escape(self.title)}</caption><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        width = max(len(name) for name, _ in self.rows)
        return "\n".join([self.title, *(f"  {name.ljust(width)}  {value}" for name, value in self.rows)])


def start_panel(
    notebook: str,
    profile: Profile,
    choice: DeviceChoice,
    cache: Path,
    model: LanguageModel,
    timings: Path,
    texts: Texts,
    worth: Sequence[Worth],
) -> Panel:
    """Model, device, memory, cache, where the texts come from, decoding, scorers and their worth, versions.

    Args:
        cache: the artifact folder; shown without the machine's own prefix.
        timings: a `timings.json` left by an earlier full run; its row is left out if there is none.
        worth: of both scorers; what calls for care becomes a row of its own.
    """
    comments = (*texts.comments_train, *texts.comments_test, *texts.comments_scorer)
    toxic = sum(comment.toxic for comment in comments) / len(comments)
    origins = [f"{name}: {describe_source(source)}" for name, source in profile.data if source]
    cautions = [*share_caution(comments), *(line for one in worth for line in one.cautions())]
    rows = [
        (
            "model",
            f"{model.name}: {model.n_layers} layers × {model.d_model}, "
            f"{model.n_layers * model.d_mlp:,} MLP neurons, raw float32 weights",
        ),
        ("device", f"{choice.device} ({choice.why})"),
        ("memory", memory_report().line()),
        ("cache", short_path(cache)),
        ("texts", " · ".join(origins)),
        ("labels", f"{toxic:.0%} of {len(comments):,} comments are toxic"),
        ("decoding", describe_decoding(profile.decoding)),
        ("scorers", "first: {} · second: {}".format(*map(describe_scorer, profile.scorers))),
        ("their worth", " · ".join(map(str, worth)) + f" (AUROC on {len(texts.comments_test):,} comments)"),
        *(("caution", line) for line in cautions),
        ("seed", str(profile.seed)),
        (
            "versions",
            ", ".join(
                [
                    f"Python {platform.python_version()}",
                    *(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES),
                ]
            ),
        ),
    ]
    measured = measured_minutes(timings, notebook, profile.name)
    if measured:
        rows.append(("this notebook", measured))
    if choice.device.type == "cuda" and profile.name == "pocket":
        rows.append(
            (
                "hint",
                'a CUDA device is here: PROFILE = "gpt2-medium" below runs the subject of the papers',
            )
        )
    return Panel(f"{notebook} on profile “{profile.name}”", tuple(rows))


def short_path(path: Path) -> str:
    """A folder without the machine's own prefix: seen from the repository, the home folder, or just its name.

    Stored notebooks show this line, so it must not carry the path of the machine that made them.
    """
    path = path.resolve()
    repository = Path(__file__).resolve().parents[3]
    for root, mark in ((repository, ""), (Path.home(), "~/")):
        if path.is_relative_to(root):
            return f"{mark}{path.relative_to(root).as_posix()}"
    return f"…/{path.name}"


def measured_minutes(timings: Path, notebook: str, profile: str) -> str | None:
    """`took 0.8 minutes and 1.1 GB …` from a timings file; None if it lacks this notebook and profile."""
    if not timings.is_file():
        return None
    record = json.loads(timings.read_text(encoding="utf-8"))
    row = record.get("notebooks", {}).get(notebook)
    if record.get("profile") != profile or not row:
        return None
    spent = f"{row['minutes']:.1f} minutes and {row['peak_gb']:.1f} GB at its peak"
    return f"took {spent} when it was published, on {record['machine']} (empty cache)"


def describe_decoding(decoding: Decoding) -> str:
    """Such as `sampled at temperature 1, 14 new tokens`."""
    how = "greedy" if decoding.method == "greedy" else f"sampled at temperature {decoding.temperature:g}"
    return f"{how}, {decoding.new_tokens} new tokens after at most {decoding.max_prompt_tokens} of the prompt"


def describe_source(source: PocketText | FileText | HubText) -> str:
    """Where texts come from: the corpus of `pocket`, a file's name, or a dataset of the hub."""
    if isinstance(source, PocketText):
        return "the corpus of pocket"
    if isinstance(source, HubText):
        return source.repository
    start, end = source.stretch
    part = "" if (start, end) == (0, 1) else f" ({start:.0%} to {end:.0%})"
    return source.path.name + part


def describe_scorer(scorer: ScorerSettings) -> str:
    """The scorer's kind, and for a classifier from the hub or a folder its name and label."""
    if scorer.kind == "hub":
        return f"{scorer.id or (scorer.folder and scorer.folder.name)} (label {scorer.label})"
    return {
        "pocket-exact": "exact (the corpus's own lexicon and threat patterns)",
        "pocket-masked": "masked classifier (lexicon words hidden, trained on held-out frames)",
        "comments": "classifier trained on labelled comments",
        "words": "word lists",
    }[scorer.kind]
