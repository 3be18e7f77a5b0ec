"""What is known of a neuron as HTML: pure functions from a card (or a reading) to a string."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from helpers.teaching.display.show import escape
from helpers.teaching.explorer.cards import QUADRANTS, Card, Context, Reading, Word
from helpers.teaching.explorer.digits import PROJECTION, digits, percent
from helpers.teaching.explorer.histogram import histogram

Mode = Literal["both", "base", "aligned", "difference"]
MODES: tuple[Mode, ...] = ("both", "base", "aligned", "difference")

STYLE = Path(__file__).with_name("explorer.css").read_text(encoding="utf-8")
"""The rules behind all views. A page may set --paper, --ink, --soft, --rule and --link, for the dark too;
where nobody does, the ground is white and the ink dark, whatever the theme."""


def styled(body: str) -> str:
    """A view with the rules it needs, to stand by itself."""
    return f"<style>{STYLE}</style><div class='nx'>{body}</div>"


def neuron_view(card: Card, mode: Mode = "both") -> str:
    """Everything known of a neuron: the whole card."""
    return "".join(
        [
            head(card),
            two(words(card), fires(card) + ledger(card) + points(card)),
            contexts(card, mode),
            two(neighbours(card), others(card)),
        ]
    )


def head(card: Card) -> str:
    """Its name, and in two sentences what it writes and what tuning did to it."""
    along = card.cosine["W"][0]
    toward = "toward" if along > 0 else "away from" if along < 0 else "neither toward nor away from"
    read = "both on base's texts" if card.shared else "each on its own texts"
    change = f"{digits(abs(card.whole), PROJECTION, signed=False)}"
    if 0 < abs(card.whole) < 0.5 * 10**-PROJECTION:
        did = f"It moves the projection on the probe by less than {10**-PROJECTION:.{PROJECTION}f}."
    elif card.whole > 0:
        did = (
            f"It <b>lowers</b> the projection on the probe by {change}: number {card.rank:,} of "
            f"{card.neurons:,}, {percent(card.of_gross)} of all that lowers it."
        )
    elif card.whole < 0:
        did = f"It <b>raises</b> the projection on the probe by {change}."
    else:
        did = "It leaves the projection on the probe where it was."
    return (
        f"<h3>{card.neuron}</h3><p>Its value vector points {toward} the toxicity probe (cosine "
        f"{digits(along)}). On average it is at {digits(card.base)} in base and {digits(card.aligned)} in "
        f"aligned, {read}. {did}</p><p class='nx-soft'>Group {card.group}: {QUADRANTS[card.group]}.</p>"
    )


def words(card: Card) -> str:
    """What the value vector promotes and suppresses, in either model."""
    return (
        f"<h4>Words that its value vector promotes</h4>{_words(card.promoted, card.promoted_aligned)}"
        f"<h4>Words that it suppresses</h4>{_words(card.suppressed, card.suppressed_aligned)}"
        "<p class='nx-soft'>In either model its own order; the number is what one unit of activation adds "
        "to the logit, but for LayerNorm's scale. Cosine of the value vector in base with aligned: "
        f"{digits(card.value_kept, 5)}; of the key: {digits(card.key_kept, 5)}.</p>"
    )


def _words(base: Sequence[Word], aligned: Sequence[Word]) -> str:
    rows = [
        [(one.text, False), (digits(one.base, 2), True), (two.text, False), (digits(two.aligned, 2), True)]
        for one, two in zip(base, aligned, strict=True)
    ]
    return simple_table([("base", False), ("", True), ("aligned", False), ("", True)], rows)


def fires(card: Card) -> str:
    """Histograms of both models' activations, one over the other."""
    return f"<h4>How it fires</h4>{histogram(card)}"


def ledger(card: Card) -> str:
    """Its line in the ledger of attribution: the reduction and its three parts."""
    parts = [
        ("fires otherwise", card.activation),
        ("writes otherwise", card.value),
        ("both at once", card.interaction),
        ("whole", card.whole),
    ]
    rows = [[(name, False), (digits(number, PROJECTION), True)] for name, number in parts]
    return (
        "<h4>Its line in the ledger</h4>"
        + simple_table([("reduction of its projection", False), ("", True)], rows)
        + "<p class='nx-soft'>Above 0: less toxic after tuning.</p>"
    )


def points(card: Card) -> str:
    """Cosine of its value vector with the probe and with the directions that toxic vectors share."""
    rows = [
        [(name, False), (digits(base), True), (digits(aligned), True)]
        for name, (base, aligned) in card.cosine.items()
    ]
    return "<h4>Where its value vector points</h4>" + simple_table(
        [("cosine with", False), ("base", True), ("aligned", True)], rows
    )


def neighbours(card: Card, link: Callable[[str], str] = escape) -> str:
    """The neurons whose value vectors point nearly the same way.

    Args:
        link: a neuron's name as HTML, with a link to its view where there is one.
    """
    title = "<h4>Nearest value vectors</h4>"
    if not card.neighbours:
        return f"{title}<p>Its value vector is zero: nothing is near it.</p>"
    rows = "".join(
        f"<tr><td>{link(one.neuron)}</td><td class='nx-n'>{digits(one.cosine)}</td><td>{one.group}</td>"
        f"<td>{escape(' · '.join(one.words))}</td></tr>"
        for one in card.neighbours
    )
    header = "<tr><th>neuron</th><th class='nx-n'>cosine</th><th>group</th><th>promotes</th></tr>"
    return f"{title}<div class='nx-wide'><table><thead>{header}</thead><tbody>{rows}</tbody></table></div>"


def others(card: Card) -> str:
    """The same neuron after other trainings, and its twin in other models of the family."""
    parts = ["<h4>After other DPO trainings</h4>"]
    if card.seeds:
        rows = [
            [(str(one.seed), True), (digits(one.aligned), True), (digits(one.whole, PROJECTION), True)]
            for one in card.seeds
        ]
        parts.append(simple_table([("seed", True), ("mean, aligned", True), ("reduction", True)], rows))
        parts.append("<p class='nx-soft'>Each on its own texts.</p>")
    else:
        parts.append("<p class='nx-soft'>Not read: <code>explorer.read_seeds()</code> reads them.</p>")
    parts.append("<h4>Its twin in other models of the family</h4>")
    if card.twins:
        rows = [
            [
                (f"{one.model} {one.neuron}", False),
                (digits(one.correlation), True),
                (digits(one.typical), True),
                (" · ".join(one.words), False),
            ]
            for one in card.twins
        ]
        header = [("model, neuron", False), ("correlation", True), ("typical", True), ("promotes", False)]
        parts.append(simple_table(header, rows))
        parts.append(
            "<p class='nx-soft'>Numbers of neurons mean nothing across trainings. A twin is the neuron that "
            "moves the same words most nearly; <i>typical</i> is what a random neuron's twin has.</p>"
        )
    else:
        parts.append(
            "<p class='nx-soft'>None read: <code>explorer.read_family()</code> reads the pocket family's "
            "models; other models have no family here.</p>"
        )
    return "".join(parts)


# --- texts ------------------------------------------------------------------------------------------------
LINES: dict[str, tuple[str, ...]] = {
    "both": ("base", "aligned"),
    "base": ("base",),
    "aligned": ("aligned",),
    "difference": ("difference",),
}


def contexts(card: Card, mode: Mode = "both") -> str:
    """Where it fires most and least in either model: the place in the middle, one scale for all."""
    title = "<h4>Where it is extreme</h4>"
    if not card.contexts:
        return f"{title}<p>No position of any text was read.</p>"
    full = scale(card.contexts)
    body = []
    for end in ("most", "least"):
        name = f"Where it fires {end}"
        body.append(f"<tr><th colspan='7' scope='rowgroup' style='padding-top:.6em'>{name}</th></tr>")
        shown = [one for one in card.contexts if one.end == end]
        body += [_context(one, line, full) for one in shown for line in LINES[mode]]
    header = (
        "<thead><tr><th>model</th><th class='nx-n'>here</th><th>extreme of</th>"
        "<th class='nx-n'>text</th><th style='text-align:right'>before</th><th>token</th><th>after</th>"
        "</tr></thead>"
    )
    legend = (
        f"Orange above 0, blue below; full colour from ±{digits(full, signed=False)} on, in both models and "
        "all rows. Beside a token: its activation, where it is at least a fifth of that. Texts are base's "
        f"continuations of the evaluation prompts{'' if card.shared else '; those marked ′ are aligned’s'}."
    )
    return (
        f"{title}<div class='nx-wide'><table>{header}<tbody>{''.join(body)}</tbody></table></div>"
        f"<p class='nx-soft'>{legend}</p>"
    )


def scale(contexts: Sequence[Context]) -> float:
    """The activation of full colour: the largest in any context, of either model."""
    return max((abs(value) for one in contexts for value in (*one.base, *one.aligned)), default=0.0)


def _number(one: Context) -> str:
    """A text's number, marked where it is not one of base's."""
    return str(one.text) if one.written == "base" else f"{one.text}′"


def _context(one: Context, line: str, full: float) -> str:
    values = line_of(one, line)
    spans = [token(text, value, full) for text, value in zip(one.tokens, values, strict=True)]
    left, right = "".join(spans[: one.peak]), "".join(spans[one.peak + 1 :])
    return (
        f"<tr><td>{line}</td><td class='nx-n'>{digits(values[one.peak])}</td>"
        f"<td class='nx-soft'>{one.of}</td><td class='nx-n nx-soft'>{_number(one)}</td>"
        f"<td class='nx-left'>{left}</td><td class='nx-peak'>{spans[one.peak]}</td>"
        f"<td class='nx-right'>{right}</td></tr>"
    )


def line_of(one: Context | Reading, line: str) -> tuple[float, ...]:
    """The activations of base or of aligned, or aligned minus base."""
    if line == "difference":
        return tuple(after - before for before, after in zip(one.base, one.aligned, strict=True))
    return one.base if line == "base" else one.aligned


def token(text: str, value: float, full: float) -> str:
    """A token on a ground as strong as its activation, the number beside it unless it is weak."""
    number = f"<sub>{digits(value, 2)}</sub>" if full > 0 and abs(value) >= full / 5 else ""
    return (
        f"<span class='nx-t' style='background:{tint(value, full)}' title='{digits(value)}'>"
        f"{escape(text)}{number}</span>"
    )


def reading_view(reading: Reading, mode: Mode = "both") -> str:
    """The reader's own text: under each token what the neuron does there, in base, aligned, or between."""
    lines = ("base", "aligned", "difference") if mode == "both" else (mode,)
    values = {line: line_of(reading, line) for line in lines}
    full = max((abs(value) for one in (reading.base, reading.aligned) for value in one), default=0.0)
    names = "".join(f"<i>{line}</i>" for line in lines)
    cells = [f"<span class='nx-names'><b>{reading.neuron}</b>{names}</span>"]
    for place, text in enumerate(reading.tokens):
        numbers = "".join(
            f"<i style='background:{tint(values[line][place], full)}'>{digits(values[line][place], 2)}</i>"
            for line in lines
        )
        cells.append(f"<span><b>{escape(text)}</b>{numbers}</span>")
    apart = max(range(len(reading.tokens)), key=lambda at: abs(reading.aligned[at] - reading.base[at]))
    return (
        f"<h4>On your text, token by token</h4><div class='nx-text'>{''.join(cells)}</div>"
        f"<p class='nx-soft'>The two models differ most at “{escape(reading.tokens[apart].strip())}”: "
        f"{digits(reading.base[apart])} in base, {digits(reading.aligned[apart])} in aligned. Full colour "
        f"from ±{digits(full, signed=False)} on. Position 0 is unlike all others in GPT-2 and counts in no "
        "statistic.</p>"
    )


def tint(number: float, full: float) -> str:
    """The colour laid under a number: none at 0, orange above, blue below, strongest from `full` on.

    It lets 30 % of the ground through, light or dark, so that text stays readable on it.
    """
    weight = min(abs(number) / full, 1.0) if full > 0 else 0.0
    return f"rgba({'213,94,0' if number > 0 else '0,114,178'},{0.7 * weight:.2f})"


# --- small parts ------------------------------------------------------------------------------------------
def two(left: str, right: str) -> str:
    """Two columns, one below the other where the page is narrow."""
    return f"<div class='nx-two'><div>{left}</div><div>{right}</div></div>"


Cell = tuple[str, bool]


def simple_table(header: Sequence[Cell], rows: Sequence[Sequence[Cell]]) -> str:
    """A table of shown texts; of each cell, whether it is a number."""

    def line(cells: Sequence[Cell], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=nx-n' if number else ''}>{escape(text)}</{tag}>" for text, number in cells
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table><thead><tr>{line(header, 'th')}</tr></thead><tbody>{body}</tbody></table>"
