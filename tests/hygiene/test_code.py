"""The house rules that a program can check: arrows, docstrings, swallowed errors, paths."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hygiene.files import HELPERS, ROOT, SOURCES, TESTS, TEXTS, name, tree

# Lower may not import higher. What stands alone in `helpers` is the ground floor, but for those named here.
FLOORS = {
    "pocket": 0,
    "ground": 1,
    "language": 2,
    "mechanism": 3,
    "alignment": 4,
    "teaching": 5,
    "colab": 6,
    "lab": 7,
}
# Put together here, so that this file does not contain what it forbids.
MACHINE = re.compile(r"(?<![\w.~:/)-])/(?:" + "|".join(["home", "root", "tmp", "work", "Users"]) + r")/\w")
HOSTS = ["pypi" + ".org", "pythonhosted" + ".org", "download.pytorch" + ".org", "anaconda" + ".org"]
NOTES_TO_SELF = re.compile(r"\b(?:TO" + "DO|FIX" + "ME|X" + r"XX|HA" + r"CK)\b")


def floor_of(module: str) -> str:
    """The floor a `helpers.…` module stands on."""
    part = module.split(".")[1]
    if part in FLOORS or part == "course":
        return part
    return "ground"


def imports_of(path: Path) -> Iterator[str]:
    """The `helpers` modules a file imports, anywhere in it."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "helpers":
            found = [f"helpers.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}: imports are written in full"
            found = [node.module or ""]
        else:
            continue
        yield from (module for module in found if module.startswith("helpers."))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize(
    "path", [p for p in HELPERS if p.parent != ROOT / "helpers" or p.name != "__init__.py"], ids=name
)
def test_arrows_run_one_way(path: Path) -> None:
    own = floor_of(module_name(path) + ".")
    if own == "course":
        return  # authoring tools may use everything
    for imported in imports_of(path):
        other = floor_of(imported)
        assert other != "course", f"{name(path)} imports the authoring tools ({imported})"
        assert FLOORS[other] <= FLOORS[own], (
            f"{name(path)} ({own}) imports {imported} ({other}): the arrow points up"
        )
        assert other != "lab" or own == "lab", (
            f"{name(path)} imports the front door, which is for notebooks and tests"
        )


@pytest.mark.parametrize("path", [p for p in HELPERS if p.parent.name == "pocket"], ids=name)
def test_the_pocket_corpus_stands_alone(path: Path) -> None:
    assert [module for module in imports_of(path) if floor_of(module) != "pocket"] == []


@pytest.mark.parametrize("path", [p for p in HELPERS if p.parent.name == "mechanism"], ids=name)
def test_mechanism_neither_prints_nor_plots_nor_reads(path: Path) -> None:
    called = {ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)}
    used = {ast.unparse(node) for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
    assert not called & {"print", "open", "display", "input"}
    assert not used & {"os.environ", "os.getenv", "sys.stdout", "sys.stderr"}
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^\s*(?:import|from) (?:plotly|matplotlib|IPython|ipywidgets)", text, re.MULTILINE)


@pytest.mark.parametrize("path", [*HELPERS, *TESTS], ids=name)
def test_files_say_what_they_are_for(path: Path) -> None:
    if path.read_text(encoding="utf-8"):
        first = (ast.get_docstring(tree(path)) or "").splitlines()
        assert first and first[0].endswith((".", "!", "?", ":")), (
            f"{name(path)} must open with one sentence on its purpose"
        )


def broad(kind: ast.expr | None) -> bool:
    names = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(one is None or ast.unparse(one) in {"Exception", "BaseException"} for one in names)


@pytest.mark.parametrize("path", HELPERS, ids=name)
def test_no_error_is_swallowed(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler) and broad(node.type):
            last = node.body[-1]
            again = isinstance(last, ast.Raise) and last.exc is None
            assert again, f"{name(path)}:{node.lineno} catches everything and does not raise it again"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            assert not any(broad(kind) for kind in node.args), (
                f"{name(path)}:{node.lineno} suppresses everything"
            )


@pytest.mark.parametrize("path", [path for path in TEXTS if path != Path(__file__)], ids=name)
def test_no_machine_no_registry_no_notes_to_self(path: Path) -> None:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        where = f"{name(path)}:{number}"
        assert not MACHINE.search(line), f"{where} holds a path of some machine: {line.strip()}"
        assert not any(host in line for host in HOSTS), f"{where} names a package registry: {line.strip()}"
        assert not NOTES_TO_SELF.search(line), f"{where}: {line.strip()}"


@pytest.mark.parametrize("path", [*HELPERS, *SOURCES], ids=name)
def test_circuitsvis_is_never_imported_unasked(path: Path) -> None:
    """It asks the network when it draws: a helper that offers it imports it on request, in a function."""
    inside = {
        id(node)
        for function in ast.walk(tree(path))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in inside:
            assert "circuitsvis" not in ast.unparse(node), f"{name(path)}:{node.lineno} imports circuitsvis"
