"""`Lab`: one call checks the profile, chooses the device, seeds, shows the panel, and opens the stages."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from IPython.display import display
from transformers import GPT2LMHeadModel

from helpers.artifacts import Store, cache_folder
from helpers.lab.attribution import Attributions
from helpers.lab.drops import Drops
from helpers.lab.emulation import Emulation
from helpers.lab.insides import Insides
from helpers.lab.looks import Looks
from helpers.lab.measures import Measures
from helpers.lab.pairs import Pairs
from helpers.lab.policies import Policies
from helpers.lab.statistics import Readings
from helpers.lab.unalign import Unalign
from helpers.lab.verdicts import Verdicts
from helpers.lab.workbench import Workbench
from helpers.language.checks import check_profile
from helpers.language.evaluation import Evaluation
from helpers.language.models import LanguageModel
from helpers.language.scoring import Scorer
from helpers.language.texts import Texts
from helpers.language.worth import Worth
from helpers.profiles import GPT2_MEDIUM, Profile, bred_for, load_profile
from helpers.runtime import choose_device, seed_everything, use_full_precision
from helpers.teaching.claims import Ledger, mark_of, merge, notebook_table, published, render_table
from helpers.teaching.display.display import Display
from helpers.teaching.display.panel import start_panel
from helpers.teaching.display.show import Html
from helpers.teaching.guesses import Guess, Guesses

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, eq=False)
class Lab:
    """Everything a notebook asks for. What may take minutes is a verb: `lab.policies.load("matched")`.

    Attributes:
        build: the folder where a run leaves what it made.
        claims: this notebook's share of the ledger.
        guesses: what the reader guesses in this notebook, kept in `build`.
        show: tables, token views and quotations, masked unless the parameters cell says otherwise.
        measures: what is measured once of the base model: probe, word masks, stream lengths.
        pairs: preference pairs by recipe.
        policies: training runs, and the policies chosen from them.
        statistics: what base and policies do inside, on average over texts.
        attribution: which neurons account for what a policy does less.
        emulation: base, made to act like a policy without being tuned.
        looks: how toxic and how whole the text of a model is under whatever is in force, in short.
        unalign: ways back from a policy, what they recover, and defences against them.
        drops: how much less toxic text becomes, as claims A4, A6 and A12 measure it.
        inside: what tuning changed inside, as claims A7 to A11 measure it.
        verdicts: the claims once more, over training seeds of DPO and over scorers.

    Example:
        lab = Lab.start("01_toxicity_probe")
        lab.base.n_layers, lab.measures.fit_probe().direction.shape
    """

    at: Workbench
    build: Path
    claims: Ledger
    guesses: Guesses
    show: Display
    measures: Measures
    pairs: Pairs
    policies: Policies
    statistics: Readings
    looks: Looks
    attribution: Attributions
    emulation: Emulation
    unalign: Unalign
    drops: Drops
    inside: Insides
    verdicts: Verdicts

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
        use_full_precision()
        at = Workbench(chosen, Store(cache_folder()), choice.device)
        build = Path(os.environ.get("TOXICITY_LAB_BUILD") or REPOSITORY / "build")
        measures = Measures(at)
        pairs = Pairs(at, measures)
        policies, looks = Policies(at, pairs), Looks(at)
        statistics = Readings(at, policies)
        attribution = Attributions(at, measures, statistics)
        emulation = Emulation(at, measures, policies, statistics, attribution, looks)
        unalign = Unalign(at, measures, policies, looks)
        drops = Drops(at, measures, policies, looks, unalign)
        inside = Insides(at, measures, policies, statistics)
        lab = cls(
            at=at,
            build=build,
            claims=Ledger(
                build / "claims",
                notebook,
                chosen.label,
                mark=mark_of(chosen),
                published_setting=is_published(chosen),
                bred_for=bred_for(chosen),
            ),  # fmt: skip
            guesses=Guesses(build / "guesses" / re.sub(r"[^\w.-]+", "-", chosen.label), notebook),
            show=Display(unmask=unmask),
            measures=measures,
            pairs=pairs,
            policies=policies,
            statistics=statistics,
            looks=looks,
            attribution=attribution,
            emulation=emulation,
            unalign=unalign,
            drops=drops,
            inside=inside,
            verdicts=Verdicts(at, drops, inside, attribution, emulation),
        )
        timings = REPOSITORY / "notebooks" / "timings.json"
        display(start_panel(notebook, chosen, choice, cache_folder(), at.base, timings, at.texts, at.worth))
        return lab

    @property
    def profile(self) -> Profile:
        """Every knob of this run."""
        return self.at.profile

    @property
    def device(self) -> torch.device:
        """The device that models and tensors of this run live on."""
        return self.at.device

    @property
    def base(self) -> LanguageModel:
        """The model before preference tuning: raw weights, float32, hooked."""
        return self.at.base

    @property
    def texts(self) -> Texts:
        """Comments, prompts, pair prompts, plain text and passages, split and disjoint."""
        return self.at.texts

    @property
    def scorers(self) -> tuple[Scorer, Scorer]:
        """The first and the second toxicity scorer of the profile."""
        return self.at.scorers

    @property
    def worth(self) -> tuple[Worth, ...]:
        """What the two scorers are worth on texts like the profile's."""
        return self.at.worth

    @property
    def evaluate(self) -> Callable[..., Evaluation]:
        """Measures a model under whatever interventions are active: `Workbench.evaluate`."""
        return self.at.evaluate

    @property
    def load_plain(self) -> Callable[[], GPT2LMHeadModel]:
        """The base checkpoint as a plain Hugging Face model: `Workbench.load_plain`."""
        return self.at.load_plain

    @property
    def guess(self) -> Callable[..., Guess]:
        """Asks for a number or a choice before the figure that answers it: `Guesses.ask`."""
        return self.guesses.ask

    @property
    def answer(self) -> Callable[..., None]:
        """Says what was measured beside the reader's guess; silent without one: `Guesses.answer`."""
        return self.guesses.answer

    @property
    def calibration(self) -> Callable[[], Html]:
        """How near the reader's guesses came, over all notebooks: `Guesses.calibration`."""
        return self.guesses.calibration

    def published_replication(self) -> Html:
        """The claims over several models, as `make replicate` published them; nothing of this run."""
        return published(REPOSITORY / "notebooks" / "replication.json")

    def claims_table(self, *ids: str) -> Html:
        """What this run's ledger says: the claims named, or an overview of all when none is named.

        Only what notebooks measured on this profile in this build folder is shown; the rest reads *not run*.
        """
        rows = merge(self.claims.path.parent, self.claims.mark)
        if ids:
            return notebook_table([row for row in rows if row["id"] in ids])
        return Html(render_table(rows, format="html"), render_table(rows, format="markdown"))


def is_published(profile: Profile) -> bool:
    """Whether figures may be compared with the published ones: the papers' model, and paper B's scorer.

    Paper A scored with a service that is being retired; its figures are of another scale.
    """
    return profile.model == GPT2_MEDIUM.model and profile.scorers[0] == GPT2_MEDIUM.scorers[0]
