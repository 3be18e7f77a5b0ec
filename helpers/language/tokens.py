"""Token ids as padded batches: the one place where rows of unequal length become a rectangle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class Tokens:
    """A padded batch of token ids and the mask that says which of them are real.

    Padding uses the end-of-text id, which is an ordinary token elsewhere: only the mask tells them apart.
    """

    ids: Int[Tensor, "batch pos"]
    mask: Bool[Tensor, "batch pos"]

    def __len__(self) -> int:
        return self.ids.shape[0]

    def __getitem__(self, rows: slice) -> Tokens:
        """A batch of some of the rows: `tokens[0:8]`."""
        return Tokens(self.ids[rows], self.mask[rows])

    @property
    def place(self) -> Int[Tensor, "batch pos"]:
        """The place of each real token in its text, from 0; what stands at padding means nothing."""
        return (self.mask.cumsum(dim=1) - 1).clamp_min(0)

    def to(self, device: str | torch.device) -> Tokens:
        return Tokens(self.ids.to(device), self.mask.to(device))


def pad(
    rows: Sequence[Sequence[int] | Int[Tensor, " _"]],
    padding: int,
    *,
    side: str = "right",
    width: int | None = None,
) -> Tokens:
    """Rows of token ids as one batch, on the CPU.

    Args:
        padding: any id; the mask alone says what is real.
        side: where padding goes: "right" for reading, "left" for generating.
        width: pad to this many positions; None pads to the longest row.

    Raises ValueError for an unknown side or a row longer than `width`.

    Example:
        >>> pad([[5, 6, 7], [8]], 0, side="left").ids.tolist()
        [[5, 6, 7], [0, 0, 8]]
    """
    if side not in ("left", "right"):
        raise ValueError(f'side must be "left" or "right", not {side!r}.')
    lengths = torch.tensor([len(row) for row in rows]).unsqueeze(1)
    longest = int(lengths.max())
    width = width or longest
    if longest > width:
        raise ValueError(f"The longest row has {longest} tokens, which do not fit a width of {width}.")
    position = torch.arange(width)
    mask = position < lengths if side == "right" else position >= width - lengths
    ids = torch.full(mask.shape, padding)
    ids[mask] = torch.cat([torch.as_tensor(row, dtype=torch.long) for row in rows])
    return Tokens(ids, mask)


def with_room(tokens: Tokens, room: int) -> Tokens:
    """The same texts with `room` further real positions on the right, for what will be written there."""
    ids = functional.pad(tokens.ids, (0, room))
    return Tokens(ids, functional.pad(tokens.mask, (0, room), value=True))
