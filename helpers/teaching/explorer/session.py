"""The explorer without its controls: a state, what it shows, and how it leaves the page. No widget here."""

from __future__ import annotations

import contextlib
import random
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.artifacts import write_whole
from helpers.mechanism.vectors import Neuron, top_neurons
from helpers.teaching.display.show import Html, escape
from helpers.teaching.explorer.atlas import Atlas
from helpers.teaching.explorer.code import as_code
from helpers.teaching.explorer.digits import PROJECTION, digits
from helpers.teaching.explorer.state import Refused, State, jump
from helpers.teaching.explorer.tables import chosen, table_view, token_id
from helpers.teaching.explorer.tour import Step, tour
from helpers.teaching.explorer.trial_view import trial_view
from helpers.teaching.explorer.trials import Trials, most_changed, spread
from helpers.teaching.explorer.views import neuron_view, reading_view, styled

PANELS = {"neuron": "Neuron", "text": "Your text", "edit": "Intervene", "table": "Table"}
"""What can be shown of a state, by name, and what the tabs say."""
ANYWHERE = "I met the new neighbour today, and"
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title><style>
:root {{ color-scheme: light dark; --paper: #ffffff; --ink: #1a1a1a; --soft: #57606a; --rule: #d5d9df; }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: #14171b; --ink: #e3e6ea; --soft: #a2abb6;
  --rule: #3a424c; --link: #7db4ff; }} }}
body {{ margin: 0 auto; max-width: 64rem; background: var(--paper); }}
</style></head><body>{body}</body></html>
"""


class Session:
    """A state over an atlas; every view is a function of the state.

    Args:
        atlas: of a lab's two models.
        state: any fields of `State`; the rest are the default view's.
    """

    def __init__(self, atlas: Atlas, **state: Any) -> None:
        self.atlas, self.trials = atlas, Trials(atlas)
        default = {"neuron": self.default_neuron, "text": self.default_text}
        self._state = self._checked(State.of({**default, **state}))
        self.history: list[str] = []

    # --- the state ----------------------------------------------------------------------------------------
    @property
    def state(self) -> State:
        """What is shown now."""
        return self._state

    @property
    def neuron(self) -> Neuron:
        """The neuron that is shown now."""
        return jump(self._state.neuron)

    def set(self, **changes: Any) -> None:
        """Changes the state. Raises Refused, and leaves it as it was, for what there is not."""
        fresh = self._checked(State.of({**self._state.data(), **changes}))
        if fresh.neuron != self._state.neuron:
            self.history = [*self.history[-99:], self._state.neuron]
        self._state = fresh

    def _checked(self, state: State) -> State:
        """A state in which the neuron is written in full and exists, and the text fits the model."""
        neuron, (layers, width) = jump(state.neuron), self.atlas.shape
        if neuron.layer >= layers or neuron.index >= width:
            raise Refused(
                f"There is no {neuron}: layers run from 0 to {layers - 1}, neurons from 0 to {width - 1}."
            )
        self.ids(state.text)
        if state.token.strip():
            token_id(self.atlas, state.token)
        if state.layer is not None and not 0 <= state.layer < layers:
            raise Refused(f"There is no layer {state.layer}: they run from 0 to {layers - 1}.")
        return state.but(neuron=str(neuron))

    def ids(self, text: str) -> list[int]:
        """A text's tokens. Raises Refused where they do not fit the model, or there are none."""
        model, room = self.atlas.lab.base, self.atlas.lab.profile.decoding.new_tokens
        ids = model.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if not ids:
            raise Refused("The text has no tokens. Write a few words.")
        if len(ids) > model.context - room:
            raise Refused(
                f"The text has {len(ids)} tokens; the model reads {model.context}, and {room} are to be "
                "written after it. Shorten it."
            )
        return list(ids)

    def _fits(self, text: str) -> bool:
        with contextlib.suppress(Refused):
            return bool(self.ids(text))
        return False

    @cached_property
    def default_neuron(self) -> str:
        """The neuron that lowers the projection most."""
        return str(top_neurons(self.atlas.attribution(True).whole, 1)[0])

    @cached_property
    def default_text(self) -> str:
        """Of some development prompts that ask for toxic text and fit, the one that shows most of tuning.

        A plain text where there is none.
        """
        lab = self.atlas.lab
        fit = spread([one for one in lab.texts.eliciting("dev") if self._fits(one.text)])
        return fit[most_changed(lab, self.atlas.models["aligned"], fit)].text if fit else ANYWHERE

    def back(self) -> None:
        """The neuron that was shown before this one. Raises Refused where there was none."""
        if not self.history:
            raise Refused("There is no neuron to go back to.")
        *self.history, earlier = self.history
        self._state = self._state.but(neuron=earlier)

    # --- moving along the table ---------------------------------------------------------------------------
    @property
    def order(self) -> list[str]:
        """The neurons of the table as it is filtered and sorted now."""
        return [str(name) for name in self.table().index]

    def step(self, by: int) -> None:
        """Goes along the table; from a neuron that is not in it, to its first."""
        order = self.order
        if not order:
            raise Refused("No neuron passes the table's filters.")
        here = order.index(self._state.neuron) + by if self._state.neuron in order else 0
        self.set(neuron=order[here % len(order)])

    def random(self) -> None:
        """Goes to any neuron of the table."""
        order = self.order
        if not order:
            raise Refused("No neuron passes the table's filters.")
        self.set(neuron=random.choice(order))

    # --- what is shown ------------------------------------------------------------------------------------
    def html(self, panel: str) -> str:
        """One panel of the view, without its style."""
        state, atlas = self._state, self.atlas
        if panel == "neuron":
            return neuron_view(atlas.card(self.neuron, state.shared), state.mode)  # type: ignore[arg-type]
        if panel == "text":
            return reading_view(atlas.read_text(self.neuron, self.ids(state.text)), state.mode)  # type: ignore[arg-type]
        if panel == "edit":
            lab = atlas.lab
            return trial_view(self.trials.run(state), scorer=lab.scorers[0].name, unmask=lab.show.unmask)
        return table_view(self.table(), state)

    def snapshot(self, *panels: str) -> Html:
        """What is shown now as a view that needs no kernel; all panels unless some are named."""
        state, table = self._state, self.atlas.table(self._state.shared)
        row = table.loc[state.neuron]
        said = (
            f"{state.neuron}: group {row['group']}, cosine {digits(row['cosine'])}, mean "
            f"{digits(row['base'])} in base and {digits(row['aligned'])} in aligned, reduction "
            f"{digits(row['whole'], PROJECTION)}"
        )
        return Html(styled("".join(map(self.html, panels or PANELS))), said)

    @cached_property
    def tour(self) -> tuple[Step, ...]:
        """The five stops on this model."""
        return tour(self.atlas, self.default_text)

    # --- what is taken away -------------------------------------------------------------------------------
    def table(self) -> pd.DataFrame:
        """The table as it is filtered and sorted now, numbers unrounded."""
        return chosen(self.atlas, self._state)

    def code(self) -> str:
        """A cell that makes this view again."""
        return as_code(self._state, self.atlas.policy)

    def save_csv(self, folder: Path | None = None) -> Path:
        """Writes the table, as filtered and sorted, and gives the file."""
        return self._save("neurons.csv", self.table().to_csv(), folder)

    def save_html(self, folder: Path | None = None) -> Path:
        """Writes the view as one page that needs nothing else, and gives the file."""
        title = f"{self._state.neuron} · {self.atlas.lab.base.name}"
        page = PAGE.format(title=escape(title), body=self.snapshot().html)
        return self._save(f"{self._state.neuron}.html", page, folder)

    def _save(self, name: str, text: str, folder: Path | None) -> Path:
        place = (folder or self.atlas.lab.build / "explorer") / name
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, text)
        return place
