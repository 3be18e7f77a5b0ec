"""The DPO loss from scratch: which tokens count, their log-probabilities, and the loss of the sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from helpers.language.tokens import pad


@dataclass(frozen=True, eq=False)
class PairBatch:
    """Prompts with their responses as one padded batch: the chosen rows first, then the rejected ones.

    Attributes:
        ids: token ids; padding may stand on either side.
        mask: which ids are real.
        response: which real ids belong to the response. Only these enter the loss.
    """

    ids: Int[Tensor, "row pos"]
    mask: Bool[Tensor, "row pos"]
    response: Bool[Tensor, "row pos"]


@dataclass(frozen=True, eq=False)
class DPOTerms:
    """The loss of a batch and what it is made of.

    Attributes:
        loss: −log σ(margin), averaged over pairs, in nats.
        margin: chosen minus rejected reward of each pair.
        chosen_reward, rejected_reward: β (log π − log π_ref) of each response.
    """

    loss: Float[Tensor, ""]
    margin: Float[Tensor, " pair"]
    chosen_reward: Float[Tensor, " pair"]
    rejected_reward: Float[Tensor, " pair"]


def dpo_loss(
    policy_chosen: Float[Tensor, " pair"],
    policy_rejected: Float[Tensor, " pair"],
    reference_chosen: Float[Tensor, " pair"],
    reference_rejected: Float[Tensor, " pair"],
    beta: float,
) -> DPOTerms:
    """Direct preference optimisation (Rafailov et al. 2023, equation 7), from summed log-probabilities.

    Each argument is log π(response | prompt) in nats, summed over the response's tokens, not averaged. A
    policy equal to its reference has rewards and margin 0, hence a loss of log 2.

    Example:
        >>> one, zero = torch.ones(1), torch.zeros(1)
        >>> round(dpo_loss(one, -one, zero, zero, beta=0.5).loss.item(), 4)      # log(1 + exp(-1))
        0.3133
    """
    chosen_reward = beta * (policy_chosen - reference_chosen)
    rejected_reward = beta * (policy_rejected - reference_rejected)
    margin = chosen_reward - rejected_reward
    return DPOTerms(-functional.logsigmoid(margin).mean(), margin, chosen_reward, rejected_reward)


def sequence_logprobs(model: nn.Module, batch: PairBatch) -> Float[Tensor, " row"]:
    """log π(response | prompt) of each row in nats: the sum over response tokens, and nothing else."""
    return torch.where(batch.response, token_logprobs(model, batch.ids, batch.mask), 0.0).sum(dim=1)


def token_logprobs(
    model: nn.Module, ids: Int[Tensor, "row pos"], mask: Bool[Tensor, "row pos"]
) -> Float[Tensor, "row pos"]:
    """log p(token | the real tokens before it), in nats; 0 at the first position, which nothing predicts.

    Positions count real tokens only, so padding on either side changes nothing at the real ones. What stands
    at padding and at a row's first real token means nothing.

    Args:
        model: a Hugging Face causal language model (`GPT2LMHeadModel`).
    """
    positions = (mask.long().cumsum(dim=1) - 1).clamp_min(0)
    logits = model(input_ids=ids, attention_mask=mask.long(), position_ids=positions, use_cache=False).logits
    logprobs = logits[:, :-1].float().log_softmax(dim=-1)  # position t predicts token t + 1
    taken = logprobs.gather(-1, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    return functional.pad(taken, (1, 0))


def lay_out(
    prompts: Sequence[Sequence[int]],
    chosen: Sequence[Sequence[int]],
    rejected: Sequence[Sequence[int]],
    *,
    padding: int,
    side: str = "right",
    width: int | None = None,
) -> PairBatch:
    """Token ids of pairs as one padded batch, chosen rows first.

    Args:
        prompts, chosen, rejected: token ids; prompt and response are simply joined.
        padding: any id; the mask alone says what is real.
        width: pad to this many positions; None pads to the longest row.

    Raises:
        ValueError: an empty prompt or response, a row longer than `width`, an unknown side.
    """
    rows = [
        (list(prompt), list(response))
        for responses in (chosen, rejected)
        for prompt, response in zip(prompts, responses, strict=True)
    ]
    empty = [number for number, (prompt, response) in enumerate(rows) if not prompt or not response]
    if empty:
        raise ValueError(
            f"Row {empty[0]} has an empty prompt or response: there is nothing to compare in it."
        )
    tokens = pad([prompt + response for prompt, response in rows], padding, side=side, width=width)
    prompt_lengths = torch.tensor([len(prompt) for prompt, _ in rows]).unsqueeze(1)
    return PairBatch(tokens.ids, tokens.mask, tokens.mask & (tokens.place >= prompt_lengths))
