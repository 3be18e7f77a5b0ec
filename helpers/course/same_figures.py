"""Whether the explorer's page and the notebook's say the same of a neuron, digit for digit as shown."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from bs4 import BeautifulSoup

from helpers.course.chromium import Page
from helpers.lab import Lab
from helpers.mechanism.vectors import Neuron
from helpers.teaching.explorer import NeuronExplorer, tables, views
from helpers.teaching.explorer.atlas import Atlas
from helpers.teaching.explorer.state import State

Figures = dict[str, str]
"""What is shown, by what it is called here."""

SHOWN = """((on) => {
  const text = (one) => one.textContent.trim(), all = (at) => [...document.querySelectorAll(at)];
  const rows = (at) => all(at).map((row) => [...row.children].map(text));
  const plain = (html) => text(Object.assign(document.createElement("i"), { innerHTML: html }));
  return {
    facts: all("#summary dd").map((one) => one.firstChild.textContent.trim()),
    lead: text(document.querySelector("#summary .lead")),
    ledger: rows("#ledger .halves > div:first-child tr"),
    points: rows("#points tbody tr"), near: all("#points .near li").map((one) => [...one.children].map(text)),
    words: all("#words tbody tr").map((row) => [...row.querySelectorAll("ol")].map((list) =>
      [...list.children].map((item) => [...item.children].map(text)))),
    kept: text(document.querySelector("#words .note")),
    row: COLUMNS.slice(0, 6).map(([, , , show]) => plain(String(show(window.neurons, state.i, on)))),
  };
})"""

MEANS = re.compile(r"at (\S+) in base and (\S+) in aligned")
KEPT = re.compile(r"aligned(?:’s)?: (\S+); of the key: (\S+)\.")
SHARE = re.compile(r"number (\S+) of [\d,]+, (\S+ %) of all")


def in_notebook(atlas: Atlas, neuron: Neuron, *, shared: bool) -> Figures:
    """The figures of the notebook's views."""
    card = atlas.card(neuron, shared)
    head = BeautifulSoup(views.head(card), "html.parser").get_text()
    found = dict(zip(("mean, base", "mean, aligned"), _one(MEANS, head), strict=True))
    if share := SHARE.search(head):
        found |= {"rank": share[1], "share of gross": share[2]}
    for name, value in _rows(views.ledger(card)):
        found[name] = value
    for place, row in enumerate(_rows(views.points(card))):
        found |= {f"points {place}, base": row[1], f"points {place}, aligned": row[2]}
    for place, row in enumerate(_rows(views.neighbours(card))):
        found[f"near {place}"] = f"{row[0]} {row[1]}"
    lists = BeautifulSoup(views.words(card), "html.parser").find_all("tbody")
    for end, body in zip(("promotes", "suppresses"), lists, strict=True):
        rows = _rows(str(body))
        for who, items in (("base", [row[:2] for row in rows]), ("aligned", [row[2:] for row in rows])):
            found |= {f"{end} {place}, {who}": one for place, one in enumerate(_settled(items))}
    kept = _one(KEPT, BeautifulSoup(views.words(card), "html.parser").get_text())
    found |= dict(zip(("value kept", "key kept"), kept, strict=True))
    frame = atlas.table(shared).loc[[str(neuron)]]
    (row,) = _rows(tables.table_view(frame, State(neuron=str(neuron), text="x")))
    named = dict(zip(("neuron", *frame.columns), row, strict=True))
    for name in ("neuron", "layer", "group", "cosine", "whole", "moved"):
        found[f"table, {name}"] = named[name]
    return found | {"cosine": named["cosine"], "group": named["group"]}


def in_page(page: Page, neuron: Neuron, *, shared: bool) -> Figures:
    """The figures on the page's screen."""
    on = "shared" if shared else "own"
    page.ask(f"state.on = '{on}'; go(all.parse('{neuron}').i, false); window.neurons = all")
    told = page.ask(f"{SHOWN}('{on}')")
    found = dict(zip(("mean, base", "mean, aligned"), _one(MEANS, told["lead"]), strict=True))
    ledger = {row[0]: row[1:] for row in told["ledger"]}
    for name in ("fires otherwise", "writes otherwise", "both at once"):
        found[name] = ledger[name][0]
    found["whole"], said = ledger["fall, whole"]
    if not said.startswith("–"):
        share, rank = said.split(" of gross, number ")
        found |= {"rank": rank, "share of gross": share}
    for place, row in enumerate(told["points"]):
        found |= {f"points {place}, base": row[2], f"points {place}, aligned": row[4]}
    for place, row in enumerate(told["near"]):
        found[f"near {place}"] = " ".join(row)
    for end, lists in zip(("promotes", "suppresses"), told["words"], strict=True):
        for who, items in zip(("base", "aligned"), lists, strict=True):
            found |= {f"{end} {place}, {who}": one for place, one in enumerate(_settled(items))}
    found |= dict(zip(("value kept", "key kept"), _one(KEPT, told["kept"]), strict=True))
    names = ("neuron", "layer", "group", "cosine", "whole", "moved")
    found |= {f"table, {name}": value for name, value in zip(names, told["row"], strict=True)}
    return found | {"cosine": told["facts"][0], "group": told["facts"][3]}


def compare_figures(page: Page, lab: Lab, neurons: Sequence[Neuron]) -> tuple[int, list[str]]:
    """How many figures of some neurons were compared, on either reading, and those that differ.

    What only one of the two shows is left out; that is little: more of the nearest vectors in the page.
    """
    atlas, compared, differ = Atlas(lab), 0, []
    for neuron in neurons:
        for shared in (True, False):
            there, here = in_page(page, neuron, shared=shared), in_notebook(atlas, neuron, shared=shared)
            for name in here:
                compared += 1
                if here[name] != there.get(name):
                    differ.append(f"{neuron}, {name}: {here[name]} in the notebook, {there.get(name)} here")
    return compared, differ


def run_code(page: Page, lab: Lab) -> list[str]:
    """Runs the cell that the page gives for a view; says which texts it writes otherwise than the page."""
    edits = {
        "a": {"model": "base", "part": "activation", "which": "L0.1, L1.2", "factor": 0, "on": True},
        "b": {"model": "aligned", "part": "key", "which": "10 most toxic", "factor": 5, "on": True},
    }
    page.ask(f"Object.assign(state, {json.dumps(edits)}), drawEdits(), tryModels()")
    page.wait("results.A && results.B && !lines.try.busy", 120.0)
    shown = page.ask(
        "Object.fromEntries(['base', 'aligned', 'A', 'B'].map((one) => [one, results[one].text]))"
    )
    space: dict[str, Any] = {"lab": lab}
    exec(page.ask("viewAsCode()"), space)  # what the page wrote is what is under test
    opened: NeuronExplorer = space["explorer"]
    opened.close()
    written, state = space["written"], opened.state()
    wrong = [f"{one}: {written[one]!r}, here {shown[one]!r}" for one in shown if written[one] != shown[one]]
    for side, name in (("a", "first"), ("b", "second")):
        asked = {key: value for key, value in edits[side].items() if key != "on"}
        if state[name] != asked:
            wrong.append(f"{name}: {state[name]}, here {asked}")
    return wrong


def _rows(html: str) -> list[list[str]]:
    body = BeautifulSoup(html, "html.parser")
    return [
        [cell.get_text().strip() for cell in row.find_all(["th", "td"])]
        for row in body.find_all("tr")
        if row.find("td")
    ]


def _settled(items: Sequence[Sequence[str]]) -> list[str]:
    """Words and logits as shown; those that show one number by the alphabet, for rounding orders them."""
    shown = [one[-1] for one in items]
    return [" ".join(one) for one in sorted(items, key=lambda one: (shown.index(one[-1]), list(one)))]


def _one(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    if not (found := pattern.search(" ".join(text.split()))):
        raise ValueError(f"{pattern.pattern!r} is not in {text[:200]!r}.")
    return found.groups()
