"""Judges a probe on held-out texts, against shuffled labels and across penalties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from helpers.intervals import Interval, bootstrap, bootstrap_groups, percentile_interval
from helpers.language.metrics import share_above
from helpers.mechanism.probe import Probe, check_labelled, equivalent_C, fit_probe, mean_difference
from helpers.runtime import generator


def accuracy(
    probe: Probe,
    features: Float[Tensor, "text d_model"],
    toxic: Bool[Tensor, " text"],
    *,
    n: int = 1000,
    seed: int = 0,
) -> Interval:
    """Share of texts on the right side of the probe. The control beside it is `group_baseline`."""
    check_labelled(features, toxic)
    return bootstrap((probe.logit(features) > 0) == toxic, n=n, seed=seed)


def group_baseline(
    groups: Sequence[str],
    toxic: Bool[Tensor, " text"],
    test_groups: Sequence[str],
    test_toxic: Bool[Tensor, " test"],
    *,
    n: int = 1000,
    seed: int = 0,
) -> tuple[Bool[Tensor, " test"], Interval]:
    """What knowing a text's group (mood, topic) alone gives: which texts it gets right, and its AUROC.

    A text scores the share of toxic ones among the training texts of its group (of all where its group is
    new), and is called toxic if that is over a half. With one group for all it is the commonest label.

    Example:
        always, _ = group_baseline([""] * len(toxic), toxic, [""] * len(test_toxic), test_toxic)
    """
    members: dict[str, list[bool]] = {}
    for group, label in zip(groups, toxic.tolist(), strict=True):
        members.setdefault(group, []).append(label)
    shares = {group: sum(labels) / len(labels) for group, labels in members.items()}
    overall = float(toxic.double().mean())
    score = torch.tensor([shares.get(group, overall) for group in test_groups])
    right = (score > 0.5).to(test_toxic.device) == test_toxic
    area = auroc(torch.ones(1), score[:, None], test_toxic.cpu(), n=n, seed=seed)
    return right, area


def auroc(
    reader: Probe | Float[Tensor, " d_model"],
    features: Float[Tensor, "text d_model"],
    toxic: Bool[Tensor, " text"],
    *,
    n: int = 1000,
    seed: int = 0,
) -> Interval:
    """How often a toxic text scores above a clean one (ties: half); .5 is chance for any class balance.

    Args:
        reader: a probe, or a bare direction such as `mean_difference` returns: no threshold is involved.

    The interval draws toxic and clean texts again, each among themselves.
    """
    check_labelled(features, toxic)
    scores = reader.logit(features) if isinstance(reader, Probe) else features @ reader
    return bootstrap_groups([scores[toxic], scores[~toxic]], share_above, n=n, seed=seed)


@dataclass(frozen=True, eq=False)
class ShuffledControl:
    """What probes reach on true test labels when the training labels were dealt out at random."""

    accuracies: Float[Tensor, " repeat"]
    aurocs: Float[Tensor, " repeat"]

    @property
    def accuracy(self) -> Interval:
        """Mean over repeats, and the range that holds 95 % of them."""
        return percentile_interval(float(self.accuracies.mean()), self.accuracies)

    @property
    def auroc(self) -> Interval:
        """Mean over repeats, and the range that holds 95 % of them."""
        return percentile_interval(float(self.aurocs.mean()), self.aurocs)


def shuffled_control(
    features: Float[Tensor, "text d_model"],
    toxic: Bool[Tensor, " text"],
    test_features: Float[Tensor, "test d_model"],
    test_toxic: Bool[Tensor, " test"],
    *,
    repeats: int = 20,
    seed: int,
    penalty: float = 1.0,
) -> ShuffledControl:
    """The same fit with shuffled training labels, `repeats` times: what chance alone gives."""
    check_labelled(test_features, test_toxic)
    if repeats < 2:
        raise ValueError(f"A control wants at least two repeats to show its spread, not {repeats}.")
    stream = generator(seed, "shuffled labels")
    right, above = [], []
    for _ in range(repeats):
        shuffled = toxic[torch.randperm(len(toxic), generator=stream).to(toxic.device)]
        scores = fit_probe(features, shuffled, penalty=penalty).logit(test_features)
        right.append(float(((scores > 0) == test_toxic).float().mean()))
        above.append(float(share_above(scores[test_toxic].cpu().numpy(), scores[~test_toxic].cpu().numpy())))
    return ShuffledControl(torch.tensor(right), torch.tensor(above))


@dataclass(frozen=True, eq=False)
class PenaltyRow:
    """One penalty of a sweep: how well its probe reads, and how far it turned from the mean difference."""

    probe: Probe
    C: float
    train_accuracy: float
    accuracy: Interval
    auroc: Interval
    cosine_to_mean_difference: float


def penalty_sweep(
    features: Float[Tensor, "text d_model"],
    toxic: Bool[Tensor, " text"],
    test_features: Float[Tensor, "test d_model"],
    test_toxic: Bool[Tensor, " test"],
    penalties: Sequence[float],
    *,
    layer: int = -1,
    pooling: str = "mean",
    n: int = 1000,
    seed: int = 0,
) -> tuple[PenaltyRow, ...]:
    """One probe per penalty, judged on held-out texts; rows in the order of `penalties`.

    The accuracies are no ground for choosing a penalty: they say nothing of what the direction means.
    """
    untuned = mean_difference(features, toxic)

    def row(penalty: float) -> PenaltyRow:
        probe = fit_probe(features, toxic, penalty=penalty, layer=layer, pooling=pooling)
        return PenaltyRow(
            probe=probe,
            C=equivalent_C(penalty, len(features)),
            train_accuracy=float(((probe.logit(features) > 0) == toxic).float().mean()),
            accuracy=accuracy(probe, test_features, test_toxic, n=n, seed=seed),
            auroc=auroc(probe, test_features, test_toxic, n=n, seed=seed),
            cosine_to_mean_difference=float(probe.direction @ untuned),
        )

    return tuple(row(penalty) for penalty in penalties)
