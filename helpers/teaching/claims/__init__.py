"""The ledger: claims with their rules, measurements, verdicts, and the tables made of them."""

from helpers.teaching.claims.ledger import (
    Ledger,
    LedgerWarning,
    judge,
    mark_of,
    merge,
    write_fragment,
)
from helpers.teaching.claims.measurement import Measurement, Verdict
from helpers.teaching.claims.replication import Column, Replication, over_training_seeds, published
from helpers.teaching.claims.table import NOT_RUN, label, notebook_table, render_table, value_text

__all__ = [
    "NOT_RUN",
    "Column",
    "Ledger",
    "LedgerWarning",
    "Measurement",
    "Replication",
    "Verdict",
    "judge",
    "label",
    "mark_of",
    "merge",
    "notebook_table",
    "over_training_seeds",
    "published",
    "render_table",
    "value_text",
    "write_fragment",
]
