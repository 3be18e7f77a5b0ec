"""What neurons and residual stream do on average over texts, from one pass: means, histograms, extremes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from helpers.language.generation import Continuations
from helpers.language.models import LanguageModel
from helpers.language.tokens import Tokens, pad
from helpers.mechanism.stream import Batch, Mean, Reducer, stream
from helpers.mechanism.vectors import Neuron
from helpers.runtime import ProgressFn

GROUPS = 32
"""Texts are dealt into so many groups, and a neuron's activations are summed in each: enough for intervals,
and as large for a million texts as for a hundred."""
LOWEST, WIDTH, BINS = -0.2, 0.1, 40
"""The histogram's bins: from just below where GELU ends (−.17) to 3.8. The outer ones are open."""
CONTEXTS = 8
"""How many places are kept at which a neuron fires most, and as many at which it fires least."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """What was read at the positions that count. Means are float64; texts are numbered as they were given.

    Attributes:
        counts: positions that count, by group of texts (text i is in group i modulo the number of groups).
        sums: of each neuron's activation (`mlp.hook_post`), by group.
        pre_activations: mean of what goes into the GELU (`mlp.hook_pre`).
        standardised: mean of the stream before the MLP, centred and divided by its standard deviation, before
            LayerNorm's gains and biases (`ln2.hook_normalized`).
        embedding: mean of token plus position embedding.
        attention, mlp: mean of what each layer's attention and MLP add.
        heads: mean of what each attention head hands to its output matrix (`attn.hook_z`).
        mid, post: mean of the residual stream before each layer's MLP, and after it.
        final: mean of the last stream, standardised as above (`ln_final.hook_normalized`).
        histogram: positions by bin of activation; `bin_edges` has their limits.
        top_values, top_texts, top_positions: the strongest activations and where, strongest first; −1 for
            places there are not.
        low_values, low_texts, low_positions: the weakest, weakest first.
    """

    counts: Int[Tensor, " group"]
    sums: Float[Tensor, "group layer neuron"]
    pre_activations: Float[Tensor, "layer neuron"]
    standardised: Float[Tensor, "layer d_model"]
    embedding: Float[Tensor, " d_model"]
    attention: Float[Tensor, "layer d_model"]
    mlp: Float[Tensor, "layer d_model"]
    heads: Float[Tensor, "layer head d_head"]
    mid: Float[Tensor, "layer d_model"]
    post: Float[Tensor, "layer d_model"]
    final: Float[Tensor, " d_model"]
    histogram: Int[Tensor, "layer neuron bin"]
    top_values: Float[Tensor, "layer neuron k"]
    top_texts: Int[Tensor, "layer neuron k"]
    top_positions: Int[Tensor, "layer neuron k"]
    low_values: Float[Tensor, "layer neuron k"]
    low_texts: Int[Tensor, "layer neuron k"]
    low_positions: Int[Tensor, "layer neuron k"]

    @cached_property
    def activations(self) -> Float[Tensor, "layer neuron"]:
        """The mean activation of every neuron."""
        return self.sums.sum(dim=0) / self.counts.sum()

    @property
    def bin_edges(self) -> Float[Tensor, " edge"]:
        """Where the histogram's bins begin and end; the first and the last reach further out."""
        return LOWEST + WIDTH * torch.arange(BINS + 1)

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name, for an artifact; `Statistics(**tensors)` takes it back."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def resampled(
        self, weights: Float[Tensor, "resample group"], neurons: Sequence[Neuron]
    ) -> Float[Tensor, "resample n"]:
        """Some neurons' mean activations with groups of texts weighed anew (`intervals.resampling_weights`).

        Two models' statistics on the same prompts, weighed alike, are a paired comparison.

        Raises ValueError unless there is one weight per group.
        """
        if weights.shape[1] != len(self.counts):
            raise ValueError(f"There are {len(self.counts)} groups of texts, not {weights.shape[1]}.")
        weights = weights.to(self.sums)
        sums = self.sums[:, [each.layer for each in neurons], [each.index for each in neurons]]
        return weights @ sums / (weights @ self.counts.to(weights))[:, None]


def predicting_positions(written: Continuations, padding: int) -> tuple[Tokens, Bool[Tensor, "text pos"]]:
    """Prompts with what was written after them, and the positions that each written token was predicted at.

    A token is predicted one position before its own: from the prompt's last token on. What follows an
    end-of-text token is left out, and so is position 0, whose activations in GPT-2 are unlike all others.

    Args:
        padding: any token id.
    """
    kept = [row[mask].tolist() for row, mask in zip(written.ids, written.mask, strict=True)]
    rows = [[*prompt, *new] for prompt, new in zip(written.prompt_ids, kept, strict=True)]
    tokens = pad(rows, padding)
    starts = torch.tensor([len(prompt) for prompt in written.prompt_ids])[:, None] - 1
    lengths = tokens.mask.sum(dim=1, keepdim=True)
    place = torch.arange(tokens.ids.shape[1])
    return tokens, (place >= starts) & (place < lengths - 1) & (place >= 1)


def measure_statistics(
    model: LanguageModel,
    tokens: Tokens,
    *,
    counted: Bool[Tensor, "text pos"],
    batch_size: int = 32,
    progress: ProgressFn | None = None,
) -> Statistics:
    """One pass over texts. Memory does not grow with their number; batches and padding change rounding alone.

    Args:
        tokens, counted, batch_size, progress: as in `stream`; see `predicting_positions`.

    Raises:
        ValueError: no position counts, as where every continuation is empty.

    Example:
        tokens, counted = predicting_positions(written, padding=0)
        measure_statistics(model, tokens, counted=counted).activations[19, 770]
    """
    groups, layers = min(GROUPS, len(tokens)), range(model.n_layers)
    means = {
        "pre_activations": "mlp.hook_pre", "standardised": "ln2.hook_normalized",
        "attention": "hook_attn_out", "mlp": "hook_mlp_out", "heads": "attn.hook_z",
        "mid": "hook_resid_mid", "post": "hook_resid_post",
    }  # fmt: skip
    reducers: dict[str, Reducer] = {"blocks.0.hook_resid_pre": Mean(), "ln_final.hook_normalized": Mean()}
    for layer in layers:
        reducers[f"blocks.{layer}.mlp.hook_post"] = NeuronReadings(groups)
        reducers |= {f"blocks.{layer}.{site}": Mean() for site in means.values()}
    found = stream(model, tokens, reducers, counted=counted, batch_size=batch_size, progress=progress)

    def by_layer(site: str) -> Tensor:
        return torch.stack([found[f"blocks.{layer}.{site}"] for layer in layers])

    neurons = [found[f"blocks.{layer}.mlp.hook_post"] for layer in layers]
    places = ("histogram", *(f"{end}_{what}" for end in ENDS for what in ("values", "texts", "positions")))
    return Statistics(
        counts=neurons[0]["counts"],
        sums=torch.stack([each["sums"] for each in neurons], dim=1),
        embedding=found["blocks.0.hook_resid_pre"],
        final=found["ln_final.hook_normalized"],
        **{name: by_layer(site) for name, site in means.items()},
        **{name: torch.stack([each[name] for each in neurons]) for name in places},
    )


ENDS = {"top": True, "low": False}


class NeuronReadings:
    """A reducer of one layer's activations: sums by group of texts, histogram, extremes with their place."""

    def __init__(self, groups: int) -> None:
        self.groups = groups
        self.kept: dict[str, Tensor] = {}

    def read(self, activation: Float[Tensor, "batch pos neuron"], batch: Batch) -> dict[str, Tensor]:
        texts = torch.tensor(batch.texts, device=activation.device)
        rows, positions = batch.counted.nonzero(as_tuple=True)
        chosen, neurons = activation[rows, positions], activation.shape[-1]
        group = texts[rows] % self.groups
        sums = torch.zeros(self.groups, neurons, dtype=torch.float64, device=chosen.device)
        bins = ((chosen - LOWEST) / WIDTH).floor().long().clamp(0, BINS - 1)
        places = bins + BINS * torch.arange(neurons, device=chosen.device)
        part = {
            "counts": group.bincount(minlength=self.groups),
            "sums": sums.index_add_(0, group, chosen.double()),
            "histogram": places.flatten().bincount(minlength=BINS * neurons).unflatten(0, (neurons, BINS)),
        }
        for end, largest in ENDS.items():
            values, at = chosen.topk(min(CONTEXTS, len(chosen)), dim=0, largest=largest)
            found = {"values": values, "texts": texts[rows][at], "positions": positions[at]}
            part |= {f"{end}_{what}": value.T for what, value in found.items()}
        return {name: value.cpu() for name, value in part.items()}

    def add(self, part: dict[str, Tensor], batch: Batch) -> None:
        if not self.kept:
            nowhere = torch.full((part["sums"].shape[1], CONTEXTS), -1)
            self.kept = {name: torch.zeros_like(part[name]) for name in ("counts", "sums", "histogram")}
            for end, largest in ENDS.items():
                self.kept[f"{end}_values"] = torch.full(nowhere.shape, -torch.inf if largest else torch.inf)
                self.kept |= {f"{end}_texts": nowhere, f"{end}_positions": nowhere}
        for name in ("counts", "sums", "histogram"):
            self.kept[name] = self.kept[name] + part[name]
        for end, largest in ENDS.items():
            both = {
                what: torch.cat([self.kept[f"{end}_{what}"], part[f"{end}_{what}"]], dim=1)
                for what in ("values", "texts", "positions")
            }
            order = both["values"].sort(dim=1, descending=largest, stable=True).indices[:, :CONTEXTS]
            self.kept |= {f"{end}_{what}": value.gather(1, order) for what, value in both.items()}

    def result(self) -> dict[str, Tensor]:
        return self.kept
