"""The front door of the notebooks: one call gives the profile, the device, the models, the texts and the ledger."""
from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from IPython.display import display
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import GPT2LMHeadModel

from helpers.language.evaluation import Bench, Evaluation, Mode, build_bench, evaluate
from helpers.language.models import LanguageModel, Tokens, load_hf, load_model
from helpers.language.scoring import Scorer, build_scorer, toxic_vocabulary
from helpers.language.texts import Comment, Prompt, Texts, load_texts
from helpers.language.words import toxic_word_families, toxic_word_list
from helpers.mechanism.pooling import mean_stream_norms, pooled_residuals
from helpers.mechanism.probe import Probe, fit_probe
from helpers.mechanism.vectors import used_vocabulary
from helpers.profiles import Profile, check_profile, load_profile
from helpers.runtime import DeviceChoice, choose_device, progress_report, seed_everything
from helpers.store import Artifact, Store, cache_folder
from helpers.teaching.claims import Ledger, merge
from helpers.teaching.claims_table import notebook_table, render_table
from helpers.teaching.panel import start_panel
from helpers.teaching.display import Display
from helpers.teaching.show import Html

REPOSITORY = Path(__file__).resolve().parent.parent


def build_folder() -> Path:
    """Where a run leaves what it made: `TOXICITY_LAB_BUILD`, else `build/` in the repository."""
    return Path(os.environ.get("TOXICITY_LAB_BUILD") or REPOSITORY / "build")


@dataclass(frozen=True)
class ProbeData:
    """Pooled residual streams of the labelled comments, every layer, with their labels.

    `train` and `test` have shape (comments, layers, d_model): the attention-masked mean over positions >= 1
    of the raw residual stream after each layer.
    """

    train: Float[Tensor, "train layer d_model"]
    test: Float[Tensor, "test layer d_model"]
    toxic_train: Bool[Tensor, " train"]
    toxic_test: Bool[Tensor, " test"]


@dataclass(frozen=True)
class Lab:
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
        """Checks the profile and its files, chooses the device, seeds every source, and prints the start panel.

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

    def tokenise_comments(self, comments: tuple[Comment, ...]) -> Tokens:
        """Comments as right-padded tokens, cut to the probe's length limit."""
        limit = min(self.profile.probe.max_tokens, self.base.context)
        return self.base.tokenise([c.text for c in comments], max_tokens=limit)

    @cached_property
    def probe_data(self) -> ProbeData:
        """Features of the labelled comments at every layer (computed once, then read from the cache)."""
        train, test = self.texts.comments_train, self.texts.comments_test
        limit = min(self.profile.probe.max_tokens, self.base.context)
        ingredients = {
            "model": self.profile.model,
            "train": [c.text for c in train],
            "test": [c.text for c in test],
            "max_tokens": limit,
            "pooling": "mean",
        }

        def make() -> Artifact:
            pooled = {}
            for split, comments in (("train", train), ("test", test)):
                with progress_report(f"{split} comments: ") as report:
                    pooled[split] = pooled_residuals(
                        self.base, self.tokenise_comments(comments), layers=range(self.base.n_layers),
                        pooling="mean", batch_size=self.profile.batches.forward, progress=report,
                    )
            return Artifact(tensors=pooled, data={})

        features = self.store.get("probe_features", ingredients, make).tensors
        return ProbeData(
            train=features["train"],
            test=features["test"],
            toxic_train=torch.tensor([c.toxic for c in train]),
            toxic_test=torch.tensor([c.toxic for c in test]),
        )

    @cached_property
    def probe(self) -> Probe:
        """The probe of the profile: fixed layer and fixed penalty (design: never chosen by accuracy)."""
        layer = self.profile.probe.layer % self.base.n_layers
        return fit_probe(
            self.probe_data.train[:, layer], self.probe_data.toxic_train,
            penalty=self.profile.probe.penalty, layer=layer, pooling="mean",
        )

    @cached_property
    def used_tokens(self) -> Bool[Tensor, " vocab"]:
        """Token ids that occur in the profile's own texts: the vocabulary that token lists are drawn from."""
        texts = [c.text for c in self.texts.comments_train] + [self.texts.perplexity]
        ids = self.base.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        return used_vocabulary(ids, self.base.vocab_size)

    @cached_property
    def toxic_tokens(self) -> Bool[Tensor, " vocab"]:
        """Token ids that spell a word of the profile's toxic word list."""
        return toxic_vocabulary(self.base.tokenizer, toxic_word_list(self.profile), self.base.vocab_size)

    @cached_property
    def stream_norms(self) -> Float[Tensor, " layer"]:
        """Mean length of the residual stream after each layer, over the dev prompts' tokens from position 1 on.

        The unit in which steering strengths are given.
        """
        limit = self.profile.decoding.max_prompt_tokens
        tokens = self.base.tokenise([p.text for p in self.texts.eliciting("dev")[:64]], max_tokens=limit)
        return mean_stream_norms(self.base, tokens, batch_size=self.profile.batches.forward)

    @cached_property
    def bench(self) -> Bench:
        """Prompts, passages, running text and scorers that every condition is measured on."""
        return build_bench(self.profile, self.texts, self.base, self.scorers)

    def evaluate(
        self, label: str, *, model: LanguageModel | None = None, split: str = "dev", mode: Mode = "sweep",
        prompts: Sequence[Prompt] | None = None,
    ) -> Evaluation:
        """Measures the base model, or another one, under whatever interventions are active; with a progress bar."""
        with progress_report(f"{label}: ") as report:
            return evaluate(
                model or self.base, self.bench, mode=mode, split=split, label=label, prompts=prompts, progress=report
            )

    @cached_property
    def toxic_families(self) -> dict[str, Bool[Tensor, " vocab"]]:
        """Token ids of each family of toxic words, by the family's name."""
        return {
            family: toxic_vocabulary(self.base.tokenizer, words, self.base.vocab_size)
            for family, words in toxic_word_families(self.profile).items()
        }

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
