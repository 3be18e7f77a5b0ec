"""Random inputs that several exercises draw."""

import torch
from jaxtyping import Bool
from torch import Generator, Tensor


def normal(generator: Generator, *shape: int) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=generator)


def coin(generator: Generator, place: int = 0) -> bool:
    """A coin that falls to both sides among the rounds: a binary place of the seed, which counts them."""
    return bool(generator.initial_seed() >> place & 1)


def right_padding(generator: Generator, texts: int, longest: int, shortest: int) -> Bool[Tensor, "text pos"]:
    """A mask of texts padded on the right, at least one of them full and one as short as can be."""
    lengths = torch.randint(shortest, longest + 1, (texts,), generator=generator)
    lengths[0], lengths[1] = longest, shortest
    return torch.arange(longest) < lengths[:, None]


def labels(generator: Generator, texts: int, toxic: int) -> Bool[Tensor, " text"]:
    """Labels in random order, `toxic` of them True."""
    return torch.randperm(texts, generator=generator) < toxic
