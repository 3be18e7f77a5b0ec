"""Exercises of notebook 06: a change split into parts that add up, vectors that share one direction."""

import torch
from torch import Generator, Tensor

from helpers.teaching.exercises.checks import Exercise, Inputs, Mistake
from helpers.teaching.exercises.draws import normal


def _neurons(generator: Generator) -> Inputs:
    """Changes as large as what changes, so that no interaction is lost in rounding."""
    keys, x, biases = normal(generator, 7, 4), normal(generator, 4), normal(generator, 7)
    return (
        keys, keys + normal(generator, 7, 4), x, x + normal(generator, 4),
        biases, biases + normal(generator, 7),
    )  # fmt: skip


def _split(keys: Tensor, new_keys: Tensor, x: Tensor, new_x: Tensor, b: Tensor, new_b: Tensor) -> Tensor:
    before, moved, after = (
        torch.stack([sum(k * n for k, n in zip(key, read, strict=True)) for key in some])
        for some, read in ((keys, x), (keys, new_x), (new_keys, new_x))
    )
    return torch.stack([moved - before, after - moved, new_b - b])


check_split_change = Exercise(
    name="split_change",
    inputs=_neurons,
    right=_split,
    mistakes=(
        Mistake(
            lambda k, k2, x, x2, b, b2: torch.stack([k @ (x2 - x), (k2 - k) @ x, b2 - b]),
            "the parts do not add up to the change: what key and input change *together* is in neither. The "
            "keys' part should be read on the new input.",
        ),
        Mistake(
            lambda k, k2, x, x2, b, b2: torch.stack([k2 @ (x2 - x), (k2 - k) @ x2, b2 - b]),
            "what key and input change together stands in both parts. Which keys should read the input's "
            "part?",
        ),
        Mistake(
            lambda k, k2, x, x2, b, b2: torch.stack([k2 @ (x2 - x), (k2 - k) @ x, b2 - b]),
            "the parts add up, but the input's part is read by the *new* keys. The old ones were asked for.",
        ),
        Mistake(
            lambda k, k2, x, x2, b, b2: torch.stack(
                [(k + k2) @ (x2 - x) / 2, (k2 - k) @ (x + x2) / 2, b2 - b]
            ),
            "what both change together is split in half. Fair, but here all of it goes to the keys.",
        ),
        Mistake(
            lambda *given: -_split(*given),
            "every sign is turned: a change is after minus before.",
        ),
        Mistake(
            lambda k, k2, x, x2, b, b2: torch.stack([k @ x2, (k2 - k) @ x2, b2 - b]),
            "the first part is what the old keys read of the new input. Take off what they read before.",
        ),
        Mistake(
            lambda k, k2, x, x2, b, b2: torch.stack([k @ x2 + b, (k2 - k) @ x2, b2 - b]),
            "the first part is a whole pre-activation, not a change. Take off what there was before.",
        ),
        Mistake(
            lambda k, k2, x, x2, b, b2: torch.stack([k @ (x2 - x), k2 @ x2, b2]),
            "the second and third parts are what there is after. A part of a change is a difference.",
        ),
        Mistake(
            lambda k, k2, x, x2, b, b2: torch.stack([k @ (x2 - x), (k2 - k) @ x2, b2]),
            "the last part is the new bias. A part of the change is its difference to the old one.",
        ),
        Mistake(
            lambda k, k2, x, x2, b, b2: torch.stack([k @ (x2 - x), (k2 - k) @ x2, torch.zeros_like(b)]),
            "the biases have moved too, and their row is zero.",
        ),
        Mistake(
            lambda k, k2, x, x2, b, b2: torch.stack([(k2 - k) @ x2, k @ (x2 - x), b2 - b]),
            "the first two rows have changed places: input first, then keys.",
        ),
        Mistake(
            lambda *given: _split(*given).T,
            "rows and columns are exchanged: one row per part, one entry per neuron.",
        ),
        Mistake(
            lambda *given: _split(*given).sum(dim=0),
            "this is the whole change. Return its three parts, one row each.",
        ),
        Mistake(
            lambda *given: _split(*given)[:2],
            "the biases' part is missing: it is the third row.",
        ),
        Mistake(
            lambda *given: _split(*given).mean(dim=1),
            "neurons were averaged. Each has its own parts.",
        ),
        Mistake(
            lambda *given: _split(*given) / _split(*given).sum(dim=0),
            "these are shares of each neuron's change. Return the parts themselves.",
        ),
        Mistake(
            lambda k, k2, x, x2, b, b2: torch.stack(
                [k @ (x2 - x), (k2 - k) @ x, (k2 - k) @ (x2 - x), b2 - b]
            ),
            "what both change together is a fourth row. Three were asked for: it belongs to the keys' part.",
        ),
    ),
    passed="one factor at a time: the parts add up, and the interaction has a place of its own choosing.",
)


def _offsets(generator: Generator) -> Inputs:
    """A common offset, and two directions that texts differ in; more texts than directions, or fewer."""
    texts = 4 + generator.initial_seed() % 5
    common = 2 * normal(generator, 6)
    return (common + normal(generator, texts, 6) * torch.tensor([3.0, 2, 1, 1, 0.5, 0.5]),)


def _first_share(offsets: Tensor) -> float:
    values = torch.linalg.eigvalsh(offsets.double().T @ offsets.double())
    return float(values[-1] / values.sum())


def _along(offsets: Tensor, direction: Tensor) -> Tensor:
    return (offsets @ direction).square().sum() / direction.square().sum() / offsets.square().sum()


def _singular(offsets: Tensor) -> Tensor:
    return torch.linalg.svdvals(offsets)


check_first_direction_share = Exercise(
    name="first_direction_share",
    inputs=_offsets,
    right=_first_share,
    mistakes=(
        Mistake(
            lambda offsets: _singular(offsets)[0] / _singular(offsets).sum(),
            "the singular values were not squared. It is their *squares* that add up to the squared lengths.",
        ),
        Mistake(
            lambda offsets: _first_share(offsets - offsets.mean(dim=0)),
            "the mean was taken off first. A common offset is what we look for: leave it in.",
        ),
        Mistake(
            lambda offsets: _first_share(offsets - offsets.mean(dim=1, keepdim=True)),
            "each row's own mean was taken off first. Take the rows as they are.",
        ),
        Mistake(
            lambda offsets: _first_share(offsets / offsets.norm(dim=1, keepdim=True)),
            "the rows were scaled to length one. Long offsets should count for more: leave their lengths.",
        ),
        Mistake(
            lambda offsets: _singular(offsets)[0] ** 2,
            "this is the squared length along the first direction. Divide by the sum over all directions.",
        ),
        Mistake(
            lambda offsets: _singular(offsets)[0],
            "this is the first singular value. For a share, square it and divide by the sum of squares.",
        ),
        Mistake(
            lambda offsets: _singular(offsets)[0] / offsets.norm(),
            "this is the square root of the share. Squared lengths add up, lengths do not.",
        ),
        Mistake(
            lambda offsets: 1 - _first_share(offsets),
            "this is what lies *outside* the first direction.",
        ),
        Mistake(
            lambda offsets: (_singular(offsets) ** 2)[-1] / (_singular(offsets) ** 2).sum(),
            "this is the last singular direction, the weakest. At which end are the large values?",
        ),
        Mistake(
            lambda offsets: (_singular(offsets) ** 2) / (_singular(offsets) ** 2).sum(),
            "these are the shares of all directions. Return the first one's.",
        ),
        Mistake(
            lambda offsets: (_singular(offsets) ** 2)[0] / (_singular(offsets) ** 2)[1:].sum(),
            "the first direction was compared with the *others*. A share is of the whole.",
        ),
        Mistake(
            lambda offsets: 1 / ((_singular(offsets) ** 2 / offsets.square().sum()) ** 2).sum(),
            "this is the number of equally strong directions. Return the first one's share.",
        ),
        Mistake(
            lambda offsets: len(offsets) * offsets.mean(dim=0).square().sum() / offsets.square().sum(),
            "this is the share that the mean vector holds. The first singular direction may lie elsewhere.",
        ),
        Mistake(
            lambda offsets: _along(offsets, offsets.mean(dim=0)),
            "this is the share along the *mean*. The first singular direction may lie elsewhere.",
        ),
        Mistake(
            lambda offsets: 100 * _first_share(offsets),
            "this is in per cent. Return a share between 0 and 1.",
        ),
    ),
    passed="squared, uncentred, of the whole: 1 would be one and the same direction for every text.",
)
