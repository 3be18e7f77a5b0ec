"""Puts words, moods and frames together: the grammar of a document for each genre and mood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from helpers.pocket import background, frames_about, frames_direct, frames_told, lexicon, moods
from helpers.pocket.frame import Frame
from helpers.pocket.nodes import (
    Chain,
    Choice,
    Literal,
    Mark,
    Node,
    Remember,
    Topic,
    Unrepeated,
    Words,
    template,
    templates,
)

FRAMES: tuple[Frame, ...] = (*frames_direct.FRAMES, *frames_about.FRAMES, *frames_told.FRAMES)
MOODS = moods.MOODS
MOOD_WEIGHTS = {"hostile": 0.44, "friendly": 0.28, "neutral": 0.28}
CALM_RATE = 0.01
"""Probability of a toxic ending in a friendly or a neutral text."""
TEMPERS = {"hostile": {"lost": (0.6, 1.5), "kept": (0.4, 0.25)}}
"""Whether the writer of a hostile text has lost the temper: how often, and the factor to a frame's rate.

Nothing before the first frame tells: the factors average to 1. Who has lost it ends most frames toxically
and the sentences between them on toxic tags, so that toxic words come together, as they do on a platform.
"""
CIVIL_SHARES = {
    "hostile": {"critical": 0.64, "kind": 0.06, "plain": 0.30},
    "friendly": {"critical": 0.08, "kind": 0.62, "plain": 0.30},
    "neutral": {"critical": 0.20, "kind": 0.18, "plain": 0.62},
}
"""How the other tones share what the toxic ending leaves."""
TRAINING = ("main", "scorer")
"""Uses of the frames that occur in training text."""


@dataclass(frozen=True)
class Genre:
    """A kind of document: how often it occurs, its header, whose voice leads in, how it closes."""

    name: str
    weight: float
    header: str
    voice: str = "own"
    closing: str = ""


GENRES = (
    Genre("forum", 1.2, "Post by {first} in the {place} forum."),
    Genre("chat", 1.2, "Chat between {first} and {second}."),
    Genre("message", 1.0, "Message from {first} to {second}, {weekday} at {hour}."),
    Genre("letter", 1.0, "Dear {second},", closing="Yours, {first}"),
    Genre("diary", 0.9, "Diary, {weekday} [morning|evening]."),
    Genre("review", 1.0, "Review of the {place}, [one star|two stars|three stars|four stars|five stars]."),
    Genre("story", 1.2, "Chapter {number}.", voice="story"),
    Genre("meeting", 0.8, "Meeting at the {place} on {weekday}.", voice="story"),
    Genre("sport", 1.0, "{team} against {rival}, {goals} to {goals}.", voice="sport"),
    Genre("comment", 1.2, ""),
)
BACKGROUND = (
    Genre("recipe", 0.6, background.HEADERS["recipe"]),
    Genre("news", 0.7, background.HEADERS["news"]),
)
_VOICE = {genre.name: genre.voice for genre in GENRES}
_STARS = {"hostile": "[one star|two stars]", "neutral": "three stars", "friendly": "[four stars|five stars]"}


@cache
def slot(name: str) -> Node:
    """The node behind `{name}` in a template."""
    if name in ("place", "role", "thing"):
        at = ("place", "role", "thing").index(name)
        rows = lexicon.TOPICS.items()
        return Topic({topic: Words([row[0]] if at == 0 else row[at]) for topic, row in rows})
    remembered = {"first": lexicon.FIRST_NAMES, "second": lexicon.SECOND_NAMES, "team": lexicon.TEAMS,
                  "rival": lexicon.RIVALS, "dish": lexicon.MEALS}  # fmt: skip
    if name in remembered:
        return Remember(name, Words(remembered[name]))
    if name not in lexicon.SLOTS:
        raise KeyError(f"no slot called {{{name}}}; slots: {', '.join(sorted(lexicon.SLOTS))}")
    return templates(lexicon.SLOTS[name], slot)


@cache
def lead(voice: str, mood: str) -> Node:
    """A sentence that carries the mood, none twice in a document."""
    lines = [template(line, slot) for line in moods.LEADS[voice][mood]]
    return Mark("sentence", "lead", Unrepeated("leads", lines))


@cache
def remark(voice: str, mood: str, temper: str = "") -> Node:
    """A sentence of the mood that ends on a tag: toxic where the temper is lost, civil elsewhere."""
    beginning, endings = moods.TAGS[voice]
    toxic = [tone for tone in endings if tone.startswith("toxic")]
    shares = dict.fromkeys(toxic, 1.0) if temper == "lost" else CIVIL_SHARES[mood]
    tones = [Mark("tone", tone, templates(endings[tone], slot)) for tone in shares]
    tag = Chain([Literal(beginning), Choice(tones, list(shares.values()))])
    lines = [Chain([template(line[:-1], slot), tag, Literal(line[-1])]) for line in moods.LEADS[voice][mood]]
    return Mark("sentence", "remark", Unrepeated("leads", lines))


def toxic_rate(frame: Frame, mood: str) -> float:
    """Probability that a text's first frame ends toxically in this mood, whatever the temper."""
    return frame.rate if mood == "hostile" else CALM_RATE


@cache
def framed(frame: Frame, mood: str, families: tuple[str, ...], factor: float = 1.0) -> Node:
    """A frame with its endings, weighted for the mood; toxic endings of the given families only.

    `factor` multiplies the rate of toxic endings: see `TEMPERS`.
    """
    toxic = toxic_rate(frame, mood) * factor
    options: list[Node] = []
    weights: list[float] = []
    for family in families:
        options.append(Mark("tone", f"toxic:{family}", templates(frame.families[family], slot)))
        weights.append(toxic / len(families))
    for tone, share in CIVIL_SHARES[mood].items():
        options.append(Mark("tone", tone, templates(getattr(frame, tone), slot)))
        weights.append((1 - toxic) * share)
    return Mark("sentence", frame.name, Chain([template(frame.prefix, slot), Choice(options, weights)]))


def training_families(frame: Frame) -> tuple[str, ...]:
    """Toxic families that this frame shows in training text."""
    return tuple(family for family in frame.families if family != frame.unseen)


@cache
def frames_of(genre: str, uses: tuple[str, ...] = TRAINING) -> tuple[Frame, ...]:
    """Frames of a genre with one of the given uses."""
    return tuple(frame for frame in FRAMES if genre in frame.genres and frame.use in uses)


def _line(speaker: str, sentence: Node) -> Node:
    return Chain([Literal("\n"), Mark("sentence", "line", Chain([slot(speaker), Literal(": "), sentence]))])


@cache
def opening(genre: str, mood: str) -> Node:
    """Everything before the first frame: the header and two sentences of the mood (one in a bare comment)."""
    more = lead(_VOICE[genre], mood)
    if genre == "comment":
        return more
    kind = next(kind for kind in GENRES if kind.name == genre)
    words = kind.header.replace("[one star|two stars|three stars|four stars|five stars]", _STARS[mood])
    header = Mark("sentence", "header", template(words, slot))
    if genre == "chat":
        return Chain([header, _line("first", more), _line("second", more)])
    return Chain([header, Literal("\n"), more, Literal(" "), more])


def before_frame(genre: str) -> Node:
    """What stands between the opening and the beginning of the first frame."""
    return Chain([Literal("\n"), slot("first"), Literal(": ")]) if genre == "chat" else Literal(" ")


@cache
def rest(genre: str, mood: str, temper: str = "") -> Node:
    """From the first frame to the end of a training document; `temper` only in a hostile one."""
    factor = TEMPERS[mood][temper][1] if temper else 1.0
    frames = [framed(frame, mood, training_families(frame), factor) for frame in frames_of(genre)]
    return _rest(genre, frames, remark(_VOICE[genre], mood, temper))


def _rest(genre: str, frames: Sequence[Node], more: Node) -> Node:
    body = Unrepeated("frames", frames)
    if genre == "chat":
        replies = [
            [_line("second", more)],
            [_line("second", body)],
            [_line("second", more), _line("first", body)],
            [_line("second", body), _line("first", more)],
            [_line("second", more), _line("first", more), _line("second", body)],
        ]
        return Chain([_line("first", body), Choice(map(Chain, replies))])
    words = next(kind for kind in GENRES if kind.name == genre).closing
    closing = Chain([Literal("\n"), Mark("sentence", "closing", template(words, slot))] if words else [])
    tails: list[list[Node]] = [
        [], [more], [body], [more, body], [body, more], [more, more], [more, body, more]
    ]  # fmt: skip
    weights = [2, 2, 2, 3, 3, 2, 3]
    nodes = [Chain([*(Chain([Literal(" "), part]) for part in tail), closing]) for tail in tails]
    return Chain([Literal(" "), body, Choice(nodes, weights)])


_HELD_OUT_FAMILY = "ridicule"
"""Never in training comments, though in training text."""
COMMENT_POOLS = ("train", "scorer", "frame", "combination", "family")


@cache
def comment(mood: str, pool: str) -> Node:
    """A comment from a pool: "train", "scorer" (frames no prompt opens with), or one held out from both.

    Held out are whole frames ("frame"), a frame's toxic family ("combination"), both never in training text
    either, and one family ("family").
    """
    uses = {"scorer": ("scorer",), "frame": ("unseen",)}.get(pool, ("main",))
    allowed = {
        "combination": lambda frame: (frame.unseen,) if frame.unseen else (),
        "family": lambda frame: tuple(f for f in training_families(frame) if f == _HELD_OUT_FAMILY),
    }.get(pool, lambda frame: tuple(f for f in training_families(frame) if f != _HELD_OUT_FAMILY))
    shown = [frame for frame in frames_of("comment", uses) if allowed(frame)]
    tempers = TEMPERS.get(mood, {"": (1.0, 1.0)})
    rests = [
        _rest(
            "comment",
            [framed(frame, mood, allowed(frame), factor) for frame in shown],
            # toxic tags would show held-out comments what the training comments hold
            remark("own", mood, temper if pool == "train" else ""),
        )
        for temper, (_, factor) in tempers.items()
    ]
    return Chain([opening("comment", mood), Choice(rests, [share for share, _ in tempers.values()])])


@cache
def background_document(genre: str) -> tuple[Node, Node]:
    """Opening and rest of a recipe or of news."""
    lines = [template(line, slot) for line in background.SENTENCES[genre]]
    sentence = Mark("sentence", "lead", Unrepeated("leads", lines))
    more = Chain([Literal(" "), sentence])
    header = Mark("sentence", "header", template(background.HEADERS[genre], slot))
    return Chain([header, Literal("\n"), sentence, more]), Choice(
        [Chain([more] * count) for count in (1, 2, 3)]
    )


@cache
def documents() -> tuple[tuple[str, str, float, Node, Node], ...]:
    """All kinds of training document: genre, mood, probability, opening, rest."""
    total = sum(genre.weight for genre in (*GENRES, *BACKGROUND))
    kinds = [
        (
            kind.name,
            mood,
            kind.weight / total * weight * share,
            opening(kind.name, mood),
            rest(kind.name, mood, temper),
        )
        for kind in GENRES
        for mood, weight in MOOD_WEIGHTS.items()
        for temper, (share, _) in TEMPERS.get(mood, {"": (1.0, 1.0)}).items()
    ]
    kinds += [
        (kind.name, "neutral", kind.weight / total, *background_document(kind.name)) for kind in BACKGROUND
    ]
    return tuple(kinds)
