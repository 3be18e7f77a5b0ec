"""The fields of a profile: every knob of the notebooks, with its type, its range and what it means."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from helpers.profiles.sources import Data, ModelSource, ScorerSettings, Settings, Share


class Counts(Settings):
    """How much of everything."""

    comments_train: PositiveInt = Field(description="comments the probe is fitted on")
    comments_test: PositiveInt = Field(description="comments its accuracy is measured on")
    comments_scorer: PositiveInt = Field(description="further comments, for the classifier that scores text")
    prompts_dev: PositiveInt = Field(description="prompts on which anything may be chosen")
    prompts_eval: PositiveInt = Field(description="prompts on which results are reported")
    prompts_sweep: PositiveInt = Field(default=128, description="how many of them a sweep uses")
    perplexity_tokens_sweep: PositiveInt = Field(description="tokens of running text read in a sweep")
    perplexity_tokens_report: PositiveInt = Field(
        description="tokens of running text read for a report, after those of a sweep"
    )
    passages: PositiveInt = Field(description="passages whose continuation F1 is measured on in a report")
    pairs: PositiveInt = Field(description="preference pairs to make")
    pairs_valid: PositiveInt = Field(description="how many of them are kept for validation")
    pair_prompts: PositiveInt = Field(description="prompts to make pairs from")
    bootstrap: PositiveInt = Field(default=1000, description="resamples behind each 95 % interval")

    @property
    def passages_sweep(self) -> int:
        """Further passages, for F1 in a sweep: one for each of its prompts, but no more than in a report."""
        return min(self.prompts_sweep, self.passages)


class Decoding(Settings):
    """How continuations are generated."""

    method: Literal["greedy", "sample"] = Field(
        description="greedy takes the likeliest token; sample draws one"
    )
    temperature: PositiveFloat = Field(default=1.0, description="flattens (> 1) or sharpens (< 1) the draw")
    new_tokens: PositiveInt = Field(description="length of a continuation")
    max_prompt_tokens: PositiveInt = Field(description="longer prompts keep their last so many tokens")


class ProbeSettings(Settings):
    """The linear probe for toxicity."""

    layer: int = Field(default=-1, description="layer whose output is read; -1 is the last")
    penalty: PositiveFloat = Field(
        default=1.0, description="λ in mean cross-entropy + λ‖w‖²; fixed beforehand"
    )
    max_tokens: PositiveInt = Field(description="longer comments are cut to their first so many tokens")


class Vectors(Settings):
    """Toxic value vectors."""

    top: PositiveInt = Field(default=128, description="value vectors of highest cosine that count as toxic")
    svd: int = Field(default=512, ge=3, description="value vectors that enter the SVD")
    shown_tokens: PositiveInt = Field(default=10, description="tokens shown for a vector")


class Steering(Settings):
    """Subtracting a direction from the last layer's residual stream."""

    strengths: tuple[PositiveFloat, ...] = Field(
        default=(0.1, 0.2, 0.3, 0.45, 0.6), min_length=1,
        description="lengths to subtract, in units of the mean norm of the last layer's residual stream",
    )  # fmt: skip
    random_directions: PositiveInt = Field(default=3, description="random directions in the control")


class Batches(Settings):
    """Texts handled at once; halved, and said so, when memory runs out."""

    forward: PositiveInt = Field(default=32, description="when reading activations")
    generate: PositiveInt = Field(default=64, description="when generating")
    train: PositiveInt = Field(default=4, description="examples that share a forward pass in training")
    craft: PositiveInt = Field(default=16, description="prompts steered at once when pairs are made")


class PPLM(Settings):
    """Steered generation of the rejected side of pairs; names and defaults are table 9's of Lee et al."""

    step_size: PositiveFloat = Field(
        default=0.4, description="size of a gradient step on the past keys and values"
    )
    iterations: PositiveInt = Field(default=50, description="gradient steps per token")
    temperature: PositiveFloat = Field(default=1.0, description="softmax temperature of the steered model")
    top_k: PositiveInt = Field(default=10, description="tokens the draw is limited to")
    window: int = Field(default=0, ge=0, description="how much of the past is changed; 0 is all of it")
    horizon: PositiveInt = Field(default=1, description="future steps over which the probe is averaged")
    decay: bool = Field(default=False, description="whether older positions are changed less")
    gamma: float = Field(default=1.0, ge=0, description="exponent of the gradient's norm")
    gm_scale: Share = Field(default=0.95, description="weight of the steered model in the geometric mean")
    kl_scale: float = Field(
        default=0.1, ge=0, description="weight of staying near the unsteered distribution"
    )
    new_tokens: PositiveInt = Field(default=20, description="length of both sides of a pair")
    threads: PositiveInt = Field(
        default=2,
        description="CPU threads that steer: the last bits, and so the pairs, differ with their number",
    )
    chosen: Literal["greedy", "sampled"] = Field(
        default="greedy",
        description="the unsteered side: likeliest tokens, as published, or drawn with the same noise",
    )


class PairFilter(Settings):
    """Which attempts at pairs are kept, by the first scorer. Imported pairs are taken as they are."""

    scale: Literal["score", "quantile"] = Field(
        default="score",
        description="what the next two are: scores; or shares of the scorer's own spread over the base "
        "model's continuations of dev prompts, for a scorer that seldom goes near 0 or 1",
    )
    least_gap: Share = Field(
        default=0.5,
        description="the rejected side must score at least this much above the chosen one; by quantile, the "
        "width of the middle half (.5) or another middle share of the scores",
    )
    most_chosen: Share = Field(
        default=0.5,
        description="after prompts that elicit toxic text the chosen side may score at most this much; by "
        "quantile, what this share of the scores stays under",
    )


class DPO(Settings):
    """Direct preference optimisation; defaults are table 8's and the released code's of Lee et al."""

    learning_rate: PositiveFloat = Field(default=1e-6, description="after warm-up, constant")
    beta: PositiveFloat = Field(default=0.1, description="how strongly the policy is held to the reference")
    optimiser: Literal["rmsprop", "adamw"] = Field(
        default="rmsprop", description="with the library's defaults"
    )
    batch: PositiveInt = Field(default=4, description="pairs per optimiser step")
    warmup_steps: int = Field(default=150, ge=0, description="steps of linear warm-up")
    clip: PositiveFloat = Field(default=10.0, description="largest global gradient norm")
    max_steps: PositiveInt = Field(default=6128, description="optimiser steps at most")
    evaluate_every: PositiveInt = Field(default=25, description="steps between looks at the validation pairs")
    patience: PositiveInt = Field(default=10, description="looks without improvement before training stops")
    ceiling_patience: int = Field(
        default=0, ge=0, description="looks in a row beyond perplexity_ceiling that stop training; 0: never"
    )
    max_prompt_tokens: PositiveInt = Field(default=64, description="longer prompts are cut")
    max_new_tokens: PositiveInt = Field(default=64, description="longer continuations are cut")
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="bfloat16 is autocast over float32 weights, in training alone"
    )
    seeds: tuple[int, ...] = Field(
        default=(0, 1, 2), min_length=1, description="the first one's policy is analysed"
    )
    matched_share: Share = Field(
        default=0.46, description="matched policy: dev toxicity nearest this share of base's"
    )
    perplexity_ceiling: float = Field(
        default=1.08, gt=1, description="policies: perplexity ≤ this times base's"
    )


class Unalignment(Settings):
    """Ways back from an aligned model, and defences: what is tried on development prompts."""

    keys: tuple[PositiveInt, ...] = Field(
        default=(1, 7, 32, 128, 512), min_length=1, description="how many toxic neurons' keys are scaled"
    )
    factors: tuple[PositiveFloat, ...] = Field(
        default=(3, 10), min_length=1, description="by what their keys are multiplied"
    )
    patched: tuple[PositiveInt, ...] = Field(
        default=(128, 1024), min_length=1,
        description="how many toxic neurons are given base's activations",
    )  # fmt: skip
    restored: tuple[PositiveInt, ...] = Field(
        default=(128, 1024, 8192), min_length=1,
        description="how many of the most changed neurons get base's weights back",
    )  # fmt: skip
    strengths: tuple[PositiveFloat, ...] = Field(
        default=(1, 2, 3), min_length=1, description="how many times the offset is subtracted"
    )
    examples: tuple[PositiveInt, ...] = Field(
        default=(1, 4, 16, 64), min_length=1, description="texts that the attacker trains on"
    )
    steps: tuple[PositiveInt, ...] = Field(
        default=(2, 8), min_length=1, description="optimiser steps that the attacker takes"
    )
    learning_rate: PositiveFloat = Field(default=1e-5, description="of these steps (AdamW)")
    zeroed: PositiveInt = Field(default=512, description="toxic value vectors that the defender zeroes")
    projected: PositiveInt = Field(
        default=8, description="directions that the defender projects out of all value vectors"
    )


class Explanation(Settings):
    """Which neurons account for what tuning did, and what stands in for it: what notebooks 07 and 08 try."""

    directions: int = Field(default=200, ge=40, description="random directions in a null")
    ablated: tuple[PositiveInt, ...] = Field(
        default=(100, 200, 1000, 2000), min_length=1, description="how many toxic neurons are ablated"
    )
    patched: PositiveInt = Field(
        default=256, description="the most toxic neurons, given the policy's activations: a share by effect"
    )
    strengths: tuple[PositiveFloat, ...] = Field(
        default=(0.5, 1, 1.5, 2), min_length=1,
        description="how many times the mean offset is added to base",
    )
    alphas: tuple[PositiveFloat, ...] = Field(
        default=(0.05, 0.25, 0.5, 1.0), min_length=1,
        description="activation editing: by what share means are lowered or raised",
    )  # fmt: skip
    fractions: tuple[Share, ...] = Field(
        default=(0.25, 0.55), min_length=1, description="activation editing: the share of each group edited"
    )


class Profile(Settings):
    """Everything a run of the notebooks depends on."""

    name: str = Field(description="short name, for folders and commands")
    label: str = Field(description="what figures and tables call the model")
    seed: int = Field(default=0, ge=0, description="from which all randomness of the run follows")
    model: ModelSource = Field(description="the model under study")
    data: Data = Field(description="where text comes from")
    scorers: tuple[ScorerSettings, ScorerSettings] = Field(
        description="the toxicity scorer reported first, and a second one"
    )
    counts: Counts = Field(description="how much of everything")
    decoding: Decoding = Field(description="how continuations are generated")
    probe: ProbeSettings = Field(description="the linear probe")
    vectors: Vectors = Field(default=Vectors(), description="toxic value vectors")
    steering: Steering = Field(default=Steering(), description="subtracting a direction")
    batches: Batches = Field(default=Batches(), description="texts handled at once")
    pplm: PPLM = Field(default=PPLM(), description="making the rejected side of pairs")
    pair_filter: PairFilter = Field(default=PairFilter(), description="which attempts at pairs are kept")
    dpo: DPO = Field(default=DPO(), description="preference training")
    unalignment: Unalignment = Field(
        default=Unalignment(), description="undoing preference training, and defences against it"
    )
    explanation: Explanation = Field(
        default=Explanation(), description="which neurons account for tuning, and what stands in for it"
    )
    side_by_side: PositiveInt = Field(
        default=1, description="notebooks that `make run` executes at once, where the machine has the cores"
    )
