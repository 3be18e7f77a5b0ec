"""The log of finished attempts at pairs: appended batch by batch, read back when a run goes on."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import GPT2LMHeadModel

from helpers.alignment.encoding import PairError
from helpers.artifacts import disk_full_said, seal, unseal
from helpers.language.texts import Pair
from helpers.mechanism.probe import Probe
from helpers.profiles import PPLM


class AttemptLog:
    """A JSONL file: its first line says what the attempts are made with, every further line is one batch.

    Lines carry checksums, and each is flushed to disk. When the log is opened again it is cut before the
    first line that is not whole (what a killed or failed write leaves) or not as it was written; so a run
    goes on after whole batches, and ends as one that was never interrupted.

    log = AttemptLog(folder / "attempts.jsonl", {"seed": 0})
    log.append([Pair("a", "You are", " kind.", " rude.")])
    """

    def __init__(self, file: Path, made_with: Mapping[str, Any]) -> None:
        """Opens or begins a log.

        Raises:
            PairError: the file holds attempts made with something else.
        """
        self.file = file
        self.done: dict[str, Pair] = {}
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = self._whole_lines()
        if not whole:
            self._write({"made_with": made_with})
            return
        found, wanted = whole[0]["made_with"], json.loads(json.dumps(made_with))
        if found != wanted:
            differ = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
            raise PairError(
                f"{self.file} holds attempts made with other settings ({', '.join(differ)}). "
                "Give this run a folder of its own, or delete the file."
            )
        for row in (row for batch in whole[1:] for row in batch):
            self.done[row["id"]] = Pair(row["id"], row["prompt"], row["chosen"], row["rejected"])

    def append(self, attempts: Sequence[Pair]) -> None:
        """Adds a batch. Raises `DiskFull` if the disk is full; what was there before stays."""
        rows = [
            {"id": pair.id, "prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
            for pair in attempts
        ]
        self._write(rows)
        self.done.update({pair.id: pair for pair in attempts})

    def _whole_lines(self) -> list[Any]:
        """The content of the lines up to the first damaged one, at which the file is cut."""
        if not self.file.is_file():
            return []
        contents, good = [], 0
        for line in self.file.read_bytes().splitlines(keepends=True):
            try:
                contents.append(unseal(line.removesuffix(b"\n")))
            except ValueError as error:
                if line.endswith(b"\n"):  # else it is what a killed write leaves
                    kept = max(0, len(contents) - 1)
                    said = f"{self.file} is damaged after {kept} batches ({error}); going on from them."
                    warnings.warn(said, stacklevel=4)
                break
            if not line.endswith(b"\n"):
                contents.pop()
                break
            good += len(line)
        if good < self.file.stat().st_size:
            os.truncate(self.file, good)
        return contents

    def _write(self, content: Any) -> None:
        advice = (
            f"The {len(self.done)} attempts before this batch are safe; make room and run again "
            "to go on from them."
        )
        with (
            disk_full_said("writing attempts", self.file.parent, advice),
            self.file.open("ab") as file,
        ):
            file.write(seal(content).encode("utf-8") + b"\n")
            file.flush()
            os.fsync(file.fileno())


def ingredients(hf: GPT2LMHeadModel, attribute: Probe, settings: PPLM, seed: int) -> dict[str, Any]:
    """What attempts depend on beside their prompts; digests stand for the tensors."""
    return {
        "model": model_digest(hf),
        "probe": [
            _digest(attribute.weight, attribute.centre),
            attribute.bias,
            attribute.layer,
            attribute.pooling,
        ],
        "pplm": settings.model_dump(mode="json"),
        "seed": seed,
    }


def model_digest(hf: GPT2LMHeadModel) -> str:
    """Tells checkpoints apart by the tensors at both ends, which every training run moves."""
    weights = hf.state_dict()
    return _digest(
        weights["transformer.wte.weight"], weights[f"transformer.h.{hf.config.n_layer - 1}.mlp.c_proj.weight"]
    )


def _digest(*tensors: Any) -> str:
    content = b"".join(tensor.detach().float().cpu().contiguous().numpy().tobytes() for tensor in tensors)
    return hashlib.sha256(content).hexdigest()[:16]
