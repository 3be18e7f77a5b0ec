"""Runs a model as far as a layer and no further, for whoever only reads what its hooks see."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from helpers.language.models import LanguageModel
from helpers.language.tokens import Tokens


@torch.no_grad()
def run_to_layer(
    model: LanguageModel,
    tokens: Tokens,
    layer: int,
    hooks: Sequence[tuple[str, Callable[..., Tensor | None]]],
) -> None:
    """One forward pass through layers 0 to `layer`, with hooks `(name, function(value, hook))` on it.

    The logits are not computed: for GPT2-medium they are the largest tensor of the pass. Interventions in
    force act as they would in a full pass. The hooks are gone on return.
    """

    def one_position(value: Tensor, hook: object) -> Tensor:
        # TransformerLens cannot stop after the last layer: there the read-out is given little to do.
        return value[:, :1]

    with model.bridge.hooks(fwd_hooks=[*hooks, ("unembed.hook_in", one_position)]):
        model.bridge(
            tokens.ids.to(model.device),
            attention_mask=tokens.mask.long().to(model.device),
            return_type=None,
            stop_at_layer=layer + 1,
        )
