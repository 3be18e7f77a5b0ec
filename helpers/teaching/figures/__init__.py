"""Figures: one look for all of them, plotly with alternative text."""
