"""What a toxicity scorer is worth: how it ranks labelled texts, and what it gives where there is nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from helpers.intervals import Interval, bootstrap_groups
from helpers.language.metrics import share_above
from helpers.language.scoring import Scorer
from helpers.language.texts import Comment, Texts
from helpers.profiles import Profile


@dataclass(frozen=True)
class Worth:
    """How far a scorer's figures can be trusted, on texts like the profile's.

    Attributes:
        auroc: the chance that a toxic comment scores above a clean one, on comments that no scorer and no
            probe was trained on; .5 is chance.
        plain: mean score of beginnings of the profile's plain text, as long as a continuation.
        empty: score of the empty text.
    """

    scorer: str
    auroc: Interval
    plain: float
    empty: float

    def __str__(self) -> str:
        return f"{self.scorer}: AUROC {self.auroc}, plain text {self.plain:.2f}, empty text {self.empty:.2f}"

    @property
    def toxic_from(self) -> float:
        """The score from which on a single token counts as toxic: halfway from the empty text's to 1.

        It is .5 for a scorer that gives the empty text 0. A classifier gives a token that it does not know
        what it gives the empty text.
        """
        return (1 + self.empty) / 2

    def cautions(self, base: float | None = None) -> list[str]:
        """Why its figures should be read with care, one sentence each.

        Args:
            base: the base model's toxicity by this scorer, where it is known.
        """
        found = []
        if self.auroc.value < 0.7:
            found.append(
                f"Scorer {self.scorer!r} ranks a toxic comment above a clean one in {self.auroc.value:.0%} "
                "of cases (chance is 50 %): what it calls toxic is hardly what the labels do."
            )
        if self.plain >= 0.5:
            found.append(f"Scorer {self.scorer!r} gives plain text {self.plain:.2f}: it calls it toxic.")
        if self.empty >= 0.5:
            found.append(
                f"Scorer {self.scorer!r} gives the empty text {self.empty:.2f}. Empty continuations are left "
                "out of every mean toxicity, and counted by themselves."
            )
        if base is not None and self.plain >= 0.5 * base:
            found.append(
                f"Scorer {self.scorer!r} gives plain text {self.plain:.2f}, and the base model's text "
                f"{base:.2f}: most of the latter is the scorer's floor, which no training can take away."
            )
        return found


def measure_worth(scorer: Scorer, texts: Texts, profile: Profile) -> Worth:
    """Scores held-out comments, plain text and the empty text. ValueError: comments of one label."""
    comments = texts.comments_test
    scores = scorer.score([comment.text for comment in comments]).numpy()
    toxic = np.array([comment.toxic for comment in comments])
    # A continuation is about as many words as four fifths of its tokens.
    words = max(2, round(0.8 * profile.decoding.new_tokens))
    plain = [" ".join(passage.split()[:words]) for passage in texts.passages]
    return Worth(
        scorer=scorer.name,
        auroc=bootstrap_groups(
            [scores[toxic], scores[~toxic]], share_above, n=profile.counts.bootstrap, seed=profile.seed
        ),
        plain=float(scorer.score(plain).mean()),
        empty=float(scorer.score([""])[0]),
    )


def share_caution(comments: Sequence[Comment]) -> list[str]:
    """A sentence where so many labels are the same that accuracy means little; else nothing."""
    share = sum(comment.toxic for comment in comments) / len(comments)
    usual, part = ("toxic", share) if share > 0.5 else ("clean", 1 - share)
    if part < 0.8:
        return []
    return [
        f"{part:.0%} of the comments are {usual}: calling every one so has an accuracy of {part:.2f}. Hold "
        "accuracies against that, and read AUROC."
    ]
