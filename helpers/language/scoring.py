"""Scores how toxic texts are: by the pocket corpus's rules, by trained classifiers, or by word lists.

Every scorer runs on this machine. A figure names its scorer, because scales differ from one to the next.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import transformers
from jaxtyping import Bool, Float
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_union
from torch import Tensor

from helpers.language import hub
from helpers.language.models import quiet
from helpers.language.texts import Texts
from helpers.language.trained_scorers import context_words, pieces, train_scorer, whole_words
from helpers.language.words import toxic_word_list
from helpers.pocket.corpus import is_toxic, toxic_words
from helpers.profiles import (
    CommentScorerSettings,
    ExactScorerSettings,
    HubScorerSettings,
    MaskedScorerSettings,
    Profile,
    ScorerSettings,
    WordScorerSettings,
)
from helpers.runtime import with_batch_halving


@runtime_checkable
class Scorer(Protocol):
    """Anything that scores texts.

    Attributes:
        name: short, for table columns.
        unit: what a mean of its scores is, for axis labels.
    """

    @property
    def name(self) -> str: ...

    @property
    def unit(self) -> str: ...

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
    settings: ScorerSettings, texts: Texts, profile: Profile, device: str | torch.device = "cpu"
) -> Scorer:
    """The scorer that a profile's settings describe, trained or loaded.

    Classifiers trained here learn from `texts.comments_scorer`, which neither the probe nor any evaluation
    sees.

    Raises:
        ValueError: the comments are of one label only, or a hub classifier lacks the label.
        HubError: a hub classifier cannot be fetched.
    """
    train, test = texts.comments_scorer, texts.comments_test
    match settings:
        case ExactScorerSettings():
            return ExactScorer()
        case WordScorerSettings():
            return WordScorer(toxic_word_list(profile))
        case HubScorerSettings():
            folder = settings.folder or hub.model_folder(
                str(settings.id), settings.revision, files=CLASSIFIER_FILES
            )
            name = str(settings.id or folder.name).rsplit("/", 1)[-1]
            return HubScorer(folder, name=name, label=settings.label, batch=settings.batch, device=device)
        case MaskedScorerSettings():
            name, features = "masked", TfidfVectorizer(analyzer=context_words(toxic_words()), min_df=2)
            # A continuation is about as many words as four fifths of its tokens. One piece per test comment,
            # for pieces of the same comment would make the interval too narrow.
            words = max(2, round(0.8 * profile.decoding.new_tokens))
            train = pieces(train, 4, words, profile.seed)
            test = pieces(test, 1, words, profile.seed)
        case CommentScorerSettings():
            common = {"min_df": 2, "sublinear_tf": True, "max_features": 100_000}
            name, features = (
                "comments",
                make_union(
                    TfidfVectorizer(ngram_range=(1, 2), **common),
                    TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), **common),
                ),
            )
    return train_scorer(name, features, train, test, resamples=profile.counts.bootstrap, seed=profile.seed)


def scorer_ingredients(settings: ScorerSettings, texts: Texts, profile: Profile) -> dict[str, Any]:
    """All that a scorer's scores depend on, for the key of an artifact that holds scores."""
    comments = [[one.id, one.text, one.toxic] for one in texts.comments_scorer]
    match settings:
        case WordScorerSettings():
            return {"settings": settings, "words": sorted(toxic_word_list(profile))}
        case HubScorerSettings(folder=None):
            return {"id": settings.id, "revision": settings.revision, "label": settings.label}
        case HubScorerSettings():
            return {"folder": settings.folder, "label": settings.label}
        case MaskedScorerSettings():
            cut = {"new_tokens": profile.decoding.new_tokens, "seed": profile.seed}
            return {"settings": settings, "comments": comments, "words": sorted(toxic_words()), **cut}
        case CommentScorerSettings():
            return {"settings": settings, "comments": comments}
    return {"settings": settings}  # the corpus's rule is code


CLASSIFIER_FILES = ("config.json", "model*.safetensors", "tokenizer.json|vocab.json&merges.txt|vocab.txt")


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
