"""Exercises of notebook 10: a name from the contexts, and a reduction that no toxic name explains."""

import torch
from torch import Generator, Tensor

from helpers.teaching.exercises.checks import Exercise, Inputs, Mistake
from helpers.teaching.exercises.draws import coin, normal


def _positions(generator: Generator) -> Inputs:
    """Positions and the token after each: a loud token that is too rare, one exactly often enough, others."""
    least = 3 + coin(generator)
    loud = float(4 + torch.rand(1, generator=generator))
    counts = [1, least, least + 2, 4 * least, 2 * least, least + 1, least - 1]
    # Loud but rare; just often enough; quiet; weak but so frequent that its sum is the largest; …
    means = [3 * loud, loud, 0.1, 0.6 * loud, -1.5 * loud, 0.7 * loud, 2 * loud]
    names = torch.randperm(20, generator=generator)[: len(counts)]
    following = torch.cat([name.repeat(count) for name, count in zip(names, counts, strict=True)])
    centres = torch.cat([torch.full((count,), mean) for mean, count in zip(means, counts, strict=True)])
    noise = 0.1 * normal(generator, len(following))
    noise[(following == names[2]).nonzero()[0]] = 1.6 * loud  # one outlier, whose token is quiet besides
    order = torch.randperm(len(following), generator=generator)
    return (centres + noise)[order], following[order], least, 2 + coin(generator, 1)


def _means(activation: Tensor, following: Tensor) -> dict[int, tuple[float, int]]:
    found: dict[int, list[float]] = {}
    for value, token in zip(activation.tolist(), following.tolist(), strict=True):
        found.setdefault(token, []).append(value)
    return {token: (sum(values) / len(values), len(values)) for token, values in found.items()}


def _fired_before(activation: Tensor, following: Tensor, least: int, k: int) -> list[int]:
    means = _means(activation, following)
    kept = [token for token, (_, count) in means.items() if count >= least]
    return sorted(kept, key=lambda token: -means[token][0])[:k]


def _by(score, activation: Tensor, following: Tensor, least: int, k: int) -> Tensor:
    """The k tokens of highest score among those frequent enough; the score sees a token's activations."""
    tokens = [int(one) for one in following.unique() if int((following == one).sum()) >= least]
    values = torch.tensor([float(score(activation[following == one])) for one in tokens])
    order = values.argsort(descending=True)[:k]
    return torch.tensor(tokens)[order]


check_fires_before = Exercise(
    name="fires_before",
    inputs=_positions,
    right=_fired_before,
    mistakes=(
        Mistake(
            lambda a, f, least, k: _by(torch.mean, a, f, 1, k),
            "rare tokens were kept: one loud place is no name. Each needs at least `least` positions.",
        ),
        Mistake(
            lambda a, f, least, k: _by(torch.mean, a, f, least + 1, k),
            "a token with exactly `least` positions was left out. It is enough.",
        ),
        Mistake(
            lambda a, f, least, k: _by(torch.sum, a, f, least, k),
            "activations were summed, so that frequent tokens win. Take the mean over a token's positions.",
        ),
        Mistake(
            lambda a, f, least, k: _by(torch.max, a, f, least, k),
            "one outlier decides: the largest activation was taken. Take the mean over a token's positions.",
        ),
        Mistake(
            lambda a, f, least, k: _by(lambda values: values.abs().mean(), a, f, least, k),
            "signs were dropped: a neuron far below 0 does not fire.",
        ),
        Mistake(
            lambda a, f, least, k: _by(lambda values: -values.mean(), a, f, least, k),
            "these are the tokens before which it is weakest.",
        ),
        Mistake(
            lambda a, f, least, k: _by(len, a, f, least, k),
            "these are the most frequent tokens, whatever the neuron does before them.",
        ),
        Mistake(
            lambda a, f, least, k: torch.tensor(
                [_means(a, f)[token][0] for token in _fired_before(a, f, least, k)]
            ),
            "these are the means. Return the tokens that they belong to.",
        ),
        Mistake(
            lambda a, f, least, k: _fired_before(a, f, least, k)[::-1],
            "the order is turned: the strongest comes first.",
        ),
        Mistake(
            lambda a, f, least, k: _fired_before(a, f, least, 20),
            "these are all tokens that are frequent enough. Return the first k.",
        ),
        Mistake(
            lambda a, f, least, k: _fired_before(a, f, least, k)[:1],
            "this is one token. Return k of them.",
        ),
        Mistake(
            lambda a, f, least, k: f[a.argsort(descending=True)][:k],
            "these are single positions. Put the positions of one token together first.",
        ),
    ),
    passed="what it fires before, on average and often enough: a name from its use, not from its weights.",
)


def _neurons(generator: Generator) -> Inputs:
    """Reductions and shares of toxic words; in some rounds no neuron qualifies."""
    whole, share = normal(generator, 9), torch.rand(9, generator=generator).clamp_min(0.1)
    order = torch.randperm(9, generator=generator)
    whole[order[0]], share[order[0]] = 5.0, 0.6  # the largest has a toxic name
    whole[order[1]], share[order[1]] = -6.0, 0.0  # a large one that raises toxicity
    whole[order[2]], share[order[2]] = 3.0, 0.1  # one toxic word is a toxic name
    whole[order[5]], share[order[5]] = 4.0, 0.4
    whole[order[6]], share[order[6]] = -0.1, 0.0
    if coin(generator):
        # Once the largest of all has an innocent name.
        whole[order[3]], share[order[3]] = 7.0 if coin(generator, 1) else 2.0, 0.0
        whole[order[4]], share[order[4]] = 1.0, 0.0
    return whole, share


def _unexpected(whole: Tensor, share: Tensor) -> int:
    best = -1
    for neuron in range(len(whole)):
        if share[neuron] == 0 and whole[neuron] > 0 and (best < 0 or whole[neuron] > whole[best]):
            best = neuron
    return best


check_unexpected_neuron = Exercise(
    name="unexpected_neuron",
    inputs=_neurons,
    right=_unexpected,
    mistakes=(
        Mistake(
            lambda whole, share: int(whole.argmax()),
            "its name was not looked at: this neuron promotes toxic words.",
        ),
        Mistake(
            lambda whole, share: int(whole[share == 0].argmax()),
            "this is a place among the neurons that were kept. Which neuron stands there?",
        ),
        Mistake(
            lambda whole, share: int(torch.where(share == 0, whole, -torch.inf).argmax()),
            "where none of them lowers toxicity there is none to find: return −1.",
        ),
        Mistake(
            lambda whole, share: int(torch.where(share == 0, whole.abs(), -torch.inf).argmax()),
            "the sign was dropped: this neuron *raises* toxicity.",
        ),
        Mistake(
            lambda whole, share: int(torch.where(share == 0, whole, torch.inf).argmin()),
            "this neuron raises toxicity most. Above 0 is less toxic after tuning.",
        ),
        Mistake(
            lambda whole, share: int(torch.where(share <= 0.1, whole, -torch.inf).argmax()),
            "one toxic word among ten was let pass. No toxic word was asked for.",
        ),
        Mistake(
            lambda whole, share: int(torch.where(share < 0.5, whole, -torch.inf).argmax()),
            "a name that is half toxic was let pass. No toxic word was asked for.",
        ),
        Mistake(
            lambda whole, share: int(torch.where(share > 0, whole, -torch.inf).argmax()),
            "this is the largest *with* a toxic word.",
        ),
        Mistake(
            lambda whole, share: int(share.argmin()),
            "the name alone was looked at. Among those, which lowers toxicity most?",
        ),
        Mistake(
            lambda whole, share: float(whole[_unexpected(whole, share)]),
            "this is its reduction. Return which neuron it is.",
        ),
        Mistake(
            lambda whole, share: (share == 0) & (whole > 0),
            "these are all that qualify. Return the one that lowers toxicity most.",
        ),
    ),
    passed="much of the reduction may sit where no name would have pointed.",
)
