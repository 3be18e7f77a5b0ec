"""Interventions on a running model: add a direction, ablate, patch or scale neurons, scale their keys.

Each is a context manager. Inside it every forward pass of the model is edited at every position: the prompt,
each cached step of generation, each window of text. On leaving it, also by an exception, the model is what it
was, bit by bit: weights are never touched. Interventions nest; where two edit the same activation, the outer
acts first.

    with subtract_direction(model, probe.direction, 20.0, layer=-1):
        steered = evaluate(model, bench)
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from helpers.language.models import HasPlace, LanguageModel

SITES = {
    "resid_pre": "hook_resid_pre",
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "resid_post": "hook_resid_post",
}
"""Where in a block a direction can be added: its input, what attention or the MLP writes, its output."""

Hook = Callable[..., Tensor]
Hooks = list[tuple[str, Hook]]


def add_direction(
    model: LanguageModel,
    direction: Float[Tensor, " d_model"],
    strength: float,
    *,
    layer: int,
    site: str = "resid_post",
) -> AbstractContextManager[LanguageModel]:
    """Adds `strength * direction` at one site of one layer, at every position.

    Args:
        direction: taken as it is, not normalised, so that a published strength keeps its meaning.
        layer: counted from the first; negative from the last.
        site: one of `SITES`. Lee et al. (2024, section 3) subtract at the last layer's `mlp_out`, which there
            is the same as `resid_post`. Their code edits the last position alone while it generates, and all
            in perplexity; at the last layer that gives the same text, because no later position reads it.

    Raises:
        ValueError: unknown site, direction of the wrong size, or a number that is not finite.
        IndexError: the model has no such layer.

    Example:
        with add_direction(model, probe.direction, 8.0, layer=-1):
            continue_prompts(model, prompts, decoding, seed=0, batch_size=16)
    """
    if site == "resid_mid":
        raise ValueError(
            "resid_mid can be read but not edited: in TransformerLens's bridge it is the input of the MLP's "
            'LayerNorm, so an edit would not reach the residual stream. Edit "attn_out" of the same layer, '
            "which adds to the same sum."
        )
    if site not in SITES:
        raise ValueError(f"There is no site {site!r} to edit; choose one of {', '.join(SITES)}.")
    layer = layer_number(model, layer)
    if direction.shape != (model.d_model,):
        raise ValueError(
            f"The direction has shape {tuple(direction.shape)}, but the residual stream of {model.name} "
            f"has {model.d_model} dimensions."
        )
    check_finite("strength", torch.tensor(float(strength)))
    check_finite("direction", direction)
    step = (strength * direction.detach().float()).to(model.device)

    def edit(activation: Tensor, hook: object) -> Tensor:
        return activation + step

    asked = {"edit": "add", "direction": direction, "strength": float(strength), "layer": layer, "site": site}
    return edited(model, [(f"blocks.{layer}.{SITES[site]}", edit)], asked)


def subtract_direction(
    model: LanguageModel,
    direction: Float[Tensor, " d_model"],
    strength: float,
    *,
    layer: int,
    site: str = "resid_post",
) -> AbstractContextManager[LanguageModel]:
    """Subtracts `strength * direction`: `add_direction` with the sign turned."""
    return add_direction(model, direction, -strength, layer=layer, site=site)


def project_out(
    model: LanguageModel, direction: Float[Tensor, " d_model"], *, layer: int
) -> AbstractContextManager[LanguageModel]:
    """Takes out of a layer's output what it has along a direction: x <- x - (x · u) u, u of length one.

    A subtraction moves every position by the same vector; this leaves each without any part along the
    direction, and does nothing where there was none. It is done at every position.

    Raises ValueError for a direction of zeros, of the wrong size or not finite; IndexError for no such layer.
    """
    layer = layer_number(model, layer)
    check_finite("direction", direction)
    if direction.shape != (model.d_model,) or not direction.any():
        raise ValueError(f"{model.name} wants a direction of {model.d_model} numbers that are not all zero.")
    unit = (direction.detach().float() / direction.detach().float().norm()).to(model.device)

    def edit(activation: Tensor, hook: object) -> Tensor:
        return activation - (activation @ unit)[..., None] * unit

    asked = {"edit": "project out", "direction": unit, "layer": layer}
    return edited(model, [(f"blocks.{layer}.hook_resid_post", edit)], asked)


def ablate(model: LanguageModel, neurons: Sequence[HasPlace]) -> AbstractContextManager[LanguageModel]:
    """Sets the neurons' activations to zero, which equals zeroing their value vectors in the checkpoint."""
    return patch_constant(model, neurons, torch.zeros(len(neurons)))


def patch_constant(
    model: LanguageModel, neurons: Sequence[HasPlace], values: Float[Tensor, " neuron"]
) -> AbstractContextManager[LanguageModel]:
    """Overwrites each neuron's activation (after the GELU) by one value, at every position.

    The released code of Yang et al. (2024) overwrites it at the last position while generating, and in
    perplexity at the first and the last position alone, which hardly moves a perplexity.

    Args:
        values: one per neuron, such as its mean activation in another model.
    """
    constants = spread(model, neurons, values, fill=0.0, what="values")
    chosen = {layer: mask.to(model.device) for layer, mask in neuron_masks(model, neurons).items()}

    def overwrite(layer: int) -> Hook:
        return lambda activation, hook: torch.where(chosen[layer], constants[layer], activation)

    hooks = [(f"blocks.{layer}.mlp.hook_post", overwrite(layer)) for layer in chosen]
    return edited(model, hooks, {"edit": "patch", "neurons": by_layer(chosen), "values": by_layer(constants)})


def shift_activations(
    model: LanguageModel, neurons: Sequence[HasPlace], values: Float[Tensor, " neuron"]
) -> AbstractContextManager[LanguageModel]:
    """Adds one value to each neuron's activation (after the GELU), at every position.

    With the difference of two models' means it moves the mean as `patch_constant` does, and leaves what the
    activation says of the text.
    """
    steps = spread(model, neurons, values, fill=0.0, what="values")

    def shift(layer: int) -> Hook:
        return lambda activation, hook: activation + steps[layer]

    hooks = [(f"blocks.{layer}.mlp.hook_post", shift(layer)) for layer in steps]
    return edited(model, hooks, {"edit": "shift activations", "values": by_layer(steps)})


def set_outputs(
    model: LanguageModel, site: str, values: Float[Tensor, "layer d_model"], *, add: bool = False
) -> AbstractContextManager[LanguageModel]:
    """Overwrites what every layer's attention or MLP adds to the stream by one vector per layer, or adds it.

    Args:
        site: "attn_out" or "mlp_out" of `SITES`.
        values: such as the mean output in another model; with `add`, such as how far the means differ.
    """
    if site not in ("attn_out", "mlp_out") or values.shape != (model.n_layers, model.d_model):
        raise ValueError(
            f'Wanted "attn_out" or "mlp_out" and {model.n_layers} vectors of {model.d_model}, not {site!r} '
            f"and {tuple(values.shape)}."
        )
    check_finite("values", values)
    rows = values.detach().float().to(model.device)

    def overwrite(layer: int) -> Hook:
        if add:
            return lambda output, hook: output + rows[layer]
        return lambda output, hook: rows[layer].expand_as(output)

    hooks = [(f"blocks.{layer}.{SITES[site]}", overwrite(layer)) for layer in range(model.n_layers)]
    asked = {"edit": "add outputs" if add else "set outputs", "site": site, "values": rows}
    return edited(model, hooks, asked)


def scale_activations(
    model: LanguageModel, neurons: Sequence[HasPlace], factor: float | Float[Tensor, " neuron"]
) -> AbstractContextManager[LanguageModel]:
    """Multiplies the neurons' activations (after the GELU) by a factor, one for all or one per neuron.

    Equals multiplying their value vectors in the checkpoint.
    """
    factors = spread(model, neurons, factor, fill=1.0, what="factor")

    def scale(layer: int) -> Hook:
        return lambda activation, hook: activation * factors[layer]

    hooks = [(f"blocks.{layer}.mlp.hook_post", scale(layer)) for layer in factors]
    return edited(model, hooks, {"edit": "scale activations", "factors": by_layer(factors)})


def scale_keys(
    model: LanguageModel, neurons: Sequence[HasPlace], factor: float | Float[Tensor, " neuron"]
) -> AbstractContextManager[LanguageModel]:
    """Multiplies the neurons' key vectors by a factor, leaving their biases: pre <- factor * (pre - b) + b.

    This equals the checkpoint with those columns of `W_in` scaled, as Lee et al. (2024, section 6) edit it,
    but is undone on exit.
    """
    factors = spread(model, neurons, factor, fill=1.0, what="factor")
    # factor * (pre - b) + b written as factor * pre + (1 - factor) * b: exactly `pre` where the factor is 1.
    rests = {
        layer: (1 - row) * model.bridge.blocks[layer].mlp.b_in.detach() for layer, row in factors.items()
    }

    def scale(layer: int) -> Hook:
        return lambda pre, hook: torch.addcmul(rests[layer], pre, factors[layer])

    hooks = [(f"blocks.{layer}.mlp.hook_pre", scale(layer)) for layer in factors]
    return edited(model, hooks, {"edit": "scale keys", "factors": by_layer(factors)})


@contextlib.contextmanager
def edited(model: LanguageModel, hooks: Hooks, edit: Mapping[str, Any]) -> Iterator[LanguageModel]:
    """The model with some hooks on, for as long as the block runs, and `edit`, what they do, on record."""
    with model.bridge.hooks(fwd_hooks=hooks), model.on_record(edit, len(hooks)):
        yield model


def by_layer(rows: Mapping[int, Tensor]) -> dict[str, Tensor]:
    """One tensor per layer, as an edit's record wants it."""
    return {str(layer): row for layer, row in rows.items()}


def layer_number(model: LanguageModel, layer: int) -> int:
    """A layer counted from the first; raises IndexError if the model has no such layer."""
    if not -model.n_layers <= layer < model.n_layers:
        raise IndexError(
            f"{model.name} has layers 0 to {model.n_layers - 1} (or -1 for the last), no {layer}."
        )
    return layer % model.n_layers


def check_finite(what: str, numbers: Tensor) -> None:
    """Raises ValueError if any of the numbers is NaN or infinite."""
    if not numbers.isfinite().all():
        raise ValueError(f"The {what} holds NaN or infinity; the model is left as it was.")


def neuron_masks(model: LanguageModel, neurons: Sequence[HasPlace]) -> dict[int, Bool[Tensor, " d_mlp"]]:
    """Which neurons of each layer are meant, for the layers that have any (on the CPU).

    Raises:
        ValueError: no neurons, or one named twice.
        IndexError: the model has no such neuron.
    """
    if len(neurons) == 0:
        raise ValueError("There are no neurons to edit.")
    masks: dict[int, Tensor] = {}
    for neuron in neurons:
        if not (0 <= neuron.layer < model.n_layers and 0 <= neuron.index < model.d_mlp):
            raise IndexError(
                f"{model.name} has no neuron {neuron}: layers run 0 to {model.n_layers - 1}, "
                f"neurons 0 to {model.d_mlp - 1}."
            )
        mask = masks.setdefault(neuron.layer, torch.zeros(model.d_mlp, dtype=torch.bool))
        if mask[neuron.index]:
            raise ValueError(f"Neuron {neuron} is named twice.")
        mask[neuron.index] = True
    return masks


def spread(
    model: LanguageModel,
    neurons: Sequence[HasPlace],
    numbers: float | Float[Tensor, " number"],
    *,
    fill: float,
    what: str,
) -> dict[int, Float[Tensor, " d_mlp"]]:
    """Numbers that belong to neurons, laid out over each layer's neurons; `fill` stands at the others."""
    masks = neuron_masks(model, neurons)
    numbers = torch.as_tensor(numbers, dtype=torch.float32).detach().cpu()
    if numbers.ndim == 0:
        numbers = numbers.expand(len(neurons))
    if numbers.shape != (len(neurons),):
        raise ValueError(
            f"The {what} has shape {tuple(numbers.shape)}; wanted one number for each of {len(neurons)}."
        )
    check_finite(what, numbers)
    laid = {layer: torch.full((model.d_mlp,), fill) for layer in masks}
    for neuron, number in zip(neurons, numbers.tolist(), strict=True):
        laid[neuron.layer][neuron.index] = number
    return {layer: row.to(model.device) for layer, row in laid.items()}
