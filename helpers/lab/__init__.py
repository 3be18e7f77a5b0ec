"""The front door of the notebooks: `Lab.start` gives profile, model, texts, ledger and the story's stages."""

from helpers.lab.front import Lab

__all__ = ["Lab"]
