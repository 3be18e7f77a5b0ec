"""What notebooks find and share: the probe, its data, word masks; computed once, then read from the cache."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from helpers.artifacts import Artifact, Store
from helpers.language.models import LanguageModel, Tokens
from helpers.language.scoring import toxic_vocabulary
from helpers.language.texts import Comment, Texts
from helpers.language.words import toxic_word_families, toxic_word_list
from helpers.mechanism.pooling import mean_stream_norms, pooled_residuals
from helpers.mechanism.probe import Probe, fit_probe
from helpers.mechanism.vectors import project_to_vocabulary, top_tokens, toxic_share, used_vocabulary
from helpers.profiles import Profile
from helpers.runtime import progress_report
from helpers.teaching.display.show import visible


@dataclass(frozen=True)
class ProbeData:
    """Pooled residual streams of the labelled comments, every layer, with their labels.

    `train` and `test` have shape (comments, layers, d_model): the attention-masked mean over positions >= 1
    of the raw residual stream after each layer.
    """

    train: Float[Tensor, "train layer d_model"]
    test: Float[Tensor, "test layer d_model"]
    toxic_train: Bool[Tensor, " train"]
    toxic_test: Bool[Tensor, " test"]


class Findings(ABC):
    """The part of a lab that measures its base model once for all notebooks.

    Whoever inherits provides `profile`, `store`, `base` and `texts`.
    """

    profile: Profile
    store: Store

    @property
    @abstractmethod
    def base(self) -> LanguageModel:
        """The model that is measured."""

    @property
    @abstractmethod
    def texts(self) -> Texts:
        """The profile's texts, split and disjoint."""

    def tokenise_comments(self, comments: tuple[Comment, ...]) -> Tokens:
        """Comments as right-padded tokens, cut to the probe's length limit."""
        limit = min(self.profile.probe.max_tokens, self.base.context)
        return self.base.tokenise([c.text for c in comments], max_tokens=limit)

    @cached_property
    def probe_data(self) -> ProbeData:
        """Features of the labelled comments at every layer (computed once, then read from the cache)."""
        train, test = self.texts.comments_train, self.texts.comments_test
        limit = min(self.profile.probe.max_tokens, self.base.context)
        ingredients = {
            "model": self.profile.model,
            "train": [c.text for c in train],
            "test": [c.text for c in test],
            "max_tokens": limit,
            "pooling": "mean",
        }

        def make() -> Artifact:
            pooled = {}
            for split, comments in (("train", train), ("test", test)):
                with progress_report(f"{split} comments: ") as report:
                    pooled[split] = pooled_residuals(
                        self.base,
                        self.tokenise_comments(comments),
                        layers=range(self.base.n_layers),
                        pooling="mean",
                        batch_size=self.profile.batches.forward,
                        progress=report,
                    )
            return Artifact(tensors=pooled, data={})

        features = self.store.get("probe_features", ingredients, make).tensors
        return ProbeData(
            train=features["train"],
            test=features["test"],
            toxic_train=torch.tensor([c.toxic for c in train]),
            toxic_test=torch.tensor([c.toxic for c in test]),
        )

    @cached_property
    def probe(self) -> Probe:
        """The probe of the profile: fixed layer and fixed penalty (design: never chosen by accuracy)."""
        layer = self.profile.probe.layer % self.base.n_layers
        return fit_probe(
            self.probe_data.train[:, layer],
            self.probe_data.toxic_train,
            penalty=self.profile.probe.penalty,
            layer=layer,
            pooling="mean",
        )

    @cached_property
    def used_tokens(self) -> Bool[Tensor, " vocab"]:
        """Token ids that occur in the profile's own texts: the vocabulary that token lists are drawn from."""
        texts = [c.text for c in self.texts.comments_train] + [self.texts.perplexity]
        ids = self.base.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        return used_vocabulary(ids, self.base.vocab_size)

    @cached_property
    def toxic_tokens(self) -> Bool[Tensor, " vocab"]:
        """Token ids that spell a word of the profile's toxic word list."""
        return toxic_vocabulary(self.base.tokenizer, toxic_word_list(self.profile), self.base.vocab_size)

    def toxic_share(self, vectors: Float[Tensor, "n d_model"], k: int = 10) -> Float[Tensor, " n"]:
        """Share of toxic words among the k used tokens that each vector promotes most."""
        return toxic_share(self.base, vectors.to(self.base.device), self.toxic_tokens, self.used_tokens, k)

    def top_ids(
        self, vectors: Float[Tensor, "n d_model"], k: int = 10, *, largest: bool = True
    ) -> Int[Tensor, "n k"]:
        """The used tokens that each vector raises most (or lowers most), best first, on the CPU."""
        logits = project_to_vocabulary(self.base, vectors.to(self.base.device))
        return top_tokens(logits, k, self.used_tokens, largest=largest).cpu()

    def top_words(
        self, vectors: Float[Tensor, "n d_model"], k: int = 10, *, largest: bool = True
    ) -> list[str]:
        """The same as one line of words for each vector, for a table."""
        strings = [self.base.token_strings(row) for row in self.top_ids(vectors, k, largest=largest)]
        return [" · ".join(visible(token).strip() or "␣" for token in row) for row in strings]

    @cached_property
    def stream_norms(self) -> Float[Tensor, " layer"]:
        """Mean length of the residual stream after each layer, over the dev prompts' positions >= 1.

        The unit in which steering strengths are given.
        """
        limit = self.profile.decoding.max_prompt_tokens
        tokens = self.base.tokenise([p.text for p in self.texts.eliciting("dev")[:64]], max_tokens=limit)
        return mean_stream_norms(self.base, tokens, batch_size=self.profile.batches.forward)

    @cached_property
    def toxic_families(self) -> dict[str, Bool[Tensor, " vocab"]]:
        """Token ids of each family of toxic words, by the family's name."""
        return {
            family: toxic_vocabulary(self.base.tokenizer, words, self.base.vocab_size)
            for family, words in toxic_word_families(self.profile).items()
        }
