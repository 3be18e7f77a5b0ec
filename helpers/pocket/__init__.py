"""The pocket model: a synthetic corpus, the small language model trained on it, and how both are measured."""

from pathlib import Path

WEIGHTS = Path(__file__).resolve().parent / "weights"
"""Folder of the shipped model: config, fp16 weights, tokenizer, training log, evaluation, model card."""
