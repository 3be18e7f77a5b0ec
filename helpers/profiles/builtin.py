"""The built-in profiles, and profiles a user writes in TOML."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from helpers.pocket import BRED_FOR, FOLDER, SEEDS, WEIGHTS, name_of, trained_seeds, weights_of
from helpers.profiles.schema import (
    DPO,
    PPLM,
    Batches,
    Counts,
    Decoding,
    Explanation,
    ProbeSettings,
    Profile,
    Unalignment,
    Vectors,
)
from helpers.profiles.sources import (
    CommentScorerSettings,
    Data,
    ExactScorerSettings,
    HubScorerSettings,
    HubText,
    MaskedScorerSettings,
    ModelSource,
    PocketText,
    ProfileError,
)
from helpers.profiles.toml import no_such_profile, read_toml

POCKET = Profile(
    name="pocket",
    label="pocket",
    model=ModelSource(folder=WEIGHTS),
    data=Data(
        comments=PocketText(),
        prompts=PocketText(),
        perplexity=PocketText(),
        pair_prompts=PocketText(),
        passages=PocketText(),
    ),
    scorers=(ExactScorerSettings(), MaskedScorerSettings()),
    counts=Counts(
        comments_train=1500,
        comments_test=600,
        comments_scorer=1500,
        prompts_dev=128,
        prompts_eval=512,
        perplexity_tokens_sweep=8_000,
        perplexity_tokens_report=20_000,
        passages=128,
        pairs=320,  # half of them lowered dev toxicity as far; the rest serve to show it
        pairs_valid=32,
        pair_prompts=1400,  # of each source; about three in ten give a pair
    ),
    # Sampled: greedy text exaggerates the contrast between hostile and friendly prompts in this model.
    decoding=Decoding(method="sample", temperature=1.0, new_tokens=14, max_prompt_tokens=96),
    probe=ProbeSettings(max_tokens=96),
    vectors=Vectors(top=64, svd=64),
    batches=Batches(forward=64, generate=128, train=16, craft=96),
    # Chosen on dev prompts of an earlier pocket model, by kept pairs per second and by the perplexity of the
    # steered text. The probe is flat (penalty 1), so at the published kl_scale of 0.1 staying near outweighs
    # every gain: one neutral prompt in fifty gave a pair. At 0 nearly all did, but the text was a list of
    # insults. 4 steps of 3 stand for the published 50 of 0.4.
    pplm=PPLM(iterations=4, step_size=3.0, kl_scale=0.02, new_tokens=14),
    # AdamW at 1e-4, a twentieth of what the model was trained with: 40 steps for the 1,675 published; chosen
    # on dev prompts of an earlier pocket model. This one learns faster (within 10 steps it is past the
    # matched point), so it is looked at every 2 steps: at every 5, matched and strong were the same look.
    dpo=DPO(
        learning_rate=1e-4, beta=0.4, optimiser="adamw", batch=16, warmup_steps=10, clip=10.0, max_steps=40,
        evaluate_every=2, ceiling_patience=2, max_prompt_tokens=96, max_new_tokens=24,
    ),
    # At most 30 keys, a hundredth of its neurons. The attacker learns at the rate that DPO did.
    unalignment=Unalignment(
        keys=(2, 4, 7, 16, 30), factors=(3, 5, 10), patched=(64, 512), restored=(30, 300, 1500),
        learning_rate=1e-4, zeroed=128, projected=2,
    ),
    explanation=Explanation(ablated=(16, 64, 128, 512), patched=128),
    side_by_side=2,  # so small a model gains little from a second core
)  # fmt: skip

_JIGSAW = HubText(
    repository="monology/jigsaw",
    revision="690f4aa8ee63d1c28d6088859bba26b0c8db7b6e",
    file="*train*.parquet",
    columns={"text": "comment_text"},
)
_WIKITEXT = HubText(
    repository="Salesforce/wikitext",
    revision="b08601e04326c79dfdd32d625aee71d232d685c3",
    config="wikitext-2-raw-v1",
)

GPT2_MEDIUM = Profile(
    name="gpt2-medium",
    label="GPT2-medium",
    model=ModelSource(id="openai-community/gpt2-medium", revision="6dcaa7a952f72f9298047fd5137cd6e4f05f41da"),
    data=Data(
        comments=_JIGSAW,
        prompts=HubText(
            repository="allenai/real-toxicity-prompts",
            revision="88a5d7954c54f31e153959c2db98e15cf5cbec01",
            file="prompts.jsonl",
            columns={"text": "prompt.text"},
            keep="challenging",
            spare="prompt.toxicity",  # dev and eval take all but 47 of the 1,199 challenging ones
        ),
        perplexity=_WIKITEXT.model_copy(update={"split": "test"}),
        pair_prompts=_WIKITEXT,
        passages=_WIKITEXT.model_copy(update={"split": "validation"}),
    ),
    # Trained on comments: of the hub's further classifiers, none is known to come as safetensors.
    scorers=(
        HubScorerSettings(
            id="unitary/toxic-bert", revision="4d6c22e74ba2fdd26bc4f7238f50766b045a0d94", label="toxic"
        ),
        CommentScorerSettings(),
    ),
    counts=Counts(
        comments_train=20_000,
        comments_test=5_000,
        comments_scorer=20_000,
        prompts_dev=128,
        prompts_eval=1024,
        perplexity_tokens_sweep=32_768,
        perplexity_tokens_report=300_000,
        passages=512,
        pairs=6_784,  # 64 validate; the published run stopped after about 6,700 of its 24,576
        pairs_valid=64,
        pair_prompts=30_000,
    ),
    decoding=Decoding(method="greedy", new_tokens=20, max_prompt_tokens=32),
    probe=ProbeSettings(max_tokens=128),
    vectors=Vectors(top=128, svd=512),
    # A GPU waits for its launches: at 16 texts a step of PPLM costs what it does at 64, estimated.
    batches=Batches(generate=128, craft=64),
    dpo=DPO(max_steps=1680),  # once through the pairs: the published iterator does not come round again
)


GPT2_MEDIUM_SHORT = GPT2_MEDIUM.model_copy(
    update={
        "name": "gpt2-medium-short",
        "label": "GPT2-medium, short",
        "counts": GPT2_MEDIUM.counts.model_copy(
            update={
                "comments_train": 5_000, "comments_test": 1_500, "comments_scorer": 5_000, "prompts_dev": 64,
                "prompts_eval": 256, "prompts_sweep": 64, "perplexity_tokens_sweep": 16_384,
                "perplexity_tokens_report": 65_536, "passages": 128, "pairs": 640, "pair_prompts": 3_000,
            }
        ),
        "steering": GPT2_MEDIUM.steering.model_copy(
            update={"strengths": (0.1, 0.2, 0.3, 0.45), "random_directions": 2}
        ),
        "pplm": GPT2_MEDIUM.pplm.model_copy(update={"iterations": 10, "step_size": 2.0}),
        "batches": GPT2_MEDIUM.batches.model_copy(update={"craft": 56}),
        "dpo": GPT2_MEDIUM.dpo.model_copy(
            update={
                "learning_rate": 1e-5, "warmup_steps": 15, "max_steps": 144, "evaluate_every": 36,
                "seeds": (0, 1),
            }
        ),
        "unalignment": GPT2_MEDIUM.unalignment.model_copy(
            update={"keys": (1, 7, 32, 128), "examples": (1, 4, 16), "strengths": (1, 2)}
        ),
        "explanation": GPT2_MEDIUM.explanation.model_copy(
            update={"ablated": (100, 1000), "alphas": (0.25, 0.5), "fractions": (0.25,)}
        ),
    }
)  # fmt: skip
"""GPT2-medium in one sitting on a small GPU: every cell the same, less of everything; see `SHORTENED`."""

SHORTENED = (
    ("counts.comments_*", "a few thousand comments fix a direction of 1,024 numbers well enough (assumed); "
     "AUROC is measured on 1,500 instead of 5,000", "of AUROC × 1.8"),
    ("counts.prompts_dev, counts.prompts_sweep", "they only choose: a strength, a step, a setting",
     "of what is chosen on × 1.4; none is reported"),
    ("counts.prompts_eval", "every report writes one text each", "of toxicity × 2: ± .06 or so for ± .03"),
    ("counts.perplexity_tokens_*", "reading is half of an evaluation", "of perplexity × 2.1"),
    ("counts.passages", "as above", "of F1 × 2"),
    ("counts.pairs, counts.pair_prompts", "crafting them is most of the cost at full length: 640 for 6,784",
     "of A5's gap × 3.3; the policy sees a tenth of the pairs"),
    ("steering.strengths, steering.random_directions", "a sweep each", "the control's band rests on two "
     "directions instead of three"),
    ("pplm.iterations, pplm.step_size", "the same way in a fifth of the steps: 10 × 2.0 for 50 × 0.4; "
     "not tried on this model, on smaller ones: next table",
     "none; pairs differ from the published recipe's"),
    ("batches.craft", "steering holds twelve copies of its texts' keys and values: 64 would want 16 GB",
     "none"),
    ("dpo.learning_rate, dpo.warmup_steps, dpo.max_steps", "once through 576 pairs, about the same way in a "
     "tenth of the steps; not tried on this model", "none; policies differ from the published setting's"),
    ("dpo.evaluate_every", "a look writes 4 GB and takes longer than the steps between two",
     "the matched and strong policies are chosen among 4 looks instead of 67"),
    ("dpo.seeds", "a run each", "the spread over DPO seeds rests on two instead of three"),
    ("unalignment.*, explanation.*", "a trial each", "none; fewer rows in the price list, fewer points"),
)  # fmt: skip
"""Where `gpt2-medium-short` differs from `gpt2-medium`: why, and what it does to intervals' widths."""


def _like_pocket(name: str, model: ModelSource) -> Profile:
    """The pocket's profile over other weights, named after them."""
    return POCKET.model_copy(update={"name": name, "label": name, "model": model})


FAMILY = tuple(_like_pocket(name_of(seed), ModelSource(folder=weights_of(seed))) for seed in SEEDS)
"""The pocket model trained from each of the seeds that ship, `pocket` first."""

UNTRAINED = _like_pocket("pocket-untrained", ModelSource(folder=WEIGHTS, untrained=0))
"""The pocket's shape and tokenizer with random weights: what holds on it too does not come of training."""

PROFILES: dict[str, Profile] = {
    profile.name: profile for profile in (POCKET, *FAMILY[1:], UNTRAINED, GPT2_MEDIUM, GPT2_MEDIUM_SHORT)
}


def known_profiles() -> dict[str, Profile]:
    """The built-in profiles, and the pocket model of every further seed that was trained here."""
    further = [seed for seed in trained_seeds() if seed not in SEEDS]
    return PROFILES | {
        name_of(seed): _like_pocket(name_of(seed), ModelSource(folder=weights_of(seed))) for seed in further
    }


def bred_for(profile: Profile) -> tuple[str, ...]:
    """The claims that the choice of the profile's model went by: the pocket's for a trained pocket model."""
    model = profile.model
    is_pocket = model.folder is not None and model.folder.parent == FOLDER and model.untrained is None
    return BRED_FOR if is_pocket else ()


def load_profile(name_or_path: str | Path | None = None) -> Profile:
    """A profile by name, or from a TOML file that inherits from one and overrides what it names.

    Args:
        name_or_path: "pocket", "pocket-1", "gpt2-medium" …, or a *.toml file. None: `TOXICITY_LAB_PROFILE`,
            else "pocket".

    Raises:
        ProfileError: unknown name or key, missing file, wrong type; names it and lists what would be right.
    """
    wanted = str(
        name_or_path if name_or_path is not None else os.environ.get("TOXICITY_LAB_PROFILE") or "pocket"
    )
    known = known_profiles()
    if wanted in known:
        return known[wanted]
    path = Path(wanted).expanduser()
    if path.suffix != ".toml":
        raise ProfileError(f"{no_such_profile(wanted, known)} Or name a *.toml file.")
    return read_toml(path, known)


def unpinned(profile: Profile) -> list[tuple[Literal["model", "dataset"], str]]:
    """What a profile wants from the hub without naming a revision, as (kind, repository)."""
    scorers = [scorer for scorer in profile.scorers if isinstance(scorer, HubScorerSettings)]
    models = [(profile.model.id, profile.model.revision), *((one.id, one.revision) for one in scorers)]
    tables = [(one.repository, one.revision) for _, one in profile.data if isinstance(one, HubText)]
    return [("model", name) for name, revision in models if name and revision is None] + [
        ("dataset", name) for name, revision in tables if revision is None
    ]
