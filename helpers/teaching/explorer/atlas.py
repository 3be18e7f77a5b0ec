"""Everything that is known of every neuron, in base and in aligned, gathered from a lab's artifacts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from helpers.intervals import share
from helpers.language.models import LanguageModel, load_model
from helpers.language.tokens import Tokens, pad
from helpers.mechanism.activations import neuron_activations
from helpers.mechanism.attribution import Attribution
from helpers.mechanism.statistics import Statistics
from helpers.mechanism.vectors import (
    Neuron,
    cosines,
    project_to_vocabulary,
    svd_directions,
    top_neurons,
    vectors_of,
)
from helpers.profiles import FAMILY, Profile
from helpers.teaching.display.show import mask_tokens, visible
from helpers.teaching.explorer.cards import Card, Context, Neighbour, Reading, Seed, Twin, Word
from helpers.teaching.explorer.subject import Subject

MOST, LEAST = 5, 2
"""How many contexts are shown of each model at which a neuron fires most, and at which it fires least."""
BEFORE, AFTER = 11, 5
"""Tokens shown before and after the place itself."""
WORDS, NEIGHBOURS, KEPT = 10, 5, 64
"""Words of a vector; nearest vectors; how many cards are kept in memory."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """Base beside one policy, neuron by neuron.

    Example:
        Atlas(lab).card(Neuron.parse("L2.727")).whole
    """

    lab: Subject
    policy: str = "matched"
    _cards: OrderedDict[tuple[Neuron, bool], Card] = field(default_factory=OrderedDict, repr=False)
    _seeds: dict[int, Attribution] = field(default_factory=dict, repr=False)
    _family: dict[str, _Relative] = field(default_factory=dict, repr=False)

    # --- what is read once --------------------------------------------------------------------------------
    @cached_property
    def models(self) -> dict[str, LanguageModel]:
        """The two models by their names here."""
        return {"base": self.lab.base, "aligned": self.lab.statistics.model(self.policy)}

    @cached_property
    def values(self) -> dict[str, Float[Tensor, "layer neuron d_model"]]:
        """The value vectors of both models."""
        return {name: model.value_vectors.cpu() for name, model in self.models.items()}

    @cached_property
    def directions(self) -> dict[str, Float[Tensor, " d_model"]]:
        """The probe, W, and the directions that base's most toxic value vectors share, U0 to U2."""
        probe, values = self.lab.measures.fit_probe().direction.cpu(), self.values["base"]
        pool = top_neurons(cosines(values, probe), self.lab.measures.at_most(self.lab.profile.vectors.svd))
        shared = svd_directions(vectors_of(values, pool), probe, min(3, len(pool), values.shape[-1]))
        return {"W": probe, **{f"U{place}": one for place, one in enumerate(shared)}}

    @cached_property
    def _cosines(self) -> dict[str, dict[str, Float[Tensor, "layer neuron"]]]:
        return {
            name: {which: cosines(values, one) for which, values in self.values.items()}
            for name, one in self.directions.items()
        }

    @cached_property
    def _kept(self) -> dict[str, Float[Tensor, "layer neuron"]]:
        """Cosine of every value and key vector before tuning with after."""
        keys = [model.key_vectors.cpu() for model in self.models.values()]
        pairs = {"value": list(self.values.values()), "key": keys}
        return {name: torch.cosine_similarity(was, now, dim=-1) for name, (was, now) in pairs.items()}

    def read(self, shared: bool) -> dict[str, Statistics]:
        """Both models' statistics, on base's texts or each on its own."""
        return dict(zip(self.models, self._readings[shared], strict=True))

    @cached_property
    def _readings(self) -> dict[bool, tuple[Statistics, Statistics]]:
        return {shared: self.lab.attribution.readings(self.policy, shared=shared) for shared in (True, False)}

    def attribution(self, shared: bool) -> Attribution:
        """Every neuron's part in the change, on base's texts or each model's on its own."""
        return self._attributions[shared]

    @cached_property
    def _attributions(self) -> dict[bool, Attribution]:
        return {
            shared: self.lab.attribution.attribute(self.policy, shared=shared) for shared in (True, False)
        }

    @cached_property
    def written(self) -> dict[str, Tokens]:
        """The texts that contexts are numbered in, by who wrote them."""
        return {
            "base": self.lab.statistics.texts("base")[0],
            "aligned": self.lab.statistics.texts(self.policy)[0],
        }

    @property
    def shape(self) -> tuple[int, int]:
        """Layers, and neurons in each."""
        return self.lab.base.n_layers, self.lab.base.d_mlp

    # --- every neuron -------------------------------------------------------------------------------------
    def quadrant(self, neuron: Neuron, shared: bool = False) -> str:
        """Its group, TP, TN, AP or AN; – where cosine or mean is 0."""
        return str(self.table(shared).at[str(neuron), "group"])

    def table(self, shared: bool = False) -> pd.DataFrame:
        """One row per neuron, by its name: what it writes, how it fires, and its part in the change."""
        return self._tables[shared]

    @cached_property
    def _tables(self) -> dict[bool, pd.DataFrame]:
        return {shared: self._table(shared) for shared in (True, False)}

    def _table(self, shared: bool) -> pd.DataFrame:
        found = self.attribution(shared)
        layers, width = self.shape
        groups = pd.Series(["–"] * (layers * width), dtype=object)
        for name, inside in found.quadrants().items():
            groups[inside.flatten().numpy()] = name
        places = [Neuron(layer, index) for layer in range(layers) for index in range(width)]
        columns = {
            "cosine": found.cosine, "base": found.before, "aligned": found.after,
            "moved": found.after - found.before, "whole": found.whole, "activation": found.activation,
            "value": found.value,
        }  # fmt: skip
        return pd.DataFrame(
            {"layer": [one.layer for one in places], "group": groups.tolist()}
            | {name: column.flatten().double().numpy() for name, column in columns.items()},
            index=pd.Index([str(one) for one in places], name="neuron"),
        )

    @torch.no_grad()
    def raises(self, token: int) -> Float[Tensor, "layer neuron"]:
        """How far each value vector of base raises a token above used tokens, in their standard deviation.

        In closed form from the mean and the covariance of the unembedding, so that no table of neurons by
        vocabulary is ever held.
        """
        model, used = self.lab.base, self.lab.measures.used_tokens
        gain, unembedding = (one.detach().cpu() for one in (model.bridge.ln_final.weight, model.bridge.W_U))
        values = self.values["base"]
        read = (values - values.mean(dim=-1, keepdim=True)) * gain
        words = unembedding[:, used]
        centre = words.mean(dim=1, keepdim=True)
        spread = (words - centre) @ (words - centre).T / words.shape[1]
        variance = torch.einsum("lnd,de,lne->ln", read, spread, read)
        above = read @ (unembedding[:, token] - centre[:, 0])
        return above / variance.clamp_min(torch.finfo(above.dtype).tiny).sqrt()

    # --- one neuron ---------------------------------------------------------------------------------------
    def card(self, neuron: Neuron, shared: bool = True) -> Card:
        """All that is known of one neuron. Raises IndexError if there is no such neuron."""
        self.lab.base.value_vector(neuron)  # raises
        key = (neuron, shared)
        if key not in self._cards:
            self._cards[key] = self._card(neuron, shared)
            while len(self._cards) > KEPT:
                self._cards.popitem(last=False)
        self._cards.move_to_end(key)
        return self._cards[key]

    def _card(self, neuron: Neuron, shared: bool) -> Card:
        at, found, read = (neuron.layer, neuron.index), self.attribution(shared), self.read(shared)
        whole = float(found.whole[at])
        counts = {name: one.histogram[at].double() for name, one in read.items()}
        vectors = {name: values[at] for name, values in self.values.items()}
        logits = {
            name: project_to_vocabulary(self.models[name], vector).cpu() for name, vector in vectors.items()
        }
        return Card(
            neuron=str(neuron),
            layer=neuron.layer,
            index=neuron.index,
            shared=shared,
            group=self.quadrant(neuron, shared),
            cosine={
                name: (float(both["base"][at]), float(both["aligned"][at]))
                for name, both in self._cosines.items()
            },
            value_kept=float(self._kept["value"][at]),
            key_kept=float(self._kept["key"][at]),
            base=float(found.before[at]),
            aligned=float(found.after[at]),
            whole=whole,
            activation=float(found.activation[at]),
            value=float(found.value[at]),
            interaction=float(found.interaction[at]),
            rank=int((found.whole > whole).sum()) + 1,
            neurons=found.whole.numel(),
            of_gross=share(whole, float(found.gross())) if whole > 0 else float("nan"),
            promoted=self.words(logits, "base"),
            promoted_aligned=self.words(logits, "aligned"),
            suppressed=self.words(logits, "base", largest=False),
            suppressed_aligned=self.words(logits, "aligned", largest=False),
            edges=tuple(read["base"].bin_edges.tolist()),
            histogram={
                name: tuple((each / each.sum().clamp_min(1)).tolist()) for name, each in counts.items()
            },
            contexts=self._contexts(neuron, shared),
            neighbours=self._neighbours(neuron, vectors["base"]),
            seeds=tuple(
                Seed(seed, float(one.after[at]), float(one.whole[at])) for seed, one in self._seeds.items()
            ),
            twins=tuple(relative.twin(name, logits["base"], self) for name, relative in self._family.items()),
        )

    def words(
        self, logits: Mapping[str, Float[Tensor, " vocab"]], by: str, *, largest: bool = True, k: int = WORDS
    ) -> tuple[Word, ...]:
        """The k used tokens that one model's vector raises (or lowers) most, with both models' logits."""
        used = self.lab.measures.used_tokens
        ids = logits[by].masked_fill(~used, -torch.inf if largest else torch.inf)
        ids = ids.topk(min(k, int(used.sum())), largest=largest).indices
        base, aligned = (logits[name][ids].tolist() for name in ("base", "aligned"))
        return tuple(map(Word, self.spell(ids.tolist(), alone=True), base, aligned))

    def spell(self, ids: Sequence[int], *, alone: bool = False) -> tuple[str, ...]:
        """Tokens as they are shown: white space visible, words masked unless the notebook unmasks them.

        Args:
            alone: words of a list, without the space before them.
        """
        strings = self.lab.base.token_strings(ids)
        if not self.lab.show.unmask:
            strings = [mask_tokens([one])[0] for one in strings] if alone else mask_tokens(strings)
        shown = map(visible, strings)
        return tuple(one.strip() or "␣" for one in shown) if alone else tuple(shown)

    def read_text(self, neuron: Neuron, ids: Sequence[int]) -> Reading:
        """A neuron in both models on a text of the reader's own."""
        tokens = pad([ids], self.lab.base.tokenizer.eos_token_id)
        both = (
            neuron_activations(model, tokens.to(model.device), [neuron])[0, :, 0].tolist()
            for model in self.models.values()
        )
        return Reading(str(neuron), self.spell(ids), *map(tuple, both))

    def _contexts(self, neuron: Neuron, shared: bool) -> tuple[Context, ...]:
        at = (neuron.layer, neuron.index)
        extremes: dict[tuple[str, str, int, int], str] = {}  # end, writer, text, position → of which model
        for name, read in self.read(shared).items():
            writer = "base" if shared else name
            for end, kept, count in (("most", "top", MOST), ("least", "low", LEAST)):
                texts, positions = (getattr(read, f"{kept}_{what}")[at] for what in ("texts", "positions"))
                seen: dict[int, int] = {}  # the strongest place of a text stands for it
                for text, position in zip(texts.tolist(), positions.tolist(), strict=True):
                    if text >= 0:
                        seen.setdefault(text, position)
                for text, position in list(seen.items())[:count]:
                    key = (end, writer, text, position)
                    extremes[key] = "both" if key in extremes else name
        # What comes after the last token shown changes nothing: it is not read.
        ends: dict[tuple[str, int], int] = {}
        for _, writer, text, position in extremes:
            ends[writer, text] = max(ends.get((writer, text), 0), position + 1 + AFTER)
        rows = {(writer, text): self._row(writer, text)[:stop] for (writer, text), stop in ends.items()}
        if not rows:
            return ()
        tokens = pad(list(rows.values()), self.lab.base.tokenizer.eos_token_id)
        fired = {
            name: neuron_activations(model, tokens.to(model.device), [neuron])[:, :, 0]
            for name, model in self.models.items()
        }
        lines = {key: line for line, key in enumerate(rows)}
        found = []
        for (end, writer, text, position), of in extremes.items():
            row, line = rows[writer, text], lines[writer, text]
            first, last = max(0, position - BEFORE), min(len(row), position + 1 + AFTER)
            base, aligned = (tuple(each[line, first:last].tolist()) for each in fired.values())
            shown = self.spell(row)[first:last]  # masked as a whole: a word may begin before the window
            found.append(Context(end, of, writer, text, position - first, shown, base, aligned))
        return tuple(found)

    def _row(self, writer: str, text: int) -> list[int]:
        tokens = self.written[writer]
        return tokens.ids[text][tokens.mask[text]].tolist()

    def _neighbours(self, neuron: Neuron, vector: Float[Tensor, " d_model"]) -> tuple[Neighbour, ...]:
        if not vector.any():
            return ()
        values = self.values["base"]
        near = cosines(values, vector)
        near[neuron.layer, neuron.index] = -torch.inf
        nearest = top_neurons(near, min(NEIGHBOURS, near.numel() - 1)) if near.numel() > 1 else []
        return tuple(
            Neighbour(
                str(one),
                float(near[one.layer, one.index]),
                self.quadrant(one),
                self._top_words(self.lab.base, values[one.layer, one.index]),
            )
            for one in nearest
        )

    def _top_words(self, model: LanguageModel, vector: Float[Tensor, " d_model"]) -> tuple[str, ...]:
        logits = project_to_vocabulary(model, vector).cpu()
        used = self.lab.measures.used_tokens
        ids = logits.masked_fill(~used, -torch.inf).topk(min(5, int(used.sum()))).indices
        return self.spell(ids.tolist(), alone=True)

    # --- other trainings ----------------------------------------------------------------------------------
    def read_seeds(self) -> list[int]:
        """Reads the policies of all of the profile's DPO seeds, trained first if need be; gives the seeds."""
        for seed in self.lab.profile.dpo.seeds:
            if seed not in self._seeds:
                self._seeds[seed] = self.lab.attribution.attribute(self.policy, seed=seed)
        self._cards.clear()
        return list(self._seeds)

    def read_family(self) -> list[str]:
        """Looks for each neuron's twin in the family's other models; gives their names, none elsewhere."""
        own, vocabulary = self.lab.profile, self.lab.base.tokenizer.get_vocab()
        for profile in relatives(own):
            if profile.name not in self._family:
                other = load_model(profile.model, device="cpu", name=profile.label)
                if other.tokenizer.get_vocab() == vocabulary:
                    self._family[profile.name] = _Relative.of(other, self)
        self._cards.clear()
        return list(self._family)


def relatives(profile: Profile) -> list[Profile]:
    """The other profiles of the family that a profile's model belongs to; none where it belongs to none."""
    inside = any(profile.model == one.model for one in FAMILY)
    return [one for one in FAMILY if one.model != profile.model] if inside else []


@dataclass(frozen=True, eq=False)
class _Relative:
    """What another model's value vectors do to used tokens, each row centred and of length one."""

    rows: Float[Tensor, "layer neuron used"]
    used: Tensor
    typical: float

    @classmethod
    def of(cls, model: LanguageModel, atlas: Atlas) -> _Relative:
        used, measures = atlas.lab.measures.used_tokens, atlas.lab.measures
        logits = torch.stack([project_to_vocabulary(model, layer)[:, used] for layer in model.value_vectors])
        rows = _standardised(logits)
        some = vectors_of(atlas.values["base"], measures.any_neurons(min(100, rows[..., 0].numel())))
        drawn = _standardised(project_to_vocabulary(atlas.lab.base, some)[:, used].cpu())
        best = torch.stack([(rows @ one).max() for one in drawn])
        return cls(rows, used, float(best.median()))

    def twin(self, name: str, logits: Float[Tensor, " vocab"], atlas: Atlas) -> Twin:
        near = self.rows @ _standardised(logits[self.used])
        best = top_neurons(near, 1)[0]
        row = self.rows[best.layer, best.index]
        ids = self.used.nonzero().flatten()[row.topk(min(5, len(row))).indices]
        correlation = float(near[best.layer, best.index])
        return Twin(name, str(best), correlation, self.typical, atlas.spell(ids.tolist(), alone=True))


def _standardised(rows: Float[Tensor, "*rows used"]) -> Float[Tensor, "*rows used"]:
    rows = rows - rows.mean(dim=-1, keepdim=True)
    return rows / rows.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
