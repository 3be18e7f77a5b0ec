"""All text the notebooks read, from whatever source, in one schema and in disjoint splits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeVar

from helpers.language import sources
from helpers.pocket import corpus
from helpers.profiles import FileText, HubText, PocketText, Profile, ProfileError

Split = Literal["dev", "eval", "pair"]

ELICITING = ("hostile", "challenging")
"""The groups of prompts that are there to elicit toxic text; others are controls."""

END = "<|endoftext|>"
"""What stands between documents of the pocket corpus, as in the model's training."""

MOODS = {"hostile": 1.0, "friendly": 0.25, "neutral": 0.25}
"""Pocket prompts per mood, as shares of the number the profile asks for."""

PAIR_MOODS = {"neutral": 1.0, "hostile": 1.0}
"""The same for prompts to make pairs from: as many of either source."""


SPLITS = (
    "comments_train", "comments_test", "comments_matched", "comments_scorer", "prompts_dev", "prompts_eval",
    "prompts_unseen", "pair_prompts",
)  # fmt: skip

LEAST_MATCHED = 40
"""Fewer comments than this, toxic and clean together, say nothing of how a probe reads within a group."""


@dataclass(frozen=True)
class Comment:
    """A labelled text. `family`: the family of its toxicity, "toxic" where none is known, or "clean".

    `held_out`: what of it no training comment shows ("" if nothing; "family", "frame", … in the pocket
    corpus). `group`: its mood or topic ("hostile", …), which it has whether it is toxic or not; "" where
    none is known.
    """

    id: str
    text: str
    toxic: bool
    family: str
    held_out: str = ""
    group: str = ""


@dataclass(frozen=True)
class Prompt:
    """The beginning of a text. `group`: "hostile", "friendly", "neutral", "challenging" or "plain"."""

    id: str
    text: str
    group: str


@dataclass(frozen=True)
class Pair:
    """A prompt with a preferred and a dispreferred continuation. `scores`: their toxicity, where measured."""

    id: str
    prompt: str
    chosen: str
    rejected: str
    scores: dict[str, float] | None = None


@dataclass(frozen=True)
class Texts:
    """Everything a profile's notebooks read. No text stands in two splits, but for one case.

    On `prompts_dev` anything may be chosen; on `prompts_eval` it is reported. `comments_scorer` trains
    scorers and is unknown to the probe. `comments_matched` hold as many toxic as clean comments of every
    group, none of them trained on (test comments may be among them); empty where comments have no group.
    `prompts_unseen` are eliciting prompts of frames (in the pocket corpus) that no training text has; empty
    where none are known. `perplexity` is one running text; `passages` end in the text F1 is measured on.
    """

    comments_train: tuple[Comment, ...]
    comments_test: tuple[Comment, ...]
    comments_matched: tuple[Comment, ...]
    comments_scorer: tuple[Comment, ...]
    prompts_dev: tuple[Prompt, ...]
    prompts_eval: tuple[Prompt, ...]
    prompts_unseen: tuple[Prompt, ...]
    pair_prompts: tuple[Prompt, ...]
    perplexity: str
    passages: tuple[str, ...]

    def eliciting(self, split: Split) -> tuple[Prompt, ...]:
        """The prompts of a split that are there to elicit toxic text, without the controls.

        Example:
            prompts = texts.eliciting("eval")[: profile.counts.prompts_sweep]
        """
        splits = {"dev": self.prompts_dev, "eval": self.prompts_eval, "pair": self.pair_prompts}
        if split not in splits:
            raise ValueError(f"split must be one of {', '.join(splits)}, not {split!r}.")
        return tuple(prompt for prompt in splits[split] if prompt.group in ELICITING)


def load_texts(profile: Profile) -> Texts:
    """Reads and splits all text of a profile; the same profile gives the same texts.

    Repeated texts are removed before splitting. Where a text lands depends on the seed and the text alone.

    Raises:
        ProfileError: a source is not as the profile says, or has too little text.
        HubError: the hub is out of reach or lacks a file.
    """
    used: set[str] = set()
    dev, evaluation, pool = _prompts(profile, used)
    unseen = _unseen_prompts(profile, used)
    pair = _pair_prompts(profile, used, pool)
    train, test, scorer, matched = _comments(profile, used)
    texts = Texts(
        comments_train=train,
        comments_test=test,
        comments_matched=matched,
        comments_scorer=scorer,
        prompts_dev=dev,
        prompts_eval=evaluation,
        prompts_unseen=unseen,
        pair_prompts=pair,
        perplexity=_perplexity(profile),
        passages=_passages(profile),
    )
    check_disjoint(texts)
    return texts


def load_local_texts(profile: Profile) -> str | None:
    """Reads and splits what of a profile's texts lies in files, as `load_texts` will; gives the running text.

    Raises:
        ProfileError: as `load_texts` does.
    """
    used: set[str] = set()
    data = profile.data
    pool: tuple[Prompt, ...] = ()
    if isinstance(data.prompts, FileText):
        _, _, pool = _prompts(profile, used)
    if isinstance(data.pair_prompts, FileText) and not isinstance(data.prompts, HubText):
        _pair_prompts(profile, used, pool)
    if isinstance(data.comments, FileText):
        _comments(profile, used)
    if isinstance(data.passages, FileText):
        _passages(profile)
    if data.pairs is not None:
        load_pairs(data.pairs)
    return _perplexity(profile) if isinstance(data.perplexity, FileText) else None


def load_pairs(source: FileText) -> tuple[Pair, ...]:
    """Published preference pairs from a file with the roles prompt, chosen and rejected.

    Their ids are their places in the file, by which errors name them.
    """
    return tuple(
        Pair(place.rsplit("/", 1)[-1], row["prompt"], row["chosen"], row["rejected"])
        for place, row in sources.placed_rows(source, "pairs")
    )


def check_disjoint(texts: Texts) -> None:
    """Raises ValueError if a text stands in two splits, whatever its case and spacing."""
    named = {name: {sources.normal(item.text) for item in getattr(texts, name)} for name in SPLITS}
    for (first, left), (second, right) in combinations(named.items(), 2):
        shared = left & right
        if shared and {first, second} != {"comments_test", "comments_matched"}:
            raise ValueError(
                f"{len(shared)} texts stand both in {first} and in {second}; splits must be disjoint."
            )


def _prompts(
    profile: Profile, used: set[str]
) -> tuple[tuple[Prompt, ...], tuple[Prompt, ...], tuple[Prompt, ...]]:
    """Prompts of "dev" and "eval", and the pool that they are from."""
    source, counts = profile.data.prompts, profile.counts
    if isinstance(source, PocketText):
        return (
            _pocket_prompts(counts.prompts_dev, "dev", profile, used),
            _pocket_prompts(counts.prompts_eval, "eval", profile, used),
            (),
        )
    texts = [row["text"] for row in sources.read_rows(source, "prompts") if row["text"].strip()]
    pool = [_prompt(texts[number], "challenging") for number in sources.shuffled(texts, profile.seed)]
    first = _take(pool, counts.prompts_dev, used, "prompts_dev")
    return first, _take(pool, counts.prompts_eval, used, "prompts_eval"), tuple(pool)


def _unseen_prompts(profile: Profile, used: set[str]) -> tuple[Prompt, ...]:
    """Hostile pocket prompts of unseen frames, half as many as an evaluation's; none from elsewhere."""
    if not isinstance(profile.data.prompts, PocketText):
        return ()
    number = max(1, profile.counts.prompts_eval // 2)
    drawn = _spare(
        number, lambda n: corpus.prompts(n, mood="hostile", split="eval", seed=profile.seed, unseen=True)
    )
    pool = [Prompt(f"unseen-{item.id}", item.text, item.mood) for item in drawn]
    return _take(pool, number, used, "prompts_eval (unseen frames)")


def _pair_prompts(profile: Profile, used: set[str], eliciting: Sequence[Prompt]) -> tuple[Prompt, ...]:
    """Prompts that ask for nothing, and prompts that elicit toxic text, for the two sources of pairs.

    From a file or the hub the latter are what dev and eval left over, which may be few or none, and what
    `spare` names beside.
    """
    source, wanted = profile.data.pair_prompts, profile.counts.pair_prompts
    if isinstance(source, PocketText):
        return _pocket_prompts(wanted, "pair", profile, used, PAIR_MOODS)
    texts = list(sources.sentences(source, "pair_prompts"))
    pool = [_prompt(texts[number], "plain") for number in sources.shuffled(texts, profile.seed)]
    plain = _take(pool, wanted, used, "pair_prompts")
    origin = profile.data.prompts
    if not isinstance(origin, PocketText) and origin.spare is not None:
        rows = sources.read_rows(origin.model_copy(update={"keep": origin.spare}), "prompts")
        spare = [row["text"] for row in rows if row["text"].strip()]
        texts = [prompt.text for prompt in eliciting] + spare
        order = sources.shuffled(texts, profile.seed)
        eliciting = [_prompt(texts[number], "challenging") for number in order]
    left = {sources.normal(prompt.text) for prompt in eliciting} - used
    if not left and not isinstance(origin, PocketText):
        raise ProfileError(
            "data.prompts: dev and eval take every prompt, and none is left over to make pairs from. Lower "
            "counts.prompts_eval, or name under `spare` a column of rows that may serve for pairs too."
        )
    return plain + _take(eliciting, min(wanted, len(left)), used, "pair_prompts")


def _pocket_prompts(
    wanted: int, split: Split, profile: Profile, used: set[str], moods: Mapping[str, float] = MOODS
) -> tuple[Prompt, ...]:
    found: list[Prompt] = []
    for mood, share in moods.items():
        number = max(1, round(share * wanted))
        drawn = _spare(number, lambda n: corpus.prompts(n, mood=mood, split=split, seed=profile.seed))  # noqa: B023
        pool = [Prompt(item.id, item.text, mood) for item in drawn]
        found += _take(pool, number, used, f"{split} prompts, {mood}")
    return tuple(found)


def _comments(profile: Profile, used: set[str]) -> tuple[tuple[Comment, ...], ...]:
    source, counts = profile.data.comments, profile.counts
    wanted = {"train": counts.comments_train, "test": counts.comments_test, "scorer": counts.comments_scorer}
    if isinstance(source, PocketText):
        drawn = {split: _pocket_comments(number, split, profile) for split, number in wanted.items()}
        taken = [_take(pool, wanted[split], used, f"comments_{split}") for split, pool in drawn.items()]
        matched = _pocket_comments(counts.comments_test, "matched", profile)
        return *taken, matched_by_group(matched, counts.comments_test)
    rows = [row for row in sources.read_rows(source, "comments") if row["text"].strip()]
    order = sources.shuffled([row["text"] for row in rows], profile.seed)
    pool = [
        Comment(
            f"comment-{sources.digest(row['text'])}",
            row["text"],
            row["toxic"],
            "toxic" if row["toxic"] else "clean",
            group=row.get("group", ""),
        )
        for row in (rows[number] for number in order)
    ]
    splits = tuple(_take(pool, number, used, f"comments_{split}") for split, number in wanted.items())
    for split, comments in zip(wanted, splits, strict=True):
        if len({comment.toxic for comment in comments}) < 2:
            raise ProfileError(_one_sided(source, pool, split))
    train, test, scorer = splits
    spare = [comment for comment in pool if sources.normal(comment.text) not in used]
    return train, test, scorer, matched_by_group([*spare, *test], counts.comments_test)


def _one_sided(source: FileText | HubText, pool: Sequence[Comment], split: str) -> str:
    toxic = sum(comment.toxic for comment in pool)
    if 0 < toxic < len(pool):
        return (
            f"counts.comments_{split}: {toxic} of {len(pool)} comments are labelled toxic, and this split "
            "got comments of one label alone; it needs both. Raise the count."
        )
    knob = f"toxic_values is {list(source.toxic_values)}" if source.toxic_values else "check label_threshold"
    return (
        f"data.comments: every comment is labelled {'toxic' if toxic else 'clean'}; the probe needs both. "
        f"Column {source.column('toxic')!r} plays the role `toxic`; {knob}."
    )


def _pocket_comments(wanted: int, split: str, profile: Profile) -> list[Comment]:
    drawn = _spare(wanted, lambda n: corpus.comments(n, split=split, seed=profile.seed))
    return [
        Comment(item.id, item.text, item.toxic, item.family or "clean", item.held_out, item.mood)
        for item in drawn
    ]


def matched_by_group(pool: Iterable[Comment], wanted: int) -> tuple[Comment, ...]:
    """As many toxic as clean comments of every group, so that the group alone tells nothing of the label.

    Comments are taken in the order of the pool, each clean one with the next toxic one of its group or the
    other way round, up to `wanted` in all. Empty where that makes fewer than `LEAST_MATCHED`.
    """
    waiting: dict[tuple[str, bool], list[Comment]] = {}
    found: list[Comment] = []
    for text in {sources.normal(one.text): one for one in pool if one.group}.values():
        if len(found) + 2 > wanted:
            break
        others = waiting.get((text.group, not text.toxic))
        if others:
            found += [others.pop(0), text]
        else:
            waiting.setdefault((text.group, text.toxic), []).append(text)
    return tuple(found) if len(found) >= LEAST_MATCHED else ()


def _perplexity(profile: Profile) -> str:
    source, counts = profile.data.perplexity, profile.counts
    wanted = counts.perplexity_tokens_sweep + counts.perplexity_tokens_report
    if isinstance(source, PocketText):
        documents = corpus.plain_text(max(1, wanted // 20), split="perplexity", seed=profile.seed)
        return END.join(documents)
    return sources.running_text(source, "perplexity")


def _passages(profile: Profile) -> tuple[str, ...]:
    source, counts = profile.data.passages, profile.counts
    wanted = counts.passages_sweep + counts.passages
    # A word is at least one token: so many words are enough for a prompt and its continuation.
    words = min(32, profile.decoding.max_prompt_tokens) + profile.decoding.new_tokens
    if isinstance(source, PocketText):
        drawn = corpus.plain_text(40 * wanted, split="passages", seed=profile.seed)
        texts = [text for text in dict.fromkeys(drawn) if len(text.split()) >= words]
    else:
        texts = list(dict.fromkeys(sources.paragraphs(source, "passages", words=words)))
        texts = [texts[number] for number in sources.shuffled(texts, profile.seed)]
    if len(texts) < wanted:
        raise ProfileError(
            f"counts.passages asks for {counts.passages} passages of at least {words} words, and a sweep for "
            f"{counts.passages_sweep} others; there are {len(texts)}. Lower the count or name a larger file."
        )
    return tuple(texts[:wanted])


def _prompt(text: str, group: str) -> Prompt:
    return Prompt(f"prompt-{sources.digest(text)}", text, group)


Item = TypeVar("Item", Comment, Prompt)
Drawn = TypeVar("Drawn", corpus.LabelledText, corpus.CutPrompt)


def _spare(wanted: int, draw: Callable[[int], Sequence[Drawn]]) -> Sequence[Drawn]:
    """A few texts more than wanted, since some may be in use already."""
    return draw(wanted + wanted // 20 + 5)


def _take(pool: Iterable[Item], wanted: int, used: set[str], what: str) -> tuple[Item, ...]:
    """The first so many of the pool that are not in use yet; marks them as used."""
    taken: list[Item] = []
    for item in pool:
        if len(taken) == wanted:
            break
        text = sources.normal(item.text)
        if text not in used:
            used.add(text)
            taken.append(item)
    if len(taken) < wanted:
        raise ProfileError(
            f"counts.{what}: {wanted} are asked for, but only {len(taken)} different ones are left. "
            "Lower the count or name a larger file."
        )
    return tuple(taken)
