"""Texts, models, generation, scores: everything that speaks in tokens."""
