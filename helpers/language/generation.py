"""Continues prompts in batches, greedily or by seeded sampling, under whatever hooks are on the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from helpers.language.models import LanguageModel
from helpers.language.texts import Prompt
from helpers.language.tokens import pad, with_room
from helpers.profiles import Decoding
from helpers.runtime import ProgressFn, generator, with_batch_halving


@dataclass(frozen=True, eq=False)
class Continuations:
    """What a model wrote after each prompt, in the order in which the prompts were given.

    Attributes:
        prompt_ids: the token ids that were read, after cutting a long prompt from the left.
        ids: exactly `decoding.new_tokens` new token ids per prompt.
        mask: False from the first end-of-text token on: what follows it belongs to another document.
        texts: the new tokens where `mask` is True, decoded. The prompt is no part of it.
    """

    prompts: tuple[Prompt, ...]
    prompt_ids: tuple[tuple[int, ...], ...]
    ids: Int[Tensor, "prompt new"]
    mask: Bool[Tensor, "prompt new"]
    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.prompts)


def continue_prompts(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    decoding: Decoding,
    *,
    seed: int,
    batch_size: int,
    progress: ProgressFn | None = None,
) -> Continuations:
    """Continues each prompt by `decoding.new_tokens` tokens.

    The text of a prompt depends on the model, the prompt, the decoding and the seed alone, not on the
    batch it is in (short of two tokens whose scores differ by no more than rounding). Sampling takes the
    largest of logits / temperature + Gumbel noise, which draws from the softmax at that temperature; the
    noise of a step is fixed by (seed, prompt id, step), so two conditions run with the same seed meet the
    same chances and can be compared prompt by prompt.

    A prompt of more than `decoding.max_prompt_tokens` tokens keeps its last ones, because it is at its end
    that the model takes over (the published code keeps the first, which continues such a prompt from its
    middle).

    Args:
        batch_size: prompts per forward pass; halved, with a notice, when the device runs out of memory.
        progress: called as `progress(done, total, "continuations")` after each batch.

    Raises:
        ValueError: there are no prompts, one has no tokens, two share an id, or one does not fit the context.
        FloatingPointError: the logits are not finite, as under too strong an intervention.

    Example:
        greedy = Decoding(method="greedy", new_tokens=5)
        continue_prompts(model, prompts, greedy, seed=0, batch_size=8).texts[0]
        ' good friend to me.'
    """
    check_prompts(prompts)
    texts = [prompt.text for prompt in prompts]
    rows = model.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    prompt_ids = tuple(tuple(row[-decoding.max_prompt_tokens :]) for row in rows)
    names = tuple(prompt.id for prompt in prompts)
    ids = continue_ids(
        model, prompt_ids, names, decoding, seed=seed, batch_size=batch_size, progress=progress
    )
    mask = before_end(ids, model.tokenizer.eos_token_id)
    written = tuple(
        str(model.tokenizer.decode(row[kept].tolist(), clean_up_tokenization_spaces=False))
        for row, kept in zip(ids, mask, strict=True)
    )
    return Continuations(tuple(prompts), prompt_ids, ids, mask, written)


def continue_ids(
    model: LanguageModel,
    prompt_ids: Sequence[Sequence[int]],
    names: Sequence[str],
    decoding: Decoding,
    *,
    seed: int,
    batch_size: int,
    progress: ProgressFn | None = None,
) -> Int[Tensor, "prompt new"]:
    """The same on token ids; gives the new ids, on the CPU. `names` seed the noise, as prompt ids do."""
    for name, row in zip(names, prompt_ids, strict=True):
        if len(row) == 0:
            raise ValueError(
                f"Prompt {name!r} has no tokens: without a start token there is nothing to continue."
            )
        if len(row) + decoding.new_tokens > model.context:
            raise ValueError(
                f"Prompt {name!r} has {len(row)} tokens; with {decoding.new_tokens} new ones it does not fit "
                f"the context of {model.context} of {model.name}. Lower max_prompt_tokens or new_tokens."
            )
    # Longest first: memory runs out at once or not at all. Equal lengths together: little padding.
    order = sorted(range(len(prompt_ids)), key=lambda row: (-len(prompt_ids[row]), row))

    def run(size: int) -> Int[Tensor, "prompt new"]:
        ids = torch.empty(len(order), decoding.new_tokens, dtype=torch.long)
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            chooser = choose_next(decoding, seed, [names[row] for row in batch])
            ids[batch] = continue_batch(
                model, [prompt_ids[row] for row in batch], decoding.new_tokens, chooser
            ).cpu()
            if progress is not None:
                progress(min(start + size, len(order)), len(order), "continuations")
        return ids

    return with_batch_halving(run, batch_size)


Chooser = Callable[[Float[Tensor, "batch vocab"]], Int[Tensor, " batch"]]


def choose_next(decoding: Decoding, seed: int, names: Sequence[str]) -> Chooser:
    """The rule that turns a batch's logits into its next tokens; call it once per step, in order."""
    if decoding.method == "greedy":
        return lambda logits: logits.argmax(dim=-1)
    streams = [generator(seed, "gumbel", name) for name in names]

    def sample(logits: Float[Tensor, "batch vocab"]) -> Int[Tensor, " batch"]:
        noise = gumbel(streams, logits.shape[-1])
        return (logits / decoding.temperature + noise.to(logits)).argmax(dim=-1)

    return sample


def gumbel(streams: Sequence[torch.Generator], size: int) -> Float[Tensor, "stream {size}"]:
    """Standard Gumbel noise, drawn in float64: its largest values decide, and float32 has few of them."""
    uniform = torch.stack([torch.rand(size, generator=stream, dtype=torch.float64) for stream in streams])
    return -torch.log(-torch.log(uniform.clamp_min(torch.finfo(torch.float64).tiny))).float()


@torch.no_grad()
def continue_batch(
    model: LanguageModel, prompt_ids: Sequence[Sequence[int]], steps: int, choose: Chooser
) -> Int[Tensor, "batch new"]:
    """Continues one batch with a key-value cache.

    Prompts are padded on the left, so that all continue at the same place. The mask hides the padding and the
    positions count real tokens alone, so each row computes what it would compute by itself.
    """
    prompts = pad(prompt_ids, model.tokenizer.eos_token_id, side="left").to(model.device)
    grown = with_room(prompts, steps)
    mask, positions = grown.mask.long(), grown.place
    step_input, width = prompts.ids, prompts.ids.shape[1]

    # The hooks sit on the modules inside; called directly, the module computes logits for the last position
    # alone.
    forward = model.bridge.original_model
    cache, new, finite = None, [], torch.ones((), dtype=torch.bool, device=model.device)
    for end in range(width, width + steps):
        output = forward(
            input_ids=step_input,
            attention_mask=mask[:, :end],
            position_ids=positions[:, end - step_input.shape[1] : end],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache, logits = output.past_key_values, output.logits[:, -1]
        finite &= logits.isfinite().all()
        new.append(choose(logits))
        step_input = new[-1].unsqueeze(-1)
    if not finite:
        raise FloatingPointError(
            f"{model.name} gave logits that are not finite while generating: an intervention is too strong, "
            "or the weights hold NaN."
        )
    return torch.stack(new, dim=-1)


def before_end(ids: Int[Tensor, "prompt new"], end_id: int) -> Bool[Tensor, "prompt new"]:
    """True before the first end-of-text token of each row.

    Example:
        >>> before_end(torch.tensor([[5, 0, 5], [5, 5, 5]]), end_id=0).tolist()
        [[True, False, False], [True, True, True]]
    """
    return (ids == end_id).cumsum(dim=-1) == 0


def check_prompts(prompts: Sequence[Prompt]) -> None:
    """Raises ValueError for no prompts, an empty one, or two with one id (they would share their noise)."""
    if len(prompts) == 0:
        raise ValueError("There are no prompts to continue.")
    empty = [prompt.id for prompt in prompts if not prompt.text]
    if empty:
        raise ValueError(f"Prompt {empty[0]!r} is empty: without a start token there is nothing to continue.")
    names = [prompt.id for prompt in prompts]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(
            f"Two prompts have the id {twice!r}: give each its own, it seeds the prompt's noise."
        )
