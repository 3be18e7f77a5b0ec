"""`make browser`: the explorer's page in headless Chromium with the network cut, driven as a reader would.

What it measures is held to PyTorch: logits, tokens, continuations and edits of both models. Pictures and a
dated result go to `build/browser`; `STORE=1 make browser` keeps them beside the notebooks, for README.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from helpers.artifacts import write_json
from helpers.course.chromium import BrowserError, Page, browse
from helpers.course.explorer_page import EXPLORER, POLICY, NoPage, write_explorer
from helpers.course.notebook_browser import check_notebook
from helpers.course.run import Request, machine, read_request, shown
from helpers.course.same_figures import compare_figures, run_code
from helpers.course.series import NOTEBOOKS
from helpers.lab import Lab
from helpers.language.generation import continue_prompts
from helpers.language.texts import Prompt
from helpers.language.words import MILD, mask, second_list
from helpers.mechanism.interventions import scale_activations, scale_keys
from helpers.mechanism.vectors import Neuron
from helpers.profiles import ProfileError
from helpers.teaching.figures.figure import browser as find_chromium

TOLERANCE = 1e-3
PROMPTS, WRITTEN = 100, 12
TOKENS_PER_SECOND = 20.0
FIRST_VIEW = 1.0
STORED, RESULT = "explorer.png", "explorer.json"
HOSTILE = (
    "<script>window.harmed = 1</script><img src=x onerror='window.harmed = 1'>",
    "\U0001f600\U0001f600 na\u00efve caf\u00e9 \u2603 \u202eabc \ufb01ne "
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "It's 12345 o'clock\n\n\t and    <|endoftext|> &amp; \"quoted\" `$x$`",
)


SETTLED = """!lines.try.busy && !lines.draws.busy
  && results["base key"] === keyOf(state.text, conditions().base)"""
# A small model draws sooner than the page takes a pause for the end of typing: draws are held back.
TEXT_CHANGED_WHILE_DRAWING = """new Promise((done) => {
  window.atOnce = ask;
  ask = async (kind, what, ...more) => {
    if (what.draws > 1) await new Promise((go) => setTimeout(go, 1000));
    return atOnce(kind, what, ...more);
  };
  const seen = new MutationObserver(() => { // the button says "Drawing", the first answer is not there yet
    seen.disconnect();
    byId("own").value = "Hello you";
    byId("own").dispatchEvent(new Event("input", { bubbles: true }));
    done(true);
  });
  seen.observe(byId("draw"), { childList: true });
  byId("draw").click();
})"""


class CheckError(AssertionError):
    """What the page did otherwise than it should."""


def demand(holds: bool, otherwise: str) -> None:
    """Raises CheckError with a sentence unless something holds."""
    if not holds:
        raise CheckError(otherwise)


@dataclass(frozen=True)
class Checked:
    """What a run in the browser measured; times in seconds."""

    neurons: int
    megabytes: float
    first_view: float
    unpacked: float
    logits: dict[str, float]
    edited: dict[str, float]
    contexts: float
    tokens_per_second: dict[str, float]
    slider: float
    same_texts: int
    same_figures: int


def check_page(path: Path, lab: Lab, chromium: str, pictures: Path) -> Checked:
    """Drives the page from disk; raises CheckError or BrowserError where it fails."""
    with browse(chromium) as page:
        page.cut_network()
        page.look(width=1280, height=900)
        address = path.resolve().as_uri()
        first, unpacked = _opens(page, address)
        _navigates(page, address)
        _sorts(page, lab)
        _tours(page)
        _keeps_its_place(page, address)
        slider = _edits(page)
        _refuses(page, lab)
        _masks(page)
        found = Checked(
            neurons=page.ask("all.count"), megabytes=path.stat().st_size / 1e6, first_view=first,
            unpacked=unpacked, logits=_logits(page, lab), edited=_edited(page, lab), contexts=_contexts(page),
            tokens_per_second=_speed(page), slider=slider, same_texts=_writes(page, lab),
            same_figures=_agrees(page, lab),
        )  # fmt: skip
        _pictures(page, address, pictures)
        far = [url for url in page.requests.values() if not url.startswith(("file:", "blob:", "data:"))]
        demand(not far, f"The page asked for {far}.")
        demand(not page.complaints, f"The browser complained: {page.complaints}")
    demand(max(found.logits.values()) <= TOLERANCE, f"Logits are {found.logits} from PyTorch's.")
    demand(max(found.edited.values()) <= TOLERANCE, f"Edited logits are {found.edited} from PyTorch's.")
    demand(found.contexts <= TOLERANCE, f"Activations are {found.contexts} from the notebooks'.")
    return found


def check_speed(found: Checked) -> None:
    """Raises CheckError where it is too slow; apart, for it depends on what else the machine does."""
    demand(found.first_view <= FIRST_VIEW, f"The first view took {found.first_view:.2f} s.")
    slowest = min(found.tokens_per_second.values())
    demand(slowest >= TOKENS_PER_SECOND, f"{slowest:.0f} tokens a second are too few.")


def _opens(page: Page, address: str) -> tuple[float, float]:
    views = []
    for _ in range(3):
        page.open("about:blank")
        page.open(address)
        page.wait("document.body.classList.contains('drawn')")
        views.append(page.ask("state.firstView") / 1000)
        began = time.monotonic()
        page.wait("document.body.classList.contains('ready')", 120.0)
    return min(views), time.monotonic() - began


def _title(page: Page) -> str:
    return page.ask("document.querySelector('h1').textContent")


def _jump(page: Page, text: str) -> None:
    page.type("#wanted", text)
    page.press("Enter")


def _navigates(page: Page, address: str) -> None:
    _jump(page, "l1.5")
    page.wait("document.querySelector('h1').textContent === 'L1.5'", 10.0)
    demand(page.ask("location.hash").startswith("#L1.5"), "The address does not name the neuron.")
    for wrong in ("L99.1", "nonsense", "<script>window.harmed = 1</script>", ""):
        _jump(page, wrong)
        said = page.ask("document.getElementById('refused').textContent")
        demand(bool(said) and _title(page) == "L1.5", f"{wrong!r} in the jump box was not refused.")
    page.click("#next")
    demand(_title(page) == "L1.6", "Next does not go to the next neuron.")
    page.ask("document.activeElement.blur()")
    page.press("ArrowLeft")
    demand(_title(page) == "L1.5", "The left arrow does not go back by one.")
    page.click("#random")
    page.click("#seen a")
    demand(_title(page) == "L1.5", "The trail does not lead back.")
    page.ask("history.back()")
    page.wait("document.querySelector('h1').textContent !== 'L1.5'", 10.0)
    page.open("about:blank")
    page.open(f"{address}#L0.7&seed=3&a=aligned,key,L0.1 L1.2,4&text=Hello%20you")
    page.wait("document.body.classList.contains('drawn')")
    kept = page.ask("[document.querySelector('h1').textContent, state.seed, state.a.which, state.text]")
    demand(kept == ["L0.7", 3, "L0.1 L1.2", "Hello you"], f"The address was read as {kept}.")
    page.wait("document.body.classList.contains('ready')", 120.0)
    for view in ("difference", "aligned"):
        page.ask(f"document.querySelector('#contexts [value={view}]').click()")
    page.ask("document.querySelector('#reads [value=own]').click()")
    page.ask("document.querySelector('#reads [value=shared]').click()")
    page.wait("state.seen", 60.0)


def _sorts(page: Page, lab: Lab) -> None:
    for name in ("projection", "activation", "cosine", "token", "neuron"):
        page.click(f"#table [data-sort={name}]")
        order = page.ask(
            "rowsNow.map((i) => COLUMNS.find(([name]) => name === state.table.sort)[2]"
            "(all, i, state.on, shown))"
        )
        right = sorted(order, reverse=page.ask("state.table.down"))
        demand(order == right, f"The table is not sorted by {name}.")
    cosine = lab.attribution.attribute(POLICY).cosine.flatten().double()
    page.ask("Object.assign(state.table, {sort: 'cosine', down: true}), drawTable()")
    first = page.ask("all.name(rowsNow[0])")
    best = int(cosine.argmax())
    demand(first == str(Neuron(*divmod(best, lab.base.d_mlp))), f"The first row is {first}.")
    page.type("#filters [name=search]", "<b>no such word")
    page.wait("rowsNow.length === 0", 10.0)
    page.type("#filters [name=search]", "")
    page.wait("rowsNow.length === all.count", 10.0)
    lines = page.ask("tableCsv(all, shown, rowsNow, state.on)").splitlines()
    demand(len(lines) == page.ask("all.count") + 1, f"The CSV has {len(lines)} lines.")
    value = float(lines[1].split(",")[4])
    demand(abs(value - float(cosine[best])) < 1e-12, "The CSV's cosine is not the notebook's.")


def _tours(page: Page) -> None:
    for step in range(5):
        page.click(f"#steps [data-step='{step}']")
        page.wait(f"state.step === {step} && !document.getElementById('question').hidden", 10.0)
        asked = page.ask("document.getElementById('asks').textContent")
        demand("?" in asked, f"Step {step + 1} of the tour asks nothing.")
        if step == 3:
            page.wait("results.A && results.B && !lines.try.busy", 120.0)
            page.click("#draw")
            page.wait("draws.A && draws.base && draws.aligned && draws.B && !lines.draws.busy", 300.0)
        page.click("#answer summary")
        told = page.ask("document.getElementById('tells').textContent")
        demand(any(sign.isdigit() for sign in told), f"Step {step + 1} of the tour shows no figure: {told}")


def _keeps_its_place(page: Page, address: str) -> None:
    """A stop of the tour stands in the address and comes back with it; what is wrong is said."""
    page.click("#steps [data-step='4']")
    page.click("#steps [data-step='2']")
    page.ask("history.back()")
    page.wait("state.step === 4 && state.a.model === 'aligned'", 10.0)
    demand("tour=5" in page.ask("location.hash"), "The stop is not in the address.")
    page.ask("byId('end').click()")
    ended = page.ask("document.getElementById('question').hidden && !location.hash.includes('tour')")
    demand(ended, "The tour does not end.")
    now = page.ask("state.seed")
    for seed in ("-3", "2.5", ""):
        page.type("#seed", seed)
        page.wait("document.getElementById('refusal').textContent.includes('whole number')", 10.0)
    page.type("#seed", str(now))
    page.wait("document.getElementById('refusal').textContent === ''", 10.0)
    page.ask(TEXT_CHANGED_WHILE_DRAWING)
    page.wait(SETTLED, 120.0)
    page.ask("ask = atOnce")
    demand(page.ask("Object.keys(draws).length === 0"), "Draws of one text stand under another.")
    text = page.ask("state.text")
    page.ask("document.querySelector('#table tbody a').click()")
    there = page.ask("document.activeElement.id === 'neuron' && state.i === rowsNow[0]")
    demand(there and page.ask("state.text") == text, "A row of the table does not lead to its neuron.")
    page.open("about:blank")
    page.open(f"{address}#L99.1")
    page.wait("document.body.classList.contains('drawn')")
    said = page.ask("document.getElementById('refused').textContent")
    demand("L99.1" in said, "An address that names no neuron is not refused.")
    page.wait("document.body.classList.contains('ready')", 120.0)


def _edits(page: Page) -> float:
    """Drags a slider by keys; returns the seconds until the text that belongs to it stands there."""
    page.click("#steps [data-step='4']")
    page.wait("!lines.try.busy && results['A key']", 120.0)
    took = []
    for key in ("ArrowLeft", "ArrowLeft", "ArrowRight"):
        before = page.ask("results['A key']")
        page.ask("document.querySelector('#edit-a [name=factor]').focus()")
        began = time.monotonic()
        page.press(key)
        page.wait(f"results['A key'] !== {json.dumps(before)} && !lines.try.busy", 60.0)
        took.append(time.monotonic() - began)
    page.ask("document.querySelector('#edit-a [name=which]').value = 'list'")
    for names, wrong in (("L0.1, L1.2", False), ("L0.1 L77.1", True), ("<script>", True)):
        page.ask(f"(() => {{ state.a.which = {json.dumps(names)}; drawEdits(); tryModels(); }})()")
        said = page.ask("document.querySelector('#edit-a .said').className.includes('bad')")
        demand(said == wrong, f"{names!r} as neurons to edit: refused is {said}.")
    return min(took)


def _refuses(page: Page, lab: Lab) -> None:
    for text in HOSTILE:
        page.type("#own", text)
        page.wait(f"state.text === {json.dumps(text)} || state.text.length", 10.0)
        now = page.ask("state.text")
        ids = page.ask(f"ask('encode', {{text: {json.dumps(now)}}}).then((found) => found.ids)")
        right = lab.base.tokenizer(now, add_special_tokens=False)["input_ids"]
        demand(ids == right, f"{now!r} is read as {ids}, not {right}.")
        page.wait("!lines.try.busy && document.querySelectorAll('#reading .cell').length > 1", 60.0)
    for text, why in (("x" * 10_000, "10,000 characters"), ("", "empty")):
        page.type("#own", text)
        page.wait(f"document.getElementById('refusal').textContent.includes({json.dumps(why)})", 10.0)
        demand(page.ask("document.getElementById('results').innerHTML") == "", f"{why}: not refused.")
    demand(page.ask("window.harmed === undefined"), "A text that was typed ran as a script.")
    demand(page.ask("document.querySelectorAll('main img').length") == 0, "A text became an element.")


def _masks(page: Page) -> None:
    words, _, _ = second_list()
    texts = [*sorted(words), *sorted(MILD), "Scunthorpe assassin", "class grass passage", "what a lovely day"]
    texts += [word.upper() + "!" for word in sorted(words)[::7]] + [
        f"a-{word}s" for word in sorted(words)[::11]
    ]
    shown_there = page.ask(f"{json.dumps(texts)}.map(mask)")
    wrong = sum(mask(text) != there for text, there in zip(texts, shown_there, strict=True))
    demand(wrong == 0, f"{wrong} of {len(texts)} texts are masked otherwise than in the notebooks.")
    one = max(words, key=len)
    page.type("#own", f"You are a {one} ")
    page.wait("!lines.try.busy && document.querySelectorAll('#reading .cell').length > 4", 60.0)
    inside = page.ask("document.querySelector('main').innerText.toLowerCase()")
    demand(one not in inside, "A word of the second list stands in the page unmasked.")


def _asked(lab: Lab) -> list[Prompt]:
    found = [*lab.texts.eliciting("dev"), *lab.texts.eliciting("eval")]
    # Few prompts, or long ones: then stretches of comments besides.
    for one in (*lab.texts.comments_test, *lab.texts.comments_train):
        starts = range(0, len(one.text), 7)
        found += [Prompt(f"{one.id}/{at}", one.text[at : at + 20], "plain") for at in starts]
    limit = lab.profile.decoding.max_prompt_tokens
    kept = [one for one in found if one.text and len(_ids(lab, [one.text])[0]) <= limit]
    return kept[:PROMPTS]


def _ids(lab: Lab, texts: Sequence[str]) -> list[list[int]]:
    return lab.base.tokenizer(list(texts), add_special_tokens=False)["input_ids"]


def _models(lab: Lab) -> dict[str, Any]:
    return {"base": lab.base, "aligned": lab.policies.load(POLICY)}


@torch.no_grad()
def _last_logits(model: Any, ids: list[int]) -> np.ndarray:
    inside = model.bridge.original_model
    return inside(torch.tensor([ids], device=model.device)).logits[0, -1].float().cpu().numpy()


def _theirs(page: Page, model: str, ids: list[int], edits: list | None = None) -> np.ndarray:
    told = page.ask(
        f"ask('logits', {json.dumps({'model': model, 'ids': ids, 'edits': edits})}).then((found) =>"
        "btoa(Array.from(new Uint8Array(found.buffer), (one) => String.fromCharCode(one)).join('')))"
    )
    return np.frombuffer(base64.b64decode(told), dtype="<f4")


def _logits(page: Page, lab: Lab) -> dict[str, float]:
    prompts = _asked(lab)
    demand(len(prompts) == PROMPTS, f"There are {len(prompts)} prompts to compare on, not {PROMPTS}.")
    found = {}
    for name, model in _models(lab).items():
        far = 0.0
        for prompt, right in zip(prompts, _ids(lab, [one.text for one in prompts]), strict=True):
            ids = page.ask(f"ask('encode', {{text: {json.dumps(prompt.text)}}}).then((one) => one.ids)")
            demand(ids == right, f"{prompt.text!r} is read as {ids}, not {right}.")
            far = max(far, float(np.abs(_theirs(page, name, ids) - _last_logits(model, ids)).max()))
        found[name] = far
    return found


def _edited(page: Page, lab: Lab) -> dict[str, float]:
    """The page's edits beside the notebooks' interventions."""
    last = lab.base.n_layers - 1
    first, second = [Neuron(0, 3), Neuron(last, 1)], [Neuron(last, 5)]
    told = [
        {"neurons": [[one.layer, one.index] for one in first], "what": "key", "factor": 4},
        {"neurons": [[one.layer, one.index] for one in second], "what": "activation", "factor": -2},
    ]
    found = {}
    for name, model in _models(lab).items():
        far = 0.0
        for ids in _ids(lab, [one.text for one in _asked(lab)[:5]]):
            with scale_keys(model, first, 4.0), scale_activations(model, second, -2.0):
                right = _last_logits(model, ids)
            demand(bool(np.abs(right - _last_logits(model, ids)).max() > 1e-6), "The edit edits nothing.")
            far = max(far, float(np.abs(_theirs(page, name, ids, told) - right).max()))
        found[name] = far
    return found


def _contexts(page: Page) -> float:
    """How far activations that the page computes lie from those that the notebooks kept, at every place shown
    of a few neurons."""
    far = page.ask("""(async () => {
      let far = 0;
      for (const i of [7, all.count - 1, all.order("cosine").order[0]])
        for (const [who, on] of [["base", "own"], ["aligned", "own"], ["aligned", "shared"]])
          for (const end of ["top", "low"])
            for (const one of contextsOf(all, i, who, end, on)) {
              const seen = await ask("watch", { ids: one.ids, neuron: all.place(i) });
              far = Math.max(far, Math.abs(seen[who][one.at] - one.value));
            }
      return far; })()""")
    return float(far)


def _speed(page: Page) -> dict[str, float]:
    steps = min(40, page.ask("told.shape.context") - 8)
    return {
        # A page's numbers are of one kind, and a whole one arrives as an int.
        name: max(
            float(page.ask(f"ask('speed', {{model: '{name}', ids: [5, 6, 7, 8], steps: {steps}}})"))
            for _ in range(3)
        )
        for name in ("base", "aligned")
    }


def _writes(page: Page, lab: Lab) -> int:
    """Continuations by the same seed are Python's, and the same each time; returns how many were compared."""
    prompts = _asked(lab)[:WRITTEN]
    for name, model in _models(lab).items():
        right = continue_prompts(
            model, prompts, lab.profile.decoding, seed=lab.profile.seed, batch_size=WRITTEN
        )
        for prompt, ids, new in zip(prompts, right.prompt_ids, right.ids.tolist(), strict=True):
            asked = {"model": name, "ids": list(ids), "seed": lab.profile.seed, "name": prompt.id}
            twice = [
                page.ask(f"ask('write', {json.dumps(asked)}).then((found) => found[0].ids)") for _ in range(2)
            ]
            demand(twice[0] == twice[1], "The same seed gave two texts.")
            demand(twice[0] == new, f"{name} continues {prompt.id} by {twice[0]}; in Python by {new}.")
    return len(prompts) * 2


def _agrees(page: Page, lab: Lab) -> int:
    """Every figure that page and notebook both show of a neuron is the same as it is shown; and the cell that
    the page gives for a view makes it again. Returns how many figures were compared."""
    whole = lab.attribution.attribute(POLICY, shared=True).whole.flatten()
    places = {0, 7, len(whole) // 2, len(whole) - 1, int(whole.argmax()), int(whole.argmin())}
    neurons = [Neuron(*divmod(place, lab.base.d_mlp)) for place in sorted(places)]
    compared, differ = compare_figures(page, lab, neurons)
    demand(not differ, f"{len(differ)} of {compared} figures are not the notebook's: {differ[:5]}")
    _opens_anew(page)
    wrong = run_code(page, lab)
    demand(not wrong, f"The page's cell makes another view: {wrong}")
    page.click("#copy")
    page.wait("document.getElementById('copied').textContent && document.getElementById('code').textContent")
    return compared


def _opens_anew(page: Page) -> None:
    address = page.ask("location.href.split('#')[0]")
    page.open("about:blank")
    page.open(address)
    page.wait("document.body.classList.contains('ready')", 120.0)


def _pictures(page: Page, address: str, folder: Path) -> None:
    page.open("about:blank")
    page.open(address)
    page.wait("state.seen && results.A && !lines.try.busy", 120.0)
    page.wait("document.getElementById('reading').children.length", 60.0)
    page.look(width=1280, height=800)
    page.picture(folder / "light.png")
    page.look(width=1280, height=800, dark=True)
    page.picture(folder / "dark.png")
    page.look(width=1280, height=1000)
    page.ask("document.getElementById('try').scrollIntoView({behavior: 'instant'})")
    page.picture(folder / "try.png")
    page.look(width=390, height=844)
    page.ask("scrollTo(0, 0)")
    page.picture(folder / "phone.png")
    wide = page.ask("document.documentElement.scrollWidth")
    demand(wide <= 390, f"On a phone of 390 points the page is {wide} wide.")


def _report(found: Checked) -> list[str]:
    def most(values: dict[str, float]) -> str:
        return ", ".join(f"{name} {value:.1e}" for name, value in values.items())

    speed = ", ".join(f"{name} {value:.0f}" for name, value in found.tokens_per_second.items())
    return [
        f"page: {found.megabytes:.1f} MB, {found.neurons:,} neurons; first view {found.first_view:.2f} s; "
        f"models unpacked {found.unpacked:.2f} s later",
        f"logits from PyTorch's, at most, on {PROMPTS} prompts: {most(found.logits)}; "
        f"edited {most(found.edited)}",
        f"activations from the notebooks', at most: {found.contexts:.1e}",
        f"tokens a second: {speed}; slider to text {found.slider:.2f} s",
        f"figures of neurons equal to the notebook's, digit for digit: {found.same_figures} of "
        f"{found.same_figures}; its cell makes the same view and texts",
        f"continuations equal to Python's, token by token: {found.same_texts} of {found.same_texts}",
    ]


def run(request: Request, chromium: str) -> int:
    """Makes the page where there is none, drives it, and says what was found."""
    os.environ.update(request.env)
    lab = Lab.start("10_neuron_explorer", request.env["TOXICITY_LAB_PROFILE"])
    folder, pictures = request.build / "html", request.build / "browser"
    page = folder / EXPLORER
    if not page.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_explorer(lab, folder)
    found = check_page(page, lab, chromium, pictures)
    lines = _report(found)
    notebook = NOTEBOOKS / "10_neuron_explorer.ipynb"
    if notebook.is_file():
        lines.append(check_notebook(notebook, chromium, pictures, request.env))
    record = {"date": date.today().isoformat(), "machine": machine(), "model": lab.base.name, "found": lines}
    write_json(pictures / RESULT, record)
    print("\n".join(["", *lines, f"Pictures and result: {shown(pictures)}"]))
    if os.environ.get("STORE") == "1":
        shutil.copy(pictures / "light.png", NOTEBOOKS / STORED)
        write_json(NOTEBOOKS / RESULT, record)
        print(f"Stored: {shown(NOTEBOOKS / STORED)}, {shown(NOTEBOOKS / RESULT)}")
    check_speed(found)
    return 0


def main() -> int:
    """The command's entry."""
    chromium = find_chromium()
    if chromium is None:
        print(
            "make browser: no Chromium or Chrome was found. Install one (Debian and Ubuntu: sudo apt install "
            "chromium).",
            file=sys.stderr,
        )
        return 1
    try:
        return run(read_request(os.environ), str(chromium))
    except (BrowserError, CheckError, NoPage, ProfileError, ValueError) as error:
        print(f"make browser: {error}", file=sys.stderr)
        return 1
