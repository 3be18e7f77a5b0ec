"""Turns the texts of pairs into token ids, and refuses what could not be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from helpers.language.texts import Pair
from helpers.profiles import DPO


class PairError(ValueError):
    """Pairs that cannot be used; the message says which, why, and what to do."""


@dataclass(frozen=True)
class EncodedPair:
    """Token ids of a pair. A sequence is the prompt's ids followed by a response's."""

    id: str
    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]


def encode_pairs(
    pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerBase, settings: DPO, context: int
) -> tuple[EncodedPair, ...]:
    """Token ids of each pair, cut to the profile's limits.

    Prompt and responses are tokenised separately, so a response begins exactly where its prompt ends,
    whatever the texts. A long prompt keeps its last tokens, a long response its first. No end-of-text token
    is added: most responses are cut off by a length limit, and a model trained to stop there would learn to
    fall silent.

    Raises:
        PairError: no pairs; an empty prompt or response; both responses the same; limits beyond the context.
    """
    if not pairs:
        raise PairError("There are no pairs to train on.")
    if settings.max_prompt_tokens + settings.max_new_tokens > context:
        longest = max(len(row) for row in _ids(tokenizer, [pair.prompt for pair in pairs]))
        raise PairError(
            f"dpo.max_prompt_tokens ({settings.max_prompt_tokens}) and dpo.max_new_tokens "
            f"({settings.max_new_tokens}) together exceed the context of {context} tokens; the longest "
            f"prompt has {longest}. "
            "Lower one of them in the profile."
        )
    prompts = _ids(tokenizer, [pair.prompt for pair in pairs])
    chosen = _ids(tokenizer, [pair.chosen for pair in pairs])
    rejected = _ids(tokenizer, [pair.rejected for pair in pairs])
    encoded = tuple(
        EncodedPair(
            pair.id,
            tuple(prompt[-settings.max_prompt_tokens :]),
            tuple(good[: settings.max_new_tokens]),
            tuple(bad[: settings.max_new_tokens]),
        )
        for pair, prompt, good, bad in zip(pairs, prompts, chosen, rejected, strict=True)
    )
    problems = {
        "an empty prompt": [pair.id for pair in encoded if not pair.prompt],
        "an empty response": [pair.id for pair in encoded if not pair.chosen or not pair.rejected],
        "the same chosen and rejected tokens": [pair.id for pair in encoded if pair.chosen == pair.rejected],
    }
    for problem, ids in problems.items():
        if ids:
            raise PairError(
                f"{len(ids)} of {len(encoded)} pairs have {problem} (the first: {ids[0]!r}) after cutting to "
                f"{settings.max_prompt_tokens} and {settings.max_new_tokens} tokens. Leave them out; "
                "`helpers.alignment.pairs.select` does so and counts them."
            )
    return encoded


def _ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    return tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
