"""CONTRIBUTING.md says what is so: files, commands and tables that it names are there, its rule judges."""

import importlib.util
import re
import textwrap

import pytest

from helpers.course.__main__ import COMMANDS
from helpers.teaching.claims import measurement
from helpers.teaching.claims.measurement import Measurement, Verdict
from tests.hygiene.files import HELPERS, ROOT, TESTS

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def named(pattern: str) -> list[str]:
    return sorted(set(re.findall(pattern, PAGE)))


@pytest.mark.parametrize("path", named(r"\b(?:helpers|tests|notebooks/py)/[\w/]+\.\w+"))
def test_the_files_that_it_names_are_there(path: str) -> None:
    assert "NN_" in path or (ROOT / path).is_file()


def test_the_commands_that_it_names_are_there() -> None:
    assert set(named(r"\bmake (\w+)`")) <= set(COMMANDS)
    assert all(importlib.util.find_spec(module) for module in named(r"-m (tests\.[\w.]+)`"))


def test_the_tables_that_it_names_are_there() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in [*HELPERS, *TESTS])
    for table in named(r"`([A-Z][A-Z_]{2,})`"):
        assert re.search(rf"^{table}\b.* = ", code, re.MULTILINE), table


def test_its_example_of_a_rule_gives_the_verdicts_that_its_text_names() -> None:
    example = re.search(r"```python\n(\s*@rule.*?)```", PAGE, re.DOTALL)
    assert example
    scope = dict(vars(measurement))
    exec(textwrap.dedent(example[1]), scope)
    verdicts = [
        scope["above_the_band"](Measurement(value, (value - 0.1, value + 0.1), control_interval=(0.0, 0.2)))
        for value in (0.4, 0.25, 0.15)
    ]
    assert verdicts == [Verdict.AGREES, Verdict.DIRECTION, Verdict.NOT_REPRODUCED]
