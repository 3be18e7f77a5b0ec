"""Preference pairs and preference training."""
