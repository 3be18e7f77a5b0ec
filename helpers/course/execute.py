"""Executes one notebook in a fresh kernel of this very interpreter, and measures its time and peak memory."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from helpers.artifacts import write_whole

GIGABYTE = 1024**3
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Failure:
    """The cell that failed: its number among the code cells (from 1), its source, and the error as text."""

    cell: int
    source: str
    error: str


@dataclass(frozen=True)
class Outcome:
    """What one execution left: the notebook with outputs up to any failure, seconds, peak memory in GB."""

    notebook: NotebookNode
    seconds: float
    peak_gb: float
    failure: Failure | None


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while a notebook ran; carries the part that was done."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


STOPS = (signal.SIGINT, signal.SIGTERM)


class ThisInterpreter(KernelSpecManager):
    """Answers every kernel name with the running Python, so that no other environment gets in."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The running interpreter, whatever the notebook's metadata ask for."""
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=40"]
        return KernelSpec(argv=command, display_name="Python 3", language="python")


class Client(NotebookClient):
    """nbclient, but Ctrl-C stays an interrupt: nbclient would kill the kernel and call it dead."""

    async def async_start_new_kernel(self, **kwargs: Any) -> None:
        """Called right after nbclient has put its own signal handlers in place: takes them away."""
        loop = asyncio.get_running_loop()
        for each in STOPS:
            loop.remove_signal_handler(each)
            signal.signal(each, interrupt)
        loop.set_exception_handler(unless_kernel_died)
        await super().async_start_new_kernel(**kwargs)


def interrupt(number: int, frame: object) -> None:
    """Ctrl-C or SIGTERM while a notebook runs: its kernel is ended and its outputs kept."""
    for each in STOPS:
        signal.signal(each, leave)
    raise KeyboardInterrupt


def leave(number: int, frame: object) -> None:
    """A second one: no tidying up. The kernel ends itself when it misses us."""
    os.write(2, b"\nstopped at once; what was finished is kept\n")
    os._exit(130)


async def end(kernel: AsyncKernelManager) -> None:
    """Ends a kernel at once."""
    await kernel.shutdown_kernel(now=True)


def unless_kernel_died(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Says nothing of a kernel that ends because we end it: after Ctrl-C nbclient reports it as dead."""
    if not isinstance(context.get("exception"), DeadKernelError):
        loop.default_exception_handler(context)


class PeakMemory:
    """Samples the resident memory of a process and its children in the background."""

    def __init__(self, process_id: int, every: float = 0.1) -> None:
        self.bytes, self.every, self.process = 0, every, psutil.Process(process_id)
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.sample, daemon=True)
        self.thread.start()

    def sample(self) -> None:
        """Runs until stopped, or until the process is gone."""
        while True:
            try:
                family = [self.process, *self.process.children(recursive=True)]
                self.bytes = max(self.bytes, sum(member.memory_info().rss for member in family))
            except psutil.NoSuchProcess:
                if not self.process.is_running():
                    return
            if self.stopped.wait(self.every):
                return

    def stop(self) -> float:
        """Ends the sampling; the peak in GB."""
        self.stopped.set()
        self.thread.join()
        return self.bytes / GIGABYTE


def execute(
    notebook: NotebookNode,
    folder: Path,
    env: Mapping[str, str],
    on_cell: Callable[[int, int], None] = lambda at, of: None,
) -> Outcome:
    """Runs all cells in a fresh kernel; a failing cell ends the notebook and is reported, not raised.

    Args:
        notebook: executed in place; earlier outputs are replaced.
        folder: the kernel's working folder.
        env: the kernel's whole environment.
        on_cell: told (code cell about to run, number of code cells).

    Raises:
        Interrupted: Ctrl-C or SIGTERM; the kernel is shut down first. A second one ends the process at once.
    """
    clear(notebook)
    code = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    meters: list[PeakMemory] = []
    running = [0]

    def started(**_: object) -> None:
        local = kernel.provisioner
        assert isinstance(local, LocalProvisioner) and local.pid
        meters.append(PeakMemory(local.pid))

    def cell_starts(cell_index: int, **_: object) -> None:
        if cell_index in code:
            running[0] = code.index(cell_index) + 1
            on_cell(running[0], len(code))

    def source_of(number: int) -> str:
        return notebook.cells[code[number - 1]].source if number else ""

    begin = time.monotonic()
    handlers = {each: signal.getsignal(each) for each in STOPS}
    kernel = AsyncKernelManager(kernel_spec_manager=ThisInterpreter())
    with tempfile.TemporaryDirectory() as private:  # a reader's IPython start-up files stay out of the run
        said = Path(private) / "stderr"
        client = Client(
            notebook,
            timeout=None,
            record_timing=False,
            on_notebook_start=started,
            on_cell_start=cell_starts,
            store_widget_state=False,
            km=kernel,
        )
        client.owns_km = True
        failure, interrupted = None, False
        try:
            with said.open("wb") as stream:
                whole = {**env, "IPYTHONDIR": private}
                asyncio.run(client.async_execute(cwd=str(folder), env=whole, stderr=stream))
        except CellExecutionError as error:
            failure = Failure(running[0], source_of(running[0]), last_error(notebook) or str(error))
        except DeadKernelError:
            last_words = said.read_text(encoding="utf-8", errors="replace")
            text = f"The kernel died: most often the machine ran out of memory.\n{last_words}"
            failure = Failure(running[0], source_of(running[0]), text)
        except KeyboardInterrupt:
            interrupted = True
            if kernel.has_kernel:  # it was still starting, so that nbclient does not own it yet
                asyncio.run(end(kernel))
        finally:
            for each, handler in handlers.items():
                signal.signal(each, handler)
        peak = meters[0].stop() if meters else 0.0
    outcome = Outcome(notebook, time.monotonic() - begin, peak, failure)
    if interrupted:
        raise Interrupted(outcome)
    return outcome


def clear(notebook: NotebookNode) -> None:
    """Drops outputs, execution counts and widget state of an earlier run."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.metadata.pop("execution", None)


def last_error(notebook: NotebookNode) -> str:
    """The traceback of the failed cell, without colours; "" if no cell holds one."""
    errors = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error"
    ]
    return ANSI.sub("", "\n".join(errors[-1].traceback)) if errors else ""


def write(notebook: NotebookNode, path: Path) -> None:
    """Writes a notebook in one step, so that a killed run leaves no half file."""
    write_whole(path, nbformat.writes(notebook) + "\n")
