"""Computes what TRL's loss needs of pairs with each prompt run once, and logits for responses alone."""

from __future__ import annotations

import types
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional
from transformers import GPT2LMHeadModel
from trl.trainer.utils import FusedCausalLMOutput


def share_prompts(model: GPT2LMHeadModel) -> None:
    """Replaces the forward pass that DPOTrainer put on a model (`fused_lm_head=True`) by `response_logprobs`.

    TRL runs the prompt of a pair twice, once before each response, and on a CPU turns every position into
    logits. Neither changes a number that the loss uses. Every other call of the model is left as it was.
    """
    before = model.forward

    def forward(
        self: GPT2LMHeadModel,
        input_ids: Tensor | None = None,
        *args: Any,
        fused_lm_head: bool = False,
        labels: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        if not fused_lm_head or input_ids is None or labels is None or attention_mask is None:
            if fused_lm_head:
                kwargs["fused_lm_head"] = True
            return before(input_ids, *args, labels=labels, attention_mask=attention_mask, **kwargs)
        logprobs, hit = response_logprobs(self, input_ids, attention_mask.bool(), labels != -100)
        unknown = torch.full_like(logprobs, torch.nan)  # TRL logs these two; nobody reads them here
        return FusedCausalLMOutput(
            loss=-logprobs.sum(), log_probs=logprobs, entropy=unknown, mean_logits=unknown, is_top1=hit
        )

    model.forward = types.MethodType(forward, model)


def response_logprobs(
    model: GPT2LMHeadModel,
    ids: Int[Tensor, "row pos"],
    mask: Bool[Tensor, "row pos"],
    response: Bool[Tensor, "row pos"],
) -> tuple[Float[Tensor, "row pos-1"], Bool[Tensor, "row pos-1"]]:
    """log p of each response token, and whether it was the likeliest one; 0 and False elsewhere.

    Entry t is about token t + 1. A pair runs as one sequence, prompt + chosen + rejected. The rejected
    response takes the positions right after the prompt and does not see the chosen one, so each response is
    read as if it alone stood there.

    Args:
        ids: right-padded; the first half of the rows are prompts with their chosen response, the second half
            the same prompts with their rejected one.
    """
    packed = _Packed(mask, response)
    hidden = model.transformer(
        input_ids=packed.gather(ids),
        attention_mask=packed.attention(model.config._attn_implementation),
        position_ids=packed.column,
        use_cache=False,
    ).last_hidden_state
    rows, columns = torch.nonzero(response[:, 1:], as_tuple=True)
    logits = functional.linear(hidden[packed.before(rows, columns)], model.get_output_embeddings().weight)
    targets = ids[:, 1:][rows, columns]
    taken = -functional.cross_entropy(logits.float(), targets, reduction="none")
    place = response[:, 1:]
    logprobs = torch.zeros(place.shape, device=ids.device).index_put((rows, columns), taken)
    hit = torch.zeros_like(place).index_put((rows, columns), logits.argmax(dim=-1) == targets)
    return logprobs, hit


class _Packed:
    """Where each position of prompt + chosen + rejected comes from, one row per pair."""

    def __init__(self, mask: Bool[Tensor, "row pos"], response: Bool[Tensor, "row pos"]) -> None:
        self.pairs = len(mask) // 2
        lengths, answers = mask.sum(dim=1, keepdim=True), response.sum(dim=1, keepdim=True)
        self.prompt = (lengths - answers)[: self.pairs]
        self.chosen, rejected = answers[: self.pairs], answers[self.pairs :]
        width = int((self.prompt + self.chosen + rejected).max())
        place = torch.arange(width, device=mask.device)[None]
        self.real = place < self.prompt + self.chosen + rejected
        self.second = self.real & (place >= self.prompt + self.chosen)
        self.first = (place >= self.prompt) & (place < self.prompt + self.chosen)
        self.column = torch.where(self.second, place - self.chosen, place) * self.real

    def gather(self, ids: Int[Tensor, "row pos"]) -> Int[Tensor, "pair packed"]:
        """The token ids of the packed sequences; any id at padding."""
        chosen, rejected = ids[: self.pairs], ids[self.pairs :]
        return torch.where(self.second, rejected.gather(1, self.column), chosen.gather(1, self.column))

    def attention(self, implementation: str) -> Tensor:
        """Who sees whom, shape (pair, 1, query, key): what came before; rejected tokens see no chosen one."""
        width = self.column.shape[1]
        causal = torch.ones(width, width, dtype=torch.bool, device=self.column.device).tril()
        seen = causal & self.real[:, None, :] & ~(self.second[:, :, None] & self.first[:, None, :])
        if implementation != "eager":
            return seen[:, None]
        return torch.zeros(seen[:, None].shape, device=seen.device).masked_fill(
            ~seen[:, None], torch.finfo(torch.float32).min
        )

    def before(
        self, rows: Int[Tensor, " token"], columns: Int[Tensor, " token"]
    ) -> tuple[Int[Tensor, " token"], Int[Tensor, " token"]]:
        """Row and packed position from which the token after (row, column) is predicted."""
        pair = rows % self.pairs
        # The first response token follows the shared prompt; further rejected ones stand behind the chosen
        # response.
        behind = (rows >= self.pairs) & (columns >= self.prompt[pair, 0])
        return pair, columns + behind * self.chosen[pair, 0]
