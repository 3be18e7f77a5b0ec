"""The picture on the README's first screen: the explorer's page, or else one stored figure of the series."""

from __future__ import annotations

import base64
import json
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


def explorer_picture(folder: Path) -> str:
    """Markdown for the explorer's picture as `STORE=1 make browser` left it, with its date; "" for none."""
    picture, result = folder / "explorer.png", folder / "explorer.json"
    if not (picture.is_file() and result.is_file()):
        return ""
    record = json.loads(result.read_text(encoding="utf-8"))
    alt = "The neuron explorer: what one neuron writes and where it points, before and after tuning."
    return (
        f"![{alt}]({folder.name}/{picture.name})\n\n"
        f"*The neuron explorer, `build/html/explorer.html` after `make run`; checked in a browser "
        f"on {record['date']} (`make browser`; [what was measured]({folder.name}/{result.name})).*"
    )
