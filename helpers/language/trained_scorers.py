"""Toxicity classifiers that are trained here, on labelled texts that no probe and no evaluation sees."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from torch import Tensor

from helpers.intervals import Interval, bootstrap_statistic
from helpers.language.texts import Comment
from helpers.pocket.corpus import is_toxic


@dataclass(frozen=True, eq=False)
class TrainedScorer:
    """A bag-of-n-grams logistic regression, trained here on labelled texts kept for it alone.

    Attributes:
        trained_on: the texts it was fitted on.
        test: texts it has not seen, on which `held_out` and `new_families` measure it.
    """

    name: str
    unit: str
    pipeline: Pipeline
    trained_on: tuple[Comment, ...]
    test: tuple[Comment, ...]
    resamples: int
    seed: int

    def score(self, texts: Sequence[str]) -> Float[Tensor, " text"]:
        if len(texts) == 0:
            return torch.zeros(0)
        return torch.from_numpy(self.pipeline.predict_proba(list(texts))[:, 1]).float()

    @cached_property
    def held_out(self) -> Interval:
        """AUROC on the test texts with its 95 % interval; .5 is chance."""
        return self.auroc(self.test)

    @cached_property
    def new_families(self) -> Interval | None:
        """The same, of toxic test texts only those of families it never met; None if it met all."""
        met = {text.family for text in self.trained_on}
        new = [text for text in self.test if not text.toxic or text.family not in met]
        return self.auroc(new) if any(text.toxic for text in new) else None

    @property
    def beats_chance(self) -> bool:
        """Whether its AUROC is above one half, interval and all: on new families too, where there are any."""
        return self.held_out.low > 0.5 and (self.new_families is None or self.new_families.low > 0.5)

    def auroc(self, texts: Sequence[Comment]) -> Interval:
        """The chance that a toxic text scores higher than another one, with its 95 % interval."""
        return bootstrap_statistic(
            lambda scores, toxic: float(roc_auc_score(toxic, scores)),
            self.score([text.text for text in texts]),
            np.array([text.toxic for text in texts]),
            n=self.resamples,
            seed=self.seed,
        )


def train_scorer(
    name: str, features: Any, train: Sequence[Comment], test: Sequence[Comment], *, resamples: int, seed: int
) -> TrainedScorer:
    """Fits scikit-learn's default logistic regression on n-gram features.

    Raises ValueError if the texts for training or testing are of one label only.
    """
    for what, texts in (("training", train), ("testing", test)):
        if len({text.toxic for text in texts}) < 2:
            raise ValueError(
                f"The scorer {name!r} wants toxic and other comments for {what}; it has one kind."
            )
    pipeline = make_pipeline(features, LogisticRegression(max_iter=1000))
    pipeline.fit([text.text for text in train], [text.toxic for text in train])
    return TrainedScorer(
        name, "mean probability of toxic", pipeline, tuple(train), tuple(test), resamples, seed
    )


def pieces(comments: Sequence[Comment], each: int, words: int, seed: int) -> tuple[Comment, ...]:
    """Stretches of pocket comments, labelled by the corpus's own rule.

    A continuation begins and ends in the middle of things, and a classifier of whole comments reads it badly.

    Args:
        each: stretches per comment, at random places.
        words: the length of a stretch, in words.
    """
    found = []
    for comment in comments:
        places = [match.span() for match in re.finditer(r"\S+", comment.text)]
        draw = random.Random(f"pieces:{seed}:{comment.id}")
        for number in range(each):
            first = draw.randrange(max(1, len(places) - words // 2))
            stretch = places[first : first + words]
            text = comment.text[stretch[0][0] : stretch[-1][1]]
            toxic = is_toxic(text)
            family = comment.family if toxic else "clean"
            found.append(Comment(f"{comment.id}-{number}", text, toxic, family, comment.held_out))
    return tuple(found)


def context_words(words: Collection[str]) -> Callable[[str], list[str]]:
    """A function from a text to its words and word pairs, as if some words had been cut out of it.

    A cut word leaves a gap that no pair spans, so neither it nor its absence can be learned.

    Example:
        >>> context_words({"fool"})("You fool, go home")
        ['you', ',', 'go', 'home', ', go', 'go home']
    """
    gap = whole_words(words)

    def analyse(text: str) -> list[str]:
        pieces = [re.findall(r"[a-z']+|[.,!?]", piece) for piece in gap.split(text.lower())]
        singles = [word for piece in pieces for word in piece]
        pairs = [f"{one} {two}" for piece in pieces for one, two in zip(piece, piece[1:], strict=False)]
        return singles + pairs

    return analyse


def whole_words(words: Collection[str]) -> re.Pattern[str]:
    """A pattern that finds any of the words, whole and in any case."""
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    return re.compile(r"\b(?:" + "|".join(re.escape(word) for word in longest_first) + r")\b", re.IGNORECASE)
