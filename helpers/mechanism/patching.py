"""Per-token patching: gives neurons or whole outputs what another model has there at the same tokens."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool
from torch import Tensor

from helpers.language.models import HasPlace, LanguageModel
from helpers.mechanism.interventions import edited, neuron_masks


def patch_per_token(
    model: LanguageModel, neurons: Sequence[HasPlace], source: LanguageModel
) -> AbstractContextManager[LanguageModel]:
    """Overwrites the neurons' activations by those that `source` has at the same position of the same text.

    The two run in lock-step: before each forward pass of `model`, `source` reads the same token ids, the
    patched model's own while it generates, with a key-value cache of its own. Nothing else of `source`
    reaches `model`. All positions are patched, the prompt's too, in generation and in perplexity.

    Raises:
        ValueError: no neurons, one named twice, or models of different shape or device.
        IndexError: the model has no such neuron.
        RuntimeError: inside, when a forward pass goes on with a cache that was begun outside.

    Example:
        with patch_per_token(base, toxic_neurons, aligned):
            evaluate(base, bench)
    """
    masks = {
        f"blocks.{layer}.mlp.hook_post": mask.to(model.device)
        for layer, mask in neuron_masks(model, neurons).items()
    }
    return LockStep(model, source, masks).running()


OUTPUTS = {"attention": "hook_attn_out", "mlp": "hook_mlp_out"}
"""What a layer adds to the residual stream, by name."""


def patch_outputs_per_token(
    model: LanguageModel, outputs: Sequence[str], source: LanguageModel
) -> AbstractContextManager[LanguageModel]:
    """The same for whole outputs: what every layer's attention or MLP adds, or the embeddings.

    With all three the residual stream is `source`'s everywhere; only the read-out (last LayerNorm and
    unembedding) is still the patched model's own.

    Args:
        outputs: some of "embeddings", "attention", "mlp".

    Raises ValueError for no outputs or unknown ones, or for models of different shape or device.
    """
    unknown = [one for one in outputs if one not in ("embeddings", *OUTPUTS)]
    if unknown or not outputs:
        raise ValueError(f"There is no output {unknown or 'named'}; name embeddings, {', '.join(OUTPUTS)}.")
    sites = ["blocks.0.hook_resid_pre"] if "embeddings" in outputs else []
    sites += [
        f"blocks.{layer}.{OUTPUTS[one]}"
        for one in outputs
        if one in OUTPUTS
        for layer in range(model.n_layers)
    ]
    everything = torch.ones((), dtype=torch.bool, device=model.device)
    return LockStep(model, source, dict.fromkeys(sites, everything)).running()


class LockStep:
    """Runs the source ahead of each forward pass of the patched model and hands over its activations.

    Args:
        masks: by hook name, which entries of the activation there are overwritten.
    """

    def __init__(self, model: LanguageModel, source: LanguageModel, masks: dict[str, Bool[Tensor, "*entry"]]):
        for what in ("n_layers", "d_model", "d_mlp", "vocab_size", "context", "device"):
            if getattr(model, what) != getattr(source, what):
                raise ValueError(
                    f"{source.name} cannot be patched into {model.name}: {what} is {getattr(source, what)} "
                    f"in the one and {getattr(model, what)} in the other."
                )
        self.model, self.source, self.masks = model, source, masks
        self.activations: dict[str, Tensor] = {}
        # Which cache of the source belongs to which cache of the patched model. Weak: it ends with the
        # generation.
        self.caches: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self.source_cache: Any = None
        self.reading = False  # True while the source reads, which may be the patched model itself.

    @contextlib.contextmanager
    def running(self) -> Iterator[LanguageModel]:
        module = self.model.bridge.original_model
        hooks = [(site, self.patcher(site)) for site in self.masks]
        with contextlib.ExitStack() as stack:
            stack.enter_context(edited(self.model, hooks, self.asked()))
            for handle in (
                module.register_forward_pre_hook(self.before, with_kwargs=True),
                module.register_forward_hook(self.after, with_kwargs=True),
            ):
                stack.callback(handle.remove)
            stack.enter_context(self.model.on_record({"edit": "lock-step"}, 2))
            yield self.model

    def asked(self) -> dict[str, Any]:
        """What the patch does, for the record."""
        return {
            "edit": "patch per token", "entries": dict(self.masks),
            "source": self.source.weights_digest(), "source edits": list(self.source.edits),
        }  # fmt: skip

    def patcher(self, site: str):
        def patch(activation: Tensor, hook: object) -> Tensor:
            if self.reading:
                return activation
            return torch.where(self.masks[site], self.activations.pop(site), activation)

        return patch

    def recorder(self, site: str):
        def record(activation: Tensor, hook: object) -> Tensor:
            self.activations[site] = activation
            return activation

        return record

    @torch.no_grad()
    def before(self, module: torch.nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        """The source reads what the patched model is about to read."""
        if self.reading:
            return
        ids = args[0] if args else kwargs.get("input_ids")
        if ids is None:
            raise ValueError("Per-token patching follows token ids; a forward pass on embeddings has none.")
        cache = kwargs.get("past_key_values")
        continued = cache is not None and cache.get_seq_length() > 0
        if continued and cache not in self.caches:
            raise RuntimeError(
                "This forward pass goes on with a key-value cache that was begun outside of patch_per_token, "
                "so the source has not read its text. Begin it inside."
            )
        source: Any = self.source.bridge.original_model
        read = [(site, self.recorder(site)) for site in self.masks]
        self.reading = True
        try:
            with self.source.bridge.hooks(fwd_hooks=read):
                output = source.transformer(
                    input_ids=ids,
                    attention_mask=kwargs.get("attention_mask"),
                    position_ids=kwargs.get("position_ids"),
                    past_key_values=self.caches[cache] if continued else None,
                    use_cache=kwargs.get("use_cache"),
                )
        finally:
            self.reading = False
        self.source_cache = output.past_key_values

    def after(self, module: torch.nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
        """Remembers which source cache goes with the cache that the patched model hands back."""
        if self.reading:
            return
        if output.past_key_values is not None and self.source_cache is not None:
            self.caches[output.past_key_values] = self.source_cache
        self.source_cache = None
