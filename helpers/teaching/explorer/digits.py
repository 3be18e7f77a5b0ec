"""How the explorer writes a number: one rule, so that notebook and page agree digit for digit."""

import math

MINUS = "\N{MINUS SIGN}"
ACTIVATION, PROJECTION = 3, 4
"""Places after the point: of activations, cosines, logits and scores; of parts of a projection."""


def digits(number: float, places: int = ACTIVATION, *, signed: bool = True) -> str:
    """A number with a fixed number of places after the point; a dash where there is none.

    Args:
        signed: write `+` before what is above 0. What rounds to 0 has no sign.

    Example:
        >>> digits(0.4216), digits(-0.0234, 2), digits(-0.0001), digits(0.5, 2, signed=False)
        ('+0.422', '−0.02', '0.000', '0.50')
    """
    if math.isnan(number):
        return "–"
    if math.isinf(number):
        return "∞" if number > 0 else f"{MINUS}∞"
    text = f"{abs(number):,.{places}f}"
    if not text.strip("0.,"):
        return text
    return (MINUS if number < 0 else "+" if signed else "") + text


def percent(share: float) -> str:
    """A share as a percentage with one place, such as `2.1 %`; a dash where there is none."""
    return "–" if math.isnan(share) else f"{digits(100 * share, 1, signed=False)} %"
