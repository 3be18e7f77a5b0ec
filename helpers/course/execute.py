"""Executes notebooks, each in a fresh kernel of this very interpreter, and measures time and peak memory."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
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


Begin = Callable[[], "Execution"]
Done = Callable[[Outcome], None]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while notebooks ran; carries the part of each that was done."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        super().__init__()
        self.outcomes = outcomes


STOPS = (signal.SIGINT, signal.SIGTERM)


class ThisInterpreter(KernelSpecManager):
    """Answers every kernel name with the running Python, so that no other environment gets in."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The running interpreter, whatever the notebook's metadata ask for."""
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=40"]
        return KernelSpec(argv=command, display_name="Python 3", language="python")


class Client(NotebookClient):
    """nbclient with our answer to Ctrl-C: its own would kill the kernel and call it dead."""

    stop: Callable[[int, object], None]

    async def async_start_new_kernel(self, **kwargs: Any) -> None:
        """Called right after nbclient has put its own signal handlers in place: puts ours there."""
        loop = asyncio.get_running_loop()
        for each in STOPS:
            loop.remove_signal_handler(each)
            signal.signal(each, self.stop)
        loop.set_exception_handler(unless_kernel_died)
        await super().async_start_new_kernel(**kwargs)


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

    def __init__(self, process_id: int, every: float = 0.5) -> None:
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


class Execution:
    """One notebook on its way through a fresh kernel, and what came of it so far.

    Args:
        notebook: executed in place; earlier outputs are replaced.
        folder: the kernel's working folder.
        env: the kernel's whole environment.
        on_cell: told (code cell about to run, number of code cells).
    """

    def __init__(
        self,
        notebook: NotebookNode,
        folder: Path,
        env: Mapping[str, str],
        on_cell: Callable[[int, int], None] = lambda at, of: None,
    ) -> None:
        clear(notebook)
        self.notebook, self.folder, self.env, self.on_cell = notebook, folder, env, on_cell
        self.code = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
        self.kernel = AsyncKernelManager(kernel_spec_manager=ThisInterpreter())
        self.meter: PeakMemory | None = None
        self.failure: Failure | None = None
        self.running, self.begin = 0, time.monotonic()

    async def run(self, stop: Callable[[int, object], None]) -> None:
        """All cells; one that fails ends the notebook and is noted, not raised. `stop` answers Ctrl-C."""
        client = Client(
            self.notebook,
            timeout=None,
            record_timing=False,
            on_notebook_start=self._started,
            on_cell_start=self._cell_starts,
            store_widget_state=False,
            # Python's leave-taking, with all that a notebook imports, takes up to three seconds. Only where
            # figures are drawn as PNG is something left to do then: their browser is closed.
            shutdown_kernel="graceful" if self.env.get("TOXICITY_LAB_PNG") == "1" else "immediate",
            km=self.kernel,
        )
        client.owns_km, client.stop = True, stop
        # A reader's IPython start-up files stay out of the run, and its temporary files go with it.
        with tempfile.TemporaryDirectory() as private, (Path(private) / "stderr").open("w+b") as said:
            whole = {**self.env, "IPYTHONDIR": private, "TMPDIR": private}
            try:
                await client.async_execute(cwd=str(self.folder), env=whole, stderr=said)
            except CellExecutionError as error:
                self.failure = self._failed(last_error(self.notebook) or str(error))
            except DeadKernelError:
                said.seek(0)
                last_words = said.read().decode(errors="replace")
                self.failure = self._failed(
                    f"The kernel died: most often the machine ran out of memory.\n{last_words}"
                )

    def end(self) -> Outcome:
        """What there is when it is stopped; no kernel is left."""
        self.failure = None
        if self.kernel.has_kernel:  # stopped while it was starting, so that nbclient did not own it yet
            asyncio.run(end(self.kernel))
        return self.outcome()

    def outcome(self) -> Outcome:
        """The notebook with the outputs up to here, seconds and peak memory."""
        peak = self.meter.stop() if self.meter else 0.0
        return Outcome(self.notebook, time.monotonic() - self.begin, peak, self.failure)

    def _started(self, **_: object) -> None:
        local = self.kernel.provisioner
        assert isinstance(local, LocalProvisioner) and local.pid
        self.meter = PeakMemory(local.pid)

    def _cell_starts(self, cell_index: int, **_: object) -> None:
        if cell_index in self.code:
            self.running = self.code.index(cell_index) + 1
            self.on_cell(self.running, len(self.code))

    def _failed(self, error: str) -> Failure:
        source = self.notebook.cells[self.code[self.running - 1]].source if self.running else ""
        return Failure(self.running, source, error)


def execute(
    notebook: NotebookNode,
    folder: Path,
    env: Mapping[str, str],
    on_cell: Callable[[int, int], None] = lambda at, of: None,
) -> Outcome:
    """Runs all cells in a fresh kernel; a failing cell ends the notebook and is reported, not raised.

    Raises:
        Interrupted: as `execute_all` does.
    """
    found: list[Outcome] = []
    execute_all([(lambda: Execution(notebook, folder, env, on_cell), found.append)])
    return found[0]


def execute_all(jobs: Sequence[tuple[Begin, Done]], at_once: int = 1) -> None:
    """Runs notebooks in the order given, up to `at_once` of them side by side, each in a kernel of its own.

    Args:
        jobs: for each notebook a function that begins it, called when its turn comes, and one that is handed
            its outcome.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; all kernels are shut down first. A second one ends the process.
    """
    running: list[Execution] = []
    handlers = {each: signal.getsignal(each) for each in STOPS}

    async def one(begin: Begin, done: Done, turn: asyncio.Semaphore, stop: Callable) -> None:
        async with turn:
            running.append(execution := begin())
            await execution.run(stop)
            if signal.getsignal(STOPS[0]) is leave:  # nbclient takes being stopped for a kernel's death
                raise asyncio.CancelledError
            running.remove(execution)
            done(execution.outcome())

    async def all_of_them() -> None:
        loop, whole, turn = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Semaphore(at_once)
        assert whole is not None

        def stop(number: int, frame: object) -> None:
            for each in STOPS:
                signal.signal(each, leave)
            loop.call_soon_threadsafe(whole.cancel)

        # Errors come back as results, so that none leaves another notebook's kernel behind.
        each = (one(begin, done, turn, stop) for begin, done in jobs)
        for found in await asyncio.gather(*each, return_exceptions=True):
            if found is not None:
                raise found

    try:
        asyncio.run(all_of_them())
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise Interrupted([execution.end() for execution in running]) from None
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)


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
