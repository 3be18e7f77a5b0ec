"""The ledger: claims with their rules, measurements, verdicts, and the tables made of them."""

from helpers.teaching.claims.ledger import Ledger, judge, merge
from helpers.teaching.claims.measurement import Measurement, Verdict
from helpers.teaching.claims.table import NOT_RUN, label, notebook_table, render_table, value_text

__all__ = [
    "NOT_RUN",
    "Ledger",
    "Measurement",
    "Verdict",
    "judge",
    "label",
    "merge",
    "notebook_table",
    "render_table",
    "value_text",
]
