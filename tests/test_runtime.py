"""Device, seeds, precision, memory, batch halving and progress keep their contracts, GPU or none."""
import os
import random
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from helpers import runtime

ROOT = Path(__file__).resolve().parents[1]


class TestDevice:
    def test_auto_without_cuda_is_the_cpu_and_says_so(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        choice = runtime.choose_device()
        assert choice.device == torch.device("cpu") and "no CUDA" in choice.why

    def test_mps_is_taken_only_on_request(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
        assert runtime.choose_device("auto").device.type == "cpu"
        assert "on request" in runtime.choose_device("auto").why
        assert runtime.choose_device("mps").device.type == "mps"

    def test_auto_with_cuda_names_the_device(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(runtime, "_gpu_name", lambda index: f"Test GPU {index}")
        assert runtime.choose_device().device.type == "cuda"
        assert "Test GPU 0" in runtime.choose_device().why
        with pytest.raises(ValueError, match=r"'cuda:1'.*cpu, cuda, cuda:0"):
            runtime.choose_device("cuda:1")

    @pytest.mark.parametrize("request_", ["cuda", "cuda:0", "gpu", ""])
    def test_absent_or_unknown_lists_what_is_there(self, monkeypatch, request_):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        with pytest.raises(ValueError, match="there is: auto, cpu$"):
            runtime.choose_device(request_)


class TestSeeds:
    def test_seed_everything_repeats_all_three_sources(self):
        def draw():
            runtime.seed_everything(7)
            return random.random(), float(np.random.rand()), float(torch.rand(()))

        assert draw() == draw()

    @pytest.mark.parametrize("seed", [-1, 2**32])
    def test_seed_out_of_range_is_named(self, seed):
        with pytest.raises(ValueError, match=str(seed)):
            runtime.seed_everything(seed)

    def test_streams_depend_on_seed_and_names_only(self):
        def draw(*key):
            return torch.rand(4, generator=runtime.generator(*key)).tolist()

        first = draw(0, "gumbel", 3)
        torch.rand(100)
        assert draw(0, "gumbel", 3) == first
        others = [(1, "gumbel", 3), (0, "gumbel", 4), (0, "gumbel", "3"), (0, "gumbel"), (0, "gumbel3")]
        assert all(draw(*other) != first for other in others)

    def test_streams_are_uncorrelated(self):
        draws = torch.stack([torch.randn(4000, generator=runtime.generator(0, "x", i)) for i in range(8)])
        off_diagonal = torch.corrcoef(draws) - torch.eye(8)
        assert off_diagonal.abs().max() < 5 / 4000**0.5


class TestFullPrecision:
    @pytest.fixture(autouse=True)
    def restore(self):
        yield
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = True

    @pytest.mark.parametrize("precision", ["high", "medium"])
    def test_shortcuts_are_off(self, precision):
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = True
        runtime.use_full_precision()
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32

    @pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="torch < 2.9")
    def test_the_newer_switches_follow(self):
        matmul = torch.backends.cuda.matmul
        matmul.fp32_precision = "tf32"
        try:
            runtime.use_full_precision()
            assert matmul.fp32_precision == "ieee"
        finally:
            matmul.fp32_precision = "none"

    def test_a_warning_that_a_switch_will_go_does_not_reach_the_reader(self, monkeypatch):
        switch = "set_float32_matmul_precision"
        monkeypatch.setattr(torch, switch, lambda _: warnings.warn("going", UserWarning, stacklevel=1))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            runtime.use_full_precision()


class TestMemory:
    def test_report_is_consistent(self):
        ballast = torch.ones(25_000_000)
        report = runtime.memory_report()
        assert 0.1 < report.process_gb <= report.process_peak_gb < report.machine_gb
        assert report.machine_gb == pytest.approx(psutil.virtual_memory().total / 1e9)
        assert ballast.numel() == 25_000_000

    def test_peak_remembers_what_was_freed(self):
        ballast = torch.ones(50_000_000)
        before = runtime.memory_report().process_gb
        del ballast
        after = runtime.memory_report()
        assert after.process_gb < before - 0.1 and after.process_peak_gb >= before - 0.01

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux's C library keeps memory")
    def test_freed_memory_goes_back_to_the_system_though_something_lies_above_it(self):
        pieces = [torch.ones(8_000) for _ in range(10_000)]  # 32 kB each: from the heap
        last = torch.ones(8_000)
        full = runtime.memory_report().process_gb
        pieces.clear()
        kept = full - runtime.memory_report().process_gb
        runtime.give_memory_back()
        freed = full - runtime.memory_report().process_gb
        assert kept < 0.05 < 0.25 < freed and last.all()

    def test_line_mentions_a_gpu_only_if_there_is_one(self):
        assert "GPU" not in runtime.MemoryReport(1.0, 2.0, 16.0, None, None).line()
        assert runtime.MemoryReport(1.0, 2.0, 16.0, 3.0, 4.0).line() == (
            "1.0 GB used (peak 2.0) of 16 GB; GPU 3.0 GB (peak 4.0)"
        )


class TestBatchHalving:
    @staticmethod
    def fits(limit, error):
        sizes = []

        def function(batch_size):
            sizes.append(batch_size)
            if batch_size > limit:
                raise error
            return f"done with {batch_size}"

        return function, sizes

    @pytest.mark.parametrize("error", [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"),
    ])
    def test_halves_until_it_fits_and_says_each_step(self, error):
        function, sizes = self.fits(3, error)
        said = []
        assert runtime.with_batch_halving(function, 13, say=said.append) == "done with 3"
        assert sizes == [13, 6, 3]
        assert [message.removeprefix("Out of memory with a batch of ") for message in said] == [
            "13; trying 6.", "6; trying 3."
        ]

    def test_speaks_as_a_warning_by_default(self):
        function, _ = self.fits(1, torch.OutOfMemoryError("CUDA out of memory. "))
        with pytest.warns(UserWarning, match="batch of 2; trying 1"):
            runtime.with_batch_halving(function, 2)

    def test_gives_up_at_one_with_advice(self):
        function, sizes = self.fits(0, torch.OutOfMemoryError("CUDA out of memory. "))
        with pytest.raises(RuntimeError, match="batch of 1 .*device='cpu'"):
            runtime.with_batch_halving(function, 2, say=lambda message: None)
        assert sizes == [2, 1]

    def test_other_errors_pass_through_at_once(self):
        function, sizes = self.fits(0, RuntimeError("size mismatch"))
        with pytest.raises(RuntimeError, match="size mismatch"):
            runtime.with_batch_halving(function, 8)
        assert sizes == [8]

    def test_batch_of_nothing_is_refused(self):
        with pytest.raises(ValueError, match="at least 1, not 0"):
            runtime.with_batch_halving(lambda batch_size: None, 0)

    def test_real_allocation_failure_is_recognised(self):
        def function(batch_size):
            return torch.empty(batch_size**9, dtype=torch.uint8).numel()  # 256**9 bytes exist nowhere

        with pytest.warns(UserWarning, match="batch of 100; trying 50"):
            assert runtime.with_batch_halving(lambda size: function(size) if size > 50 else size, 100) == 50


class TestProgress:
    @pytest.fixture
    def written(self, monkeypatch, capsys):
        monkeypatch.delenv("TOXICITY_LAB_PROGRESS", raising=False)
        monkeypatch.delenv("TOXICITY_LAB_AUTHORING", raising=False)
        monkeypatch.setattr(runtime, "_in_notebook", lambda: False)
        return lambda: capsys.readouterr().err

    @staticmethod
    def terminal(monkeypatch):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    def test_short_work_leaves_nothing_in_a_log(self, written):
        assert list(runtime.progress(range(5), desc="work")) == [0, 1, 2, 3, 4]
        with runtime.progress(total=3, desc="work") as bar:
            bar.update(3)
            bar.set_postfix(loss=1.0)
        assert written() == ""

    def test_a_log_gets_whole_lines_ten_seconds_apart(self, written, monkeypatch):
        clock = [0.0]
        monkeypatch.setattr(runtime.time, "monotonic", lambda: clock[0])
        with runtime.progress(total=100, desc="work") as bar:
            for second in range(35):
                clock[0] = float(second)
                bar.update(1)
                bar.refresh()
        log = written()
        assert len(log.splitlines()) == 3 and all(line.startswith("work:") for line in log.splitlines())
        assert "\r" not in log

    def test_a_log_gets_lines_without_anyone_asking(self, written, monkeypatch):
        monkeypatch.setattr(runtime, "SECONDS_BETWEEN_LOG_LINES", 0.2)
        for _ in runtime.progress(range(6), desc="work"):
            time.sleep(0.1)
        assert "work:" in written()

    def test_a_terminal_gets_a_bar_that_vanishes(self, written, monkeypatch):
        self.terminal(monkeypatch)
        assert list(runtime.progress(range(3), desc="work")) == [0, 1, 2]
        states = written().split("\r")
        assert "work" in states[1] and states[-2].strip() == ""

    def test_switched_off_by_the_environment(self, written, monkeypatch):
        monkeypatch.setenv("TOXICITY_LAB_PROGRESS", "0")
        self.terminal(monkeypatch)
        assert list(runtime.progress(range(3))) == [0, 1, 2] and written() == ""

    def test_a_notebook_gets_a_widget_unless_its_outputs_are_stored(self, written, monkeypatch):
        monkeypatch.setattr(runtime, "_in_notebook", lambda: True)
        made, disabled = [], runtime.TextBar([], disable=True)
        monkeypatch.setattr("tqdm.auto.tqdm", lambda *args, **kwargs: made.append(kwargs) or disabled)
        runtime.progress(range(3))
        assert len(made) == 1
        monkeypatch.setenv("TOXICITY_LAB_AUTHORING", "1")
        assert list(runtime.progress(range(3))) == [0, 1, 2]
        assert len(made) == 1 and written() == ""

    def test_a_plain_interpreter_is_no_notebook(self):
        assert not runtime._in_notebook()


def test_a_progress_report_moves_its_bar_to_what_is_done(monkeypatch):
    made, make = [], runtime.progress
    monkeypatch.setenv("TOXICITY_LAB_PROGRESS", "1")
    monkeypatch.setattr(runtime, "progress", lambda **words: made.append(make(**words)) or made[-1])
    with runtime.progress_report("work: ") as report:
        report(3, 10, "pieces")
        report(7, 10, "pieces")
        assert (made[0].n, made[0].total) == (7, 10)


@pytest.mark.parametrize(("given", "kept"), [({}, "1000"), ({"GOMP_SPINCOUNT": "5"}, "5")])
def test_waiting_threads_soon_sleep_unless_the_user_says_otherwise(given, kept):
    """Set by the package before anything of it can load PyTorch."""
    env = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"} | given
    code = "import sys, os, helpers; print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    assert ended.stdout.split() == [kept, "False"]
