"""Exercises of notebook 07: a group's share, two denominators, directions as near the offset as another."""

import torch
from torch import Generator, Tensor

from helpers.teaching.exercises.checks import Exercise, Inputs, Mistake
from helpers.teaching.exercises.draws import normal


def _neurons(generator: Generator) -> Inputs:
    """Value vectors move so far that some of their projections change sign."""
    m, along = normal(generator, 40), normal(generator, 40)
    new_m, new_along = 0.6 * m + 0.6 * normal(generator, 40), along + 0.6 * normal(generator, 40)
    return m, new_m, along, new_along


def _toxic_share(m: Tensor, new_m: Tensor, along: Tensor, new_along: Tensor) -> float:
    group = gross = 0.0
    for neuron in range(len(m)):
        reduction = float(m[neuron] * along[neuron] - new_m[neuron] * new_along[neuron])
        if reduction > 0:
            gross += reduction
            group += reduction if along[neuron] > 0 and m[neuron] > 0 else 0.0
    return group / gross


def _whole(m: Tensor, new_m: Tensor, along: Tensor, new_along: Tensor) -> Tensor:
    return m * along - new_m * new_along


def _tp(m: Tensor, along: Tensor) -> Tensor:
    return (m > 0) & (along > 0)


def _of(reduction: Tensor, inside: Tensor) -> Tensor:
    kept = reduction.clamp(min=0)
    return kept[inside].sum() / kept.sum()


def _by_activation(m: Tensor, new_m: Tensor, along: Tensor, new_along: Tensor) -> Tensor:
    """Version 1: those whose activation moved the right way, of the sum over its four groups."""
    moved = (m - new_m) * along > 0
    whole = _whole(m, new_m, along, new_along)
    return whole[_tp(m, along) & moved].sum() / whole[moved].sum()


check_toxic_share = Exercise(
    name="toxic_share",
    inputs=_neurons,
    right=_toxic_share,
    mistakes=(
        Mistake(
            lambda m, n, a, b: _whole(m, n, a, b).clamp(min=0)[_tp(m, a)].sum() / _whole(m, n, a, b).sum(),
            "the group was divided by the *net*: what raises toxicity must not shrink the denominator.",
        ),
        Mistake(
            lambda m, n, a, b: _whole(m, n, a, b)[_tp(m, a)].sum() / _whole(m, n, a, b).clamp(min=0).sum(),
            "the whole quadrant was summed. The group is its neurons whose Δ is above 0.",
        ),
        Mistake(
            lambda m, n, a, b: _whole(m, n, a, b)[_tp(m, a)].sum() / _whole(m, n, a, b).sum(),
            "this is the quadrant's share of the net. Both sums want only Δ's above 0.",
        ),
        Mistake(
            _by_activation,
            "this is the first version's definition: by the activation's movement. The final one asks for Δ.",
        ),
        Mistake(
            lambda m, n, a, b: (
                _whole(m, n, a, b)[_tp(m, a) & (n < m)].sum() / _whole(m, n, a, b).clamp(min=0).sum()
            ),
            "the group was picked by its activation's fall. The final definition goes by Δ above 0.",
        ),
        Mistake(
            lambda m, n, a, b: _of((m - n) * a, _tp(m, a)),
            "only the activation's part was counted. The value vectors have moved too.",
        ),
        Mistake(
            lambda m, n, a, b: _of(_whole(m, n, a, b), _tp(n, b)),
            "the group was formed by the signs *after* tuning. It is decided before.",
        ),
        Mistake(
            lambda m, n, a, b: _of(_whole(m, n, a, b), a > 0),
            "every toxic-aligned neuron was counted. TP also asks for a positive activation.",
        ),
        Mistake(
            lambda m, n, a, b: _of(_whole(m, n, a, b), m > 0),
            "every neuron that fires was counted. TP also asks for a value vector along the probe.",
        ),
        Mistake(
            lambda m, n, a, b: _of(-_whole(m, n, a, b), _tp(m, a)),
            "Δ has the wrong sign: a reduction is before minus after.",
        ),
        Mistake(
            lambda m, n, a, b: _of((_whole(m, n, a, b) > 0).float(), _tp(m, a)),
            "neurons were counted. The share is of the *sum* of their reductions.",
        ),
        Mistake(
            lambda m, n, a, b: _whole(m, n, a, b).abs()[_tp(m, a)].sum() / _whole(m, n, a, b).abs().sum(),
            "absolute values were added: a rise is not a reduction.",
        ),
        Mistake(
            lambda m, n, a, b: _whole(m, n, a, b).clamp(min=0)[_tp(m, a)].sum(),
            "this is the group's sum. Divide by the gross reduction.",
        ),
        Mistake(lambda *given: 100 * _toxic_share(*given), "this is in per cent. Return a share."),
        Mistake(lambda *given: 1 - _toxic_share(*given), "this is the share of all the others."),
    ),
    passed="one group's reductions over all reductions: the denominator is gross, and says so.",
)


def _reductions(generator: Generator) -> Inputs:
    """Of unequal size, with a net above 0 that is below half of gross."""
    sizes = torch.rand(30, generator=generator) ** 3 + 0.01
    rises = torch.rand(30, generator=generator) < 0.4
    reduction = torch.where(rises, -sizes, sizes)
    reduction = torch.where(rises, reduction * 0.6 * sizes[~rises].sum() / sizes[rises].sum(), reduction)
    return (reduction,)


def _neurons_for_half(reduction: Tensor) -> tuple[int, int]:
    numbers = sorted(reduction.double().tolist(), reverse=True)
    found = []
    for goal in (sum(numbers) / 2, sum(number for number in numbers if number > 0) / 2):
        reached = count = 0
        while reached < goal:
            reached += numbers[count]
            count += 1
        found.append(count)
    return found[0], found[1]


def _until(sums: Tensor, goal: Tensor) -> int:
    return int((sums < goal).sum()) + 1


def _climb(reduction: Tensor) -> Tensor:
    return reduction.clamp(min=0).sort(descending=True).values.cumsum(dim=0)


def _goals(reduction: Tensor) -> tuple[Tensor, Tensor]:
    return reduction.sum() / 2, reduction.clamp(min=0).sum() / 2


check_neurons_for_half = Exercise(
    name="neurons_for_half",
    inputs=_reductions,
    right=_neurons_for_half,
    mistakes=(
        Mistake(
            lambda r: tuple(_until(r.sort(descending=True).values.cumsum(dim=0), goal) for goal in _goals(r)),
            "the sum falls below the half of gross again where the raising neurons come in, and those "
            "places were counted. Stop where it is first reached.",
        ),
        Mistake(
            lambda r: (_until(_climb(r), _goals(r)[0]),) * 2,
            "both counts are for the net. The second goal is half of the gross.",
        ),
        Mistake(
            lambda r: (_until(_climb(r), _goals(r)[1]),) * 2,
            "both counts are for the gross. The first goal is half of the net.",
        ),
        Mistake(
            lambda r: _neurons_for_half(r)[::-1],
            "the two counts have changed places: net first.",
        ),
        Mistake(
            lambda r: tuple(count - 1 for count in _neurons_for_half(r)),
            "the neuron that reaches the half counts as well.",
        ),
        Mistake(
            lambda r: tuple(count + 1 for count in _neurons_for_half(r)),
            "one neuron too many: stop at the one that reaches the half.",
        ),
        Mistake(
            lambda r: tuple(_until(_climb(r), 2 * goal) for goal in _goals(r)),
            "the goal was the whole sum. Half of it was asked for.",
        ),
        Mistake(
            lambda r: tuple(_until(r.abs().sort(descending=True).values.cumsum(dim=0), g) for g in _goals(r)),
            "neurons were taken by the size of their change, rises among them as if they were reductions.",
        ),
        Mistake(
            lambda r: tuple(_until(r.clamp(min=0).cumsum(dim=0), goal) for goal in _goals(r)),
            "neurons were taken in the order given. The largest reduction comes first.",
        ),
        Mistake(
            lambda r: tuple(_until(r.clamp(min=0).sort().values.cumsum(dim=0), goal) for goal in _goals(r)),
            "the smallest reductions were taken first.",
        ),
        Mistake(
            lambda r: tuple(_until(r.cumsum(dim=0), goal) for goal in _goals(r)),
            "neurons were taken in the order given. Sort them: the largest reduction comes first.",
        ),
        Mistake(
            lambda r: tuple(_until(r.sort().values.cumsum(dim=0), goal) for goal in _goals(r)),
            "the smallest Δ's were taken first. Sort with the largest first.",
        ),
        Mistake(
            lambda r: tuple(_until(_climb(r), goal / 2) for goal in (r.sum(), r.abs().sum())),
            "gross is the sum of the Δ's above 0, not of the sizes of all.",
        ),
        Mistake(
            lambda r: tuple(_until(_climb(r), goal) / len(r) for goal in _goals(r)),
            "these are shares of all neurons. Return how many there are.",
        ),
    ),
    passed="the same curve, two goals: a net that is small is reached by few.",
)


def _vectors(generator: Generator) -> Inputs:
    cosine = float(2 * torch.rand(1, generator=generator) - 1)
    return normal(generator, 6), 3 * normal(generator, 6), cosine


def _as_near(noise: Tensor, offset: Tensor, cosine: float) -> Tensor:
    axis = offset.double() / offset.double().square().sum() ** 0.5
    along = float((noise.double() * axis).sum())
    rest = noise.double() - along * axis
    length = float(rest.square().sum() ** 0.5)
    return torch.stack(
        [cosine * a + (1 - cosine**2) ** 0.5 * r / length for a, r in zip(axis, rest, strict=True)]
    )


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm()


def _rest(noise: Tensor, offset: Tensor) -> Tensor:
    return noise - (noise @ _unit(offset)) * _unit(offset)


check_as_near = Exercise(
    name="as_near",
    inputs=_vectors,
    right=_as_near,
    mistakes=(
        Mistake(
            lambda n, o, c: c * _unit(o) + (1 - c**2) ** 0.5 * _unit(n),
            "the random part still has something along the offset, so the cosine is off. Take that out "
            "first.",
        ),
        Mistake(
            lambda n, o, c: c * _unit(o) + (1 - c**2) ** 0.5 * _rest(n, o),
            "the random part is not of length one before it is weighted, so neither cosine nor length fit.",
        ),
        Mistake(
            lambda n, o, c: c * _unit(o) + (1 - c) * _unit(_rest(n, o)),
            "the weights are c and 1 − c. Squares add up to one, not weights.",
        ),
        Mistake(
            lambda n, o, c: c * _unit(o) + (1 - c**2) * _unit(_rest(n, o)),
            "the weight of the random part wants a square root.",
        ),
        Mistake(
            lambda n, o, c: c * o + (1 - c**2) ** 0.5 * _unit(_rest(n, o)),
            "the offset was not brought to length one.",
        ),
        Mistake(
            lambda n, o, c: (1 - c**2) ** 0.5 * _unit(o) + c * _unit(_rest(n, o)),
            "the two weights have changed places: the cosine belongs to the offset.",
        ),
        Mistake(
            lambda n, o, c: _unit(c * _unit(o) + (1 - c**2) ** 0.5 * _unit(n)),
            "the length is one, but the cosine is not the one asked for: the random part still had something "
            "along the offset. Take that out first; then no scaling is needed.",
        ),
        Mistake(
            lambda n, o, c: _unit(c * _unit(o) + (1 - c) * _unit(_rest(n, o))),
            "the length is one, but the cosine is not the one asked for: with the weights c and 1 − c it "
            "changes when the sum is scaled. Squares add up to one.",
        ),
        Mistake(
            lambda n, o, c: _unit(c * _unit(o) + (1 - c**2) ** 0.5 * _rest(n, o)),
            "the length is one, but the cosine is not the one asked for: the random part was not of length "
            "one before it was weighted.",
        ),
        Mistake(
            lambda n, o, c: _unit(c * _unit(o) + _unit(_rest(n, o))),
            "the length is one, but the cosine is not the one asked for: it was weighed before the sum was "
            "scaled.",
        ),
        Mistake(
            lambda n, o, c: c * _unit(o) - (1 - c**2) ** 0.5 * _unit(_rest(n, o)),
            "cosine and length are right, but the rest points away from the random vector.",
        ),
        Mistake(
            lambda n, o, c: -c * _unit(o) + (1 - c**2) ** 0.5 * _unit(_rest(n, o)),
            "the cosine has the wrong sign.",
        ),
        Mistake(
            lambda n, o, c: c * _unit(o) + _rest(n, o),
            "the random part was not scaled, so the cosine is another one.",
        ),
        Mistake(
            lambda n, o, c: _unit(_rest(n, o)),
            "this is at right angles to the offset: the part along it is missing.",
        ),
        Mistake(
            lambda n, o, c: o.norm() * _as_near(n, o, c).to(o),
            "it points the right way, but its length is the offset's. It should be one.",
        ),
        Mistake(
            lambda n, o, c: n - (n @ o) * o / o.norm() + c * o,
            "a projection divides by the *square* of the length it projects on.",
        ),
    ),
    passed="as near the offset as asked, and nothing else of the probe in it.",
)
