"""One pass over texts under every reader of activations: whatever is read, a reducer keeps little of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from helpers.language.models import LanguageModel
from helpers.language.tokens import Tokens, pad
from helpers.mechanism.forward import run_to_layer
from helpers.runtime import ProgressFn, with_batch_halving


@dataclass(frozen=True, eq=False)
class Batch:
    """The texts of one forward pass, on the model's device.

    Attributes:
        texts: the number of each row's text among all that are read.
        tokens: padded on the right, so that a column is a text's own position.
        counted: which positions count; real ones, all of them.
    """

    texts: list[int]
    tokens: Tokens
    counted: Bool[Tensor, "batch pos"]


@runtime_checkable
class Reducer(Protocol):
    """What is kept of the activations at one site: a mean, a histogram, the strongest positions.

    A batch that ran out of memory runs again in smaller ones, so `read` only looks and `add` alone keeps.
    """

    def read(self, activation: Float[Tensor, "batch pos *rest"], batch: Batch) -> Any:
        """What one batch has to say; called within the forward pass. Small, and no view of the activation."""

    def add(self, part: Any, batch: Batch) -> None:
        """Takes in what `read` returned, once the whole batch has run and its activations are finite."""

    def result(self) -> Any:
        """What came together."""


class Mean:
    """The mean over all positions that count, of the activation or of something computed from it (float64).

    Args:
        of: from an activation to what is averaged, position by position.
    """

    def __init__(self, of: Callable[[Tensor], Tensor] = lambda activation: activation) -> None:
        self.of = of
        self.total: Tensor | None = None
        self.count = 0

    def read(self, activation: Tensor, batch: Batch) -> Tensor:
        return self.of(activation)[batch.counted].double().sum(dim=0)

    def add(self, part: Tensor, batch: Batch) -> None:
        part = part.cpu()
        self.total = part if self.total is None else self.total + part
        self.count += int(batch.counted.sum())

    def result(self) -> Float[Tensor, "*rest"]:
        """Raises ValueError if no position counted."""
        if self.total is None or self.count == 0:
            raise ValueError(
                "There is no position to average over: none counts, as in texts of one token each whose "
                "first is left out."
            )
        return self.total / self.count


def stream(
    model: LanguageModel,
    tokens: Tokens,
    reducers: Mapping[str, Reducer],
    *,
    counted: Bool[Tensor, "text pos"] | None = None,
    batch_size: int = 32,
    progress: ProgressFn | None = None,
) -> dict[str, Any]:
    """Runs texts through a model once and hands the activations of each site to its reducer.

    Texts run sorted by length, so little padding is computed, and no further than the last layer that is
    read. Interventions in force act as in any pass; nothing stays on the model.

    Args:
        tokens: padding may stand on either side.
        reducers: by site, a TransformerLens hook name such as `blocks.3.mlp.hook_post` (activations after the
            GELU), `blocks.3.mlp.hook_pre` or `blocks.3.hook_resid_post`. A reducer keeps what it has read
            before, so a second pass over other texts adds to it.
        counted: which positions count, laid out as `tokens`; None is all real ones but the first of each
            text, whose activations in GPT-2 are unlike all others. Padding never counts.
        batch_size: texts per forward pass; halved from there on, with a notice, when memory runs out.
        progress: called with (texts done, texts in all, what is being done).

    Returns:
        The result of each site's reducer.

    Raises:
        ValueError: no texts or no sites, an empty text or one too long for the model, a site that is not
            computed, or not position by position (the logits are not computed at all).
        KeyError: a site that the model does not have.
        FloatingPointError: an activation is NaN or infinite; the message names site and text.

    Example:
        sites = [f"blocks.{layer}.mlp.hook_post" for layer in range(model.n_layers)]
        means = stream(model, model.tokenise(texts), {site: Mean() for site in sites})
    """
    if not len(tokens) or not reducers:
        raise ValueError("There are no texts to read." if reducers else "There is no site to read at.")
    tokens = tokens.to("cpu")
    counted = tokens.mask & (tokens.place >= 1) if counted is None else tokens.mask & counted.cpu()
    lengths = tokens.mask.sum(dim=1).tolist()
    for text, length in enumerate(lengths):
        if not 1 <= length <= model.context:
            raise ValueError(
                f"Text {text} has {length} tokens, 1 to {model.context} fit: "
                f"tokenise(max_tokens={model.context})."
            )
    # Stable: texts of one length keep their order, so the batches are the same on every run.
    order = sorted(range(len(tokens)), key=lengths.__getitem__)
    done = 0

    def go_on(size: int) -> None:
        nonlocal done
        while done < len(order):
            texts = order[done : done + size]
            _read(model, _batch(model, tokens, counted, texts), reducers)
            done += len(texts)
            if progress is not None:
                progress(done, len(order), "reading activations")

    with_batch_halving(go_on, batch_size)
    return {site: reducer.result() for site, reducer in reducers.items()}


def _batch(
    model: LanguageModel, tokens: Tokens, counted: Bool[Tensor, "text pos"], texts: list[int]
) -> Batch:
    rows = pad([tokens.ids[text][tokens.mask[text]] for text in texts], model.tokenizer.eos_token_id)
    places = torch.zeros_like(rows.mask)
    places[rows.mask] = counted[texts][tokens.mask[texts]]
    return Batch(texts, rows.to(model.device), places.to(model.device))


def _read(model: LanguageModel, batch: Batch, reducers: Mapping[str, Reducer]) -> None:
    """One forward pass; nothing is added to any reducer before the whole of it has succeeded."""
    parts: dict[str, Any] = {}
    sums: dict[str, Float[Tensor, " batch"]] = {}

    def reader(site: str) -> Callable[[Tensor, object], None]:
        def read(activation: Tensor, hook: object) -> None:
            if activation.shape[:2] != batch.counted.shape:
                raise ValueError(
                    f"{site!r} cannot be streamed: what is computed there has the shape "
                    f"{tuple(activation.shape)}, not text by position."
                )
            sums[site] = activation.flatten(start_dim=1).sum(dim=1)
            parts[site] = reducers[site].read(activation, batch)

        return read

    numbers = [re.match(r"blocks\.(\d+)\.", site) for site in reducers]
    last = max(int(number[1]) if number else model.n_layers - 1 for number in numbers)
    run_to_layer(model, batch.tokens, last, [(site, reader(site)) for site in reducers])
    if unread := [site for site in reducers if site not in parts]:
        raise ValueError(f"{model.name} computes nothing at {unread[0]!r} in a forward pass.")
    # A sum is finite only if all its terms are: one look at each activation, one wait for the device.
    broken = ~torch.stack(list(sums.values())).isfinite()
    if broken.any():
        place, row = broken.nonzero()[0].tolist()
        raise FloatingPointError(
            f"{model.name}: {list(sums)[place]} is NaN or infinite in text {batch.texts[row]}. "
            "Check the checkpoint, or run without interventions."
        )
    for site, reducer in reducers.items():
        reducer.add(parts[site], batch)
