"""For every test: annotations of `helpers` are enforced, torch has one thread, large tests wait in turn."""
import os
from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from filelock import FileLock
from jaxtyping import install_import_hook

install_import_hook("helpers", "beartype.beartype")


@pytest.fixture(scope="module")
def much_memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For a module that wants a gigabyte or two: one at a time has them, whichever worker it runs in."""
    with FileLock(tmp_path_factory.getbasetemp().parent / "much-memory.lock"):
        yield


def pytest_terminal_summary(terminalreporter):
    """Prints the tables that tests hand over by `record_property("table", …)`, from whichever process."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, table in report.user_properties:
                if name == "table":
                    terminalreporter.write_line(f"\n{table}\n")
