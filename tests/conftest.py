"""For every test: jaxtyping annotations of `helpers` are enforced, torch keeps to one thread, tables print."""
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
