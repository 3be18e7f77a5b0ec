"""Two histograms of one neuron's activations, overlaid, as an SVG that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from helpers.teaching.explorer.cards import Card
from helpers.teaching.explorer.digits import digits, percent

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 460, 190, 46, 18, 34, 12
LOOKS = {"base": ("#0072B2", ""), "aligned": ("#D55E00", "6 3")}
QUIET = 0.1
"""A neuron counts as firing above this activation: an edge of the bins."""


def histogram(card: Card) -> str:
    """Share of positions by bin of activation, on a square-root scale so that rare strong firing is seen.

    The means are marked by lines, and what the picture shows stands in words below it.
    """
    last = max(
        (place for shares in card.histogram.values() for place, one in enumerate(shares) if one), default=0
    )
    shown = min(len(card.edges) - 1, max(last + 1, 8))
    low, high = card.edges[0], card.edges[shown]
    most = max((max(shares) for shares in card.histogram.values()), default=0.0) or 1.0

    def across(value: float) -> float:
        return LEFT + (min(max(value, low), high) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def up(share: float) -> float:
        return TOP + (1 - (share / most) ** 0.5) * (HEIGHT - TOP - BOTTOM)

    parts = [_axes(card.edges[: shown + 1], most, across, up)]
    for name, shares in card.histogram.items():
        colour, dash = LOOKS[name]
        steps = [f"M{across(low):.1f},{up(0.0):.1f}"]
        for place in range(shown):
            height = up(shares[place])
            steps.append(
                f"L{across(card.edges[place]):.1f},{height:.1f} "
                f"L{across(card.edges[place + 1]):.1f},{height:.1f}"
            )
        steps.append(f"L{across(high):.1f},{up(0.0):.1f}")
        mean = {"base": card.base, "aligned": card.aligned}[name]
        x = across(mean)
        parts.append(
            f"<path d='{' '.join(steps)}' fill='{colour}' fill-opacity='.1' stroke='{colour}' "
            f"stroke-width='2' stroke-dasharray='{dash}'/>"
            f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{TOP}' y2='{HEIGHT - BOTTOM}' stroke='{colour}' "
            f"stroke-width='1.5' stroke-dasharray='2 3'/>"
        )
    said = "; ".join(
        f"{name}: mean {digits(mean)}, above {QUIET:g} at "
        f"{percent(firing(card.edges, card.histogram[name]))} of positions"
        for name, mean in (("base", card.base), ("aligned", card.aligned))
    )
    key = "".join(
        f"<span style='white-space:nowrap;margin-right:1.2em'><svg width='30' height='8' "
        f"style='display:inline-block' aria-hidden='true'><line x1='0' x2='30' y1='4' y2='4' "
        f"stroke='{colour}' stroke-width='2' stroke-dasharray='{dash}'/></svg> {name}</span>"
        for name, (colour, dash) in LOOKS.items()
    )
    return (
        f"<div>{key}</div><svg viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' role='img' "
        f"aria-label='Histogram of activations. {said}.'>{''.join(parts)}</svg>"
        f"<p class='nx-soft'>{said}. Thin lines mark the means.</p>"
    )


def firing(edges: Sequence[float], shares: Sequence[float]) -> float:
    """The share of positions above `QUIET`, from a histogram's shares."""
    return sum((one for edge, one in zip(edges, shares, strict=False) if edge > QUIET - 1e-6), 0.0)


def _axes(edges: Sequence[float], most: float, across, up) -> str:
    ground, ink = HEIGHT - BOTTOM, "currentColor"
    every = max(1, round(len(edges) / 6))
    first = next((place for place, edge in enumerate(edges) if abs(edge) < 1e-6), 0)
    ticks = [edge for place, edge in enumerate(edges) if (place - first) % every == 0]
    marks = "".join(
        f"<line x1='{across(tick):.1f}' x2='{across(tick):.1f}' y1='{ground}' y2='{ground + 4}' "
        f"stroke='{ink}'/><text x='{across(tick):.1f}' y='{ground + 16}' font-size='11' "
        f"text-anchor='middle' fill='{ink}'>{digits(tick, 1)}</text>"
        for tick in ticks
    )
    levels = "".join(
        f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{up(share):.1f}' y2='{up(share):.1f}' stroke='{ink}' "
        f"stroke-opacity='.15'/><text x='{LEFT - 5}' y='{up(share) + 4:.1f}' font-size='11' "
        f"text-anchor='end' fill='{ink}'>{share:.0%}</text>"
        for share in (1.0, 0.5, 0.25, 0.1, 0.01)
        if share <= most
    )
    name = (
        f"<text x='{(LEFT + WIDTH) / 2}' y='{HEIGHT - 3}' font-size='11' text-anchor='middle' fill='{ink}'>"
        "activation</text>"
    )
    line = f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{ground}' y2='{ground}' stroke='{ink}'/>"
    return line + marks + levels + name
