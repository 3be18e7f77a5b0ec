"""constraints.txt is the set these tests run on, and ties a reader to no index and no machine."""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers.course.constraints import HEADER, keep

ROOT = Path(__file__).resolve().parents[2]


def entries(name: str) -> list[Requirement]:
    lines = (ROOT / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


PINS = [pin for pin in entries("constraints.txt") if pin.marker is None or pin.marker.evaluate()]


def test_the_installed_versions_are_the_constrained_ones() -> None:
    wrong = []
    for pin in PINS:
        try:
            installed = version(pin.name)
        except PackageNotFoundError:
            continue  # a dependency of another build of torch, say
        if not pin.specifier.contains(installed):
            wrong.append(f"{pin.name}: {installed} is installed, {pin.specifier} is constrained")
    assert wrong == []


def test_every_requirement_is_constrained_within_its_range() -> None:
    pinned = {canonicalize_name(pin.name): pin for pin in PINS}
    for requirement in entries("requirements.txt"):
        pin = pinned[canonicalize_name(requirement.name)]
        exact = str(pin.specifier).removeprefix("==")
        assert requirement.specifier.contains(exact), f"{requirement} against {pin}"


def test_every_line_is_an_exact_version_and_nothing_else() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert text.startswith(HEADER)
    for line in text.removeprefix(HEADER).splitlines():
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*==[\w.!]+( ; .+)?", line), line


def test_torch_is_the_tested_release_without_its_cuda_libraries() -> None:
    names = {pin.name: str(pin.specifier) for pin in entries("constraints.txt")}
    assert names["torch"] == "==2.13.0"
    assert not [name for name in names if name.startswith(("nvidia-", "cuda-", "triton"))]


@pytest.mark.parametrize(
    ("line", "kept"),
    [("numpy==2.4.6", True), ("nvidia-cublas==13.1 ; x", False), ("triton==3.7", False), ("# why", False)],
)
def test_cuda_libraries_and_comments_are_left_out(line: str, kept: bool) -> None:
    assert keep(line) is kept


def test_conda_users_get_the_same_set() -> None:
    text = (ROOT / "environment.yml").read_text()
    assert "- -r requirements.txt" in text and "- -c constraints.txt" in text
    assert "torch=" not in text
