"""What notebooks measure of the base model and share: the probe and its data, word masks, stream lengths."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from helpers.artifacts import Artifact, Declared
from helpers.intervals import Interval, bootstrap, percentile_interval
from helpers.lab.workbench import Workbench
from helpers.language.models import LanguageModel, Tokens
from helpers.language.scoring import toxic_vocabulary
from helpers.language.texts import Comment
from helpers.language.words import toxic_word_families, toxic_word_list
from helpers.mechanism.pooling import mean_stream_norms, pooled_residuals
from helpers.mechanism.probe import Probe, fit_probe
from helpers.mechanism.vectors import (
    Neuron,
    cosine_matched,
    cosines,
    layer_histogram,
    matched_random,
    project_to_vocabulary,
    svd_directions,
    top_neurons,
    top_tokens,
    toxic_share,
    used_vocabulary,
    vectors_of,
)
from helpers.runtime import generator, progress_report
from helpers.teaching.claims import Measurement
from helpers.teaching.display.show import visible


@dataclass(frozen=True)
class ProbeData:
    """Pooled residual streams of the labelled comments, every layer, with their labels.

    `train`, `test` and `matched` have shape (comments, layers, d_model), of the raw residual stream after
    each layer; pooled over positions >= 1 as the probe wants it, unless asked otherwise. `matched` has no
    rows where the profile's comments carry no group.
    """

    train: Float[Tensor, "train layer d_model"]
    test: Float[Tensor, "test layer d_model"]
    matched: Float[Tensor, "matched layer d_model"]
    toxic_train: Bool[Tensor, " train"]
    toxic_test: Bool[Tensor, " test"]
    toxic_matched: Bool[Tensor, " matched"]


def _limit(at: Workbench) -> int:
    return min(at.profile.probe.max_tokens, at.base.context)


def _features_key(at: Workbench, pooling: str) -> Mapping[str, Any]:
    return {
        "model": at.profile.model,
        "pooling": pooling,
        "train": [comment.text for comment in at.texts.comments_train],
        "test": [comment.text for comment in at.texts.comments_test],
        "matched": [comment.text for comment in at.texts.comments_matched],
        "max_tokens": _limit(at),
    }


def _features(at: Workbench, pooling: str) -> Artifact:
    layers, texts, pooled = range(at.base.n_layers), at.texts, {}
    parts = {"train": texts.comments_train, "test": texts.comments_test, "matched": texts.comments_matched}
    for split, comments in parts.items():
        if not comments:
            continue
        with progress_report(f"{split} comments: ") as report:
            pooled[split] = pooled_residuals(
                at.base,
                at.base.tokenise([comment.text for comment in comments], max_tokens=_limit(at)),
                layers=layers if pooling == "mean" else layers[-1:],
                pooling=pooling,
                batch_size=at.profile.batches.forward,
                progress=report,
            )
    return Artifact(pooled)


PROBE_FEATURES = Declared("probe-features", 3, _features_key, _features)
"""Every comment's residual stream, pooled: after every layer as the probe wants it, else after the last."""


@dataclass(frozen=True, eq=False)
class Measures:
    """The stage of notebooks 01 to 03: what is measured once of the base model."""

    at: Workbench

    def tokenise_comments(self, comments: Sequence[Comment]) -> Tokens:
        """Comments as right-padded tokens, cut to the probe's length limit."""
        return self.at.base.tokenise([comment.text for comment in comments], max_tokens=_limit(self.at))

    def read_comments(self, pooling: str = "mean") -> ProbeData:
        """Features of the labelled comments (computed once, then read from the cache).

        Args:
            pooling: one of `pooling.POOLINGS`; every layer's for "mean", which the probe is fitted on, and
                the last layer's alone for the others.
        """
        features, texts = PROBE_FEATURES.load(self.at.store, self.at, pooling).tensors, self.at.texts
        return ProbeData(
            train=features["train"],
            test=features["test"],
            matched=features.get("matched", features["test"][:0]),
            toxic_train=torch.tensor([comment.toxic for comment in texts.comments_train]),
            toxic_test=torch.tensor([comment.toxic for comment in texts.comments_test]),
            toxic_matched=torch.tensor([one.toxic for one in texts.comments_matched], dtype=torch.bool),
        )

    def fit_probe(self) -> Probe:
        """The probe of the profile: fixed layer and fixed penalty (design: never chosen by accuracy)."""
        return self._probe

    @cached_property
    def _probe(self) -> Probe:
        settings, data = self.at.profile.probe, self.read_comments()
        layer = settings.layer % self.at.base.n_layers
        return fit_probe(data.train[:, layer], data.toxic_train, penalty=settings.penalty, layer=layer)

    def probe_key(self) -> dict[str, Any]:
        """What the probe depends on, for the key of an artifact that is made with it."""
        return {
            "features": PROBE_FEATURES.fingerprint(self.at, "mean"),
            "toxic": [comment.toxic for comment in self.at.texts.comments_train],
            "layer": self.at.profile.probe.layer % self.at.base.n_layers,
            "penalty": self.at.profile.probe.penalty,
        }

    def measure_stream_norms(self) -> Float[Tensor, " layer"]:
        """Mean length of the residual stream after each layer, over the dev prompts' positions >= 1.

        The unit in which steering strengths are given.
        """
        return self._stream_norms

    @cached_property
    def _stream_norms(self) -> Float[Tensor, " layer"]:
        profile, prompts = self.at.profile, self.at.texts.eliciting("dev")[:64]
        limit = profile.decoding.max_prompt_tokens
        tokens = self.at.base.tokenise([prompt.text for prompt in prompts], max_tokens=limit)
        return mean_stream_norms(self.at.base, tokens, batch_size=profile.batches.forward)

    @cached_property
    def used_tokens(self) -> Bool[Tensor, " vocab"]:
        """Token ids that occur in the profile's own texts: the vocabulary that token lists are drawn from."""
        texts = [comment.text for comment in self.at.texts.comments_train] + [self.at.texts.perplexity]
        ids = self.at.base.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        return used_vocabulary(ids, self.at.base.vocab_size)

    @cached_property
    def toxic_tokens(self) -> Bool[Tensor, " vocab"]:
        """Token ids that spell a word of the profile's toxic word list."""
        return self._spelling(toxic_word_list(self.at.profile))

    @cached_property
    def toxic_families(self) -> dict[str, Bool[Tensor, " vocab"]]:
        """Token ids of each family of toxic words, by the family's name."""
        families = toxic_word_families(self.at.profile)
        return {family: self._spelling(words) for family, words in families.items()}

    def _spelling(self, words: Any) -> Bool[Tensor, " vocab"]:
        return toxic_vocabulary(self.at.base.tokenizer, words, self.at.base.vocab_size)

    def toxic_share(self, vectors: Float[Tensor, "n d_model"], k: int = 10) -> Float[Tensor, " n"]:
        """Share of toxic words among the k used tokens that each vector promotes most."""
        base = self.at.base
        return toxic_share(base, vectors.to(base.device), self.toxic_tokens, self.used_tokens, k)

    def top_ids(
        self, vectors: Float[Tensor, "n d_model"], k: int = 10, *, largest: bool = True
    ) -> Int[Tensor, "n k"]:
        """The used tokens that each vector raises most (or lowers most), best first, on the CPU."""
        logits = project_to_vocabulary(self.at.base, vectors.to(self.at.base.device))
        return top_tokens(logits, k, self.used_tokens, largest=largest).cpu()

    def top_words(
        self, vectors: Float[Tensor, "n d_model"], k: int = 10, *, largest: bool = True
    ) -> list[str]:
        """The same as one line of words for each vector, for a table."""
        strings = [self.at.base.token_strings(row) for row in self.top_ids(vectors, k, largest=largest)]
        return [" · ".join(visible(token).strip() or "␣" for token in row) for row in strings]

    def toxic_neurons(
        self, model: LanguageModel, k: int, *, by: Literal["probe", "words"] = "probe"
    ) -> list[Neuron]:
        """A model's k neurons whose value vectors are most toxic as its weights are now.

        Args:
            by: "probe", cosine with its direction; "words", how far a vector raises toxic words above the
                used vocabulary's mean. An attacker may try both. Where no token spells a toxic word, it is
                "probe" all the same.
        """
        k = self.at_most(k)
        if by == "probe" or not self.toxic_tokens.any():
            direction = self.fit_probe().direction.to(model.device)
            return top_neurons(cosines(model.value_vectors, direction), k)
        toxic, used = (
            mask.to(model.device) for mask in (self.toxic_tokens, self.used_tokens)
        )

        def raised(layer: Float[Tensor, "neuron d_model"]) -> Float[Tensor, " neuron"]:
            # Layer by layer: GPT2-medium's neurons on all of its words at once would be 20 GB.
            words = project_to_vocabulary(model, layer)
            return words[:, toxic].mean(dim=1) - words[:, used].mean(dim=1)

        return top_neurons(torch.stack([raised(layer) for layer in model.value_vectors]), k)

    def neurons_like(self, neurons: Sequence[Neuron], *, draw: int = 0) -> list[Neuron]:
        """As many random neurons, none toxic by the probe, and of the same layers where these have room."""
        base, seed = self.at.base, self.at.profile.seed + draw
        taken = {*self.toxic_neurons(base, self.at.profile.vectors.top), *neurons}
        room = base.d_mlp - layer_histogram(taken, base.n_layers)
        if (layer_histogram(neurons, base.n_layers) <= room).all():
            return matched_random(neurons, d_mlp=base.d_mlp, seed=seed, exclude=taken)
        return self.any_neurons(len(neurons), without=taken, draw=draw)

    def any_neurons(self, k: int, *, without: Collection[Neuron] = (), draw: int = 0) -> list[Neuron]:
        """k random neurons of any layer."""
        base = self.at.base
        noise = generator(self.at.profile.seed, "random neurons", draw)
        order = torch.randperm(base.n_layers * base.d_mlp, generator=noise).tolist()
        drawn = (Neuron(*divmod(place, base.d_mlp)) for place in order)
        return list(itertools.islice((one for one in drawn if one not in without), k))

    def at_most(self, k: int) -> int:
        """k, or a quarter of the neurons: a control of as many others must be found in the same layers."""
        return max(1, min(k, self.at.base.n_layers * self.at.base.d_mlp // 4))

    def measure_nearest(
        self, direction: Float[Tensor, " d_model"], *, draws: int = 40
    ) -> dict[tuple[str, str], Measurement]:
        """What claims A2 and A3 measure of the value vectors nearest a direction, by claim and part.

        Notebook 02 does the same step by step for the probe's direction.

        Args:
            draws: of cosine-matched vectors, and of random neurons in A3.

        Example:
            judge("A2", lab.measures.measure_nearest(direction)["A2", "top 10"], part="top 10")
        """
        values, d_mlp, seed = self.at.base.value_vectors, self.at.base.d_mlp, self.at.profile.seed
        direction = direction.to(values.device)
        cosine = cosines(values, direction)
        nearest = top_neurons(cosine, self.at.profile.vectors.top)
        unit, found = "share of toxic tokens", {}
        for k in (10, 64):
            listed, others, nulls = nearest[:k], [], []
            for draw in range(10):
                others += matched_random(listed, d_mlp=d_mlp, seed=seed + draw, exclude=nearest)
            own, control = (
                bootstrap(self.toxic_share(vectors_of(values, each)), seed=seed) for each in (listed, others)
            )
            for draw in range(draws):
                nulls.append(cosine_matched(values, listed, direction, seed=seed + draw, exclude=nearest))
            means = self.toxic_share(torch.cat(nulls)).unflatten(0, (draws, -1)).mean(dim=1)
            null = _null(percentile_interval(means.mean().item(), means))
            found["A2", f"top {k}"] = Measurement.of(own, unit, control=control, **null)

        pool = top_neurons(cosine, self.at.profile.vectors.svd)
        directions = [svd_directions(vectors_of(values, pool), direction, 3)]
        for draw in range(draws):
            drawn = matched_random(pool, d_mlp=d_mlp, seed=seed + draw, exclude=pool)
            same = cosine_matched(values, pool, direction, seed=seed + draw, exclude=pool)
            directions += [svd_directions(each, direction, 3) for each in (vectors_of(values, drawn), same)]
        shares = self.toxic_share(torch.cat(directions)).unflatten(0, (-1, 3))
        for i, along in enumerate(directions[0] @ direction):
            random, matched = (
                percentile_interval(each.mean().item(), each) for each in (shares[1::2, i], shares[2::2, i])
            )
            details = _null(matched) | {"cosine_with_probe": along.item()}
            found["A3", f"U{i}"] = Measurement(
                shares[0, i].item(), None, unit, random.value, random.bounds, details
            )
        return found


def _null(found: Interval) -> dict[str, float]:
    """The details in which the rules of A2 and A3 find their cosine-matched null."""
    names = ("cosine_matched", "cosine_matched_low", "cosine_matched_high")
    return dict(zip(names, (found.value, *found.bounds), strict=True))
