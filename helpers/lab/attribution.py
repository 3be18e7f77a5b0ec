"""Attribution as notebook 07 reports it: for either policy, on own and shared text, with nulls and noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from helpers.intervals import Interval, percentile_interval, share
from helpers.lab.measures import Measures
from helpers.lab.policies import Chosen
from helpers.lab.statistics import Reader, Readings
from helpers.lab.workbench import Workbench
from helpers.mechanism.attribution import (
    GROUPS,
    Account,
    Attribution,
    Definition,
    Part,
    account,
    at_once,
    attribute,
    distance_from,
    noise_of,
    random_directions,
    resamples,
    turned_to_lower,
    with_labels_exchanged,
)
from helpers.mechanism.statistics import Statistics
from helpers.teaching.claims import Measurement

PARTS: Mapping[str, Part] = {"whole Δ": "whole", "activation Δ": "activation"}
"""The two reductions that claims B3 and B6 are reported under."""

SURE = 1.96
"""Standard errors beyond which a neuron's change counts as more than noise."""

EXCHANGES = 40
"""How often labels are exchanged at random."""


def smallest(found: Attribution, definition: Definition) -> Float[Tensor, "*draw"]:
    """The smallest of the four groups' shares of gross."""
    return torch.stack([*found.shares(definition).values()]).min(dim=0).values


def dampened_toxic(found: Attribution, definition: Definition, part: Part) -> Float[Tensor, "*draw"]:
    """The share of gross of the toxic neurons that fire less (TP)."""
    return found.shares(definition, part)["TP"]


@dataclass(frozen=True, eq=False)
class Attributions:
    """The stage of notebook 07: which neurons account for what a policy does less."""

    at: Workbench
    measures: Measures
    statistics: Readings
    _kept: dict[tuple[object, ...], Any] = field(default_factory=dict, repr=False)

    @property
    def direction(self) -> Float[Tensor, " d_model"]:
        """The probe's direction, which toxicity is projected on."""
        return self.measures.fit_probe().direction.to(self.at.device)

    def readings(
        self, name: Chosen = "matched", *, shared: bool = False, seed: int | None = None
    ) -> tuple[Statistics, Statistics]:
        """Base's statistics and a policy's, each on its own continuations, as published.

        Args:
            shared: both on base's instead, so that all that differs is the model.
        """
        on: Reader | None = "base" if shared else None
        return self._once(
            ("readings", name, shared, seed),
            lambda: (self.statistics.read("base"), self.statistics.read(name, on=on, seed=seed)),
        )

    def attribute(
        self,
        name: Chosen = "matched",
        *,
        shared: bool = False,
        seed: int | None = None,
        direction: Float[Tensor, " d_model"] | None = None,
    ) -> Attribution:
        """Every neuron's part in the change along the probe, or along another direction.

        Example:
            lab.attribution.attribute("matched").shares("v1")["TP"]
        """
        read = self.readings(name, shared=shared, seed=seed)
        after = self.statistics.model(name, seed=seed)
        return attribute(self.at.base, after, *read, self.direction if direction is None else direction)

    def interval(
        self,
        of: Callable[[Attribution], Tensor],
        name: Chosen = "matched",
        *,
        shared: bool = False,
        seed: int | None = None,
    ) -> Interval:
        """Any figure of an attribution with its interval over texts; groups are formed anew on each draw.

        Args:
            of: takes an attribution with draws in front and gives one number per draw.

        Example:
            lab.attribution.interval(lambda found: found.net() / found.gross())
        """
        found = self.attribute(name, shared=shared, seed=seed)
        drawn = resamples(found, *self.readings(name, shared=shared, seed=seed), **self._draws)
        return percentile_interval(float(of(found)), torch.cat([of(some) for some in drawn]))

    def noise(
        self,
        name: Chosen = "matched",
        *,
        part: Part = "whole",
        shared: bool = False,
        seed: int | None = None,
    ) -> Float[Tensor, "layer neuron"]:
        """The standard error of each neuron's reduction over draws of the texts."""
        found = self.attribute(name, shared=shared, seed=seed)
        read = self.readings(name, shared=shared, seed=seed)
        return self._once(
            ("noise", name, part, shared, seed), lambda: noise_of(found, *read, part=part, **self._draws)
        )

    def exchanged(
        self,
        name: Chosen = "matched",
        *,
        part: Part = "whole",
        shared: bool = False,
        seed: int | None = None,
        draws: int = EXCHANGES,
    ) -> Iterator[Float[Tensor, "draw layer neuron"]]:
        """Reductions where the two models change names on half of the texts, drawn at random: noise alone."""
        found = self.attribute(name, shared=shared, seed=seed)
        read = self.readings(name, shared=shared, seed=seed)
        return with_labels_exchanged(found, *read, n=draws, seed=self.at.profile.seed, part=part)

    def null(
        self,
        name: Chosen = "matched",
        *,
        definition: Definition = "final",
        part: Part = "whole",
        near_offset: bool = False,
        seed: int | None = None,
    ) -> Float[Tensor, "draw group"]:
        """The four groups' shares by random directions in the probe's place.

        Each is turned so that tuning lowered the neurons' sum along it, as it did along the probe.

        Args:
            near_offset: only directions that have the probe's cosine with the mean offset of the last stream:
                tuning moved the model along them about as far.
        """
        kinds = [(kind, what) for kind in get_args(Definition) for what in get_args(Part)]

        def shares(found: Attribution) -> Float[Tensor, "draw kind group"]:
            rows = [torch.stack([*found.shares(*kind).values()], dim=-1) for kind in kinds]
            return torch.stack(rows, dim=1)

        # Under every definition at once: the projections on the directions are what costs.
        table = self._once(
            ("null", name, near_offset, seed),
            lambda: self.over_directions(shares, name, near_offset=near_offset, seed=seed),
        )
        return table[:, kinds.index((definition, part))]

    def over_directions(
        self,
        of: Callable[[Attribution], Tensor],
        name: Chosen = "matched",
        *,
        near_offset: bool = False,
        seed: int | None = None,
    ) -> Tensor:
        """Any figure of an attribution by random directions in the probe's place, one row each.

        Args:
            of, near_offset: as in `interval` and in `null`.
        """
        before, after = self.readings(name, seed=seed)
        model = self.statistics.model(name, seed=seed)
        directions = random_directions(
            self.at.profile.explanation.directions,
            self.direction.cpu(),
            seed=self.at.profile.seed,
            offset=after.post[-1] - before.post[-1] if near_offset else None,
        )
        directions = turned_to_lower(directions, self.at.base, model, before, after)
        some = directions.split(at_once(before.activations))
        return torch.cat([of(attribute(self.at.base, model, before, after, each)) for each in some])

    def account(
        self, name: Chosen = "matched", *, shared: bool = False, seed: int | None = None
    ) -> Account:
        """Who lowers the final stream along the probe, source by source; the account closes."""
        read = self.readings(name, shared=shared, seed=seed)
        model, masks = self.statistics.model(name, seed=seed), self.measures
        return account(
            self.at.base, model, *read, self.direction, masks.toxic_tokens, masks.used_tokens
        )

    def measure(
        self, name: Chosen = "matched", *, seed: int | None = None
    ) -> dict[tuple[str, str], Measurement]:
        """What claims B4, B5, B6, N1 and N2 measure of a policy, by claim and part.

        Notebook 07 does the same step by step. B3 needs a share by effect besides: `Emulation.measure`.
        """
        asked: dict[str, Any] = {"name": name, "seed": seed}
        found: dict[tuple[str, str], Measurement] = {}
        own = self.attribute(**asked)
        definitions: dict[str, Definition] = {"v1 groups": "v1", "final groups": "final"}
        for label, definition in definitions.items():
            shares = own.shares(definition)
            nulls = {
                "null": self.null(definition=definition, **asked),
                "near_offset": self.null(definition=definition, near_offset=True, **asked),
            }
            details = {group: float(each) for group, each in shares.items()}
            for kind, rows in nulls.items():
                for group, column in zip(GROUPS, rows.T, strict=True):
                    band = percentile_interval(column.mean().item(), column)
                    details |= {f"{group}_{kind}_low": band.low, f"{group}_{kind}_high": band.high}
            least = nulls["null"].min(dim=1).values
            band = percentile_interval(least.mean().item(), least)
            value = self.interval(partial(smallest, definition=definition), **asked)
            found["B4", label] = Measurement.of(value, "smallest share of gross", control=band, **details)
        found["B5", ""] = self._raise_toxicity(own, **asked)
        for label, part in PARTS.items():
            found["B6", label] = self._balance(part, **asked)
        whole = self.account(**asked)
        found["N1", ""] = Measurement(whole.residue, None, "share of gross")
        found["N2", ""] = self._unlike(own, **asked)
        return found

    def _raise_toxicity(self, own: Attribution, **asked: Any) -> Measurement:
        error = self.noise(**asked)
        sure = own.whole < -SURE * error
        by_chance = torch.cat(
            [(some < -SURE * error).flatten(1).double().mean(dim=1) for some in self.exchanged(**asked)]
        )
        # Over texts: the neurons are all there are. Drawing texts anew adds their noise once more, which
        # moves the share as a whole; so the spread is taken around the figure itself.
        again = torch.cat(
            [
                (some.whole < -SURE * error).flatten(1).double().mean(dim=1)
                for some in resamples(own, *self.readings(**asked), **self._draws)
            ]
        )
        share_of_all = sure.double().mean().item()
        raised = percentile_interval(share_of_all, share_of_all + again - again.mean())
        return Measurement.of(
            raised,
            "share of neurons",
            control=percentile_interval(by_chance.mean().item(), by_chance),
            given_back=share(-float(own.whole[sure].sum()), float(own.gross())),
            any_below_0=(own.whole < 0).double().mean().item(),
        )

    def _balance(self, part: Part, **asked: Any) -> Measurement:
        own = self.attribute(**asked)
        value = self.interval(lambda one: one.net(part) / one.gross(part), **asked)
        sure = own.reduction(part).abs() > SURE * self.noise(part=part, **asked)
        kept = own.reduction(part)[sure]
        beyond = share(float(kept.sum()), float(kept.clamp_min(0).sum()))
        sums = [
            torch.stack([some.sum(dim=(1, 2)), some.clamp_min(0).sum(dim=(1, 2))])
            for some in self.exchanged(part=part, **asked)
        ]
        net, gross = torch.cat(sums, dim=1)
        return Measurement.of(
            value,
            "net / gross",
            control=percentile_interval((net / gross).mean().item(), net / gross),
            # With no neuron beyond noise there is no balance to speak of.
            beyond_noise=1.0 if math.isnan(beyond) else beyond,
            net=float(own.net(part)),
            gross=float(own.gross(part)),
            gross_of_noise=gross.mean().item(),
        )

    def _unlike(self, own: Attribution, **asked: Any) -> Measurement:
        shares = torch.tensor(list(own.shares().values()))
        value, spread = distance_from(shares, self.null(**asked))
        near, near_spread = distance_from(shares, self.null(near_offset=True, **asked))
        band = percentile_interval(spread.mean().item(), spread)
        return Measurement(
            value, None, "distance", band.value, band.bounds,
            details={
                "null_80_high": spread.quantile(0.9).item(), "near_offset": near,
                "near_offset_high": near_spread.quantile(0.975).item(),
            },
        )  # fmt: skip

    def _once(self, key: tuple[object, ...], make: Callable[[], Any]) -> Any:
        """Notebook and rules ask for the same again and again; reading it off the cache folder takes time."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    @property
    def _draws(self) -> dict[str, Any]:
        return {"n": self.at.profile.counts.bootstrap, "seed": self.at.profile.seed}
