"""Equations as MathML, which browsers typeset on their own: no script, no network."""

from __future__ import annotations

import re

from latex2mathml.converter import convert

# The converter knows the outer environments only; inside an equation these mean the same.
INNER = {"aligned": "align*", "gathered": "align*", "alignedat": "align*"}
UNKNOWN = re.compile(r"<m[io]>(\\[A-Za-z]+|&)</m[io]>")


class EquationError(ValueError):
    """An equation that cannot be shown as MathML, with the part that is not understood."""


def to_mathml(latex: str, *, display: bool) -> str:
    r"""One equation, without its dollar signs, as a `<math>` element.

    Raises:
        EquationError: the converter does not know a command, and would leave it as it is in the page.

    Example: `to_mathml(r"\hat{W} \cdot v_i", display=False)`
    """
    for inner, outer in INNER.items():
        latex = latex.replace(rf"\begin{{{inner}}}", rf"\begin{{{outer}}}").replace(
            rf"\end{{{inner}}}", rf"\end{{{outer}}}"
        )
    markup = convert(latex, display="block" if display else "inline")
    if unknown := UNKNOWN.search(markup):
        raise EquationError(
            f"{unknown[1]!r} in the equation {latex.strip()!r} has no MathML here: say it in another way"
        )
    return markup
