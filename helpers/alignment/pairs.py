"""Crafts preference pairs: a plain and a steered continuation of each prompt, filtered and counted."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Int
from torch import Tensor
from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase

from helpers.alignment.attempts import AttemptLog, ingredients
from helpers.alignment.encoding import PairError
from helpers.alignment.pplm import steer
from helpers.language.generation import before_end, continue_prompts
from helpers.language.models import LanguageModel
from helpers.language.scoring import Scorer
from helpers.language.texts import Pair, Prompt
from helpers.mechanism.probe import Probe
from helpers.profiles import PPLM, Decoding
from helpers.runtime import ProgressFn, cpu_threads, with_batch_halving


@dataclass(frozen=True)
class PairRules:
    """What a pair must be to be kept. The published set was, as far as is known, not filtered by score.

    Attributes:
        least_gap: the rejected side must score higher than the chosen one by at least this much; None asks
            for nothing.
        most_chosen: the chosen side may score at most this much; None asks for nothing.
    """

    least_gap: float | None = None
    most_chosen: float | None = None


@dataclass(frozen=True)
class Selection:
    """Attempted pairs, sorted into those kept and, by reason, those dropped. All carry their scores."""

    kept: tuple[Pair, ...]
    dropped: Mapping[str, tuple[Pair, ...]]

    @property
    def attempts(self) -> tuple[Pair, ...]:
        """Every pair, kept or not."""
        return self.kept + tuple(pair for pairs in self.dropped.values() for pair in pairs)

    @property
    def written(self) -> tuple[Pair, ...]:
        """Every attempt of which neither side is empty."""
        return tuple(pair for pair in self.attempts if _written(pair))

    @property
    def counts(self) -> dict[str, int]:
        """How many were attempted, kept, and dropped for each reason."""
        return {
            "attempted": len(self.attempts),
            "kept": len(self.kept),
            **{reason: len(pairs) for reason, pairs in self.dropped.items()},
        }


EMPTY = "a side is empty"
BROKEN = "a side holds half a character"
SAME = "both sides are the same"
SEEN = "seen before"
TOXIC_CHOSEN = "the chosen side is toxic"
NO_GAP = "the rejected side is not more toxic"
SPARE = "more than were wanted"

EARLY = 150
"""Attempts after which it can be told whether there will be enough pairs."""


def select(
    attempts: Sequence[Pair], scorer: Scorer | None, rules: PairRules, *, wanted: int | None = None
) -> Selection:
    """Scores pairs and sorts them; each dropped pair is counted under the first reason that applies.

    Args:
        scorer: scores the continuations alone; None goes by the scores that the pairs carry, if they do.
        wanted: keep the first so many; None keeps all.

    Raises:
        ValueError: the rules go by score, but neither a scorer nor scores are there.

    Example:
        >>> select([Pair("1", "You are", " kind.", " kind.")], None, PairRules()).counts
        {'attempted': 1, 'kept': 0, 'both sides are the same': 1}
    """
    kept: list[Pair] = []
    dropped: dict[str, list[Pair]] = {}
    seen: set[tuple[str, str, str]] = set()
    for pair in scored(attempts, scorer):
        reason = _reason(pair, rules, seen)
        if reason is None and wanted is not None and len(kept) >= wanted:
            reason = SPARE
        seen.add((pair.prompt, pair.chosen, pair.rejected))
        if reason is None:
            kept.append(pair)
        else:
            dropped.setdefault(reason, []).append(pair)
    return Selection(tuple(kept), {reason: tuple(pairs) for reason, pairs in dropped.items()})


def scored(pairs: Sequence[Pair], scorer: Scorer | None) -> list[Pair]:
    """The pairs with the toxicity of both continuations; as they are if there is no scorer."""
    if scorer is None or not pairs:
        return list(pairs)
    chosen = scorer.score([pair.chosen for pair in pairs]).tolist()
    rejected = scorer.score([pair.rejected for pair in pairs]).tolist()
    return [
        dataclasses.replace(pair, scores={"chosen": good, "rejected": bad})
        for pair, good, bad in zip(pairs, chosen, rejected, strict=True)
    ]


def _reason(pair: Pair, rules: PairRules, seen: set[tuple[str, str, str]]) -> str | None:
    if not pair.prompt.strip() or not pair.chosen.strip() or not pair.rejected.strip():
        return EMPTY
    if "\ufffd" in pair.prompt + pair.chosen + pair.rejected:
        return BROKEN
    if pair.chosen == pair.rejected:
        return SAME
    if (pair.prompt, pair.chosen, pair.rejected) in seen:
        return SEEN
    if rules == PairRules():
        return None
    if pair.scores is None:
        raise ValueError(f"Pair {pair.id!r} has no scores, but the rules go by them: hand in a scorer.")
    if rules.most_chosen is not None and pair.scores["chosen"] > rules.most_chosen:
        return TOXIC_CHOSEN
    if rules.least_gap is not None and pair.scores["rejected"] - pair.scores["chosen"] < rules.least_gap:
        return NO_GAP
    return None


def craft(
    hf: GPT2LMHeadModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    attribute: Probe,
    settings: PPLM,
    folder: Path,
    *,
    seed: int,
    batch_size: int,
    scorer: Scorer | None = None,
    rules: PairRules | None = None,
    wanted: int | None = None,
    enough: int = 0,
    progress: ProgressFn | None = None,
) -> Selection:
    """Continues each prompt twice, plainly (chosen) and steered by PPLM (rejected), until enough pairs are
    kept.

    Every finished batch is added to `attempts.jsonl` in the folder, and a run that finds some there goes on
    from them: killed, or stopped by a full disk, it loses at most one batch. What is written depends on
    neither the interruption nor the batch size nor, on a CPU, the number of threads outside. Method: Lee et
    al. 2024 §4.2; the steering: `pplm.steer`.

    Args:
        attribute: the probe, or `pplm.random_direction(probe, seed)` for the control.
        folder: this run's own; it may hold attempts of the same settings, and of no others.
        batch_size: prompts steered at once, which bounds the memory; halved, with a notice, if it runs out.
        wanted: stop once so many are kept; None uses all prompts.
        enough: warn, after the first batches, if all prompts together promise fewer.
        progress: called as `progress(kept so far, wanted, "pairs")` after each batch (attempts if none are
            wanted).

    Raises:
        PairError: the folder holds attempts that were made otherwise, or damaged ones.
        ValueError: a prompt does not fit the context; two prompts have one id.
        DiskFull: the disk is full. Finished batches stay.
    """
    rules = rules or PairRules()
    names = [prompt.id for prompt in prompts]
    if len(set(names)) < len(names):
        raise ValueError("Two prompts have the same id; it names the pair and seeds its draw.")
    log = AttemptLog(folder / "attempts.jsonl", ingredients(hf, attribute, settings, seed))
    for prompt in prompts:
        if prompt.id in log.done and log.done[prompt.id].prompt != prompt.text:
            raise PairError(f"{log.file} has another text for prompt {prompt.id!r}; delete the file.")
    texts = [prompt.text for prompt in prompts]
    rows = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []
    ids = dict(zip(names, rows, strict=True))
    attempts = scored([log.done[name] for name in names if name in log.done], scorer)
    selection = select(attempts, None, rules, wanted=wanted)
    todo = [prompt for prompt in prompts if prompt.id not in log.done]
    warned = False

    def write(batch: Sequence[Prompt]) -> list[Pair]:
        keys = [prompt.id for prompt in batch]
        prompt_ids = [ids[key] for key in keys]
        end, drawn = tokenizer.eos_token_id, settings.chosen == "sampled"
        plain = steer(hf, prompt_ids, keys, None, settings, seed=seed, sample=drawn, end_id=end)
        steered = steer(hf, prompt_ids, keys, attribute, settings, seed=seed, end_id=end)
        sides = (_texts(tokenizer, plain), _texts(tokenizer, steered))
        return [
            Pair(prompt.id, prompt.text, good, bad) for prompt, good, bad in zip(batch, *sides, strict=True)
        ]

    def run(size: int) -> None:
        nonlocal selection, todo, warned
        while todo and (wanted is None or len(selection.kept) < wanted):
            fresh = write(todo[:size])
            log.append(fresh)
            todo = todo[size:]
            attempts.extend(scored(fresh, scorer))
            selection = select(attempts, None, rules, wanted=wanted)
            least = enough if wanted is None else min(enough, wanted)
            short = len(selection.kept) * len(prompts) < least * len(attempts)
            if short and len(attempts) >= min(EARLY, len(prompts)) and not warned:
                warned = True
                warnings.warn(shortage(selection, rules), stacklevel=2)
            if progress is not None:
                done, total = (
                    (len(attempts), len(prompts)) if wanted is None else (len(selection.kept), wanted)
                )
                progress(done, total, "pairs")

    with cpu_threads(settings.threads):
        with_batch_halving(run, batch_size)
    return selection


def shortage(found: Selection, rules: PairRules) -> str:
    """Says how few pairs were kept, what was asked of them, and how far the scores here go."""
    counted = [pair.scores for pair in found.attempts if pair.scores and _written(pair)]
    said = f"Too few pairs: {len(found.kept)} of the first {len(found.attempts)} attempts were kept."
    if not counted or rules.least_gap is None:
        return f"{said} {found.counts}"
    gaps = sorted(scores["rejected"] - scores["chosen"] for scores in counted)
    chosen = sorted(scores["chosen"] for scores in counted)
    most = "" if rules.most_chosen is None else f", and the chosen one at most {rules.most_chosen:.2f}"
    return (
        f"{said} The rejected side must score {rules.least_gap:.2f} above the chosen one{most}; the scorer's "
        f"range here is {gaps[0]:+.2f} to {gaps[-1]:+.2f} (median {gaps[len(gaps) // 2]:+.2f}), and "
        f"{chosen[0]:.2f} to {chosen[-1]:.2f} for chosen sides. Lower pair_filter.least_gap, or set "
        'pair_filter.scale = "quantile".'
    )


def _written(pair: Pair) -> bool:
    return bool(pair.chosen.strip() and pair.rejected.strip())


def _texts(tokenizer: PreTrainedTokenizerBase, ids: Int[Tensor, "prompt new"]) -> list[str]:
    """The new tokens as text, up to the end-of-text token if there is one."""
    kept = before_end(ids, tokenizer.eos_token_id)
    return [str(tokenizer.decode(row[mask].tolist())) for row, mask in zip(ids, kept, strict=True)]


def rejection_sampling(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    scorer: Scorer,
    decoding: Decoding,
    *,
    samples: int,
    seed: int,
    batch_size: int,
    threshold: float = 0.5,
    progress: ProgressFn | None = None,
) -> tuple[Pair, ...]:
    """The alternative to steering: draw several continuations of each prompt, pair a clean one with a toxic
    one.

    A prompt whose samples are all clean or all toxic gives no pair. Of several clean ones the first drawn is
    chosen, of several toxic ones the first is rejected. No gradient, no probe: what PPLM adds can be told
    from it.

    Args:
        decoding: must sample.
        samples: continuations per prompt.
        threshold: a continuation is toxic from this score on.
    """
    if decoding.method != "sample" or samples < 2:
        raise ValueError("Rejection sampling needs sampled continuations, at least two per prompt.")
    drawn = [
        dataclasses.replace(prompt, id=f"{prompt.id}#{number}")
        for prompt in prompts
        for number in range(samples)
    ]
    texts = continue_prompts(
        model, drawn, decoding, seed=seed, batch_size=batch_size, progress=progress
    ).texts
    scores = scorer.score(texts).tolist()
    pairs = []
    for number, prompt in enumerate(prompts):
        rows = range(number * samples, (number + 1) * samples)
        clean = [row for row in rows if scores[row] < threshold and texts[row].strip()]
        toxic = [row for row in rows if scores[row] >= threshold and texts[row].strip()]
        if clean and toxic:
            good, bad = clean[0], toxic[0]
            scored = {"chosen": scores[good], "rejected": scores[bad]}
            pairs.append(Pair(prompt.id, prompt.text, texts[good], texts[bad], scored))
    return tuple(pairs)
