"""What models say next: read off the stream at every depth, and how far two models differ at a token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformer_lens.tools.analysis import logit_lens

from helpers.language.models import LanguageModel
from helpers.language.tokens import Tokens, pad


@torch.no_grad()
def next_token_by_depth(
    model: LanguageModel,
    texts: Sequence[Sequence[int]],
    following: Sequence[int],
    *,
    batch_size: int = 32,
) -> tuple[list[str], Float[Tensor, "point text"]]:
    """The probability of a token after each text, read off the stream at every residual point.

    The logit lens: final LayerNorm and unembedding applied to what the stream holds so far, at each text's
    last position. It is TransformerLens's own, which reads raw weights right (`tests/mechanism`).

    Args:
        texts: token ids, each text cut just before the token.
        following: that token of each text.

    Returns:
        The points' names (`0_pre`, `0_mid`, … `final_post`), and the probabilities; the last point's are the
        model's own.

    Raises ValueError for no texts.
    """
    if not texts:
        raise ValueError("There are no texts to read.")
    kept = ("hook_embed", "hook_pos_embed", "hook_attn_out", "hook_mlp_out", "hook_resid")
    found, labels = [], []
    for start in range(0, len(texts), batch_size):
        rows = pad(texts[start : start + batch_size], model.tokenizer.eos_token_id, side="left")
        rows = rows.to(model.device)
        _, cache = model.bridge.run_with_cache(
            rows.ids,
            attention_mask=rows.mask.long(),
            names_filter=lambda name: any(part in name for part in kept),
        )
        targets = torch.tensor(following[start : start + batch_size], device=model.device)[:, None]
        seen = logit_lens(
            model.bridge, cache=cache, positions=[-1], incl_mid=True, targets=targets, return_type="probs"
        )
        labels = seen.labels
        found.append(seen.values[:, :, 0, 0].cpu())
    return labels, torch.cat(found, dim=1)


@torch.no_grad()
def divergences(
    before: LanguageModel,
    after: LanguageModel,
    tokens: Tokens,
    counted: Bool[Tensor, "text pos"],
    *,
    batch_size: int = 32,
) -> Float[Tensor, "text pos"]:
    """KL(after ‖ before) of the next token, in nats, at each counted position; NaN at all others."""
    found = torch.full(counted.shape, torch.nan)
    for start in range(0, len(tokens), batch_size):
        some = slice(start, start + batch_size)
        old, new = (
            log_probabilities(model, tokens[some], counted[some], batch_size=batch_size)
            for model in (before, after)
        )
        found[some][counted[some]] = (new.exp() * (new - old)).sum(dim=-1)
    return found


@torch.no_grad()
def log_probabilities(
    model: LanguageModel, tokens: Tokens, counted: Bool[Tensor, "text pos"], *, batch_size: int = 32
) -> Float[Tensor, "position vocab"]:
    """The log-probability of every next token at each counted position, text by text, on the CPU."""
    found = [torch.empty(0, model.vocab_size)]
    for start in range(0, len(tokens), batch_size):
        rows = tokens[start : start + batch_size].to(model.device)
        where = counted[start : start + batch_size].to(model.device)
        found.append(model.logits(rows)[where].log_softmax(-1).cpu())
    return torch.cat(found)


@torch.no_grad()
def next_token_probabilities(
    model: LanguageModel,
    tokens: Tokens,
    counted: Bool[Tensor, "text pos"],
    *,
    batch_size: int = 32,
) -> Float[Tensor, "text pos"]:
    """The probability that a model gives, at each counted position, to the token that follows; else NaN.

    Args:
        tokens: padded on the right, so that a text's next token stands in the next column.

    Raises ValueError where a text's last token is counted: nothing follows it.
    """
    follows = torch.zeros_like(tokens.mask)
    follows[:, :-1] = tokens.mask[:, 1:]
    if (counted & ~follows).any():
        raise ValueError("The last token of a text is counted, after which none follows.")
    found = torch.full(counted.shape, torch.nan)
    for start in range(0, len(tokens), batch_size):
        rows, where = tokens[start : start + batch_size], counted[start : start + batch_size]
        said = model.logits(rows.to(model.device))[where.to(model.device)].softmax(dim=-1).cpu()
        after = rows.ids.roll(-1, dims=1)[where]
        found[start : start + batch_size][where] = said.gather(1, after[:, None])[:, 0]
    return found
