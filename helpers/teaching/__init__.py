"""Figures, token displays, exercise checks and the ledger of claims."""
