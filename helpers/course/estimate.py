"""`make estimate`: what a profile will cost on this machine, measured in two minutes without a download.

Unit costs are measured with random weights of the profile's shape, by the functions that the notebooks call;
`work.py` says how many of each a notebook asks for. `ON=T4` does the sums for a machine that is not at hand.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from helpers.alignment.encoding import EncodedPair
from helpers.alignment.pplm import steer
from helpers.artifacts import write_json
from helpers.course.rates import (
    CLASSIFIER,
    MACHINES,
    SCORED_TOKENS,
    STORED,
    Rates,
    by_figures,
    clock,
    estimate,
    hub_scorers,
)
from helpers.course.run import machine
from helpers.course.series import ROOT
from helpers.course.shapes import config_of, shape_of, words_of
from helpers.course.work import prompt_tokens
from helpers.intervals import bootstrap
from helpers.language.generation import continue_ids
from helpers.language.hub import HubError
from helpers.language.metrics import perplexity
from helpers.language.models import boot, draw_weights, quiet
from helpers.language.tokens import Tokens
from helpers.mechanism.probe import Probe, fit_probe
from helpers.mechanism.statistics import measure_statistics
from helpers.profiles import PPLM, Profile, ProfileError, load_profile
from helpers.runtime import choose_device, generator

RECOGNISED = 4
"""How often a look asks whether weights are as they were (three to five times in 07 to 09, as counted)."""

LEAST_SECONDS = 2.0
"""How long a measurement goes on, at least: amounts are doubled until it takes so long."""


def measure(profile: Profile, say: Callable[[str], None] = print) -> Rates:
    """Unit costs on this machine, in about two minutes: random weights, no download."""
    config, device = config_of(profile), choose_device().device
    shape, tokenizer = shape_of(config), words_of(config)
    for name in ("attn_pdrop", "embd_pdrop", "resid_pdrop"):
        setattr(config, name, 0.0)

    def unit(name: str, call: Callable[[int], int | float], first: int, most: int) -> float:
        """Seconds a unit: the amount is doubled until it takes long enough, or is the most there can be."""
        amount = first
        while True:
            if device.type == "cuda":
                torch.cuda.synchronize()
            began = time.perf_counter()
            units = call(amount)
            if device.type == "cuda":
                torch.cuda.synchronize()
            took = time.perf_counter() - began
            if took >= LEAST_SECONDS or amount >= most:
                say(f"  {name}: {took / units:.3g} s")
                return took / units
            amount = min(most, 2 * amount if took > LEAST_SECONDS / 4 else 4 * amount)

    noise = generator(0, "estimate")

    def ids(rows: int, length: int) -> torch.Tensor:
        return torch.randint(config.vocab_size - 1, (rows, length), generator=noise)

    start = timed(lambda: subprocess.run([sys.executable, "-c", "import helpers.lab"], cwd=ROOT, check=True))
    say(f"  start of a notebook: {start + 4:.3g} s")
    hf = draw_weights(config, 0, torch.float32).eval()
    began = time.perf_counter()
    model = boot(hf, tokenizer, name="random", device=device)
    opened = time.perf_counter() - began
    model.weights_digest()  # on a GPU the first one copies them
    recognised = timed(model.weights_digest)
    plain = draw_weights(config, 0, torch.float32).eval().requires_grad_(False).to(device)  # `boot` took over
    decoding, batches = profile.decoding, profile.batches
    window, prompt = min(config.n_positions, 256), prompt_tokens(profile)

    def write(rows: int) -> int | float:
        names = [str(row) for row in range(rows)]
        continue_ids(model, ids(rows, prompt).tolist(), names, decoding, seed=0, batch_size=batches.generate)
        return rows * decoding.new_tokens

    def steered(rows: int) -> int | float:
        settings = PPLM(iterations=4, new_tokens=1)
        attribute = Probe(
            torch.randn(shape.width, generator=noise), 0.0, -1, "mean", 1.0, torch.zeros(shape.width), 1.0
        )
        names = [str(row) for row in range(rows)]
        steer(plain, ids(rows, prompt).tolist(), names, attribute, settings, seed=0)
        return rows * settings.iterations

    def passed(rows: int) -> int | float:
        tokens = Tokens(ids(rows, 44), torch.ones(rows, 44, dtype=torch.bool))
        counted = torch.zeros_like(tokens.mask)
        counted[:, -decoding.new_tokens :] = True
        measure_statistics(model, tokens, counted=counted, batch_size=batches.forward)
        return tokens.ids.numel()

    def probed(rows: int) -> int | float:
        labels = torch.arange(rows) % 2 == 0
        fit_probe(torch.randn(rows, shape.width, generator=noise), labels, penalty=1.0, layer=0)
        return rows * shape.width

    def summed(times: int) -> float:
        for _ in range(times):
            bootstrap(torch.rand(profile.counts.prompts_sweep), n=profile.counts.bootstrap, seed=0)
        return times / 6  # an evaluation has about six measures

    def read(tokens: int) -> int | float:
        perplexity(model, ids(1, tokens)[0], window=window, batch_size=batches.forward)
        return tokens

    each = unit("a token read", read, 256, 2**17)
    found = Rates(
        where=f"{machine()}, {device.type}",
        start=start + 4,
        read=each,
        written=unit("a token written", write, min(8, batches.generate), batches.generate),
        scored=SCORED_TOKENS * CLASSIFIER / shape.parameters * each if hub_scorers(profile) else 3e-4,
        steered=unit("a PPLM step", steered, min(8, batches.craft), batches.craft),
        passed=unit("a token read with statistics", passed, 4, 256),
        measured=unit("an evaluation's intervals", summed, 6, 600) + RECOGNISED * recognised,
        probed=unit("a number of a probe's fit", probed, 256, 4096),
        opened=opened + shape.gigabytes * (written := written_gigabyte()),
        gigabytes=written,
        trained=trained_pair(profile, plain, tokenizer, ids, unit),
    )
    return found


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def written_gigabyte() -> float:
    """Seconds to write a GB to the disk where policies go, from a quarter of one."""
    with tempfile.TemporaryFile() as file:
        block = os.urandom(2**20)

        def write() -> None:
            for _ in range(256):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())

        return 4 * timed(write)


def trained_pair(profile: Profile, hf: Any, tokenizer: Any, ids: Callable, unit: Callable) -> float:
    """Seconds for one pair of one training step, by the trainer that the notebooks use."""
    from helpers.alignment.trl_adapter import preference_trainer  # brings TRL, which takes seconds to load

    settings, rounds = profile.dpo, 6
    rows = ids(settings.batch * rounds, 28 + 2 * 20).tolist()
    pairs = [
        EncodedPair(str(number), tuple(row[:28]), tuple(row[28:48]), tuple(row[48:]))
        for number, row in enumerate(rows)
    ]
    with tempfile.TemporaryDirectory() as work, quiet():
        trainer: Any = preference_trainer(
            hf.requires_grad_(True), tokenizer, pairs, pairs[: settings.batch], settings, Path(work), seed=0,
            device=hf.device, micro_batch=min(settings.batch, profile.batches.train),
        )  # fmt: skip
        trainer.create_optimizer_and_scheduler(num_training_steps=100)
        policy = trainer.accelerator.prepare(trainer.model)
        policy.train()
        trainer.current_gradient_accumulation_steps = 1

        def step(times: int) -> int | float:
            for number in range(times):
                first = number % rounds * settings.batch
                batch = [trainer.train_dataset[first + row] for row in range(settings.batch)]
                trainer.training_step(policy, trainer.data_collator(batch))
                trainer.optimizer.step()
                policy.zero_grad()
            return times * settings.batch

        step(1)
        return unit("a pair of a DPO step", step, 1, 8)


def show(found: Mapping[str, Any]) -> None:
    """The table, for a terminal."""
    print(f"\n{found['profile']} on {found['rates']['where']}, estimated:")
    for name, row in found["notebooks"].items():
        print(f"  {name:<28}{clock(60 * row['minutes']):>9}  {row['gb']:5.1f} GB")
    unknown = f" and {', '.join(found['download_unknown'])}" if found["download_unknown"] else ""
    print(
        f"  in all{clock(60 * found['total_minutes']):>31}; download {found['download_gb']:.1f} "
        f"GB{unknown}; up to {found['disk_gb']:.0f} GB of disk"
    )
    for line in found["advice"]:
        print(line)


def main() -> int:
    """The command's entry. PROFILE: which one; ON=T4: by figures; STORE=1: into README's table."""
    name = os.environ.get("PROFILE") or os.environ.get("TOXICITY_LAB_PROFILE") or "pocket"
    if name.endswith(".toml"):
        name = str(Path(os.environ.get("LAB_FROM") or ".").resolve() / name)
    try:
        profile = load_profile(name)
        asked = os.environ.get("ON", "")
        if asked and asked not in MACHINES:
            raise ValueError(f"ON={asked}: there are figures of {', '.join(MACHINES)}; or leave it out.")
        if asked:
            at = MACHINES[asked]
            rates, memory = by_figures(at, profile, shape_of(config_of(profile))), at.memory
        else:
            print(f"Measuring at the shape of “{profile.name}”, with random weights:", flush=True)
            rates, memory = measure(profile), memory_here()
        found = estimate(profile, shape_of(config_of(profile)), rates, memory)
    except (HubError, ProfileError, ValueError) as error:
        print(f"make estimate: {error}", file=sys.stderr)
        return 1
    show(found)
    if os.environ.get("STORE"):
        stored = json.loads(STORED.read_text(encoding="utf-8")) if STORED.is_file() else {}
        stored[f"{profile.name} on {asked or 'measured'}"] = found
        write_json(STORED, stored)
        print(f"Stored in {STORED.name}; `make notebooks` renders README's table from it.")
    return 0


def memory_here() -> float:
    """GB of the GPU where there is one, else of the machine."""
    import psutil

    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory / 1e9
    return psutil.virtual_memory().total / 1e9
