"""The explorer in a notebook: controls of ipywidgets around views of plain HTML."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
from IPython.display import display

from helpers.teaching.display.panel import short_path
from helpers.teaching.display.show import Html, escape
from helpers.teaching.explorer.atlas import Atlas
from helpers.teaching.explorer.cards import Card
from helpers.teaching.explorer.session import PANELS, Session
from helpers.teaching.explorer.state import GROUPS, MODELS, PARTS, SORTS, Refused
from helpers.teaching.explorer.subject import Subject
from helpers.teaching.explorer.tables import NAMES
from helpers.teaching.explorer.views import MODES, styled

OPEN: dict[str, NeuronExplorer] = {}
"""The explorer that is open under each name. A cell run again takes the place of its last run."""


class NeuronExplorer:
    """Looks at any neuron of base beside aligned, tries a text on it, and edits it.

    Opened again under the same name it closes the one before, so that cells can be run again at no cost.

    Args:
        lab: a started lab.
        policy: "matched" or "strong".
        name: give a second explorer its own, and both stay open.
        state: any fields of `State`, as `state()` gives them; the rest are the default view's.

    Raises:
        Refused: the state names what there is not.

    Example:
        explorer = NeuronExplorer(lab, neuron="L2.727")
        explorer          # in a notebook: the controls
        explorer.code()   # a cell that makes the view again
    """

    def __init__(
        self, lab: Subject, *, policy: str = "matched", name: str = "explorer", **state: Any
    ) -> None:
        earlier = OPEN.get(name)
        atlas = earlier.session.atlas if earlier and earlier.session.atlas.lab is lab else None
        if atlas is None or atlas.policy != policy:
            atlas = Atlas(lab, policy)
        self.session: Session = Session(atlas, **state)
        self.failure: Exception | None = None
        self._quiet = False
        self._asked = False  # whether continuations were asked for in this view
        self._build()
        if earlier:
            earlier.close()
        OPEN[name] = self
        self._refresh()

    # --- what a notebook asks for -------------------------------------------------------------------------
    def _ipython_display_(self) -> None:
        display(self.page)  # ipywidgets 7, which Colab holds, and 8 show themselves by different methods

    def state(self) -> dict[str, Any]:
        """All that the view depends on, as plain values; `NeuronExplorer(lab, **state)` opens it again."""
        return self.session.state.data()

    def set(self, **changes: Any) -> None:
        """Changes the state from code, as the controls do. Raises Refused for what there is not."""
        self.session.set(**changes)
        self._refresh()

    def snapshot(self, *panels: str) -> Html:
        """The view as it is, to stay in the notebook without a kernel.

        Args:
            panels: any of neuron, text, edit, table; none: all.
        """
        return self.session.snapshot(*panels)

    def stop(self, number: int) -> Html:
        """Goes to a stop of the tour, 1 to 5, and gives its question with the panel that it is about."""
        step = self.session.tour[number - 1]
        self._stop(number - 1)
        self._refresh()
        asked = f"<p class='nx-ask'><b>{number} · {step.name}.</b> {escape(step.question)}</p>"
        return Html(styled(asked + self.session.html(step.panel)), f"{step.name}: {step.question}")

    def card(self) -> Card:
        """All that is known of the neuron that is shown, as plain numbers."""
        return self.session.atlas.card(self.session.neuron, self.session.state.shared)

    def words(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Token ids as the explorer spells them."""
        return self.session.atlas.spell(ids, alone=True)

    def code(self) -> str:
        """A cell that makes this view again."""
        return self.session.code()

    def table(self) -> pd.DataFrame:
        """The table of neurons, as filtered and sorted, with unrounded numbers."""
        return self.session.table()

    def save_csv(self, folder: Path | None = None) -> Path:
        """Writes the table, as filtered and sorted, into the build folder or another; gives the file."""
        return self.session.save_csv(folder)

    def save_html(self, folder: Path | None = None) -> Path:
        """Writes the view as one page that needs nothing else; gives the file."""
        return self.session.save_html(folder)

    def read_seeds(self) -> list[int]:
        """Adds the profile's other DPO seeds to the view (trains them if need be); gives the seeds."""
        found = self.session.atlas.read_seeds()
        self._refresh()
        return found

    def read_family(self) -> list[str]:
        """Adds a neuron's twins in the other models of the pocket family; gives the models' names."""
        found = self.session.atlas.read_family()
        self._refresh()
        return found

    def circuitsvis(self) -> Any:
        """The reader's text on this neuron, as circuitsvis draws it.

        It asks whether there is a network: with one, what a cell stores of it is a link to its script, so it
        belongs in no stored output.
        """
        from circuitsvis.activations import text_neuron_activations

        session = self.session
        ids = session.ids(session.state.text)
        reading = session.atlas.read_text(session.neuron, ids)
        both = np.stack([reading.base, reading.aligned], axis=1)[:, None]  # token, layer, neuron
        return text_neuron_activations(
            list(reading.tokens),
            both,
            first_dimension_name="Neuron",
            second_dimension_name="Model",
            first_dimension_labels=[str(session.neuron)],
            second_dimension_labels=["base", "aligned"],
        )

    def close(self) -> None:
        """Takes the controls off the page, and out of memory."""
        for each in list(_inside(self.page)):
            each.close()

    # --- the controls -------------------------------------------------------------------------------------
    def _build(self) -> None:
        narrow, line = widgets.Layout(width="11rem"), {"description_width": "initial"}
        self.jump = widgets.Text(
            description="Neuron", continuous_update=False, placeholder="L2.287", layout=narrow, style=line
        )
        self.place = widgets.IntSlider(
            description="Place in the table", min=1, max=1, continuous_update=False, style=line,
            layout=widgets.Layout(width="26rem"),
        )  # fmt: skip
        self.shared = widgets.Dropdown(
            description="Read on", options=[("base's texts", True), ("each on its own", False)],
            layout=narrow, style=line,
        )  # fmt: skip
        self.mode = widgets.Dropdown(description="Show", options=list(MODES), layout=narrow, style=line)
        self.buttons = {
            name: self._button(name, act)
            for name, act in {
                "◀ previous": lambda: self.session.step(-1),
                "next ▶": lambda: self.session.step(1),
                "random": self.session.random,
                "↩ back": self.session.back,
            }.items()
        }
        self.message = widgets.HTML()
        self.views = {name: widgets.HTML() for name in PANELS}
        self.text = widgets.Textarea(
            continuous_update=False, layout=widgets.Layout(width="100%", height="4.5rem"),
            description="Text", style=line,
        )  # fmt: skip
        self.edits = {name: self._edit(name) for name in ("first", "second")}
        self.seed = widgets.BoundedIntText(
            description="Seed", min=0, max=2**31 - 1, layout=narrow, style=line
        )
        run = self.buttons["write"] = self._button("Write continuations", self._ask)
        self.filters = {
            "sort": widgets.Dropdown(description="Sort by", options=[(NAMES[one], one) for one in SORTS]),
            "descending": widgets.Checkbox(description="largest first", indent=False),
            "group": widgets.Dropdown(description="Group", options=[("all", ""), *((g, g) for g in GROUPS)]),
            "layer": widgets.Dropdown(
                description="Layer",
                options=[("all", None), *((str(n), n) for n in range(self.session.atlas.shape[0]))],
            ),
            "lowers": widgets.Checkbox(description="only what lowers toxicity", indent=False),
            "token": widgets.Text(description="Promotes", placeholder="a word", continuous_update=False),
        }
        for one in self.filters.values():
            one.layout.width, one.style.description_width = "14rem", "initial"
        self.taken = widgets.Textarea(
            layout=widgets.Layout(width="100%", height="18rem"), description="", disabled=False
        )
        keep = widgets.HBox(
            [self._keep(name, act) for name, act in self._ways_out().items()],
            layout=widgets.Layout(flex_flow="row wrap"),
        )
        wrap = widgets.Layout(flex_flow="row wrap", align_items="center")
        self.tabs = widgets.Tab(
            [
                self.views["neuron"],
                widgets.VBox([self.text, self.views["text"]]),
                widgets.VBox(
                    [
                        *(widgets.HBox(list(parts.values()), layout=wrap) for parts in self.edits.values()),
                        widgets.HBox([self.seed, run], layout=wrap),
                        self.views["edit"],
                    ]
                ),
                widgets.VBox([widgets.HBox(list(self.filters.values()), layout=wrap), self.views["table"]]),
                widgets.VBox([keep, self.taken]),
            ]
        )
        for number, title in enumerate([*PANELS.values(), "Keep"]):
            self.tabs.set_title(number, title)  # an argument for it has ipywidgets 8 alone
        self.stops = [
            self._button(f"{number} {step.name}", partial(self._stop, number - 1))
            for number, step in enumerate(self.session.tour, start=1)
        ]
        self.question = widgets.HTML()
        self.page = widgets.VBox(
            [
                widgets.HBox([widgets.HTML("<b>Tour</b>&nbsp;"), *self.stops], layout=wrap),
                self.question,
                widgets.HBox(
                    [self.jump, *list(self.buttons.values())[:4], self.shared, self.mode], layout=wrap
                ),
                self.place,
                self.message,
                self.tabs,
            ]
        )
        self._listen()

    def _edit(self, name: str) -> dict[str, Any]:
        choices = ["this", *GROUPS, "7 most toxic"]
        wide, line = widgets.Layout(width="13rem"), {"description_width": "initial"}
        label = {"first": "Left", "second": "Right"}[name]
        return {
            "model": widgets.Dropdown(description=label, options=MODELS, layout=wide, style=line),
            "part": widgets.Dropdown(description="scale", options=PARTS, layout=wide, style=line),
            "which": widgets.Combobox(
                description="of", options=choices, ensure_option=False, continuous_update=False,
                layout=wide, style=line,
            ),
            "factor": widgets.FloatSlider(
                description="×", min=0, max=12, step=0.25, continuous_update=False, style=line,
                readout_format=".2f", layout=widgets.Layout(width="18rem"),
            ),
        }  # fmt: skip

    def _ways_out(self) -> dict[str, Callable[[], str]]:
        session = self.session
        return {
            "Copy as code": session.code,
            "State": lambda: repr(session.state.data()),
            "Save table (CSV)": lambda: f"Written: {short_path(session.save_csv())}",
            "Save view (HTML)": lambda: f"Written: {short_path(session.save_html())}",
        }

    def _keep(self, name: str, act: Callable[[], str]) -> widgets.Button:
        def write() -> None:
            self.taken.value = act()

        self.buttons[name] = self._button(name, write)
        return self.buttons[name]

    def _button(self, name: str, act: Callable[[], Any]) -> widgets.Button:
        button = widgets.Button(description=name, tooltip=name, layout=widgets.Layout(width="auto"))

        def clicked(_: object) -> None:
            with self._guarded():
                act()
                self._refresh()

        button.on_click(clicked)
        return button

    def _listen(self) -> None:
        def on(widget: Any, change: Callable[[Any], dict[str, Any]], asks: bool = False) -> None:
            def changed(event: Any) -> None:
                if self._quiet:
                    return
                with self._guarded():
                    self._asked |= asks
                    self.session.set(**change(event["new"]))
                    self._refresh()

            widget.observe(changed, "value")

        def filtered(name: str) -> Callable[[Any], dict[str, Any]]:
            return lambda new: {name: new}

        def edited(name: str, part: str) -> Callable[[Any], dict[str, Any]]:
            return lambda new: {name: {**self.session.state.data()[name], part: new}}

        self.tabs.observe(lambda _: self._opened(), "selected_index")
        on(self.jump, lambda new: {"neuron": new})
        on(self.place, lambda new: {"neuron": self.session.order[new - 1]})
        on(self.shared, lambda new: {"shared": new})
        on(self.mode, lambda new: {"mode": new})
        on(self.text, lambda new: {"text": new})
        on(self.seed, lambda new: {"seed": new}, asks=True)
        for name, widget in self.filters.items():
            on(widget, filtered(name))
        for name, parts in self.edits.items():
            for part, widget in parts.items():
                on(widget, edited(name, part), asks=True)

    # --- from state to page -------------------------------------------------------------------------------
    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """What a reader cannot have is said above the view; what went wrong is shown there, and raised."""
        self.failure = None
        try:
            self.message.value = ""
            yield
        except Refused as problem:
            self.message.value = styled(f"<p class='nx-bad'>{escape(str(problem))}</p>")
            self._show_controls()
        except Exception as problem:
            self.failure = problem
            shown = "".join(traceback.format_exception(problem)[-1:])
            self.message.value = styled(
                f"<p class='nx-bad'>Something went wrong.</p><pre>{escape(shown)}</pre>"
            )
            raise

    def _opened(self) -> None:
        if not self._quiet:
            with self._guarded():
                self._refresh()

    def _ask(self) -> None:
        self._asked = True

    def _stop(self, at: int) -> None:
        step = self.session.tour[at]
        self.session.set(**step.changes)
        self._asked = self._asked or step.panel == "edit"
        self._quiet = True
        self.tabs.selected_index = list(PANELS).index(step.panel)
        self._quiet = False
        self.question.value = styled(f"<p class='nx-ask'><b>{step.name}.</b> {escape(step.question)}</p>")

    def _refresh(self) -> None:
        """Draws the open panel anew; the others are drawn when they are opened."""
        name = list(self.views)[at] if (at := self.tabs.selected_index or 0) < len(self.views) else ""
        if name == "edit" and not self._asked:
            self.views[name].value = styled("<p>Move a control, or press <b>Write continuations</b>.</p>")
        elif name:
            self.views[name].value = styled(self.session.html(name))
        self._show_controls()

    def _show_controls(self) -> None:
        """Sets every control to the state, without a word to those who listen."""
        state, order = self.session.state.data(), self.session.order
        self._quiet = True
        try:
            self.jump.value, self.text.value = state["neuron"], state["text"]
            self.shared.value, self.mode.value, self.seed.value = (
                state["shared"], state["mode"], state["seed"],
            )  # fmt: skip
            for name, widget in self.filters.items():
                widget.value = state[name]
            for name, parts in self.edits.items():
                factor = parts["factor"]
                factor.min = min(0, state[name]["factor"])
                factor.max = max(12, state[name]["factor"])
                for part, widget in parts.items():
                    widget.value = state[name][part]
            self.place.max = max(1, len(order))
            if state["neuron"] in order:
                self.place.value = order.index(state["neuron"]) + 1
        finally:
            self._quiet = False


def _inside(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    """A widget, all that it holds, and the layouts and styles of these."""
    for child in getattr(widget, "children", ()):
        yield from _inside(child)
    for part in ("layout", "style"):
        if isinstance(found := getattr(widget, part, None), widgets.Widget):
            yield found
    yield widget
