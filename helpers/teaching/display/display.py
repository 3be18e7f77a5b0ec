"""The display functions of `show`, with a notebook's choice about profanity bound once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from helpers.teaching.display import show
from helpers.teaching.display.show import Html


@dataclass(frozen=True)
class Display:
    """`lab.show`: tables, token views and quotes, masked unless the parameters cell says otherwise."""

    unmask: bool = False

    def table(
        self, rows: pd.DataFrame | Sequence[Mapping[str, Any]], *, caption: str, digits: int = 3
    ) -> Html:
        """A table with a caption; see `show.table`."""
        return show.table(rows, caption=caption, unmask=self.unmask, digits=digits)

    def tokens(
        self,
        strings: Sequence[str],
        values: Sequence[float],
        *,
        caption: str,
        value_label: str,
        scale: float | None = None,
    ) -> Html:
        """Tokens coloured by a value; see `show.tokens`."""
        return show.tokens(
            strings, values, unmask=self.unmask, scale=scale, caption=caption, value_label=value_label
        )

    def quote(self, text: str) -> Html:
        """A text as a quotation; see `show.quote`."""
        return show.quote(text, unmask=self.unmask)

    def side_by_side(
        self, columns: Mapping[str, Sequence[str]], *, labels: Sequence[str] | None = None, caption: str
    ) -> Html:
        """Texts in columns, one row per prompt; see `show.text_grid`."""
        return show.text_grid(columns, labels=labels, caption=caption, unmask=self.unmask)
