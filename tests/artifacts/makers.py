"""The code behind each kind of artifact, as one digest: its maker and what that reaches inside `helpers`.

`.venv/bin/python -m tests.artifacts.makers` records the digests of kinds whose version was raised (or that
are new); with `--same-results` also those of kinds whose code changed and whose results, as its author says,
did not.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import inspect
import io
import json
import pkgutil
import sys
import textwrap
import tokenize
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import helpers
from helpers.artifacts import Declared

BY_CONTENT = {"load_kept_texts", "model_folder", "progress_report", "memory_report", "warn"}
"""Not followed: what these read stands in the key itself, or no result depends on them."""

RECORD = Path(__file__).with_name("makers.json")


@functools.cache
def modules() -> list[ModuleType]:
    """All modules of the package that notebooks can reach."""
    names = [found.name for found in pkgutil.walk_packages(helpers.__path__, "helpers.")]
    return [importlib.import_module(name) for name in names if ".course" not in name]


@functools.cache
def classes() -> dict[str, type]:
    """The package's classes by name."""
    found = {}
    for module in modules():
        for name, value in vars(module).items():
            if isinstance(value, type) and value.__module__.startswith("helpers"):
                found[name] = value
    return found


def declared() -> dict[str, Declared]:
    """Every declared kind of artifact."""
    values = [value for module in modules() for value in vars(module).values()]
    return {value.kind: value for value in values if isinstance(value, Declared)}


def digest(of: Declared) -> str:
    """Stands for the code that makes an artifact: other code, other digest; comments and layout aside."""
    parts = sorted(f"{name}:{text}" for name, text in code_behind(of.make).items())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def code_behind(function: FunctionType) -> dict[str, str]:
    """The plain text of a function, and of all of `helpers` that it reaches by name, one by one."""
    found: dict[str, str] = {}
    todo: list[tuple[Any, type | None]] = [(function, None)]
    while todo:
        thing, owner = todo.pop()
        name = f"{thing.__module__}.{thing.__qualname__}"
        if name in found or not name.startswith("helpers") or thing.__name__ in BY_CONTENT:
            continue
        found[name] = plain(thing)
        for value, below in reached(thing, owner):
            if isinstance(value, FunctionType | type):
                todo.append((value, below))
            elif below is None and isinstance(value, str | int | float | tuple):
                found[f"{name} < {value!r}"] = ""
    return found


def plain(thing: Any) -> str:
    """Source without comments, docstrings and layout."""
    source = textwrap.dedent(inspect.getsource(thing))
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    kept = [t.string for t in tokens if t.type != tokenize.COMMENT and t.start[0] not in skipped]
    return "".join("".join(kept).split())


def reached(thing: Any, owner: type | None) -> Iterator[tuple[Any, type | None]]:
    """What a function or class uses: globals by name, and members of objects whose class is annotated."""
    known = vars(sys.modules[thing.__module__])
    top = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    env = {"self": owner or (thing if isinstance(thing, type) else None)}
    for node in ast.walk(top):
        if isinstance(node, ast.arg) and node.annotation is not None:
            env[node.arg] = class_named(node.annotation)
    annotations = {id(below) for node in ast.walk(top) for below in annotations_of(node)}
    for node in ast.walk(top):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            known = known | {alias.name: getattr(module, alias.name) for alias in node.names}
    for node in ast.walk(top):
        if id(node) in annotations:
            continue
        if isinstance(node, ast.Name) and node.id in known:
            yield known[node.id], None
        elif isinstance(node, ast.Attribute):
            module = known.get(node.value.id) if isinstance(node.value, ast.Name) else None
            if isinstance(module, ModuleType) and module.__name__.startswith("helpers"):
                yield getattr(module, node.attr), None
            kind = class_of(node.value, env)
            member = inspect.getattr_static(kind, node.attr, None) if kind else None
            function = getattr(member, "func", None) or getattr(member, "fget", None) or member
            if isinstance(function, FunctionType):
                yield function, kind


def annotations_of(node: ast.AST) -> Iterator[ast.AST]:
    for field in ("annotation", "returns"):
        if getattr(node, field, None) is not None:
            yield from ast.walk(getattr(node, field))


def class_named(annotation: ast.expr) -> type | None:
    """The class of ours that an annotation names."""
    names = [node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)]
    names += [node.value for node in ast.walk(annotation) if isinstance(getattr(node, "value", 0), str)]
    return next((classes()[name] for name in names if name in classes()), None)


def class_of(node: ast.expr, env: dict[str, type | None]) -> type | None:
    """The class of an expression, as far as annotations tell."""
    if isinstance(node, ast.Name):
        return env.get(node.id)
    if isinstance(node, ast.Call):
        return class_of(node.func, env)
    kind = class_of(node.value, env) if isinstance(node, ast.Attribute) else None
    if kind is None:
        return None
    assert isinstance(node, ast.Attribute)
    for base in kind.__mro__:
        annotation = vars(base).get("__annotations__", {}).get(node.attr)
        if annotation is None:
            member = vars(base).get(node.attr)
            function = getattr(member, "func", None) or getattr(member, "fget", None) or member
            annotation = getattr(function, "__annotations__", {}).get("return")
        if annotation is not None:
            return class_named(ast.parse(annotation, mode="eval").body) if isinstance(annotation, str) else (
                annotation if annotation in classes().values() else None
            )  # fmt: skip
    return None


def main(same_results: bool) -> int:
    """Records digests; refuses those that changed under an unchanged version unless told otherwise."""
    old = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    new = {kind: {"version": one.version, "code": digest(one)} for kind, one in declared().items()}
    changed = [
        kind
        for kind, row in new.items()
        if kind in old and old[kind] != row and old[kind]["version"] == row["version"]
    ]
    if changed and not same_results:
        print(f"Changed under the same version: {', '.join(changed)}. Raise Declared.version where results")
        print("may differ; add --same-results where they cannot.")
        return 1
    RECORD.write_text(json.dumps(new, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    moved = [kind for kind in sorted({*old, *new}) if old.get(kind) != new.get(kind)]
    said = [f"{kind} {new[kind]['version']}" if kind in new else f"{kind} (gone)" for kind in moved]
    print(f"Recorded, with version: {', '.join(said) or 'nothing, for no code and no version moved'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main("--same-results" in sys.argv))
