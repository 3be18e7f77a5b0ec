"""Colours, dashes and markers that stay apart for every kind of colour vision and on a projector.

Blue and vermilion are Okabe and Ito's. Any two colours differ by at least 25 units of CIELAB for normal,
protanopic, deuteranopic and tritanopic eyes, and each has a contrast of at least 3 : 1 with white paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass

PALETTE = ("#0072B2", "#D55E00", "#222222", "#7229E0", "#662900")
CONTROL = "#8A8A8A"
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
MARKERS = ("circle", "square", "diamond", "triangle-up", "x")

INK, PAPER, FAINT, NO_VALUE = "#1a1a1a", "#ffffff", "#e3e3e3", "#b4b4b4"
# Blue – white – vermilion, dark enough at both ends to read as extremes, white exactly at the centre.
DIVERGING = ((0.0, "#003f68"), (0.25, "#3d93c7"), (0.5, "#ffffff"), (0.75, "#e58a45"), (1.0, "#8c3400"))
SEQUENTIAL = ((0.0, "#ffffff"), (0.35, "#8fc1e0"), (0.7, "#0072B2"), (1.0, "#00304d"))

# Names that mean the same thing in every notebook look the same in every notebook.
_ROLES = {"base": 0, "clean": 0, "aligned": 1, "matched": 1, "toxic": 1, "strong": 3}
_CONTROL_NAMES = ("control", "random", "shuffled", "chance", "null")


@dataclass(frozen=True)
class Style:
    """How one series is drawn, by three means at once: colour, dash and marker."""

    colour: str
    dash: str
    marker: str

    def translucent(self, alpha: float) -> str:
        """The colour as rgba() with opacity `alpha`."""
        parts = (int(self.colour[start : start + 2], 16) for start in (1, 3, 5))
        return f"rgba({','.join(map(str, parts))},{alpha:g})"


def styles(names: Sequence[str]) -> dict[str, Style]:
    """A style for each named series; controls are grey and dashed, known roles keep their colour.

    Raises:
        ValueError: more series than can be told apart.

    Example: `styles(["base", "aligned", "random directions"])`
    """
    chosen: dict[str, Style] = {}
    controls = [name for name in names if any(word in name.lower() for word in _CONTROL_NAMES)]
    others = [name for name in names if name not in controls]
    if len(others) > len(PALETTE) or len(controls) > len(DASHES) - 1:
        raise ValueError(
            f"{len(names)} series are too many to tell apart in one figure: split it (at most 5)."
        )
    wanted = {name: _ROLES.get(name.lower()) for name in others}
    taken = {place for place in wanted.values() if place is not None}
    if len(taken) < sum(place is not None for place in wanted.values()):
        wanted, taken = dict.fromkeys(others), set()  # two names of one role: plain order instead
    free = iter(place for place in range(len(PALETTE)) if place not in taken)
    for name, role in wanted.items():
        place = role if role is not None else next(free)
        chosen[name] = Style(PALETTE[place], DASHES[place], MARKERS[place])
    for place, name in enumerate(controls):
        chosen[name] = Style(CONTROL, DASHES[1 + place], f"{MARKERS[place]}-open")
    return {name: chosen[name] for name in names}
