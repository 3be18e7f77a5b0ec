"""What both scorers are worth, as an artifact: measured once, shown in every notebook's panel."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from helpers.artifacts import Artifact, Declared
from helpers.intervals import Interval
from helpers.language.worth import Worth, measure_worth

if TYPE_CHECKING:
    from helpers.lab.workbench import Workbench


def load(at: Workbench) -> tuple[Worth, ...]:
    """The first and the second scorer's worth, from the store where it is there."""
    rows = WORTH.load(at.store, at).data["worth"]
    return tuple(Worth(**{**row, "auroc": Interval(**row["auroc"])}) for row in rows)


def _key(at: Workbench) -> Mapping[str, Any]:
    return {
        "scorers": list(at.scorer_keys),
        "comments": [[one.text, one.toxic] for one in at.texts.comments_test],
        "passages": list(at.texts.passages),
        "new_tokens": at.profile.decoding.new_tokens,
        "bootstrap": at.profile.counts.bootstrap,
        "seed": at.profile.seed,
    }


def _make(at: Workbench) -> Artifact:
    found = [measure_worth(scorer, at.texts, at.profile) for scorer in at.scorers]
    return Artifact(data={"worth": [dataclasses.asdict(one) for one in found]})


WORTH = Declared("scorer-worth", 1, _key, _make)
"""Each scorer's AUROC on held-out comments, and what it gives plain and empty text."""
