"""Runs texts through a model and averages the residual stream of each into one vector per layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

from helpers.language.models import LanguageModel, Tokens
from helpers.mechanism.forward import run_to_layer
from helpers.runtime import ProgressFn

POOLINGS = ("mean", "mean_all", "last", "first", "mean_padded")
"""How a text's positions become one vector.

- `mean`: over its tokens but the first, whose huge activations in GPT-2 would tell the text's length.
- `mean_all`: over all its tokens, the first included.
- `last`, `first`: one token.
- `mean_padded`: over a fixed number of positions, padding included, padded on the left: what the code of
  Yang et al. 2024 does. Short texts become mostly padding. Here for comparison only.
"""


def pooled_residuals(
    model: LanguageModel,
    tokens: Tokens | Sequence[Tokens],
    *,
    layers: Sequence[int],
    pooling: str = "mean",
    batch_size: int = 32,
    pad_to: int | None = None,
    progress: ProgressFn | None = None,
) -> Float[Tensor, "text layer d_model"]:
    """One vector per text and layer: the raw residual stream after it (`blocks.L.hook_resid_post`), pooled.

    Texts run sorted by length, so little padding is computed; how they are padded or batched makes no
    difference beyond rounding. Hugging Face's `hidden_states[L + 1]` is the same tensor except for the last
    layer, where Hugging Face has already applied the final LayerNorm.

    Args:
        tokens: one padded batch or several; padding may stand on either side.
        layers: which layers, in the order wanted; -1 is the last.
        pooling: one of `POOLINGS`.
        batch_size: texts per forward pass.
        pad_to: positions averaged by "mean_padded" (128 in the published code); for it alone.
        progress: called with (texts done, texts in all, what is being done).

    Returns:
        float32 on the CPU, in the order of the texts, in the residual stream's own unit.

    Raises:
        ValueError: a layer or pooling that does not exist, a text too short for the pooling or too long for
            the model.
        FloatingPointError: the model produced NaN or infinity; the message names the text.

    Example:
        >>> features = pooled_residuals(model, model.tokenise(texts), layers=[-1])[:, 0]     # doctest: +SKIP
    """
    rows = _real_tokens([tokens] if isinstance(tokens, Tokens) else tokens)
    places = _layer_numbers(layers, model.n_layers)
    _check(rows, pooling, batch_size, pad_to, model.context)
    # Stable: texts of one length keep their order, so the batches are the same on every run.
    order = sorted(range(len(rows)), key=lambda text: len(rows[text]))
    pooled = torch.empty(len(rows), len(places), model.d_model)
    for start in range(0, len(order), batch_size):
        texts = order[start : start + batch_size]
        batch = _pad([rows[text] for text in texts], model.tokenizer.eos_token_id, pad_to).to(model.device)
        weights = _position_weights(batch.mask, pooling)
        pooled[texts] = _run(model, batch, weights, places).cpu()
        broken = [text for text in texts if not pooled[text].isfinite().all()]
        if broken:
            raise FloatingPointError(
                f"{model.name}: the residual stream of text {broken[0]} is NaN or infinite. "
                "Check the checkpoint, or run without interventions."
            )
        if progress is not None:
            progress(start + len(texts), len(order), "reading residual streams")
    return pooled


def _run(
    model: LanguageModel,
    batch: Tokens,
    weights: Float[Tensor, "batch pos"],
    layers: Sequence[int],
) -> Float[Tensor, "batch layer d_model"]:
    """Pools inside the hooks, so that the residual streams themselves are never kept."""
    found: dict[int, Float[Tensor, "batch d_model"]] = {}

    def reader(layer: int) -> Callable[..., None]:
        def read(residual: Tensor, hook: object) -> None:
            found[layer] = einsum(residual, weights, "batch pos d_model, batch pos -> batch d_model")

        return read

    hooks = [(f"blocks.{layer}.hook_resid_post", reader(layer)) for layer in set(layers)]
    run_to_layer(model, batch, max(layers), hooks)
    return torch.stack([found[layer] for layer in layers], dim=1)


def _real_tokens(batches: Sequence[Tokens]) -> list[Int[Tensor, " pos"]]:
    batches = [batch.to("cpu") for batch in batches]
    return [ids[mask] for batch in batches for ids, mask in zip(batch.ids, batch.mask, strict=True)]


def _layer_numbers(layers: Sequence[int], n_layers: int) -> list[int]:
    outside = [layer for layer in layers if not -n_layers <= layer < n_layers]
    if outside or not layers:
        raise ValueError(
            f"layers must name some of 0 to {n_layers - 1} (or -{n_layers} to -1, from the end), "
            f"not {list(layers)}."
        )
    return [layer % n_layers for layer in layers]


def _check(rows: Sequence[Tensor], pooling: str, batch_size: int, pad_to: int | None, context: int) -> None:
    if pooling not in POOLINGS:
        raise ValueError(f"Unknown pooling {pooling!r}; there are {', '.join(POOLINGS)}.")
    if (pooling == "mean_padded") != (pad_to is not None):
        raise ValueError(
            'pad_to, the number of positions averaged, goes with "mean_padded" and with no other.'
        )
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
    if not rows:
        raise ValueError("There are no texts to read.")
    if pad_to is not None and not 1 <= pad_to <= context:
        raise ValueError(f"pad_to must lie between 1 and the model's context of {context}, not {pad_to}.")
    fewest, most = (2 if pooling == "mean" else 1), (pad_to or context)
    for text, row in enumerate(rows):
        if len(row) < fewest:
            raise ValueError(
                f'Text {text} has {len(row)} token(s), but pooling "{pooling}" wants at least {fewest}'
                + (" (it leaves out the first). " if pooling == "mean" else ". ")
                + "Drop the text or choose another pooling."
            )
        if len(row) > most:
            raise ValueError(f"Text {text} has {len(row)} tokens, {most} fit; tokenise(max_tokens={most}).")


def _pad(rows: Sequence[Int[Tensor, " _"]], padding: int, pad_to: int | None) -> Tokens:
    """Right padding to the longest of the rows, or left padding to `pad_to` positions."""
    width = pad_to or max(len(row) for row in rows)
    ids = torch.full((len(rows), width), padding)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for number, row in enumerate(rows):
        place = slice(0, len(row)) if pad_to is None else slice(width - len(row), width)
        ids[number, place], mask[number, place] = row, True
    return Tokens(ids, mask)


def _position_weights(mask: Bool[Tensor, "batch pos"], pooling: str) -> Float[Tensor, "batch pos"]:
    """What each position counts for; rows sum to 1. Rows are right-padded, except under "mean_padded"."""
    position = torch.arange(mask.shape[1], device=mask.device)
    counted = {
        "mean": mask & (position >= 1),
        "mean_all": mask,
        "last": position == mask.sum(dim=1, keepdim=True) - 1,
        "first": (position == 0).expand_as(mask),
        "mean_padded": torch.ones_like(mask),
    }[pooling].float()
    return counted / counted.sum(dim=1, keepdim=True)


def mean_stream_norms(
    model: LanguageModel, tokens: Tokens, *, batch_size: int = 32
) -> Float[Tensor, " layer"]:
    """Mean length of the residual stream after each layer, over all real positions >= 1 of the texts.

    The natural unit for the strength of an edit: a direction of half this length changes the stream a lot.
    Position 0 is left out as in the pooling "mean". Raises ValueError if no text has a second token.
    """
    total = torch.zeros(model.n_layers, dtype=torch.float64)
    counted = 0
    for start in range(0, len(tokens), batch_size):
        batch = tokens[start : start + batch_size].to(model.device)
        wanted = batch.mask & (batch.mask.cumsum(dim=1) > 1)
        counted += int(wanted.sum())

        def reader(layer: int, wanted: Tensor = wanted) -> Callable[..., None]:
            def read(residual: Tensor, hook: object) -> None:
                total[layer] += float(residual.norm(dim=-1)[wanted].double().sum())

            return read

        hooks = [(f"blocks.{layer}.hook_resid_post", reader(layer)) for layer in range(model.n_layers)]
        run_to_layer(model, batch, model.n_layers - 1, hooks)
    if counted == 0:
        raise ValueError("No text has a second token, so there is no position to measure the stream at.")
    return (total / counted).float()
