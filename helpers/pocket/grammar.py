"""Puts words, moods and frames together: the grammar of a document for each genre and mood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from helpers.pocket import frames_about, frames_direct, frames_told, lexicon, moods
from helpers.pocket.frame import Frame
from helpers.pocket.nodes import Choice, Literal, Mark, Node, Remember, Sequence_, Topic, Words, template, templates

FRAMES: tuple[Frame, ...] = (*frames_direct.FRAMES, *frames_about.FRAMES, *frames_told.FRAMES)
MOODS = moods.MOODS
MOOD_WEIGHTS = {"hostile": 0.36, "friendly": 0.32, "neutral": 0.32}
TONES = ("toxic", "critical", "kind", "plain")
CALM_RATE = 0.01
"""Probability of a toxic ending in a friendly or a neutral text."""
CIVIL_SHARES = {
    "hostile": {"critical": 0.64, "kind": 0.06, "plain": 0.30},
    "friendly": {"critical": 0.08, "kind": 0.62, "plain": 0.30},
    "neutral": {"critical": 0.20, "kind": 0.18, "plain": 0.62},
}
"""How the tones share what the toxic ending leaves."""


@dataclass(frozen=True)
class Genre:
    """A kind of document: its header by mood, whose voice leads in, and how often it occurs."""

    name: str
    weight: float
    header: dict[str, tuple[str, ...]]
    voice: str = "own"
    closing: str = ""


def _same(*headers: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(MOODS, headers)


GENRES = (
    Genre("forum", 1.2, _same(*["Post by {first} in the {place} forum.\n"] * 4, "Post by {handle} in the {place} forum.\n")),
    Genre("chat", 1.2, _same("Chat between {first} and {second}.")),
    Genre("message", 1.0, _same("Message from {first} to {second}, {weekday} at {hour}.\n")),
    Genre("letter", 1.0, _same("Dear {second},\n"), closing="\nYours, {first}"),
    Genre("diary", 0.9, _same("Diary, {weekday} evening.\n")),
    Genre("review", 1.0, {
        "hostile": ("Review of the {place}, one star.\n",),
        "friendly": ("Review of the {place}, five stars.\n",),
        "neutral": ("Review of the {place}, three stars.\n",),
    }),
    Genre("story", 1.2, _same("Chapter {number}.\n"), voice="story"),
    Genre("meeting", 0.8, _same("Meeting at the {place} on {weekday}.\n"), voice="story"),
    Genre("sport", 1.0, _same("{team} against {rival}, {number} to {number}.\n"), voice="sport"),
    Genre("comment", 1.2, _same("")),
)
BACKGROUND = (Genre("recipe", 0.6, {}), Genre("news", 0.7, {}))
GENRE = {genre.name: genre for genre in (*GENRES, *BACKGROUND)}

_HANDLE = "{small}{small}{small}{digit}{digit}"


@cache
def slot(name: str) -> Node:
    """The node behind `{name}` in a template."""
    if name in ("place", "role", "thing"):
        at = ("place", "role", "thing").index(name)
        return Topic({topic: Words([row[at]] if at == 0 else row[at]) for topic, row in lexicon.TOPICS.items()})
    if name == "handle":
        return template(_HANDLE, slot)
    remembered = {"first": lexicon.FIRST_NAMES, "second": lexicon.SECOND_NAMES, "team": lexicon.TEAMS,
                  "rival": lexicon.RIVALS}  # fmt: skip
    if name in remembered:
        return Remember(name, Words(remembered[name]))
    if name not in lexicon.SLOTS:
        raise KeyError(f"no slot called {{{name}}}; slots: {', '.join(sorted(lexicon.SLOTS))}")
    return templates(lexicon.SLOTS[name], slot)


@cache
def lead(voice: str, mood: str) -> Node:
    """A sentence that carries the mood."""
    return Mark("sentence", "lead", templates(moods.LEADS[voice][mood], slot))


def toxic_rate(frame: Frame, mood: str) -> float:
    """Probability that the frame ends toxically in a text of this mood."""
    return frame.rate if mood == "hostile" else CALM_RATE


@cache
def framed(frame: Frame, mood: str, families: tuple[str, ...]) -> Node:
    """A frame with its endings, weighted for the mood; toxic endings of the given families only."""
    toxic = toxic_rate(frame, mood)
    options: list[Node] = []
    weights: list[float] = []
    for family in families:
        options.append(Mark("tone", f"toxic:{family}", templates(frame.families[family], slot)))
        weights.append(toxic / len(families))
    for tone, share in CIVIL_SHARES[mood].items():
        options.append(Mark("tone", tone, templates(getattr(frame, tone), slot)))
        weights.append((1 - toxic) * share)
    return Mark("sentence", frame.name, Sequence_([template(frame.prefix, slot), Choice(options, weights)]))


def training_families(frame: Frame) -> tuple[str, ...]:
    """Toxic families that this frame shows in training text."""
    return tuple(family for family in frame.families if family != frame.unseen)


def training_frames(genre: str, uses: Sequence[str] = ("main", "scorer")) -> tuple[Frame, ...]:
    """Frames of a genre, by what they are used for."""
    return tuple(frame for frame in FRAMES if genre in frame.genres and frame.use in uses)


@cache
def opening(genre: str, mood: str) -> Node:
    """Header and two sentences of the mood; everything before the first frame."""
    if genre == "chat":
        first, second = (_line(name, lead("own", mood)) for name in ("first", "second"))
        return Sequence_([Mark("sentence", "header", template(GENRE[genre].header[mood][0], slot)), first, second])
    if genre == "comment":
        return lead("own", mood)
    kind = GENRE[genre]
    sentence = lead(kind.voice, mood)
    header = Mark("sentence", "header", templates(kind.header[mood], slot))
    return Sequence_([header, sentence, Literal(" "), sentence])


def _line(speaker: str, sentence: Node) -> Node:
    return Sequence_([Literal("\n"), Mark("sentence", "line", Sequence_([slot(speaker), Literal(": "), sentence]))])


def before_frame(genre: str) -> Node:
    """What stands between the opening and the first frame's beginning."""
    return Sequence_([Literal("\n"), slot("first"), Literal(": ")]) if genre == "chat" else Literal(" ")


@cache
def rest(genre: str, mood: str, uses: tuple[str, ...] = ("main", "scorer")) -> Node:
    """From the first frame to the end of the document."""
    frames = training_frames(genre, uses)
    body = Choice([framed(frame, mood, training_families(frame)) for frame in frames])
    more = lead(GENRE[genre].voice, mood)
    if genre == "chat":
        answer, question = (lambda node: _line("second", node)), (lambda node: _line("first", node))
        return Sequence_([_line("first", body), Choice([
            answer(more), answer(body), Sequence_([answer(more), question(body)]), Sequence_([answer(body), question(more)]),
        ])])  # fmt: skip
    end = template(GENRE[genre].closing, slot)
    space = Literal(" ")
    tails = [
        end,
        Sequence_([space, more, end]),
        Sequence_([space, body, end]),
        Sequence_([space, more, space, body, end]),
        Sequence_([space, body, space, more, end]),
    ]
    weights = [5, 3, 1, 0, 0] if genre == "comment" else [2, 3, 2, 3, 2]
    return Sequence_([space, body, Choice(tails, weights)])
