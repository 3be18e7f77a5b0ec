"""A store in a temporary folder, and child processes that need not import torch again."""
import os
import traceback
from collections.abc import Callable

import pytest

from helpers.artifacts.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


@pytest.fixture
def fork():
    """fork(body) -> pid of a child that runs `body()` and exits with 0, or with 1 if it raised."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")

    def start(body: Callable[[], object]) -> int:
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            body()
            status = 0
        finally:
            if status:
                traceback.print_exc()
            os._exit(status)

    return start
