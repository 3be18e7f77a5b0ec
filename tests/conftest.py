"""For every test: enforces the annotations of `helpers`, keeps torch to one thread, prints tables."""
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from jaxtyping import install_import_hook

install_import_hook("helpers", "beartype.beartype")


def pytest_terminal_summary(terminalreporter):
    """Prints the tables that tests hand over by `record_property("table", …)`, from whichever process."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, table in report.user_properties:
                if name == "table":
                    terminalreporter.write_line(f"\n{table}\n")
