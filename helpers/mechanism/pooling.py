"""Averages the residual stream of each text into one vector per layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor

from helpers.language.models import LanguageModel
from helpers.language.tokens import Tokens
from helpers.mechanism.stream import Batch, Mean, stream
from helpers.runtime import ProgressFn

POOLINGS = ("mean", "mean_all", "last", "first")
"""How a text's positions become one vector.

- `mean`: over its tokens but the first, whose huge activations in GPT-2 would tell the text's length.
- `mean_all`: over all its tokens, the first included.
- `last`, `first`: one token.
"""


class TextMeans:
    """A reducer: the mean over each text's positions that count, one row per text, written into `rows`."""

    def __init__(self, rows: Float[Tensor, "text width"]) -> None:
        self.rows = rows

    def read(self, activation: Tensor, batch: Batch) -> Tensor:
        counted = batch.counted.float()
        weights = counted / counted.sum(dim=1, keepdim=True)
        return einsum(activation, weights, "batch pos width, batch pos -> batch width")

    def add(self, part: Tensor, batch: Batch) -> None:
        self.rows[batch.texts] = part.cpu()

    def result(self) -> Float[Tensor, "text width"]:
        return self.rows


def pooled_residuals(
    model: LanguageModel,
    tokens: Tokens,
    *,
    layers: Sequence[int],
    pooling: str = "mean",
    batch_size: int = 32,
    progress: ProgressFn | None = None,
) -> Float[Tensor, "text layer d_model"]:
    """One vector per text and layer: the raw residual stream after it (`blocks.L.hook_resid_post`), pooled.

    How texts are padded or batched makes no difference beyond rounding. Hugging Face's `hidden_states[L + 1]`
    is the same tensor except for the last layer, where Hugging Face has already applied the final LayerNorm.

    Args:
        tokens: padding may stand on either side.
        layers: which layers, in the order wanted; -1 is the last.
        pooling: one of `POOLINGS`.
        batch_size, progress: as in `stream`.

    Returns:
        float32 on the CPU, in the order of the texts, in the residual stream's own unit.

    Raises:
        ValueError: a layer or pooling that does not exist, a text too short for the pooling or too long for
            the model.
        FloatingPointError: the model produced NaN or infinity; the message names the text.

    Example:
        features = pooled_residuals(model, model.tokenise(texts), layers=[-1])[:, 0]
    """
    outside = [layer for layer in layers if not -model.n_layers <= layer < model.n_layers]
    if outside or not layers:
        raise ValueError(
            f"layers must name some of 0 to {model.n_layers - 1} (or -{model.n_layers} to -1, from the end), "
            f"not {list(layers)}."
        )
    counted = pooled_positions(tokens, pooling)
    for text in (~counted.any(dim=1)).nonzero().flatten().tolist():
        raise ValueError(
            f'Text {text} has {int(tokens.mask[text].sum())} token(s), of which pooling "{pooling}" reads '
            "none (the mean leaves out the first). Drop the text or choose another pooling."
        )
    wanted = [layer % model.n_layers for layer in layers]
    read = sorted(set(wanted))
    pooled = torch.empty(len(tokens), len(read), model.d_model)
    means = {f"blocks.{layer}.hook_resid_post": TextMeans(pooled[:, at]) for at, layer in enumerate(read)}
    stream(model, tokens, means, counted=counted, batch_size=batch_size, progress=progress)
    return pooled if read == wanted else pooled[:, [read.index(layer) for layer in wanted]]


def pooled_positions(tokens: Tokens, pooling: str) -> Bool[Tensor, "text pos"]:
    """Which positions of each text a pooling averages over. Raises ValueError for a pooling there is not."""
    if pooling not in POOLINGS:
        raise ValueError(f"Unknown pooling {pooling!r}; there are {', '.join(POOLINGS)}.")
    mask, place = tokens.mask, tokens.place
    return {
        "mean": mask & (place >= 1),
        "mean_all": mask,
        "last": mask & (place == mask.sum(dim=1, keepdim=True) - 1),
        "first": mask & (place == 0),
    }[pooling]


def mean_stream_norms(
    model: LanguageModel, tokens: Tokens, *, batch_size: int = 32
) -> Float[Tensor, " layer"]:
    """Mean length of the residual stream after each layer, over all real positions >= 1 of the texts.

    The natural unit for the strength of an edit: a direction of half this length changes the stream a lot.
    Position 0 is left out as in the pooling "mean". Raises ValueError if no text has a second token.
    """
    norms = {
        f"blocks.{layer}.hook_resid_post": Mean(lambda residual: residual.norm(dim=-1))
        for layer in range(model.n_layers)
    }
    return torch.stack(list(stream(model, tokens, norms, batch_size=batch_size).values())).float()
