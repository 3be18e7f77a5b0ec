"""The log of finished attempts at pairs: appended batch by batch, read back when a run goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import GPT2LMHeadModel

from helpers.alignment.encoding import PairError
from helpers.alignment.jsonl import lines_of
from helpers.artifacts import disk_full_said
from helpers.language.texts import Pair
from helpers.mechanism.probe import Probe
from helpers.profiles import PPLM


class AttemptLog:
    """A JSONL file: its first line says what the attempts are made with, every further line is one attempt.

    A batch is written in one piece and flushed to disk. What a killed or failed write leaves behind is a last
    line without its end, which is cut off when the log is opened again.

    log = AttemptLog(folder / "attempts.jsonl", {"seed": 0})
    log.append([Pair("a", "You are", " kind.", " rude.")])
    """

    def __init__(self, file: Path, made_with: Mapping[str, Any]) -> None:
        """Opens or begins a log.

        Raises:
            PairError: the file holds attempts made with something else, or lines that are none.
        """
        self.file = file
        self.done: dict[str, Pair] = {}
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = self._whole_lines()
        if whole:
            self._read(whole, json.loads(json.dumps(made_with)))
        else:
            self._write(json.dumps({"made_with": made_with}) + "\n")

    def append(self, attempts: Sequence[Pair]) -> None:
        """Adds a batch. Raises `DiskFull` if the disk is full; what was there before stays."""
        rows = [
            {"id": pair.id, "prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
            for pair in attempts
        ]
        self._write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        self.done.update({pair.id: pair for pair in attempts})

    def _whole_lines(self) -> list[str]:
        if not self.file.is_file():
            return []
        written = self.file.read_bytes()
        whole = written[: written.rfind(b"\n") + 1]
        if len(whole) < len(written):
            os.truncate(self.file, len(whole))
        return lines_of(whole.decode("utf-8"))

    def _read(self, lines: Sequence[str], made_with: Mapping[str, Any]) -> None:
        try:
            found = json.loads(lines[0])["made_with"]
            rows = [json.loads(line) for line in lines[1:]]
            self.done = {
                row["id"]: Pair(row["id"], row["prompt"], row["chosen"], row["rejected"]) for row in rows
            }
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise PairError(f"{self.file} is damaged ({error!r}). Delete it to begin anew.") from error
        if found != made_with:
            differ = sorted(key for key in {*found, *made_with} if found.get(key) != made_with.get(key))
            raise PairError(
                f"{self.file} holds attempts made with other settings ({', '.join(differ)}). "
                "Give this run a folder of its own, or delete the file."
            )

    def _write(self, text: str) -> None:
        advice = (
            f"The {len(self.done)} attempts before this batch are safe; make room and run again "
            "to go on from them."
        )
        with (
            disk_full_said("writing attempts", self.file.parent, advice),
            self.file.open("ab") as file,
        ):
            file.write(text.encode("utf-8"))
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
