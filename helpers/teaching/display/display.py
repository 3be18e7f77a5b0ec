"""`lab.show`: tables, token views and quotations, masked unless the parameters cell says otherwise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from helpers.language.words import mask
from helpers.teaching.display.show import (
    BOX,
    Html,
    broken,
    coloured,
    escape,
    grid,
    mask_tokens,
    number_text,
    visible,
    visible_lines,
)

STRONGEST = 6  # so many tokens carry their number as text, since a page may drop the colours


@dataclass(frozen=True)
class Display:
    """The views of one notebook; `unmask` shows profanity and slurs in full."""

    unmask: bool = False

    def _shown(self, text: str) -> str:
        return text if self.unmask else mask(text)

    def tokens(
        self,
        strings: Sequence[str],
        values: ArrayLike,
        *,
        caption: str,
        value_label: str,
        scale: float | None = None,
    ) -> Html:
        """Tokens on a ground coloured by their value, the strongest with the number beside them.

        Args:
            strings: one per token, as the tokeniser spells it.
            values: one per token; positive is drawn in orange, negative in blue.
            scale: the value of full colour; default the largest absolute value. Fix it to compare displays.
            caption: one line above the tokens.
            value_label: what the values are, for the hover text and the legend.

        Raises:
            ValueError: `strings` and `values` differ in length, or a value is not finite.

        Example: `lab.show.tokens([" you", " fool"], [0.1, 2.3], caption="…", value_label="activation")`
        """
        numbers = [float(value) for value in np.asarray(values, dtype=float).ravel()]
        if len(strings) != len(numbers):
            raise ValueError(
                f"{len(strings)} tokens but {len(numbers)} values: there must be one value per token."
            )
        if not np.isfinite(numbers).all():
            raise ValueError("A value is not finite, so it has no colour. Drop or replace it first.")
        full = scale if scale is not None else max(map(abs, numbers), default=1.0)
        by_size = sorted(range(len(numbers)), key=lambda place: -abs(numbers[place]))
        numbered = {place for place in by_size[:STRONGEST] if numbers[place] != 0}
        spelled = map(visible, strings if self.unmask else mask_tokens(strings))
        spans, words = [], []
        for place, (token, number) in enumerate(zip(spelled, numbers, strict=True)):
            spans.append(coloured(token, number, full, place in numbered, value_label))
            words.append(f"{token}[{number:+.2g}]" if place in numbered else token)
        legend = f"{value_label}: orange positive, blue negative, full colour at ±{full:.3g}"
        if len(numbered) < np.count_nonzero(numbers):
            legend += f"; numbers beside the first {len(numbered)} of the strongest"
        head = self._shown(caption)
        top = f"<b>{escape(head)}</b><br>"
        body = f"<div style='{BOX}'>{top}{''.join(spans)}<br><small>{escape(legend)}</small></div>"
        return Html(body, "\n".join([head, "".join(words), legend]))

    def table(
        self,
        rows: pd.DataFrame | Sequence[Mapping[str, Any]],
        *,
        caption: str,
    ) -> Html:
        """A plain table with numbers aligned and strings masked; it needs no styles, which GitHub strips.

        Args:
            rows: a DataFrame (a named or textual index becomes the first column), or one mapping per row.
            caption: what the table says, above it.

        Raises:
            ValueError: there are no rows.
        """
        frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame([dict(row) for row in rows])
        if frame.empty:
            raise ValueError("The table has no rows: there is nothing to show.")
        if not isinstance(frame.index, pd.RangeIndex):
            frame = frame.reset_index()
        headers = [self._shown(str(name)) for name in frame.columns]
        columns = [frame[name].tolist() for name in frame.columns]
        aligned = [
            all(isinstance(cell, int | float) or cell is None for cell in column) for column in columns
        ]
        cells = [[self._shown(number_text(cell)) for cell in column] for column in columns]
        return grid(headers, list(zip(*cells, strict=True)), caption=self._shown(caption), right=aligned)

    def quote(self, text: str) -> Html:
        """A passage set off as a quotation."""
        passage = self._shown(text)
        return Html(
            f"<blockquote>{broken(passage)}</blockquote>",
            "\n".join(f"> {line}" for line in passage.split("\n")),
        )

    def side_by_side(
        self,
        columns: Mapping[str, Sequence[str]],
        *,
        labels: Sequence[str] | None = None,
        caption: str,
    ) -> Html:
        """Texts side by side: one column per condition, one row per prompt.

        Args:
            columns: condition → its texts, all of equal number.
            labels: what stands before each row (the prompts, say).
            caption: what is compared, above the columns.

        Raises:
            ValueError: the columns differ in length.

        Example: `lab.show.side_by_side({"base": base.texts, "aligned": aligned.texts}, caption="…")`
        """
        lengths = {name: len(texts) for name, texts in columns.items()}
        if labels is not None:
            lengths["labels"] = len(labels)
        if len(set(lengths.values())) != 1:
            raise ValueError(f"The columns must be of equal length, got {lengths}.")
        shown = {
            name: [visible_lines(self._shown(text)) for text in texts] for name, texts in columns.items()
        }
        if labels is not None:
            shown = {"": [self._shown(label) for label in labels], **shown}
        return grid(list(shown), list(zip(*shown.values(), strict=True)), caption=self._shown(caption))
