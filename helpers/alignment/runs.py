"""What a training run leaves behind: its history, its looks at development data, and the policies it made."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.alignment.policies import Look, choose_policies, lowest_validation_loss
from helpers.artifacts import write_json
from helpers.profiles import DPO, ModelSource

Row = dict[str, Any]
"""One line of a history: `kind` "train" (a step) or "look" (a pause to measure), `step`, and figures."""

Watch = Callable[[int, int, Row], None]
"""Called as `watch(step, steps at most, row)` with every new row of the history."""

ROLES = {
    "matched": "dev toxicity nearest the profile's share of base's",
    "strong": "lowest dev toxicity",
    "best": "lowest validation loss",
    "last": "after the last step",
}
"""What a kept set of weights was kept for; the first two want a perplexity under the profile's ceiling."""


@dataclass(frozen=True)
class TrainingRun:
    """A finished run.

    Attributes:
        folder: holds `run.json` and one model folder per kept step.
        history: every step's loss, margin and accuracy, and every look's figures, in order.
        roles: the step kept for each of `ROLES`; None where nothing was admissible or measured.
        stopped: why training ended.

    Example:
        run = read_run(folder)
        matched = load_model(run.policy("matched"), name="matched")
    """

    folder: Path
    history: tuple[Row, ...]
    roles: Mapping[str, int | None]
    stopped: str

    @property
    def looks(self) -> tuple[Look, ...]:
        """The pauses to measure, in order; the first one is the base model."""
        return looks_of(self.history)

    def policy(self, role: str) -> ModelSource:
        """Where the weights kept for a role are. Raises ValueError if there are none."""
        step = self.roles.get(role)
        if step is None:
            kept = ", ".join(name for name, number in self.roles.items() if number is not None) or "none"
            raise ValueError(
                f"This run has no {role!r} policy ({ROLES.get(role, 'an unknown role')}); it has: {kept}. "
                "If no look was within the ceiling of perplexity, look more often (dpo.evaluate_every), go "
                "in smaller steps (dpo.learning_rate), hold the policy closer (dpo.beta), or raise "
                "dpo.perplexity_ceiling."
            )
        return ModelSource(folder=self.folder / step_name(step))


def looks_of(history: Sequence[Row]) -> tuple[Look, ...]:
    """The looks in a history."""
    return tuple(
        Look(row["step"], row.get("toxicity"), row.get("perplexity"), row["validation_loss"])
        for row in history
        if row["kind"] == "look"
    )


def roles_of(looks: Sequence[Look], settings: DPO) -> dict[str, int | None]:
    """The step that fills each role so far. One that fills none now fills none later."""
    trained = [look for look in looks if look.step > 0]
    best = lowest_validation_loss(trained)
    roles = {
        "matched": None,
        "strong": None,
        "best": best.step if best else None,
        "last": trained[-1].step if trained else None,
    }
    if looks and looks[0].toxicity is not None:
        chosen = choose_policies(
            trained, looks[0], share=settings.matched_share, ceiling=settings.perplexity_ceiling
        )
        roles["matched"] = chosen.matched.step if chosen.matched else None
        roles["strong"] = chosen.strong.step if chosen.strong else None
    return roles


def reason_to_stop(looks: Sequence[Look], settings: DPO) -> str | None:
    """Why training should end after these looks; None while it should go on."""
    best = lowest_validation_loss(looks)
    since = [look for look in looks if best is not None and look.step > best.step]
    if len(since) >= settings.patience:
        return f"validation loss did not fall for {len(since)} looks"
    recent = looks[-settings.ceiling_patience :] if settings.ceiling_patience else ()
    ceiling = settings.perplexity_ceiling * (looks[0].perplexity or math.inf)
    beyond = [look for look in recent if look.step > 0 and not (look.perplexity or 0) <= ceiling]
    if beyond and len(beyond) == settings.ceiling_patience:
        return f"perplexity was beyond {settings.perplexity_ceiling:g} × base's for {len(beyond)} looks"
    return None


def step_name(step: int) -> str:
    """The name of a kept step's folder."""
    return f"step-{step:05d}"


def write_run(run: TrainingRun) -> None:
    """Writes `run.json`, the last file of a finished run."""
    content = {"history": run.history, "roles": run.roles, "stopped": run.stopped}
    write_json(run.folder / "run.json", content)


def read_run(folder: Path) -> TrainingRun:
    """A finished run. Raises FileNotFoundError if the folder holds none."""
    file = folder / "run.json"
    if not file.is_file():
        raise FileNotFoundError(f"{folder} holds no finished training run (run.json is missing).")
    content = json.loads(file.read_text(encoding="utf-8"))
    return TrainingRun(folder, tuple(content["history"]), content["roles"], content["stopped"])
