"""The picture on the README's first screen: one stored figure of the series, with its title and alt text."""

from __future__ import annotations

import base64
from pathlib import Path

from nbformat import NotebookNode

SOURCE, MARK = "03_steering", "Toxicity against perplexity"
"""The notebook it comes from, and how its alt text begins."""


def cover(notebook: NotebookNode, folder: Path) -> str:
    """Writes the figure to `folder/cover.png`; returns the markdown that shows it, seen from the root.

    Raises:
        ValueError: the notebook stores no such picture.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
            if alt.startswith(MARK) and "image/png" in output.get("data", {}):
                (folder / "cover.png").write_bytes(base64.b64decode(output["data"]["image/png"]))
                where = f"{folder.name}/{SOURCE}.ipynb"
                return (
                    f"![{alt}]({folder.name}/cover.png)\n\n"
                    f"*From [notebook 03]({where}): subtracting a direction, toxicity against perplexity.*"
                )
    raise ValueError(f"{SOURCE} stores no picture whose alt text begins with {MARK!r}; execute it first.")
