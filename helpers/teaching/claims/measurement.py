"""What the ledger is made of: measurements, verdicts, rules between the two, claims and their parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # the command that merges ledgers should not wait for PyTorch
    from helpers.intervals import Interval

Number = float | int


class Verdict(StrEnum):
    """What a measurement says about a claim."""

    AGREES = "agrees"
    DIRECTION = "direction only"
    NOT_REPRODUCED = "not reproduced"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Measurement:
    """One measured number with what it is held against.

    Args:
        value: the measured number, in `unit`.
        interval: its bootstrap 95 % interval, (low, high); None where the number is exact.
        unit: what `value` counts ("accuracy", "share of neurons", "cosine" …).
        control: the same quantity on the control the claim names.
        control_interval: the control's 95 % band.
        details: further numbers by name; each rule lists the ones it needs.

    Raises:
        ValueError: a number is not finite, or an interval has its ends swapped.

    Example: `Measurement(0.91, (0.89, 0.93), "accuracy", control=0.52, details={"majority": 0.5})`
    """

    value: Number
    interval: tuple[Number, Number] | None = None
    unit: str = ""
    control: Number | None = None
    control_interval: tuple[Number, Number] | None = None
    details: Mapping[str, Number] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Plain floats: what comes from numpy or torch would not survive the trip through JSON.
        object.__setattr__(self, "value", _finite("value", self.value))
        if self.control is not None:
            object.__setattr__(self, "control", _finite("control", self.control))
        for name in ("interval", "control_interval"):
            ends = getattr(self, name)
            if ends is not None:
                low, high = (_finite(name, end) for end in ends)
                if low > high:
                    raise ValueError(f"{name} must be (low, high), got ({low:g}, {high:g}): swap the ends.")
                object.__setattr__(self, name, (low, high))
        details = {key: _finite(f"details[{key!r}]", number) for key, number in self.details.items()}
        object.__setattr__(self, "details", details)

    @classmethod
    def of(cls, found: Interval, unit: str, *, control: Interval, **details: Number) -> Measurement:
        """A measurement whose value and control are both intervals.

        Example: `Measurement.of(drop, "paired drop of toxicity", control=random_drop, strength=0.3)`
        """
        return cls(found.value, found.bounds, unit, control.value, control.bounds, details)

    @property
    def against(self) -> Number:
        """The control, for rules that require one."""
        if self.control is None:
            raise ValueError("this measurement has no control")
        return self.control

    @property
    def band(self) -> tuple[Number, Number]:
        """The control's 95 % band, for rules that require one."""
        if self.control_interval is None:
            raise ValueError("this measurement has no control_interval")
        return self.control_interval

    @property
    def low(self) -> Number:
        """Lower end of the interval (the value itself where there is none)."""
        return self.value if self.interval is None else self.interval[0]

    @property
    def high(self) -> Number:
        """Upper end of the interval (the value itself where there is none)."""
        return self.value if self.interval is None else self.interval[1]

    def is_like(self, other: Measurement, *, within: float = 1e-3) -> bool:
        """Whether two measurements give the same numbers but for rounding; details that one lacks aside.

        Example: `assert by_hand.is_like(lab.drops.measure_steering()["A4", "W"])`
        """
        ours, theirs = (
            {
                "value": one.value,
                "control": one.control,
                **{f"interval {end}": number for end, number in enumerate(one.interval or ())},
                **{f"band {end}": number for end, number in enumerate(one.control_interval or ())},
                **{f"details {name}": number for name, number in one.details.items()},
            }
            for one in (self, other)
        )
        apart = ours.keys() ^ theirs.keys()
        if self.unit != other.unit or any(not name.startswith("details ") for name in apart):
            return False
        both = [(number, theirs[name]) for name, number in ours.items() if name in theirs]
        return all(
            math.isclose(one, two, rel_tol=within, abs_tol=within)
            if one is not None and two is not None
            else one is two
            for one, two in both
        )


def _finite(name: str, number: Number) -> float:
    if not math.isfinite(number):
        raise ValueError(
            f"{name} is {number}: a measurement must be a finite number. Was an average taken over nothing?"
        )
    return float(number)


@dataclass(frozen=True)
class Rule:
    """A judging function with the words that state it and what it needs to judge.

    `given` names the fields of the measurement that must be there, `needs` the keys of its details.
    """

    text: str
    judge: Callable[[Measurement], Verdict]
    given: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    def missing(self, measurement: Measurement) -> list[str]:
        """What the rule needs and the measurement lacks; empty when it can be judged."""
        fields = [name for name in self.given if getattr(measurement, name) is None]
        return fields + [f"details[{key!r}]" for key in self.needs if key not in measurement.details]

    def __call__(self, measurement: Measurement) -> Verdict:
        if lacks := self.missing(measurement):
            raise ValueError(f"This measurement lacks {', '.join(lacks)}. The rule: {self.text}.")
        return self.judge(measurement)


def rule(
    text: str, *, given: tuple[str, ...] = (), needs: tuple[str, ...] = ()
) -> Callable[[Callable[[Measurement], Verdict]], Rule]:
    """Turns a judging function into a `Rule`: `@rule("agrees when …", given=("interval",))`."""
    return lambda judge: Rule(text, judge, given, needs)


def grade(*, direction: bool, agrees: bool) -> Verdict:
    """Agreement includes the direction: without it nothing is reproduced."""
    if not direction:
        return Verdict.NOT_REPRODUCED
    return Verdict.AGREES if agrees else Verdict.DIRECTION


@dataclass(frozen=True)
class Part:
    """One separately judged number of a claim; the only part of a claim has the name "".

    `published` is the paper's figure in the measurement's own unit, or None where it gives no single number.
    """

    name: str
    paper: str
    unit: str
    rule: Rule
    published: float | None = None


@dataclass(frozen=True)
class Claim:
    """A sentence that can be tested, with everything fixed before it is."""

    id: str
    source: str
    statement: str
    measured: str
    control: str
    notebook: str
    parts: tuple[Part, ...]
    policies: Literal["one", "both"] = "one"

    @property
    def policy_names(self) -> tuple[str, ...]:
        """Aligned policies the claim is reported on; ("",) where one answer serves."""
        return ("matched", "strong") if self.policies == "both" else ("",)

    def part(self, name: str = "") -> Part:
        """The part called `name`. Raises KeyError, listing the names there are."""
        for part in self.parts:
            if part.name == name:
                return part
        names = ", ".join(repr(part.name) for part in self.parts)
        raise KeyError(f"Claim {self.id} has no part {name!r}. Its parts: {names}.")
