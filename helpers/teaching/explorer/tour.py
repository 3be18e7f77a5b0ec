"""The guided tour: five states of the explorer, each with one question."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from helpers.teaching.explorer.atlas import Atlas
from helpers.teaching.explorer.state import Edit


@dataclass(frozen=True)
class Step:
    """One stop: what it is called, what the explorer is set to, where to look, and what is asked.

    Attributes:
        changes: to the state.
        panel: which of `session.PANELS` is opened.
    """

    name: str
    question: str
    panel: str
    changes: dict[str, Any] = field(default_factory=dict)


def tour(atlas: Atlas, text: str) -> tuple[Step, ...]:
    """Five stops on any model: neurons are looked up, not named in advance.

    Args:
        text: that is read and continued.
    """
    table = atlas.table(True).sort_values("whole", ascending=False, kind="stable")
    largest = str(table.index[0])
    quiet = table[table["base"] < 0]
    other = str((quiet if len(quiet) else table[1:] if len(table) > 1 else table).index[0])
    dampened = bool(atlas.attribution(True).groups()["TP"].any())
    group = "TP" if dampened else "7 most toxic"
    start = {"neuron": largest, "shared": True, "mode": "both", "text": text, "seed": 0}
    return (
        Step(
            "A name",
            "Read the words that its value vector promotes, and nothing else. What would you call this "
            "neuron? Now look where it fires most. Does the name hold there?",
            "neuron",
            start,
        ),
        Step(
            "Before and after",
            "The same neuron on one text, token by token. At which token do the two models differ most? What "
            "might have been written next?",
            "text",
            start,
        ),
        Step(
            "The quiet ones",
            f"{other} is below 0 on average, so it writes against its own value vector. Look at the ledger: "
            "is it the activation or the value vector that changed the projection, and to which side?",
            "neuron",
            {**start, "neuron": other},
        ),
        Step(
            "Cut it out",
            "Base with this neuron ablated, beside base with a whole group ablated. Which lowers toxicity "
            "more? What does fluency say of the text that is left?",
            "edit",
            {
                **start,
                "first": Edit("base", "activation", "this", 0.0),
                "second": Edit("base", "activation", group, 0.0),
            },
        ),
        Step(
            "Turn it up",
            "Aligned with one key × 10, beside aligned with the keys of its seven most toxic neurons × 10. "
            "How much of base comes back? Which column would you add as a control?",
            "edit",
            {
                **start,
                "first": Edit("aligned", "key", "this", 10.0),
                "second": Edit("aligned", "key", "7 most toxic", 10.0),
            },
        ),
    )
