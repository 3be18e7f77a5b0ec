"""How much of everything each notebook asks for, counted from a profile: tokens, steps, models, bytes.

One place for the arithmetic behind `make estimate`, and so behind README's figures. What a notebook takes
from the cache because an earlier one made it (the features of 01, the pairs of 04, the policies of 05) is
counted once, where it is made. What a run decides as it goes is assumed, and the assumption has a name here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from helpers.profiles import Profile

Number = int | float

KEPT = 0.3
"""Share of attempts at pairs that are kept (assumed; on `pocket` three in ten)."""

COMMENT_TOKENS, PROMPT_TOKENS = 80, 24
"""Mean lengths where a profile's limits are higher (assumed): Jigsaw, RealToxicityPrompts."""

STOPS_AT = 1.0
"""Share of `dpo.max_steps` that a run takes before it stops by itself (assumed: all)."""

CONTROL_STEPS = 0.5
"""Steps of the policies that controls are trained as long as, as a share of `dpo.max_steps` (assumed)."""


TWO_MODELS = 1.5
"""How much longer a look of 08 takes than a look at one model: half of them read the policy beside base,
token by token, or compare what both predict (assumed)."""


@dataclass(frozen=True)
class Work:
    """What a notebook asks of the machine.

    Attributes:
        read: tokens read in one pass, their next tokens predicted.
        written: tokens written one after another, the reading of their prompts included.
        scored: texts that each scorer reads.
        steered: PPLM gradient steps, one for each text, token and iteration.
        trained: pairs that took part in a training step (four passes forward, two back).
        passed: tokens read with every neuron's statistics kept.
        measured: evaluations and looks: what one costs beside its tokens.
        probed: numbers that a probe is fitted on: comments × layers × width.
        opened: models loaded and hooked.
        gigabytes: written to disk.
    """

    read: Number = 0
    written: Number = 0
    scored: Number = 0
    steered: Number = 0
    trained: Number = 0
    passed: Number = 0
    measured: Number = 0
    probed: Number = 0
    opened: Number = 1
    gigabytes: Number = 0

    def __add__(self, other: Work) -> Work:
        names = [one.name for one in fields(Work)]
        return Work(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def __mul__(self, times: Number) -> Work:
        return Work(**{one.name: times * getattr(self, one.name) for one in fields(Work)})


NOTHING = Work(opened=0)


@dataclass(frozen=True)
class Shape:
    """What of a model its costs depend on."""

    layers: int
    width: int
    vocabulary: int
    context: int
    hidden: int

    @property
    def parameters(self) -> int:
        """Weights of a GPT-2 of this shape, its embedding counted once."""
        block = 4 * self.width**2 + 2 * self.width * self.hidden + 9 * self.width + self.hidden
        return (self.vocabulary + self.context) * self.width + self.layers * block + 2 * self.width

    @property
    def gigabytes(self) -> float:
        """The weights in float32."""
        return 4e-9 * self.parameters


def prompt_tokens(profile: Profile) -> int:
    """How long a prompt is, on the average."""
    return min(PROMPT_TOKENS, profile.decoding.max_prompt_tokens)


class Counting:
    """The pieces that notebooks are made of, in a profile's numbers."""

    def __init__(self, profile: Profile, shape: Shape) -> None:
        self.profile, self.shape, self.counts = profile, shape, profile.counts
        self.new = profile.decoding.new_tokens
        self.prompt = prompt_tokens(profile)

    def asked(self, prompts: Number) -> Work:
        """Continuations of so many prompts, scored, and read once more by the base model for fluency."""
        text = self.prompt + self.new
        return Work(read=prompts * text, written=prompts * self.new, scored=prompts, opened=0)

    def evaluation(self, prompts: int, tokens: int, passages: int) -> Work:
        """Prompts, running text and passages."""
        f1 = Work(written=self.new * passages, opened=0)
        return self.asked(prompts) + f1 + Work(read=tokens, measured=1, opened=0)

    def sweep(self) -> Work:
        """An evaluation on development prompts."""
        c = self.counts
        prompts = min(c.prompts_sweep, c.prompts_dev)
        return self.evaluation(prompts, c.perplexity_tokens_sweep, c.passages_sweep)

    def report(self) -> Work:
        """An evaluation whose result is reported."""
        c = self.counts
        return self.evaluation(c.prompts_eval, c.perplexity_tokens_report, c.passages)

    def look(self) -> Work:
        """A trial of notebooks 07 to 09: half of a sweep's prompts and running text."""
        c = self.counts
        read = Work(read=c.perplexity_tokens_sweep / 2, measured=1, opened=0)
        return self.asked(min(c.prompts_sweep, c.prompts_dev) / 2) + read

    def fresh_look(self) -> Work:
        """The same on evaluation prompts, as many as a sweep has."""
        c = self.counts
        read = Work(read=c.perplexity_tokens_sweep / 2, measured=1, opened=0)
        return self.asked(min(c.prompts_sweep, c.prompts_eval)) + read

    def attempts(self, number: Number) -> Work:
        """Attempts at pairs: both sides, the steered one by gradient steps; scored, both."""
        p = self.profile.pplm
        return Work(
            written=2 * number * p.new_tokens,
            scored=2 * number,
            steered=number * p.new_tokens * p.iterations,
            opened=0,
        )

    @property
    def tried(self) -> Number:
        """Attempts until enough pairs are kept, or prompts are used up."""
        return min(self.counts.pair_prompts, self.counts.pairs / KEPT)

    @property
    def pairs(self) -> Number:
        """Pairs that are kept of one source."""
        return KEPT * self.tried

    def run(self, steps: Number, *, looks: Number) -> Work:
        """A training run: its steps, and its looks after the first step, each with what it writes to disk."""
        dpo, held = self.profile.dpo, min(self.counts.pairs_valid, self.pairs / 8)
        prompts = min(self.counts.prompts_sweep, self.counts.prompts_dev)
        look = Work(
            read=self.counts.perplexity_tokens_sweep,
            written=prompts * self.new,
            scored=prompts,
            trained=held / 2,  # forward alone
            measured=1,
            opened=1,
            gigabytes=self.shape.gigabytes * (1 + (2 if dpo.optimiser == "rmsprop" else 3)),
        )
        return look * looks + Work(trained=steps * dpo.batch, opened=2)


def work_of(profile: Profile, shape: Shape) -> dict[str, Work]:
    """What every notebook asks for when the series runs in order, by its number."""
    one, c = Counting(profile, shape), profile.counts
    strengths, randoms, seeds = (
        len(profile.steering.strengths), profile.steering.random_directions, len(profile.dpo.seeds)
    )  # fmt: skip
    comments = c.comments_train + 2 * c.comments_test
    length = min(COMMENT_TOKENS, profile.probe.max_tokens)
    steps = STOPS_AT * profile.dpo.max_steps
    looks = steps / profile.dpo.evaluate_every
    back, told = profile.unalignment, profile.explanation
    read = Work(read=comments * length, probed=comments * shape.layers * shape.width, opened=0)
    wider = strengths // 2 + 3
    ways = (
        len(back.keys) * len(back.factors) + len(back.patched) + len(back.restored) + 3
        + 4 * len(back.strengths) + 2 * len(back.examples) * len(back.steps) + 4
    )  # fmt: skip
    written = c.prompts_eval * (one.prompt + one.new)
    imported = profile.data.pairs is not None
    crafted = NOTHING if imported else one.attempts(2 * one.tried + 96 * randoms)
    sampled = one.asked(6 * min(300, c.pair_prompts))
    grid = 2 * len(back.keys) * len(back.factors) + len(back.keys)
    return {
        "00": Work(opened=2) + one.asked(3 * 100) + Work(read=128 * length, opened=0),
        "01": Work() + read + Work(probed=25 * comments * shape.width, opened=0),
        "02": Work() + Work(read=64 * one.prompt, opened=0),
        "03": Work() + one.sweep() * (8 + 3 * strengths + randoms * wider + randoms)
        + one.report() * (4 + 3 * randoms),
        "04": Work(opened=2) + crafted + sampled + one.asked(32)
        + Work(steered=6 * 50 * profile.pplm.new_tokens, read=4 * one.pairs * 60, opened=0),
        "05": Work() + one.run(steps, looks=looks) * (1 + (not imported) + seeds - 1)
        + one.run(steps, looks=looks / 2) * 3 + one.run(2 * steps, looks=looks / 2)
        + one.run(CONTROL_STEPS * steps, looks=1) * 5
        + (NOTHING if imported else one.attempts(one.pairs))
        + one.report() * (6 + seeds) + Work(opened=2 * (6 + seeds) + 8),  # listed, reported; by the helper
        "06": Work(opened=7) + Work(passed=9 * written, read=8 * written, opened=0) + one.sweep() * 4,
        "07": Work(opened=4) + Work(passed=4 * written, opened=0) + one.look() * (5 * len(told.ablated) + 3)
        + one.fresh_look() * 10,  # looks of 07 and 08: as many as a run on `pocket` leaves in its cache
        "08": Work(opened=4) + one.look() * (2 + min(6, shape.layers) * len(told.strengths)
        + (2 * len(told.alphas) + 1) * len(told.fractions) + strengths)
        + one.fresh_look() * 89 * TWO_MODELS,
        "09": Work(opened=8) + one.look() * (grid + 2 * ways + 20) + one.fresh_look() * 45
        + one.report() * 2 + Work(trained=2 * 2 * sum(back.examples) * max(back.steps), opened=0),
        "10": Work(opened=5) + one.asked(160),  # 96 choose the tour's text, eight a column of a trial
    }  # fmt: skip


HELD: Mapping[str, Number] = {
    "00": 2, "01": 1, "02": 1.6, "03": 1, "04": 3, "05": 6.5, "06": 5.5, "07": 5, "08": 5, "09": 7, "10": 5,
}  # fmt: skip
"""Copies of the weights that a notebook holds at its peak, gradients and optimiser state among them."""

PASTS = 12
"""Copies of a batch's keys and values that steering holds at its peak (measured on a CPU by
`tests/benchmarks/test_pplm_memory.py`): both pasts, what autograd keeps of either reading, gradients."""


def memory_of(profile: Profile, shape: Shape, number: str) -> float:
    """Peak memory of a notebook in GB: libraries, its copies of the weights, one batch of logits or pasts."""
    logits = min(1.0, 4e-9 * profile.batches.forward * 128 * shape.vocabulary)
    features = 4e-9 * (profile.counts.comments_train + 2 * profile.counts.comments_test) * (
        shape.layers * shape.width
    )
    usual = HELD[number] * shape.gigabytes + logits + (features if number in ("01", "02") else 0)
    texts = min(profile.batches.craft, profile.counts.pair_prompts)
    tokens = profile.dpo.max_prompt_tokens + profile.pplm.new_tokens
    steering = 2 * shape.gigabytes + PASTS * 8e-9 * texts * tokens * shape.layers * shape.width
    steers = number in ("04", "05") and profile.data.pairs is None  # 05 its control along a random direction
    return 0.6 + max(usual, steering if steers else 0)


def disk_of(profile: Profile, shape: Shape) -> float:
    """GB that stay on disk: the policies that runs keep, and what one run in progress may hold."""
    runs = 2 + len(profile.dpo.seeds) - 1 + 4
    return shape.gigabytes * (3 * runs + 5 + 8)
