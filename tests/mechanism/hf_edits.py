"""The interventions a second time, as plain PyTorch hooks on the Hugging Face model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

from helpers.language.models import HasPlace


def on_output(edit: Callable[[Tensor], Tensor]):
    def hook(module, args, output):
        return (edit(output[0]), *output[1:]) if isinstance(output, tuple) else edit(output)

    return hook


def on_input(edit: Callable[[Tensor], Tensor]):
    return lambda module, args: (edit(args[0]), *args[1:])


@contextlib.contextmanager
def hf_direction(
    hf: GPT2LMHeadModel, direction: Tensor, strength: float, layer: int, site: str
) -> Iterator[None]:
    block = hf.transformer.h[layer]

    def edit(activation: Tensor) -> Tensor:
        return activation + strength * direction

    if site == "resid_pre":
        handle = block.register_forward_pre_hook(on_input(edit))
    else:
        module = {"attn_out": block.attn, "mlp_out": block.mlp, "resid_post": block}[site]
        handle = module.register_forward_hook(on_output(edit))
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def hf_projection(hf: GPT2LMHeadModel, direction: Tensor, layer: int) -> Iterator[None]:
    matrix = torch.eye(len(direction)) - torch.outer(direction, direction) / direction.square().sum()
    handle = hf.transformer.h[layer].register_forward_hook(on_output(lambda activation: activation @ matrix))
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def hf_neurons(
    hf: GPT2LMHeadModel,
    neurons: Sequence[HasPlace],
    edit: Callable[[Tensor, int], Tensor],
    *,
    before_gelu: bool,
) -> Iterator[None]:
    """Replaces one neuron's activation at a time by `edit(activation, number of the neuron in the list)`."""
    handles = []
    for number, neuron in enumerate(neurons):

        def change(activation: Tensor, number: int = number, index: int = neuron.index) -> Tensor:
            activation = activation.clone()
            activation[..., index] = edit(activation[..., index], number)
            return activation

        mlp = hf.transformer.h[neuron.layer].mlp
        if before_gelu:
            handles.append(mlp.c_fc.register_forward_hook(on_output(change)))
        else:
            handles.append(mlp.c_proj.register_forward_pre_hook(on_input(change)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def hf_outputs(hf: GPT2LMHeadModel, site: str, rows: Tensor, *, add: bool) -> Iterator[None]:
    """Every layer's attention or MLP writes one vector, or one more than it would."""
    handles = []
    for block, row in zip(hf.transformer.h, rows, strict=True):

        def change(output: Tensor, row: Tensor = row) -> Tensor:
            return output + row if add else row.expand_as(output)

        module = block.attn if site == "attn_out" else block.mlp
        handles.append(module.register_forward_hook(on_output(change)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def hf_outputs_of(hf: GPT2LMHeadModel, source: GPT2LMHeadModel, outputs: Sequence[str]) -> Iterator[None]:
    """Outputs of another model, which reads the whole text anew before each (uncached) forward pass."""
    recorded: dict[tuple[str, int], Tensor] = {}
    handles = []

    def follow(module, args, kwargs):
        with torch.no_grad():
            source(*args, **kwargs)

    def keep(key: tuple[str, int]) -> Callable[[Tensor], Tensor]:
        def note(output: Tensor) -> Tensor:
            recorded[key] = output
            return output

        return note

    handles.append(hf.register_forward_pre_hook(follow, with_kwargs=True))
    for layer in range(len(hf.transformer.h)):
        for model in (source, hf):
            block = model.transformer.h[layer]
            for name, module in {"attention": block.attn, "mlp": block.mlp}.items():
                if name in outputs:
                    key = (name, layer)
                    edit = keep(key) if model is source else (lambda output, key=key: recorded[key])
                    handles.append(module.register_forward_hook(on_output(edit)))
    if "embeddings" in outputs:
        key = ("embeddings", 0)
        handles.append(source.transformer.h[0].register_forward_pre_hook(on_input(keep(key))))
        handles.append(hf.transformer.h[0].register_forward_pre_hook(on_input(lambda _: recorded[key])))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def slow_continuation(hf: GPT2LMHeadModel, ids: Sequence[int], steps: int) -> list[int]:
    """Greedy, one token at a time, without cache or padding: the obvious version."""
    ids = list(ids)
    for _ in range(steps):
        ids.append(int(hf(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[-steps:]
