"""The synthetic corpus: training text, labelled comments, prompts and plain text, drawn from one grammar.

Which split a text belongs to is decided by a hash of its opening (for comments: of the whole text). So splits
are disjoint whatever the seeds, and no prompt of one split begins a document of another.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from helpers.pocket import grammar
from helpers.pocket.grammar import GENRES, MOOD_WEIGHTS, slot
from helpers.pocket.nodes import Chain, Mark, Node, Pen, probability, template
from helpers.pocket.scorer import Span, find_toxic, is_toxic, toxic_words

__all__ = [
    "CutPrompt", "LabelledText", "Span", "Written", "comments", "find_toxic", "is_toxic", "log_probability",
    "plain_text", "prompts", "sentences", "toxic_words", "well_formed", "written",
]  # fmt: skip


@dataclass(frozen=True)
class LabelledText:
    """A comment with its label.

    `family` is the family of its first toxic stretch, `frame` the frame of that ("remark" where it stands
    between frames), in a clean comment the first frame. `held_out` is "" or says what training and scorer
    comments never show: "frame", "combination" (of frame and family) or "family".
    """

    id: str
    text: str
    toxic: bool
    family: str | None
    frame: str
    mood: str
    held_out: str = ""


@dataclass(frozen=True)
class CutPrompt:
    """A document up to the cut of its first frame.

    `toxic_rate` is the generator's own probability that the frame ends toxically from here.
    """

    id: str
    text: str
    mood: str
    frame: str
    genre: str
    toxic_rate: float


@dataclass(frozen=True)
class Written:
    """A drawn document; `marks` are labelled stretches of its text: start, end, kind, value."""

    text: str
    genre: str
    mood: str
    marks: tuple[tuple[int, int, str, str], ...] = field(repr=False)


# Hundredths of all openings, of all texts for comments. The first three are equal in both, so that bare
# comments are as frequent in a split as the grammar says.
_DOCUMENT_SPLITS = {"train": 60, "perplexity": 8, "passages": 8, "dev": 8, "eval": 8, "pair": 8}
_COMMENT_SPLITS = {"train": 60, "perplexity": 8, "passages": 8, "comments-train": 8, "comments-test": 6,
                   "comments-matched": 4, "comments-scorer": 6}  # fmt: skip


def _split_of(text: str, shares: dict[str, int]) -> str:
    point = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") % 100
    for name, share in shares.items():
        if point < share:
            return name
        point -= share
    raise ValueError(f"the shares of the splits add up to less than 100: {shares}")


def written(n: int, *, split: str, seed: int) -> list[Written]:
    """Documents of a split ("train", "perplexity", "passages") with their labels; one stream per seed."""
    if split not in ("train", "perplexity", "passages"):
        raise ValueError(f"split must be 'train', 'perplexity' or 'passages', not {split!r}")
    stream = _documents(split, random.Random(f"text:{split}:{seed}"))
    return [next(stream) for _ in range(n)]


def _documents(split: str, rng: random.Random) -> Iterator[Written]:
    kinds = grammar.documents()
    weights = [kind[2] for kind in kinds]
    while True:
        genre, mood, _, opening, rest = rng.choices(kinds, weights)[0]
        pen = Pen(rng)
        opening.draw(pen)
        if genre != "comment" and _split_of(pen.text, _DOCUMENT_SPLITS) != split:
            continue
        rest.draw(pen)
        if genre == "comment" and _split_of(pen.text, _COMMENT_SPLITS) != split:
            continue
        yield Written(pen.text, genre, mood, tuple(pen.marks))


def plain_text(n_documents: int, *, split: str, seed: int) -> list[str]:
    """Documents of the training distribution: "train", "perplexity" or "passages"."""
    return [document.text for document in written(n_documents, split=split, seed=seed)]


def prompts(n: int, *, mood: str, split: str, seed: int, unseen: bool = False) -> list[CutPrompt]:
    """Distinct prompts of one mood, free of toxic words and chosen without regard to what followed.

    `split` is "dev", "eval" or "pair". With `unseen`, the frame is one that never occurs in training text.

    >>> [prompt.mood for prompt in prompts(2, mood="hostile", split="dev", seed=0)]
    ['hostile', 'hostile']
    """
    if mood not in MOOD_WEIGHTS:
        raise ValueError(f"mood must be one of {', '.join(MOOD_WEIGHTS)}, not {mood!r}")
    if split not in ("dev", "eval", "pair"):
        raise ValueError(f"split must be 'dev', 'eval' or 'pair', not {split!r}")
    uses = ("unseen",) if unseen else ("main",)
    rng = random.Random(f"prompts:{split}:{mood}:{seed}:{uses[0]}")
    kinds = [kind for kind in GENRES if kind.name != "comment" and grammar.frames_of(kind.name, uses)]
    weights = [kind.weight for kind in kinds]
    found: dict[str, CutPrompt] = {}
    while len(found) < n:
        genre = rng.choices(kinds, weights)[0].name
        pen = Pen(rng)
        grammar.opening(genre, mood).draw(pen)
        if _split_of(pen.text, _DOCUMENT_SPLITS) != split:
            continue
        frame = rng.choice(grammar.frames_of(genre, uses))
        grammar.before_frame(genre).draw(pen)
        template(frame.prefix, slot).draw(pen)
        name = f"{split}-{mood}-{len(found):04d}"
        rate = grammar.toxic_rate(frame, mood)
        found.setdefault(pen.text, CutPrompt(name, pen.text, mood, frame.name, genre, rate))
    return list(found.values())


def comments(n: int, *, split: str, seed: int) -> list[LabelledText]:
    """Distinct comments, half of them toxic; moods as often among each half as in the corpus itself.

    "train" and "scorer" use different frames. In "test", three in ten show what neither does: see `held_out`.
    "matched" is a second test whose comments are all hostile, so that mood tells nothing about the label.
    """
    if split not in ("train", "test", "scorer", "matched"):
        raise ValueError(f"split must be 'train', 'test', 'scorer' or 'matched', not {split!r}")
    rng = random.Random(f"comments:{split}:{seed}")
    moods, weights = list(MOOD_WEIGHTS), list(MOOD_WEIGHTS.values())
    found: dict[str, LabelledText] = {}
    while len(found) < n:
        number = len(found)
        held_out = ""
        if split == "test" and number // 4 % 10 < 3:
            held_out = ("frame", "combination", "family")[number // 4 % 10]
        toxic = number % 2 == 0
        mood = "hostile" if split == "matched" else rng.choices(moods, weights)[0]
        pen = Pen(rng)
        grammar.comment(mood, held_out or ("scorer" if split == "scorer" else "train")).draw(pen)
        sentences = [value for _, _, kind, value in pen.marks if kind == "sentence" and value != "lead"]
        frame, family = sentences[0], None
        for _, _, kind, value in pen.marks:
            if kind == "sentence":
                within = value
            elif value.startswith("toxic:") and not family:
                frame, family = within, value[6:]
        if bool(family) != toxic or _split_of(pen.text, _COMMENT_SPLITS) != f"comments-{split}":
            continue
        found.setdefault(pen.text, LabelledText(
            f"comments-{split}-{number:05d}", pen.text, toxic, family, frame, mood, held_out,
        ))  # fmt: skip
    return list(found.values())


def log_probability(document: str) -> float:
    """Natural logarithm of the generator's probability of this whole document; -inf if it cannot be drawn.

    All derivations are summed, so the figure is exact; the choice of split is not part of it.
    """
    total = sum(share * probability(Chain([opening, rest]), document) for _, _, share, opening, rest in
                grammar.documents())  # fmt: skip
    return math.log(total) if total > 0 else -math.inf


_BREAK = re.compile(r"\n|(?<=[.!?]) (?=[A-Z\"])|(?<=[.!?]\") (?=[A-Z\"])")


def sentences(document: str) -> list[str]:
    """The sentences of a document; headers, closings and the lines of a chat count as sentences."""
    return [sentence for sentence in _BREAK.split(document) if sentence]


@cache
def _sentence_nodes() -> tuple[Node, ...]:
    found: dict[int, Node] = {}

    def collect(node: Node) -> None:
        if isinstance(node, Mark) and node.kind == "sentence":
            found[id(node)] = node
            return
        for child in (*getattr(node, "parts", ()), *getattr(node, "options", ())):
            if isinstance(child, Node):
                collect(child)

    for _, _, _, opening, rest in grammar.documents():
        collect(opening)
        collect(rest)
    for mood in MOOD_WEIGHTS:
        for pool in grammar.COMMENT_POOLS:
            collect(grammar.comment(mood, pool))
        for frame in grammar.FRAMES:
            collect(grammar.framed(frame, mood, tuple(frame.families)))
    return tuple(found.values())


def well_formed(sentence: str) -> bool:
    """Whether the grammar can write exactly this sentence, in some mood, on some topic, with some names.

    >>> well_formed("You are such a clown."), well_formed("You are such clown a.")
    (True, False)
    """
    return any(probability(node, sentence) > 0 for node in _sentence_nodes())
