"""The machine under the notebooks: device, seeds, precision, memory, batch sizes that fit, progress bars.

Nothing here knows about models or texts. Whatever decides something for the reader (which device, a smaller
batch) says so in words.
"""
from __future__ import annotations

import ctypes
import hashlib
import json
import os
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil
import torch
from tqdm.std import tqdm as TextBar

T = TypeVar("T")

ProgressFn = Callable[[int, int, str], None]
"""What long work is given to report with: `(done, total, what)`."""

GB = 1e9
SECONDS_BETWEEN_LOG_LINES = 10.0


# --- device -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class DeviceChoice:
    """A device and, in a few words for the start panel, why it is this one."""

    device: torch.device
    why: str


def choose_device(request: str = "auto") -> DeviceChoice:
    """Chooses where to compute.

    `"auto"` takes a CUDA device if there is one, else the CPU. Apple's MPS is taken only on request: nothing
    here has been run on it, and it has no float64. Raises `ValueError`, listing what is there, if the request
    is unknown or absent.

    >>> choose_device("cpu").device
    device(type='cpu')
    """
    there = _devices_there()
    if request == "auto":
        if "cuda" in there:
            return DeviceChoice(torch.device("cuda"), f"a CUDA device is present: {_gpu_name(0)}")
        if "mps" in there:
            return DeviceChoice(
                torch.device("cpu"), "no CUDA device is present; MPS is used only on request (device='mps')"
            )
        return DeviceChoice(torch.device("cpu"), "no CUDA device is present")
    if request not in there:
        raise ValueError(f"device {request!r} is not on this machine; there is: auto, {', '.join(there)}")
    device = torch.device(request)
    name = f": {_gpu_name(device.index or 0)}" if device.type == "cuda" else ""
    return DeviceChoice(device, f"asked for by name{name}")


def _devices_there() -> list[str]:
    there = ["cpu"]
    if torch.cuda.is_available():
        there += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        there.append("mps")
    return there


def _gpu_name(index: int) -> str:
    properties = torch.cuda.get_device_properties(index)
    return f"{properties.name}, {properties.total_memory / GB:.0f} GB"


# --- seeds --------------------------------------------------------------------------------------------------
def seed_everything(seed: int) -> None:
    """Seeds Python's, NumPy's and PyTorch's global generators (the last on every device).

    `seed` must lie in [0, 2**32), NumPy's range. For streams of your own prefer `generator`.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be between 0 and {2**32 - 1}, not {seed}")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def generator(seed: int, *names: str | int) -> torch.Generator:
    """A CPU generator for one named stream; streams of different names are independent of one another.

    The state depends on `(seed, *names)` alone, not on what was drawn before, so that work may be reordered
    or split into batches without changing any draw.

    >>> noise = torch.rand(3, generator=generator(0, "gumbel", "prompt-17"))
    """
    digest = hashlib.sha256(json.dumps([seed, *names]).encode()).digest()
    # PyTorch's CPU generator uses the low 32 bits only; sha256 spreads the names over all of them.
    return torch.Generator(device="cpu").manual_seed(int.from_bytes(digest[:8], "little") >> 1)


# --- precision ----------------------------------------------------------------------------------------------
def use_full_precision() -> None:
    """Float32 products in full float32 from here on: TF32 and bfloat16 shortcuts off.

    >>> use_full_precision()
    >>> torch.get_float32_matmul_precision()
    'highest'
    """
    with warnings.catch_warnings():
        # CUDA builds of PyTorch >= 2.9 say that these switches will go; the newer ones follow from them.
        warnings.simplefilter("ignore", UserWarning)
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """So many threads for PyTorch on the CPU, as found again on exit.

    >>> with cpu_threads(1):
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# --- memory -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class MemoryReport:
    """Memory in GB (10⁹ bytes): this process now and at its peak, the machine's, and PyTorch's on the GPU.

    macOS does not tell psutil the peak: there it is what is used now.
    """

    process_gb: float
    process_peak_gb: float
    machine_gb: float
    gpu_gb: float | None
    gpu_peak_gb: float | None

    def line(self) -> str:
        """The report in one line."""
        text = f"{self.process_gb:.1f} GB used (peak {self.process_peak_gb:.1f}) of {self.machine_gb:.0f} GB"
        if self.gpu_gb is not None:
            text += f"; GPU {self.gpu_gb:.1f} GB (peak {self.gpu_peak_gb:.1f})"
        return text


def memory_report() -> MemoryReport:
    """What is used now; GPU figures are None where there is no CUDA device."""
    now = psutil.Process().memory_info().rss
    gpu = torch.cuda.is_available()
    return MemoryReport(
        process_gb=now / GB,
        process_peak_gb=max(now, _peak_bytes()) / GB,
        machine_gb=psutil.virtual_memory().total / GB,
        gpu_gb=torch.cuda.memory_allocated() / GB if gpu else None,
        gpu_peak_gb=torch.cuda.max_memory_allocated() / GB if gpu else None,
    )


def give_memory_back() -> None:
    """Hands freed memory back to the system, which Linux's C library would keep in pieces.

    A notebook of 130 evaluations grew from 0.8 to 2.4 GB by that alone. Elsewhere it does nothing.
    """
    if sys.platform.startswith("linux") and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def _peak_bytes() -> int:
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    status = Path("/proc/self/status")  # Linux
    for line in status.read_text().splitlines() if status.exists() else []:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


# --- batch sizes that fit -----------------------------------------------------------------------------------
def warn(message: str) -> None:
    """Says `message` as a warning, the default way of speaking up here."""
    warnings.warn(message, stacklevel=3)


def with_batch_halving(
    function: Callable[[int], T], batch_size: int, *, say: Callable[[str], None] = warn
) -> T:
    """Calls `function(batch_size)`; whenever memory runs out, says so and calls it again with half.

    `function` must start afresh on each call. Raises `RuntimeError` with advice when even one does not fit;
    every other error passes through.

    >>> with_batch_halving(lambda batch_size: batch_size, 8)
    8
    """
    # Not accelerate's own loop: it collects garbage before every call, half a second where many objects live.
    from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    size = batch_size
    while True:
        try:
            return function(size)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            if size == 1:
                raise RuntimeError(
                    f"Out of memory even with a batch of 1 ({memory_report().line()}). Close other programs "
                    "and notebooks that use the device, ask for shorter texts, or choose device='cpu' or a "
                    "smaller model."
                ) from error
        say(f"Out of memory with a batch of {size}; trying {size // 2}.")
        size //= 2
        # Here the error is gone, and with it the tensors that its traceback held.
        clear_device_cache(garbage_collection=True)


# --- progress -----------------------------------------------------------------------------------------------
class LogLines:
    """A stream for a bar in a log: whole lines, none in the first ten seconds, then at most one every ten."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.last = time.monotonic()

    def write(self, text: str) -> None:
        """Takes each state of the bar as tqdm draws it; passes on those that are due."""
        if text.strip() and time.monotonic() - self.last >= SECONDS_BETWEEN_LOG_LINES:
            self.last = time.monotonic()
            self.stream.write(text.strip() + "\n")

    def flush(self) -> None:
        """Flushes the stream underneath."""
        self.stream.flush()


def progress(
    iterable: Iterable | None = None, *, total: int | None = None, desc: str = "", unit: str = "it"
) -> TextBar:
    """A progress bar over `iterable`, or one to `update()` by hand; it vanishes when done.

    A widget in a notebook, a line in a terminal, a line every ten seconds in a log. Nothing with
    `TOXICITY_LAB_PROGRESS=0`; nothing in a notebook executed with `TOXICITY_LAB_AUTHORING=1`, whose outputs
    are stored and should hold neither widget state nor half-drawn bars.

    >>> for batch in progress(range(3), desc="evaluating", unit="batch"): pass
    """
    kernel = _in_notebook()
    off = os.environ.get("TOXICITY_LAB_PROGRESS") == "0" or (
        kernel and os.environ.get("TOXICITY_LAB_AUTHORING") == "1"
    )
    kind: Any = TextBar
    file: LogLines | None = None
    if kernel and not off:
        from tqdm import auto

        kind = auto.tqdm
    elif not kernel and not sys.stderr.isatty():
        file = LogLines(sys.stderr)
    return kind(iterable, total=total, desc=desc, unit=unit, leave=False, disable=off, file=file)


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


@contextmanager
def progress_report(desc: str = "", unit: str = "it") -> Iterator[ProgressFn]:
    """A bar behind a `ProgressFn`: for work that is handed a callback instead of printing.

    >>> with progress_report("evaluating") as report: report(3, 10, "continuations")
    """
    with progress(total=1, desc=desc, unit=unit) as bar:

        def report(done: int, total: int, what: str) -> None:
            bar.total = total
            bar.set_description(f"{desc}{what}", refresh=False)
            bar.update(done - bar.n)

        yield report
