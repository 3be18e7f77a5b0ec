"""The examples in docstrings that look like a session are one: each runs and gives what it says."""

import doctest
import importlib
import pkgutil

import pytest

import helpers

NAMES = [found.name for found in pkgutil.walk_packages(helpers.__path__, "helpers.")]


@pytest.mark.parametrize("name", [name for name in NAMES if ".course" not in name])
def test_examples_give_what_they_say(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TOXICITY_LAB_CACHE", str(tmp_path))
    found = doctest.testmod(importlib.import_module(name), report=False)
    assert found.failed == 0
