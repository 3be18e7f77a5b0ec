"""Which files of the project the hygiene tests look at."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
STUDENTS = sorted((ROOT / "notebooks" / "student").glob("[0-9][0-9]_*.ipynb"))
SOURCES = sorted((ROOT / "notebooks" / "py").glob("[0-9][0-9]_*.py"))
HELPERS = sorted((ROOT / "helpers").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
TEXTS = [
    *SOURCES,
    *HELPERS,
    *TESTS,
    *sorted((ROOT / "helpers").rglob("*.css")),
    *sorted((ROOT / "helpers").rglob("*.html")),
    *(
        path
        for path in sorted(ROOT.glob("*"))
        if path.is_file() and path.name != ".git"
        and path.suffix in {"", ".md", ".txt", ".toml", ".yml", ".cff"}
    ),
]


def name(path: Path) -> str:
    """A file as the project calls it, for the tests' names."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=name(path))
