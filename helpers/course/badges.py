"""`make badges`: renders Colab badges from the address in pyproject.toml, or removes them."""

from __future__ import annotations

from helpers.course.editions import write_students
from helpers.course.pairing import update_text
from helpers.course.series import NOTEBOOKS, SOURCES, running_order
from helpers.course.tables import colab_badge, repository, rewrite, with_badge


def main() -> int:
    """Rewrites sources and executed copies; outputs stay as they are, since only Markdown changes."""
    address, changed = repository(), 0
    for source in running_order(SOURCES, ".py"):
        text = with_badge(source.read_text(encoding="utf-8"), colab_badge(source.stem, address))
        executed = NOTEBOOKS / f"{source.stem}.ipynb"
        if rewrite(source, text):
            changed += 1
        if executed.is_file():
            update_text(source, executed)
    write_students(NOTEBOOKS)
    print(
        f"Badges for {address}: {changed} notebooks changed."
        if address
        else f"No address in pyproject.toml, so no badges: {changed} notebooks changed."
    )
    print("README's table follows with the next `make notebooks`.")
    return 0
