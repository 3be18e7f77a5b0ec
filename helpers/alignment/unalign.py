"""Ways back from an aligned model: edited copies of its weights, further training, and what they recover.

Every way leaves the model it is given as it was: what runs under hooks is in `helpers.mechanism`, and what
changes weights changes a copy. Copies are plain Hugging Face models; `models.boot` makes hooked ones of them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase

from helpers.alignment.journal import save_weights
from helpers.alignment.loss import token_logprobs
from helpers.intervals import UNDEFINED, Interval, percentile_interval, resampling_weights
from helpers.language.metrics import Measure
from helpers.language.models import HasPlace, LanguageModel
from helpers.language.texts import Prompt
from helpers.language.tokens import Tokens, pad
from helpers.mechanism.changes import nudge
from helpers.mechanism.stream import Mean, stream
from helpers.mechanism.vectors import Neuron, top_neurons
from helpers.runtime import ProgressFn, generator


def share_of_gap(
    before: Measure, after: Measure, *, base: Measure, aligned: Measure, n: int = 1000, seed: int
) -> Interval:
    """(after − before) / (base − aligned): how much of the gap that tuning opened an edit has closed.

    All four are measured on the same prompts, which are drawn again together. With `before=aligned` it is the
    share recovered; with another attack for `before`, by how much the one recovers more than the other.

    Undefined where the gap is not clear: where base is not more toxic than aligned on some of the resamples
    (more than one in forty), a share of it has no meaning.
    """
    whole = base.value - aligned.value
    draws = resampling_weights(len(base.totals), n=n, seed=seed).double()
    gaps = base.resampled(draws) - aligned.resampled(draws)
    clear = gaps > 0
    if not whole > 0 or clear.double().mean() < 0.975:
        return UNDEFINED
    moved = after.resampled(draws) - before.resampled(draws)
    return percentile_interval((after.value - before.value) / whole, (moved / gaps)[clear])


def _mlp(hf: GPT2LMHeadModel, layer: int) -> Any:
    """A layer's MLP: keys are the columns of `c_fc.weight`, value vectors the rows of `c_proj.weight`."""
    inside: Any = hf
    return inside.transformer.h[layer].mlp


# --- edited copies ------------------------------------------------------------------------------------------
@torch.no_grad()
def scale_keys_in_place(hf: GPT2LMHeadModel, neurons: Sequence[HasPlace], factor: float) -> None:
    """Multiplies the keys of some neurons in the weights themselves, as the published code does.

    Done twice it multiplies twice. Hand in a copy; `interventions.scale_keys` leaves the weights alone.
    """
    for neuron in neurons:
        _mlp(hf, neuron.layer).c_fc.weight[:, neuron.index] *= factor


def scaled_keys(hf: GPT2LMHeadModel, neurons: Sequence[HasPlace], factor: float) -> GPT2LMHeadModel:
    """A copy whose keys of some neurons are multiplied; equals the model under `scale_keys`."""
    edited = copy.deepcopy(hf)
    scale_keys_in_place(edited, neurons, factor)
    return edited


@torch.no_grad()
def interpolated(aligned: GPT2LMHeadModel, base: GPT2LMHeadModel, way: float) -> GPT2LMHeadModel:
    """A copy whose every weight lies so far on the straight way from aligned (0) to base (1)."""
    edited = copy.deepcopy(aligned)
    for weight, other in zip(edited.parameters(), base.parameters(), strict=True):
        weight.lerp_(other.to(weight), way)
    return edited


def most_changed(aligned: LanguageModel, base: LanguageModel, k: int) -> list[Neuron]:
    """The k neurons whose key and value vectors tuning moved most: ‖Δkey‖² + ‖Δvalue‖², the largest first."""
    moved = (aligned.key_vectors - base.key_vectors).square().sum(dim=-1)
    moved += (aligned.value_vectors - base.value_vectors).square().sum(dim=-1)
    return top_neurons(moved, k)


@torch.no_grad()
def restored(
    aligned: GPT2LMHeadModel, base: GPT2LMHeadModel, neurons: Sequence[HasPlace]
) -> GPT2LMHeadModel:
    """A copy in which some neurons have base's key, bias and value again."""
    edited = copy.deepcopy(aligned)
    for neuron in neurons:
        mlp, was = _mlp(edited, neuron.layer), _mlp(base, neuron.layer)
        mlp.c_fc.weight[:, neuron.index] = was.c_fc.weight[:, neuron.index]
        mlp.c_fc.bias[neuron.index] = was.c_fc.bias[neuron.index]
        mlp.c_proj.weight[neuron.index] = was.c_proj.weight[neuron.index]
    return edited


@torch.no_grad()
def rounded(hf: GPT2LMHeadModel, bits: int) -> GPT2LMHeadModel:
    """A copy with every matrix rounded to 2^bits − 1 steps between ± the largest entry of each column.

    The plainest of quantisations: symmetric, to nearest, no calibration. Biases and LayerNorms stay.

    Raises ValueError for fewer than two bits, which leave one step.
    """
    if bits < 2:
        raise ValueError(f"Rounding wants at least two bits, not {bits}.")
    edited, steps = copy.deepcopy(hf), 2 ** (bits - 1) - 1
    for weight in edited.parameters():
        if weight.ndim == 2:
            step = weight.abs().amax(dim=0, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny) / steps
            weight.copy_((weight / step).round() * step)
    return edited


@torch.no_grad()
def randomly_moved(hf: GPT2LMHeadModel, like: GPT2LMHeadModel, seed: int) -> GPT2LMHeadModel:
    """A copy moved as far as `like` lies from it, tensor by tensor, but each in a random direction."""
    edited, others = copy.deepcopy(hf), dict(like.named_parameters())
    lengths = {
        name.removeprefix("transformer."): float((others[name].to(weight) - weight).norm())
        for name, weight in hf.named_parameters()
    }
    nudge(edited, lengths, seed=seed)
    return edited


@torch.no_grad()
def without_values(hf: GPT2LMHeadModel, neurons: Sequence[HasPlace]) -> GPT2LMHeadModel:
    """A copy in which some neurons write nothing: their value vectors are zero."""
    edited = copy.deepcopy(hf)
    for neuron in neurons:
        _mlp(edited, neuron.layer).c_proj.weight[neuron.index] = 0.0
    return edited


@torch.no_grad()
def without_span(hf: GPT2LMHeadModel, directions: Float[Tensor, "k d_model"]) -> GPT2LMHeadModel:
    """A copy in which no value vector has any part in the span of some directions.

    After ProFS (Uppaal et al. 2024, arXiv 2405.13967), which takes its directions from pairs of texts.
    """
    span = torch.linalg.qr(directions.detach().double().cpu().T).Q  # columns are orthonormal
    edited = copy.deepcopy(hf)
    for layer in range(edited.config.n_layer):
        values = _mlp(edited, layer).c_proj.weight
        inside = values.detach().double().cpu() @ span @ span.T
        values -= inside.to(values)
    return edited


# --- what is taken from texts -------------------------------------------------------------------------------
def mean_shift(
    aligned: LanguageModel, base: LanguageModel, tokens: Tokens, layer: int, *, batch_size: int
) -> Float[Tensor, " d_model"]:
    """How tuning has moved the residual stream after a layer: the mean over positions ≥ 1, aligned − base."""
    site = f"blocks.{layer}.hook_resid_post"
    means = [stream(m, tokens, {site: Mean()}, batch_size=batch_size)[site] for m in (aligned, base)]
    return (means[0] - means[1]).float()


def with_opening(prompts: Iterable[Prompt], opening: str) -> tuple[Prompt, ...]:
    """The prompts with a text before each; they keep their ids, and so their noise and their pairing."""
    return tuple(replace(prompt, text=f"{opening.strip()} {prompt.text}") for prompt in prompts)


def fine_tuned(
    hf: GPT2LMHeadModel,
    rows: Sequence[Sequence[int]],
    *,
    steps: Sequence[int],
    learning_rate: float,
    batch: int,
    seed: int,
    progress: ProgressFn | None = None,
) -> dict[int, GPT2LMHeadModel]:
    """Trains a copy on a few texts by likelihood and keeps it, on the CPU, after some numbers of steps.

    AdamW without weight decay at one learning rate; each step reads the next `batch` texts of an endless
    shuffle, or all where there are fewer. It is what whoever holds the weights can do in seconds.

    Args:
        rows: token ids of the texts, at least two each.
        steps: after which numbers of steps a copy is kept.
        progress: called after each step.

    Raises:
        ValueError: no texts, one too short to predict anything, or no steps.
        FloatingPointError: the loss is not finite; the learning rate is too high.
    """
    if not rows or min(map(len, rows)) < 2 or not steps or min(steps) < 1:
        raise ValueError("Training on texts wants some, of two tokens or more each, and at least one step.")
    shuffle = generator(seed, "attack", len(rows))
    trained: Any = copy.deepcopy(hf).eval()
    trained.requires_grad_(True)
    optimiser = torch.optim.AdamW(trained.parameters(), lr=learning_rate, weight_decay=0.0)
    kept: dict[int, GPT2LMHeadModel] = {}
    waiting: list[int] = []
    for step in range(1, max(steps) + 1):
        while len(waiting) < min(batch, len(rows)):
            waiting += torch.randperm(len(rows), generator=shuffle).tolist()
        taken, waiting = waiting[:batch], waiting[batch:]
        tokens = pad([rows[row] for row in taken], 0).to(trained.device)
        predicted = tokens.mask[:, 1:]
        loss = -token_logprobs(trained, tokens.ids, tokens.mask)[:, 1:][predicted].mean()
        if not loss.isfinite():
            raise FloatingPointError(f"The loss is {loss.item()} at step {step}: lower the learning rate.")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step in steps:
            optimiser.zero_grad()
            kept[step] = copy.deepcopy(trained).requires_grad_(False).cpu()
        if progress is not None:
            progress(step, max(steps), "training on a few texts")
    return kept


# --- rebuilding what was removed ----------------------------------------------------------------------------
def rebuilt(
    target: Float[Tensor, " d_model"], vectors: Float[Tensor, "n d_model"], most: int
) -> Float[Tensor, " most"]:
    """How near to a vector sums of ever more others come: the cosine with 1, 2, … `most` of them.

    Orthogonal matching pursuit: the vector that points most along what is missing is added, then all weights
    are fitted anew. Weights may be negative.
    """
    target, vectors = target.double(), vectors.double()
    units = vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    chosen: list[int] = []
    missing, cosines = target, []
    for _ in range(most):
        scores = (units @ missing).abs()
        scores[chosen] = -1.0
        chosen.append(int(scores.argmax()))
        basis = units[chosen].T
        fitted = basis @ torch.linalg.lstsq(basis, target[:, None]).solution[:, 0]
        missing = target - fitted
        cosines.append((fitted.norm() / target.norm()).clamp_max(1.0))
    return torch.stack(cosines)


# --- export -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Card:
    """A model card that saves itself beside the weights."""

    text: str

    def save_pretrained(self, folder: Path) -> None:
        """As models and tokenizers are saved, so that one function writes all three."""
        Path(folder, "README.md").write_text(self.text, encoding="utf-8")


def export_edited(
    hf: GPT2LMHeadModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    made_from: str,
    edit: str,
    measured: Mapping[str, Any],
) -> Path:
    """Writes an edited checkpoint with its tokenizer and a model card; whole or not at all.

    Args:
        made_from: the model that was edited, for the card.
        edit: what was done to it, in words.
        measured: what the card reports of it, by name.

    Raises FileExistsError where the folder is there already: nothing is ever written over.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} is there already; name a new folder. Nothing was written.")
    rows = "\n".join(f"| {name} | {value} |" for name, value in measured.items())
    text = (
        f"# {made_from}, edited\n\n"
        f"Made for teaching from {made_from}: {edit}. This undoes part of what preference tuning did, so the "
        "model writes more toxic text again. Do not put it to use where people read what it writes.\n\n"
        f"| measured | value |\n|---|---|\n{rows}\n"
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    save_weights(hf, (tokenizer, _Card(text)), folder)
    return folder
