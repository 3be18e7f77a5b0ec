"""Reads tokens after a past of keys and values that gradients can pass through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache, GPT2LMHeadModel
from transformers.cache_utils import DynamicLayer

Past = list[Float[Tensor, "key_and_value batch head past d_head"]]
"""Keys (index 0) and values (index 1) of the tokens so far, one tensor per layer; empty before any token."""


@dataclass(eq=False)
class Reading:
    """What comes out when tokens are read after a past. Logits and the longer past are made when asked for.

    Attributes:
        residual: the raw residual stream after the reader's layer, at the positions just read.
    """

    hf: GPT2LMHeadModel
    hidden: Float[Tensor, "batch pos d_model"]
    residual: Float[Tensor, "batch pos d_model"]
    cache: DynamicCache

    @cached_property
    def logits(self) -> Float[Tensor, "batch vocab"]:
        """Next-token logits at the last position."""
        return self.hf.lm_head(self.hidden[:, -1])

    @cached_property
    def past(self) -> Past:
        """The past with the tokens just read at its end."""
        layers: list[Any] = self.cache.layers
        return [torch.stack((layer.keys, layer.values)) for layer in layers]


@dataclass(eq=False)
class Reader:
    """A model, one batch's mask and positions, and the layer whose residual stream is wanted.

    `mask` and `positions` cover the whole text, what is still to come included.
    """

    hf: GPT2LMHeadModel
    mask: Bool[Tensor, "batch all"]
    positions: Int[Tensor, "batch all"]
    _stream: list[Tensor]

    def read(
        self,
        past: Past,
        *,
        ids: Int[Tensor, "batch pos"] | None = None,
        embeddings: Float[Tensor, "batch pos d_model"] | None = None,
    ) -> Reading:
        """Reads token ids, or embeddings in their place, after a past (which is left as it is)."""
        cache = DynamicCache()
        for layer in past:
            slot = DynamicLayer()  # filled by hand: `update` would copy the whole past once more
            slot.lazy_initialization(layer[0], layer[1])
            slot.keys, slot.values = layer[0], layer[1]
            cache.layers.append(slot)
        tokens = ids if ids is not None else embeddings
        start = length(past)
        end = start + (tokens.shape[1] if tokens is not None else 0)
        output = self.hf.transformer(
            input_ids=ids,
            inputs_embeds=embeddings,
            past_key_values=cache,
            attention_mask=self.mask[:, :end].long(),
            position_ids=self.positions[:, start:end],
            use_cache=True,
        )
        return Reading(self.hf, output.last_hidden_state, self._stream[0], output.past_key_values)


def length(past: Past) -> int:
    """How many tokens a past holds."""
    return past[0].shape[3] if past else 0


@contextmanager
def reader(
    hf: GPT2LMHeadModel, mask: Bool[Tensor, "batch all"], positions: Int[Tensor, "batch all"], *, layer: int
) -> Iterator[Reader]:
    """A reader; on exit the model is as it was."""
    stream: list[Tensor] = [torch.empty(0)]

    def keep(module: torch.nn.Module, inputs: tuple, output: Tensor) -> None:
        stream[0] = output

    handle = hf.transformer.h[layer].register_forward_hook(keep)
    try:
        yield Reader(hf, mask, positions, stream)
    finally:
        handle.remove()
