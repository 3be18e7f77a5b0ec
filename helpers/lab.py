"""The front door of the notebooks: one call gives profile, device, models, texts and ledger."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from IPython.display import display
from transformers import GPT2LMHeadModel

from helpers.aligned import Aligned
from helpers.artifacts import Store, cache_folder
from helpers.language.evaluation import Bench, Evaluation, Mode, build_bench, evaluate
from helpers.language.models import LanguageModel, load_hf, load_model
from helpers.language.scoring import Scorer, build_scorer
from helpers.language.texts import Prompt, Texts, load_texts
from helpers.profiles import Profile, check_profile, load_profile
from helpers.runtime import DeviceChoice, choose_device, progress_report, seed_everything
from helpers.teaching.claims import Ledger, merge, notebook_table, render_table
from helpers.teaching.display.display import Display
from helpers.teaching.display.panel import start_panel
from helpers.teaching.display.show import Html

REPOSITORY = Path(__file__).resolve().parent.parent


def build_folder() -> Path:
    """Where a run leaves what it made: `TOXICITY_LAB_BUILD`, else `build/` in the repository."""
    return Path(os.environ.get("TOXICITY_LAB_BUILD") or REPOSITORY / "build")


@dataclass(frozen=True)
class Lab(Aligned):
    """Everything a notebook asks for, made on first use and kept in the cache folder.

    >>> lab = Lab.start("01_toxicity_probe")        # doctest: +SKIP
    >>> lab.base.n_layers, lab.probe.direction.shape  # doctest: +SKIP
    """

    notebook: str
    profile: Profile
    choice: DeviceChoice
    store: Store
    claims: Ledger
    show: Display = field(repr=False)

    @classmethod
    def start(
        cls, notebook: str, profile: str | Path | None = None, *, unmask: bool = False, device: str = "auto"
    ) -> Lab:
        """Checks the profile and its files, chooses the device, seeds every source, shows the start panel.

        Args:
            notebook: the notebook's own name, such as `01_toxicity_probe`; its ledger fragment carries it.
            profile: a profile's name or a TOML file; None reads `TOXICITY_LAB_PROFILE`, else `pocket`.
            unmask: show profanity as it is (tables and token views of this notebook only).
            device: `auto`, `cpu`, `cuda` or `mps`.

        Raises:
            ProfileError: before anything is loaded, naming what is wrong with the profile or its files.
        """
        chosen = load_profile(profile)
        check_profile(chosen)
        choice = choose_device(device)
        seed_everything(chosen.seed)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        lab = cls(
            notebook=notebook,
            profile=chosen,
            choice=choice,
            store=Store(cache_folder()),
            claims=Ledger(build_folder() / "claims", notebook, chosen.label),
            show=Display(unmask=unmask),
        )
        timings = REPOSITORY / "notebooks" / "timings.json"
        display(start_panel(notebook, chosen, choice, cache_folder(), lab.base, timings))
        return lab

    @property
    def device(self) -> torch.device:
        """The device that models and tensors of this run live on."""
        return self.choice.device

    @cached_property
    def base(self) -> LanguageModel:
        """The model before preference tuning: raw weights, float32, hooked."""
        return load_model(self.profile.model, device=self.device, name=self.profile.label)

    @cached_property
    def texts(self) -> Texts:
        """Comments, prompts, pair prompts, plain text and passages, split and disjoint."""
        return load_texts(self.profile)

    @cached_property
    def scorers(self) -> tuple[Scorer, Scorer]:
        """The first and the second toxicity scorer of the profile."""
        first, second = self.profile.scorers
        return (
            build_scorer(first, self.texts, self.profile, self.device),
            build_scorer(second, self.texts, self.profile, self.device),
        )

    @cached_property
    def bench(self) -> Bench:
        """Prompts, passages, running text and scorers that every condition is measured on."""
        return build_bench(self.profile, self.texts, self.base, self.scorers)

    def evaluate(
        self,
        label: str,
        *,
        model: LanguageModel | None = None,
        split: str = "dev",
        mode: Mode = "sweep",
        prompts: Sequence[Prompt] | None = None,
    ) -> Evaluation:
        """Measures the base model, or another one, under whatever interventions are active."""
        with progress_report(f"{label}: ") as report:
            return evaluate(
                model or self.base,
                self.bench,
                mode=mode,
                split=split,
                label=label,
                prompts=prompts,
                progress=report,
            )

    def reload_plain(self) -> GPT2LMHeadModel:
        """The base checkpoint once more, as a plain Hugging Face model on the CPU."""
        return load_hf(self.profile.model)[0]

    def claims_table(self, *ids: str) -> Html:
        """What this run's ledger says: the claims named, or an overview of all when none is named.

        Only what notebooks measured in this build folder is shown; the rest reads *not run*.
        """
        rows = merge(self.claims.path.parent)
        if ids:
            return notebook_table([row for row in rows if row["id"] in ids])
        return Html(render_table(rows, format="html"), render_table(rows, format="markdown"))
