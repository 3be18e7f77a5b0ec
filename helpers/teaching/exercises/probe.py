"""Exercises of notebook 01: pooling without padding, the difference of means, AUROC by counting."""

import torch
from torch import Generator, Tensor

from helpers.teaching.exercises.checks import Exercise, Inputs, Mistake
from helpers.teaching.exercises.draws import coin, labels, normal, right_padding


def _stream(generator: Generator) -> Inputs:
    mask = right_padding(generator, texts=5, longest=7, shortest=3)
    resid = normal(generator, 5, 7, 4) + 3 * (~mask)[..., None]
    resid[:, 0] *= 30  # GPT-2's first position carries activations of another size
    return resid, mask


def _average(resid: Tensor, mask: Tensor, first: int, padding: bool = False) -> Tensor:
    rows = [row if padding else row[real] for row, real in zip(resid, mask, strict=True)]
    return torch.stack([row[first:].mean(dim=0) for row in rows])


check_masked_mean = Exercise(
    name="masked_mean",
    inputs=_stream,
    right=lambda resid, mask: _average(resid, mask, first=1),
    mistakes=(
        Mistake(
            lambda resid, mask: _average(resid, mask, first=1, padding=True),
            "padding is in the mean. Weight each position by the mask, and divide by the number "
            "of real positions.",
        ),
        Mistake(
            lambda resid, mask: _average(resid, mask, first=0),
            "position 0 is in the mean; its huge activations swamp the rest. Average over positions ≥ 1.",
        ),
        Mistake(
            lambda resid, mask: _average(resid, mask, first=0, padding=True),
            "padding and position 0 are in the mean. Use the mask, and start at position 1.",
        ),
        Mistake(
            lambda resid, mask: torch.stack(
                [row[real][1:].sum(dim=0) for row, real in zip(resid, mask, strict=True)]
            ),
            "this is the sum. Divide by the number of positions that went into it.",
        ),
        Mistake(
            lambda resid, mask: (resid * mask[..., None])[:, 1:].mean(dim=1),
            "padding is zeroed but still counted: divide by the number of real positions, not by "
            "all columns.",
        ),
        Mistake(
            lambda resid, mask: (resid * mask[..., None])[:, 1:].sum(dim=1) / mask.sum(dim=1, keepdim=True),
            "position 0 is left out of the sum but counted in the division. Count positions ≥ 1 only.",
        ),
        Mistake(
            lambda resid, mask: resid[:, 1:][mask[:, 1:]].mean(dim=0),
            "all texts are averaged into one vector. Keep the batch axis: one mean for each text.",
        ),
        Mistake(
            lambda resid, mask: _average(resid, mask, first=1).mean(dim=0),
            "all texts are averaged into one vector. Keep the batch axis: one mean for each text.",
        ),
        Mistake(
            lambda resid, mask: torch.stack([row[real][-1] for row, real in zip(resid, mask, strict=True)]),
            "this is the last position alone. The mean of all real ones from 1 on was asked for.",
        ),
    ),
    passed="only real positions from 1 on are averaged, text by text.",
)


def _features(generator: Generator) -> Inputs:
    toxic = labels(generator, texts=30, toxic=9)
    shift = 2 * normal(generator, 6)
    return normal(generator, 30, 6) + 1.5 + toxic[:, None] * shift, toxic


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm()


def _difference(features: Tensor, toxic: Tensor) -> Tensor:
    return features[toxic].mean(dim=0) - features[~toxic].mean(dim=0)


check_mean_difference_direction = Exercise(
    name="mean_difference_direction",
    inputs=_features,
    right=lambda features, toxic: _unit(_difference(features, toxic)),
    mistakes=(
        Mistake(
            lambda features, toxic: -_unit(_difference(features, toxic)),
            "the direction points from toxic to clean. Subtract the clean mean from the toxic one.",
        ),
        Mistake(
            lambda features, toxic: _difference(features, toxic),
            "the difference is right, its length is not. Divide it by its norm.",
        ),
        Mistake(
            lambda features, toxic: -_difference(features, toxic),
            "the direction points from toxic to clean, and its length is not one.",
        ),
        Mistake(
            lambda features, toxic: _unit(features[toxic].mean(dim=0)),
            "this is the toxic mean alone, which mostly holds what all texts share. Subtract the clean mean.",
        ),
        Mistake(
            lambda features, toxic: features[toxic].mean(dim=0),
            "this is the toxic mean alone. Subtract the clean mean, then divide by the norm.",
        ),
        Mistake(
            lambda features, toxic: _unit(features[toxic].sum(dim=0) - features[~toxic].sum(dim=0)),
            "sums of classes of different size are subtracted. Take the mean of each class first.",
        ),
        Mistake(
            lambda features, toxic: _unit(
                _unit(features[toxic].mean(dim=0)) - _unit(features[~toxic].mean(dim=0))
            ),
            "each mean was given length one before they were subtracted. Subtract first.",
        ),
        Mistake(
            lambda features, toxic: _unit(_difference(features / features.norm(dim=1, keepdim=True), toxic)),
            "each text's features were given length one. Only the result should have it.",
        ),
        Mistake(
            lambda features, toxic: _difference(features, toxic) / _difference(features, toxic).abs().sum(),
            "the entries were divided by the sum of their sizes. A unit vector's *squares* sum to one.",
        ),
    ),
    passed="it has length one and points from the clean mean to the toxic one.",
)


def _scores(generator: Generator) -> Inputs:
    toxic = labels(generator, texts=24, toxic=7)
    # Few levels, so that ties between the classes occur; shifted, so that 0 is a poor threshold. In some
    # rounds the toxic texts score lower: AUROC is below one half there, and must say so.
    sign = 1 if coin(generator) else -1
    return torch.round(1.5 * normal(generator, 24) + sign * toxic.float()) / 2 + 0.5, toxic


def _pairs(scores: Tensor, toxic: Tensor, tie: float = 0.5) -> Tensor:
    wins = [float(t > c) + tie * float(t == c) for t in scores[toxic] for c in scores[~toxic]]
    return torch.tensor(wins).mean()


check_auroc = Exercise(
    name="auroc_by_counting",
    inputs=_scores,
    right=_pairs,
    mistakes=(
        Mistake(
            lambda scores, toxic: 1 - _pairs(scores, toxic),
            "the order is reversed: count the pairs in which the toxic text scores higher.",
        ),
        Mistake(
            lambda scores, toxic: ((scores > 0) == toxic).double().mean(),
            "this is the accuracy at threshold 0. AUROC needs no threshold: compare each toxic "
            "text with each clean one.",
        ),
        Mistake(
            lambda scores, toxic: _pairs(scores, toxic, tie=0.0),
            "ties count one half each; here they count nothing.",
        ),
        Mistake(
            lambda scores, toxic: _pairs(scores, toxic, tie=1.0),
            "ties count one half each; here they count as won.",
        ),
        Mistake(
            lambda scores, toxic: _pairs(scores, toxic) * toxic.sum() * (~toxic).sum(),
            "this is the number of pairs in order. Divide by the number of all pairs.",
        ),
        Mistake(
            lambda scores, toxic: max(_pairs(scores, toxic), 1 - _pairs(scores, toxic)),
            "a score that ranks the wrong way round is below one half. Do not turn it.",
        ),
        Mistake(
            lambda scores, toxic: _pairs(scores, toxic) * toxic.sum() * (~toxic).sum() / len(toxic) ** 2,
            "this divides by all pairs of texts. Count those of one toxic and one clean text only.",
        ),
    ),
    passed="it is the share of toxic–clean pairs in the right order, ties counting one half.",
)
