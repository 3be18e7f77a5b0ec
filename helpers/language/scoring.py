"""Scores how toxic texts are: by the pocket corpus's rules, by trained classifiers, or by word lists.

Every scorer runs on this machine. A figure names its scorer, because scales differ from one to the next.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import transformers
from jaxtyping import Bool, Float
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from torch import Tensor

from helpers import profile_schema as settings_of
from helpers.intervals import Interval, bootstrap_statistic
from helpers.language import hub
from helpers.language.models import quiet
from helpers.language.texts import Comment, Texts
from helpers.language.words import toxic_word_list
from helpers.pocket.corpus import is_toxic, toxic_words
from helpers.profiles import Profile
from helpers.runtime import with_batch_halving


@runtime_checkable
class Scorer(Protocol):
    """Anything that scores texts.

    Attributes:
        name: short, for table columns.
        unit: what a mean of its scores is, for axis labels.
    """

    name: str
    unit: str

    def score(self, texts: Sequence[str]) -> Float[Tensor, " text"]:
        """How toxic each text is, from 0 to 1, on the CPU."""
        ...


@dataclass(frozen=True)
class ExactScorer:
    """The pocket corpus's own rule: 1 if a text holds a toxic word or a threat, else 0."""

    name: str = "exact"
    unit: str = "share of texts with a toxic word or threat"

    def score(self, texts: Sequence[str]) -> Float[Tensor, " text"]:
        return torch.tensor([float(is_toxic(text)) for text in texts])


class WordScorer:
    """1 if a text has one of some words (whole, in any case), else 0. Blind to context and to broken text."""

    name = "words"
    unit = "share of texts with a listed word"

    def __init__(self, words: Collection[str]):
        if not words:
            raise ValueError("A word scorer wants at least one word.")
        self.pattern = whole_words(words)

    def score(self, texts: Sequence[str]) -> Float[Tensor, " text"]:
        return torch.tensor([float(self.pattern.search(text) is not None) for text in texts])


def whole_words(words: Collection[str]) -> re.Pattern[str]:
    """A pattern that finds any of the words, whole and in any case."""
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    return re.compile(r"\b(?:" + "|".join(re.escape(word) for word in longest_first) + r")\b", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class TrainedScorer:
    """A bag-of-n-grams logistic regression, trained here on labelled comments kept for it alone.

    Attributes:
        held_out: its AUROC on the test comments with a 95 % interval; one that includes .5 is no better than
        chance.
        trained_on: how many comments it was fitted on.
    """

    name: str
    unit: str
    pipeline: Pipeline
    held_out: Interval
    trained_on: int

    @property
    def beats_chance(self) -> bool:
        """Whether the whole interval of `held_out` lies above one half."""
        return self.held_out.low > 0.5

    def score(self, texts: Sequence[str]) -> Float[Tensor, " text"]:
        if len(texts) == 0:
            return torch.zeros(0)
        return torch.from_numpy(self.pipeline.predict_proba(list(texts))[:, 1]).float()


def train_scorer(
    name: str, features: Any, train: Sequence[Comment], test: Sequence[Comment], *, resamples: int, seed: int
) -> TrainedScorer:
    """Fits scikit-learn's default logistic regression on n-gram features and measures it on other comments.

    Raises ValueError if the comments for training or testing are of one label only.
    """
    for what, comments in (("training", train), ("testing", test)):
        if len({comment.toxic for comment in comments}) < 2:
            raise ValueError(
                f"The scorer {name!r} wants toxic and other comments for {what}; it has one kind."
            )
    pipeline = make_pipeline(features, LogisticRegression(max_iter=1000))
    pipeline.fit([comment.text for comment in train], [comment.toxic for comment in train])
    scores = pipeline.predict_proba([comment.text for comment in test])[:, 1]
    labels = np.array([comment.toxic for comment in test])
    held_out = bootstrap_statistic(
        lambda score, label: float(roc_auc_score(label, score)), scores, labels, n=resamples, seed=seed
    )
    return TrainedScorer(name, "mean probability of toxic", pipeline, held_out, len(train))


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


class HubScorer:
    """A sequence classifier from the hub or a local folder; the score is the probability of one label."""

    unit = "mean probability of toxic"

    def __init__(
        self, folder: Path, *, name: str, label: str, batch: int, device: str | torch.device = "cpu"
    ):
        """Loads safetensors weights alone. Raises ValueError if there is no such label (case aside)."""
        with quiet():
            self.model = transformers.AutoModelForSequenceClassification.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, local_files_only=True
            )
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.model = self.model.eval().requires_grad_(False).to(device)
        self.name, self.batch = name, batch
        config = self.model.config
        labels = {str(text).lower(): int(number) for number, text in config.id2label.items()}
        if label.lower() not in labels:
            raise ValueError(f"The classifier {name} has no label {label!r}; it has: {', '.join(labels)}.")
        self.column = labels[label.lower()]
        # Where the configuration does not say: two labels exclude each other, one or many stand each by
        # itself.
        self.several = config.problem_type == "multi_label_classification" or (
            config.problem_type is None and config.num_labels != 2
        )
        # RoBERTa's positions start at 2.
        self.longest = min(self.tokenizer.model_max_length, config.max_position_embeddings - 2)

    def score(self, texts: Sequence[str]) -> Float[Tensor, " text"]:
        order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))

        def run(size: int) -> Float[Tensor, " text"]:
            scores = torch.zeros(len(texts))
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                scores[rows] = self.probabilities([texts[row] for row in rows])
            return scores

        return with_batch_halving(run, self.batch)

    @torch.no_grad()
    def probabilities(self, texts: Sequence[str]) -> Float[Tensor, " text"]:
        """The label's probability for one batch; texts beyond the classifier's length are cut."""
        batch = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.longest, return_tensors="pt"
        )
        logits = self.model(**batch.to(self.model.device)).logits
        chances = logits.sigmoid() if self.several else logits.softmax(dim=-1)
        return chances[:, self.column].cpu()


def build_scorer(
    settings: settings_of.Scorer, texts: Texts, profile: Profile, device: str | torch.device = "cpu"
) -> Scorer:
    """The scorer that a profile's settings describe, trained or loaded.

    Classifiers trained here learn from `texts.comments_scorer`, which neither the probe nor any evaluation
    sees.

    Raises:
        ValueError: the comments are of one label only, or a hub classifier lacks the label.
        HubError: a hub classifier cannot be fetched.
    """
    match settings:
        case settings_of.ExactScorer():
            return ExactScorer()
        case settings_of.WordScorer():
            return WordScorer(toxic_word_list(profile))
        case settings_of.MaskedScorer():
            name, features = "masked", TfidfVectorizer(analyzer=context_words(toxic_words()), min_df=2)
        case settings_of.CommentScorer():
            name, features = (
                "comments",
                make_union(
                    TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, max_features=100_000),
                    TfidfVectorizer(
                        analyzer="char_wb",
                        ngram_range=(3, 5),
                        min_df=2,
                        sublinear_tf=True,
                        max_features=100_000,
                    ),
                ),
            )
        case settings_of.HubScorer():
            folder = settings.folder or hub.model_folder(
                settings.id, settings.revision, files=CLASSIFIER_FILES
            )
            name = str(settings.id or folder.name).rsplit("/", 1)[-1]
            return HubScorer(folder, name=name, label=settings.label, batch=settings.batch, device=device)
    return train_scorer(
        name,
        features,
        texts.comments_scorer,
        texts.comments_test,
        resamples=profile.counts.bootstrap,
        seed=profile.seed,
    )


CLASSIFIER_FILES = ("config.json", "model*.safetensors", "tokenizer.json|merges.txt|vocab.txt")


def toxic_vocabulary(
    tokenizer: transformers.PreTrainedTokenizerBase, words: Collection[str], vocab_size: int
) -> Bool[Tensor, " vocab"]:
    """Which token ids spell one of some words, with or without a leading space and in any case.

    Args:
        words: lower case.
        vocab_size: the model's, which may exceed the tokenizer's.
    """
    spelled = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    toxic = torch.zeros(vocab_size, dtype=torch.bool)
    toxic[: len(spelled)] = torch.tensor([text.strip().lower() in words for text in spelled])
    return toxic
