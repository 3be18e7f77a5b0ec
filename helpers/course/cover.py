"""The picture on the README's first screen: the explorer's page, as `STORE=1 make browser` left it."""

from __future__ import annotations

import json
from pathlib import Path

ALT = "The neuron explorer: what one neuron writes and where it points, before and after tuning."


def cover(folder: Path) -> str:
    """Markdown for the picture in a folder, with the date of its check, seen from the root; "" for none."""
    picture, result = folder / "explorer.png", folder / "explorer.json"
    if not (picture.is_file() and result.is_file()):
        return ""
    record = json.loads(result.read_text(encoding="utf-8"))
    return (
        f"![{ALT}]({folder.name}/{picture.name})\n\n"
        f"*The neuron explorer, `build/html/explorer.html` after `make run`; checked in a browser "
        f"on {record['date']} (`make browser`; [what was measured]({folder.name}/{result.name})).*"
    )
