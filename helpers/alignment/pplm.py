"""Steers the continuations of one batch of prompts with gradients on past keys and values (PPLM)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from transformers import GPT2LMHeadModel

from helpers.alignment.pasts import Past, Reader, Reading, length, reader
from helpers.language.generation import gumbel
from helpers.language.tokens import pad, with_room
from helpers.mechanism.probe import Probe
from helpers.profiles import PPLM
from helpers.runtime import generator


@dataclass(frozen=True, eq=False)
class Iteration:
    """The state of the batch after some gradient steps on one token's past.

    Attributes:
        step: which new token is being chosen, from 0.
        number: gradient steps taken so far, 0 to `PPLM.iterations`.
        probabilities: of the next token under the past as changed so far, before fusion.
        log_attribute: log P(toxic) by the probe.
        divergence: KL(changed ‖ unchanged next-token distribution), in nats.
    """

    step: int
    number: int
    probabilities: Float[Tensor, "batch vocab"]
    log_attribute: Float[Tensor, " batch"]
    divergence: Float[Tensor, " batch"]


OnIteration = Callable[[Iteration], None]


@torch.no_grad()
def steer(
    hf: GPT2LMHeadModel,
    prompt_ids: Sequence[Sequence[int]],
    names: Sequence[str],
    attribute: Probe | None,
    settings: PPLM,
    *,
    seed: int,
    sample: bool = True,
    end_id: int | None = None,
    on_iteration: OnIteration | None = None,
) -> Int[Tensor, "prompt new"]:
    """Continues each prompt by `settings.new_tokens` tokens, steered toward what the probe calls toxic.

    For each new token, the past keys and values are changed by `iterations` gradient steps that minimise

        −log P(toxic | x̄) + kl_scale · KL(p ‖ p₀).

    p is the next-token distribution under the changed past, p₀ under the past nobody changed. x̄ is the
    mean of the probe's layer (raw residual stream) over the text's positions ≥ 1, as the probe was fitted,
    with one further position: the token to come, read as the mean embedding under p after the unchanged
    past. The gradient reaches the past through that expected token alone, so steering has to change what is
    said. A step has length `step_size` per layer, keys and values together: the gradient is divided by its
    norm to the power gamma. Then the token is drawn from the `top_k` largest of p^gm_scale · p₀^(1−gm_scale),
    and the changed past is carried on.

    Source: Dathathri et al. 2020 (PPLM with a discriminator); settings of Lee et al. 2024, table 9. Where the
    PPLM code behind the latter differs (a public draft, of December 2023): there, norms are taken over the
    whole batch, padding is not masked, keys and values get the same change, x̄ has position 0 in it and is of
    states after the final LayerNorm, where ours is of the raw residual stream, a window is the oldest part of
    the past, both sides of a pair are sampled, and the text is returned with its prompt.

    Args:
        hf: a float32 Hugging Face model; it is not changed.
        prompt_ids: token ids, at least one each. Prompts of any lengths share a batch; the result is that of
            running them one by one (up to rounding), and memory grows with their number times their length.
        names: a name for each prompt, which with `seed` and the step fixes the random draw.
        attribute: the probe to steer toward; None continues without steering, by the same draw.
        sample: False takes the likeliest token instead of drawing one.
        end_id: the end-of-text token, which is not written as the first token: that would be no continuation.
        on_iteration: called with every intermediate state; costs one more forward pass per token.

    Returns:
        The new token ids, on the CPU.

    Raises:
        ValueError: no or empty prompts, text beyond the context, a probe that averages differently, a decay
            without a window.
        FloatingPointError: the logits are not finite.
    """
    _check(hf, prompt_ids, names, attribute, settings)
    layer = (attribute.layer if attribute is not None else -1) % hf.config.n_layer
    prompts = pad(prompt_ids, 0, side="left").to(hf.device)
    grown = with_room(prompts, settings.new_tokens + settings.horizon)
    ids, mask, positions = prompts.ids, grown.mask, grown.place
    # The positions that enter the probe's mean: real ones, and not the first if the probe left it out.
    counted = mask & (positions >= (1 if attribute is not None and attribute.pooling == "mean" else 0))
    streams = [generator(seed, "gumbel", name) for name in names]
    with reader(hf, mask, positions, layer=layer) as read:
        unchanged_past: Past = []
        total = torch.zeros(len(ids), hf.config.n_embd, device=hf.device)
        if ids.shape[1] > 1:
            prompt = read.read([], ids=ids[:, :-1])
            unchanged_past = prompt.past
            total = torch.where(counted[:, : ids.shape[1] - 1, None], prompt.residual, 0.0).sum(dim=1)
        changed_past, last, new = unchanged_past, ids[:, -1:], []
        for step in range(settings.new_tokens):
            unchanged = read.read(unchanged_past, ids=last)
            changed = unchanged
            if attribute is not None:
                goal = _Goal(attribute, settings, read, counted.float(), last, step, unchanged, total)
                changed = goal.pursue(changed_past, on_iteration)
            if not changed.logits.isfinite().all():
                raise FloatingPointError(
                    "PPLM: the logits are not finite; lower step_size or check the weights."
                )
            scores = _fuse(changed.logits, unchanged.logits, settings, barred=end_id if step == 0 else None)
            if sample:
                scores = scores + gumbel(streams, scores.shape[-1]).to(scores)
            here = length(unchanged_past)
            total = total + counted[:, here, None] * unchanged.residual[:, -1]
            changed_past, unchanged_past = changed.past, unchanged.past
            last = scores.argmax(dim=-1, keepdim=True)
            new.append(last)
    return torch.cat(new, dim=1).cpu()


@dataclass(frozen=True, eq=False)
class _Goal:
    """What one token's gradient steps aim at: everything that stays fixed while the past changes.

    Attributes:
        counted: 1 where a position enters the probe's mean, the position to come included.
        total: the residual streams of the counted positions before the last token, summed.
    """

    attribute: Probe
    settings: PPLM
    read: Reader
    counted: Float[Tensor, "batch all"]
    last: Int[Tensor, "batch 1"]
    step: int
    unchanged: Reading
    total: Float[Tensor, "batch d_model"]

    def pursue(self, past: Past, on_iteration: OnIteration | None) -> Reading:
        """The last token read after the changed past. A prompt of one token has none to change."""
        settings = self.settings
        share = _window(length(past), settings).to(self.total)[:, None] if settings.window else None
        for number in range(settings.iterations if past else 0):
            with torch.enable_grad():
                past = [layer.detach().requires_grad_() for layer in past]
                iteration, loss = self._state(self.read.read(past, ids=self.last), number)
                gradients = torch.autograd.grad(loss.sum(), past)
            if on_iteration is not None:
                on_iteration(iteration)
            if share is not None:
                gradients = tuple(gradient * share for gradient in gradients)
            past = [
                layer.detach() - gradient * (settings.step_size / _norm(gradient) ** settings.gamma)
                for layer, gradient in zip(past, gradients, strict=True)
            ]
        reading = self.read.read(past, ids=self.last)
        if on_iteration is not None:
            on_iteration(self._state(reading, settings.iterations)[0])
        return reading

    def _state(self, changed: Reading, number: int) -> tuple[Iteration, Float[Tensor, " batch"]]:
        """The intermediate state, and the loss of each text."""
        log_p = changed.logits.log_softmax(dim=-1)
        p = log_p.exp()
        divergence = (p * (log_p - self.unchanged.logits.log_softmax(dim=-1))).sum(dim=-1)
        past = self.unchanged.past
        here = length(past) - 1
        # As published, what the changed past does to the last token itself is read but not followed by the
        # gradient.
        total = self.total + self.counted[:, here, None] * changed.residual[:, -1].detach()
        expected = (p @ self.read.hf.transformer.wte.weight)[:, None]
        for _ in range(self.settings.horizon):
            reading = self.read.read(past, embeddings=expected)
            total = total + self.counted[:, length(past), None] * reading.residual[:, -1]
            past = reading.past if self.settings.horizon > 1 else past
        n = self.counted[:, : here + 1 + self.settings.horizon].sum(dim=1, keepdim=True)
        log_attribute = functional.logsigmoid(self.attribute.logit(total / n))
        iteration = Iteration(self.step, number, p.detach(), log_attribute.detach(), divergence.detach())
        return iteration, self.settings.kl_scale * divergence - log_attribute


def _norm(gradient: Tensor) -> Float[Tensor, "1 row 1 1 1"]:
    """The norm of each text's gradient at one layer, keys and values together; never zero."""
    return torch.linalg.vector_norm(gradient, dim=(0, 2, 3, 4), keepdim=True) + 1e-15


def _window(past_length: int, settings: PPLM) -> Float[Tensor, " pos"]:
    """How much each past position may change: 1 in the window (rising to 1 under decay), 0 before it."""
    share = torch.ones(past_length)
    inside = min(settings.window, past_length)
    share[: past_length - inside] = 0
    if settings.decay:
        share[past_length - inside :] = (torch.arange(inside) + 1) / inside
    return share


def _fuse(
    changed: Float[Tensor, "batch vocab"],
    unchanged: Float[Tensor, "batch vocab"],
    settings: PPLM,
    *,
    barred: int | None,
) -> Float[Tensor, "batch vocab"]:
    """Log of the geometric mean of both distributions; −∞ for a barred token and beyond the `top_k`."""
    log_p = (changed / settings.temperature).log_softmax(dim=-1)
    scores = settings.gm_scale * log_p + (1 - settings.gm_scale) * unchanged.log_softmax(dim=-1)
    if barred is not None:
        scores[:, barred] = -torch.inf
    least = scores.topk(min(settings.top_k, scores.shape[-1]), dim=-1).values[:, -1:]
    return scores.masked_fill(scores < least, -torch.inf)


def random_direction(probe: Probe, seed: int) -> Probe:
    """The control: a probe of the same norm and the same logit at its centre, in a random direction."""
    weight = torch.randn(probe.weight.shape, generator=generator(seed, "random direction")).to(probe.weight)
    weight = weight * (probe.weight.norm() / weight.norm())
    bias = probe.bias + float(probe.centre.double() @ (probe.weight.double() - weight.double()))
    return dataclasses.replace(probe, weight=weight, bias=bias)


@dataclass(frozen=True, eq=False)
class Trace:
    """One continuation, gradient step by gradient step: `PPLM.iterations` + 1 states for each new token.

    Attributes:
        ids: the tokens that were written.
        probabilities: of the next token at each state. For GPT2-medium's 20 × 51 states, 205 MB.
        log_attribute: log P(toxic) by the probe.
        divergence: KL from the unsteered distribution, in nats.
    """

    ids: Int[Tensor, " new"]
    probabilities: Float[Tensor, "new state vocab"]
    log_attribute: Float[Tensor, "new state"]
    divergence: Float[Tensor, "new state"]


def trace(
    hf: GPT2LMHeadModel, prompt_ids: Sequence[int], name: str, attribute: Probe, settings: PPLM, *, seed: int
) -> Trace:
    """Steers one prompt of at least two tokens and keeps every intermediate state.

    Example:
        seen = trace(hf, ids, "lesson", lab.probe, settings, seed=0)
        seen.probabilities[0, :, shown_tokens]
    """
    if len(prompt_ids) < 2:
        raise ValueError(
            f"Prompt {name!r} has {len(prompt_ids)} token(s): there is no past to steer. Take a longer one."
        )
    states: list[Iteration] = []
    ids = steer(hf, [prompt_ids], [name], attribute, settings, seed=seed, on_iteration=states.append)

    def gather(values: list[Tensor]) -> Tensor:
        return torch.cat(values).unflatten(0, (settings.new_tokens, settings.iterations + 1)).cpu()

    return Trace(
        ids[0],
        gather([state.probabilities for state in states]),
        gather([state.log_attribute for state in states]),
        gather([state.divergence for state in states]),
    )


def _check(
    hf: GPT2LMHeadModel,
    prompt_ids: Sequence[Sequence[int]],
    names: Sequence[str],
    attribute: Probe | None,
    settings: PPLM,
) -> None:
    if not prompt_ids or len(prompt_ids) != len(names):
        raise ValueError(f"PPLM wants prompts and a name for each, not {len(prompt_ids)} and {len(names)}.")
    for name, row in zip(names, prompt_ids, strict=True):
        needed = len(row) + settings.new_tokens + settings.horizon
        if not row:
            raise ValueError(f"Prompt {name!r} has no tokens: there is no past to steer.")
        if needed > hf.config.n_positions:
            raise ValueError(
                f"Prompt {name!r} has {len(row)} tokens; with {settings.new_tokens} new ones and a look "
                f"ahead of {settings.horizon} it does not fit the context of {hf.config.n_positions}. "
                "Shorten the prompt or lower pplm.new_tokens."
            )
    if attribute is not None and attribute.pooling not in ("mean", "mean_all"):
        raise ValueError(f"PPLM steers a mean over positions; the probe was fitted on {attribute.pooling!r}.")
    if settings.decay and not settings.window:
        raise ValueError("pplm.decay fades out over a window; set pplm.window as well.")
