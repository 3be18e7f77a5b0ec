"""Checks all that a profile names on this machine, texts and model together, before anything is run."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from helpers.language.evaluation import PASSAGE_PROMPT
from helpers.language.models import ModelError, load_hf
from helpers.language.texts import load_local_texts
from helpers.profiles import Profile, ProfileError, check_files

PADDED_VOCABULARY = 0.1
"""Which share of a model's vocabulary no token may have: some round it up to a multiple of 128 or 1,024."""


def check_profile(profile: Profile) -> None:
    """Opens the model and reads and splits the texts, as the notebooks will, and compares them.

    What comes from the hub is looked at when it is fetched.

    Raises:
        ProfileError: one error that names the file, column or knob and says what would be right.
    """
    check_files(profile)
    tokenizer = None
    if profile.model.folder is not None:
        try:
            hf, tokenizer = load_hf(profile.model)
        except ModelError as error:
            raise ProfileError(str(error)) from error
        known, embedded = len(tokenizer), hf.config.vocab_size
        if known < (1 - PADDED_VOCABULARY) * embedded:
            raise ProfileError(
                f"The tokenizer in {profile.model.folder} knows {known} tokens but the model has {embedded}: "
                "they do not belong together. Put the tokenizer that the model was trained with there."
            )
        check_lengths(profile, layers=hf.config.n_layer, context=hf.config.n_positions)
    running = load_local_texts(profile)
    if tokenizer is not None and running is not None:
        check_running_text(profile, running, tokenizer)


def check_lengths(profile: Profile, *, layers: int, context: int) -> None:
    """Raises ProfileError if a knob asks for a layer that is not there, or for texts beyond the context."""
    if not -layers <= profile.probe.layer < layers:
        raise ProfileError(
            f"probe.layer = {profile.probe.layer}: the model has {layers} layers, 0 to {layers - 1}, or from "
            f"the end -1 to -{layers}."
        )
    decoding, dpo, pplm = profile.decoding, profile.dpo, profile.pplm
    wanted = {
        "decoding.max_prompt_tokens + decoding.new_tokens": decoding.max_prompt_tokens + decoding.new_tokens,
        f"{PASSAGE_PROMPT} (a passage's prompt) + decoding.new_tokens": PASSAGE_PROMPT + decoding.new_tokens,
        "dpo.max_prompt_tokens + dpo.max_new_tokens": dpo.max_prompt_tokens + dpo.max_new_tokens,
        "1 + pplm.new_tokens + pplm.horizon": 1 + pplm.new_tokens + pplm.horizon,
    }
    for sum_, tokens in wanted.items():
        if tokens > context:
            raise ProfileError(
                f"{sum_} = {tokens} tokens, beyond the model's context of {context}. Lower one of them."
            )


def check_running_text(profile: Profile, text: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises ProfileError if there are fewer tokens of running text than a report reads."""
    wanted = profile.counts.perplexity_tokens_report
    there = len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    if there < wanted:
        raise ProfileError(
            f"counts.perplexity_tokens_report: {wanted} tokens of running text are asked for, but "
            f"data.perplexity has {there}. Lower the count or name a larger file."
        )
