"""The synthetic corpus: training text, labelled comments, prompts and plain text, drawn from one grammar.

Which split a text belongs to is decided by a hash of its opening (for comments: of the whole text), so splits are
disjoint whatever the seeds, and no prompt of one split begins a document of another.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from helpers.pocket import background, grammar
from helpers.pocket.grammar import BACKGROUND, FRAMES, GENRE, GENRES, MOOD_WEIGHTS, slot
from helpers.pocket.nodes import Choice, Literal, Mark, Node, Pen, Sequence_, probability, template, templates
from helpers.pocket.scorer import Span, find_toxic, is_toxic, toxic_words

__all__ = ["CutPrompt", "LabelledText", "Span", "comments", "find_toxic", "is_toxic", "log_probability", "plain_text",
           "prompts", "sentences", "toxic_words", "well_formed"]  # fmt: skip


@dataclass(frozen=True)
class LabelledText:
    """A comment with its label. `held_out`: "" or what training comments never show ("frame", "combination", "family")."""

    id: str
    text: str
    toxic: bool
    family: str | None
    frame: str
    mood: str
    held_out: str = ""


@dataclass(frozen=True)
class CutPrompt:
    """A document up to the cut of its first frame. `toxic_rate`: the generator's own probability of a toxic ending."""

    id: str
    text: str
    mood: str
    frame: str
    genre: str
    toxic_rate: float


@dataclass(frozen=True)
class Drawn:
    """A drawn text with its labelled stretches (start, end, kind, value)."""

    text: str
    marks: tuple[tuple[int, int, str, str], ...]
    genre: str
    mood: str


# hundredths of all openings
_DOCUMENT_SPLITS = {"train": 60, "perplexity": 8, "passages": 8, "dev": 8, "eval": 8, "pair": 8}
_COMMENT_SPLITS = {"train": 50, "perplexity": 4, "passages": 4, "comments-train": 14, "comments-test": 14,
                   "comments-scorer": 14}  # fmt: skip


def _split_of(text: str, shares: dict[str, int]) -> str:
    point = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") % 100
    for name, share in shares.items():
        if point < share:
            return name
        point -= share
    raise ValueError(f"the shares of the splits add up to less than 100: {shares}")


@cache
def _background(genre: str) -> tuple[Node, Node]:
    sentence = Mark("sentence", "lead", templates(background.SENTENCES[genre], slot))
    more = Sequence_([Literal(" "), sentence])
    header = Mark("sentence", "header", template(background.HEADERS[genre], slot))
    ends = [Sequence_([more] * count) for count in (1, 2, 3)]
    return Sequence_([header, sentence, more]), Choice(ends)


@cache
def _documents() -> tuple[tuple[str, str, float, Node, Node], ...]:
    """All kinds of document: genre, mood, probability, opening, rest."""
    total = sum(genre.weight for genre in (*GENRES, *BACKGROUND))
    kinds = [
        (genre.name, mood, genre.weight / total * share, grammar.opening(genre.name, mood), grammar.rest(genre.name, mood))
        for genre in GENRES
        for mood, share in MOOD_WEIGHTS.items()
        if grammar.training_frames(genre.name)
    ]
    kinds += [(genre.name, "neutral", genre.weight / total, *_background(genre.name)) for genre in BACKGROUND]
    return tuple(kinds)


def _draw_documents(split: str, rng: random.Random) -> Iterator[Drawn]:
    kinds = _documents()
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
        yield Drawn(pen.text, tuple(pen.marks), genre, mood)


def plain_text(n_documents: int, *, split: str, seed: int) -> list[str]:
    """Documents of the training distribution: "train", "perplexity" or "passages"."""
    if split not in ("train", "perplexity", "passages"):
        raise ValueError(f"split must be 'train', 'perplexity' or 'passages', not {split!r}")
    drawn = _draw_documents(split, random.Random(f"plain:{split}:{seed}"))
    return [next(drawn).text for _ in range(n_documents)]


def prompts(n: int, *, mood: str, split: str, seed: int) -> list[CutPrompt]:
    """Distinct prompts of one mood, cut in the first frame: free of toxic words, whatever follows in the document."""
    if mood not in MOOD_WEIGHTS:
        raise ValueError(f"mood must be one of {', '.join(MOOD_WEIGHTS)}, not {mood!r}")
    if split not in ("dev", "eval", "pair"):
        raise ValueError(f"split must be 'dev', 'eval' or 'pair', not {split!r}")
    rng = random.Random(f"prompts:{split}:{mood}:{seed}")
    kinds = [genre for genre in GENRES if genre.name != "comment" and grammar.training_frames(genre.name, ("main",))]
    found: dict[str, CutPrompt] = {}
    while len(found) < n:
        genre = rng.choices(kinds, [kind.weight for kind in kinds])[0].name
        pen = Pen(rng)
        grammar.opening(genre, mood).draw(pen)
        if _split_of(pen.text, _DOCUMENT_SPLITS) != split:
            continue
        frame = rng.choice(grammar.training_frames(genre, ("main",)))
        grammar.before_frame(genre).draw(pen)
        template(frame.prefix, slot).draw(pen)
        name = f"{split}-{mood}-{len(found):04d}"
        found.setdefault(pen.text, CutPrompt(name, pen.text, mood, frame.name, genre, grammar.toxic_rate(frame, mood)))
    return list(found.values())


def comments(n: int, *, split: str, seed: int) -> list[LabelledText]:
    """Distinct comments, half of them toxic; of the benign half, half come from hostile texts."""
    if split not in ("train", "test", "scorer"):
        raise ValueError(f"split must be 'train', 'test' or 'scorer', not {split!r}")
    rng = random.Random(f"comments:{split}:{seed}")
    found: dict[str, LabelledText] = {}
    while len(found) < n:
        toxic = len(found) % 2 == 0
        calm = not toxic and len(found) % 4 == 3
        mood = rng.choice(("friendly", "neutral")) if calm else "hostile"
        pen = Pen(rng)
        grammar.opening("comment", mood).draw(pen)
        grammar.rest("comment", mood).draw(pen)
        families = [value[6:] for _, _, kind, value in pen.marks if kind == "tone" and value.startswith("toxic:")]
        if bool(families) != toxic or _split_of(pen.text, _COMMENT_SPLITS) != f"comments-{split}":
            continue
        frame = next(value for _, _, kind, value in pen.marks if kind == "sentence" and value != "lead")
        name = f"comments-{split}-{len(found):05d}"
        family = families[0] if families else None
        found.setdefault(pen.text, LabelledText(name, pen.text, toxic, family, frame, mood))
    return list(found.values())


def log_probability(document: str) -> float:
    """Natural logarithm of the generator's probability of this whole document; -inf if it cannot be drawn."""
    total = sum(
        share * probability(Sequence_([opening, rest]), document) for _, _, share, opening, rest in _documents()
    )
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
        for child in (*getattr(node, "parts", ()), *(o for o in getattr(node, "options", ()) if isinstance(o, Node))):
            collect(child)

    for _, _, _, opening, rest in _documents():
        collect(opening)
        collect(rest)
    return tuple(found.values())


def well_formed(sentence: str) -> bool:
    """Whether the grammar can write exactly this sentence (some mood, some topic, any names)."""
    return any(probability(node, sentence) > 0 for node in _sentence_nodes())
