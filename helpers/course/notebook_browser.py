"""Notebook 10 in JupyterLab in headless Chromium: run from first cell to last, its tour clicked through."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import nbformat

from helpers.artifacts import write_json
from helpers.course.chromium import PATIENCE, BrowserError, Page, browse, end
from helpers.course.series import ROOT

PATIENCE_START, PATIENCE_RUN = 240.0, 1800.0
TOUR = (
    "[...document.querySelectorAll('.jp-OutputArea button')]"
    ".filter((one) => /^\\s*[1-5]\\b/.test(one.innerText))"
)
"""The tour's buttons: those in an output whose label begins with a step's number."""
EXPLORER = "document.querySelector('.jp-OutputArea .jupyter-widgets')"
RUN = (
    "((all) => all.length && all.every((one) => /\\[\\d+\\]/.test(one.innerText)))"
    "([...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')])"
)
"""Whether every cell has the number of its run."""
REACHED = (
    "fetch('/api/sessions').then((found) => found.json()).then((all) => "
    "all.some(({ kernel }) => kernel.connections > 0 && kernel.execution_state === 'idle'))"
)
"""Whether the server has a kernel that a page is connected to and that has nothing to do."""
BEGUN = (
    "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]"
    ".some((one) => /\\[[\\d*]+\\]/.test(one.innerText))"
)
"""Whether any cell has a number, or waits for its turn."""

SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},  # every cell is on the page
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}
"""What JupyterLab is told not to do: to ask for news, to leave out cells that nobody looks at, to save."""


@contextmanager
def serve(folder: Path, env: Mapping[str, str]) -> Iterator[str]:
    """JupyterLab on a folder, on a free port of this machine; gives its address, {} for a path."""
    token, home = secrets.token_hex(16), Path(tempfile.mkdtemp(prefix="explorer-lab-"))
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        "--ServerApp.port=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}",
        "--ContentsManager.allow_hidden=True",  # the copy that is run begins with a dot
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    for path, told in SETTINGS.items():
        write_json(home / "settings" / f"{path}.jupyterlab-settings", told)
    settings = {
        "JUPYTER_RUNTIME_DIR": str(home), "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
    }  # fmt: skip
    with (home / "log").open("w") as said:
        server = subprocess.Popen(command, stdout=said, stderr=said, env={**os.environ, **env, **settings})
    try:
        until = time.monotonic() + PATIENCE_START
        while not (found := list(home.glob("jpserver-*.json"))):
            if server.poll() is not None or time.monotonic() > until:
                raise BrowserError(f"JupyterLab did not start: {(home / 'log').read_text()[-500:]}")
            time.sleep(0.2)
        address = json.loads(found[0].read_text())["url"]
        build_opener(ProxyHandler({})).open(f"{address}api?token={token}", timeout=PATIENCE)
        yield f"{address}lab/tree/{{}}?token={token}"
    finally:
        end(server, home, 20.0)


def bare_copy(notebook: Path) -> Path:
    """A copy to run, without outputs, beside the notebook, where imports and data are found.

    It is not paired: a save writes no script.
    """
    plain = nbformat.read(notebook, as_version=4)
    plain.metadata.pop("jupytext", None)
    for cell in plain.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    copy = notebook.with_name(f".browser-{notebook.name}")
    nbformat.write(plain, copy)
    return copy


def run_all(page: Page) -> None:
    """Asks JupyterLab to run every cell, once more where it did not begin.

    Asked before the page has reached its kernel it forgets, or asks which kernel is meant; and it calls a
    kernel idle before it has reached it. So the server is asked.

    Raises BrowserError where it does not begin at all.
    """
    page.wait(REACHED, PATIENCE_START)
    end = time.monotonic() + PATIENCE_START
    while True:
        page.ask("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
        try:
            page.wait(BEGUN, 15.0)
            return
        except BrowserError:
            if time.monotonic() > end:
                raise


def check_notebook(notebook: Path, chromium: str, pictures: Path, env: Mapping[str, str]) -> str:
    """Opens a copy of the notebook, runs all of it, clicks through its tour; says what was found.

    Raises BrowserError where a cell fails, a widget is not drawn or the console has an error.
    """
    copy = bare_copy(notebook)
    try:
        with serve(ROOT, env) as address, browse(chromium) as page:
            page.look(width=1400, height=1000)
            page.open(address.format(f"notebooks/{copy.name}"))
            page.wait("window.jupyterapp && document.querySelector('.jp-Notebook .jp-Cell')", PATIENCE_START)
            began = time.monotonic()
            run_all(page)
            page.wait(RUN, PATIENCE_RUN)
            took = time.monotonic() - began
            failed = page.ask("document.querySelectorAll('.jp-RenderedText[data-mime-type$=error]').length")
            if failed:
                raise BrowserError(f"{failed} cells of {notebook.name} failed in JupyterLab.")
            page.wait(f"{EXPLORER}", 60.0)
            steps = page.ask(f"{TOUR}.length")
            for step in range(steps):
                page.ask(f"{TOUR}[{step}].click()")
                page.wait(
                    f"{EXPLORER}.innerText.includes(`${{{TOUR}[{step}].innerText.slice(2).trim()}}.`)", 120.0
                )
                page.wait(f"{EXPLORER}.querySelectorAll('.nx').length > 1")
                page.wait(REACHED, 120.0)  # the question stands there before the view does
                page.ask(f"{EXPLORER}.scrollIntoView()")
                page.picture(pictures / f"notebook-{step + 1}.png")
            if page.complaints:
                raise BrowserError(f"JupyterLab's console says: {page.complaints[:5]}")
        return f"notebook 10 in JupyterLab: ran in {took:.0f} s, {steps} buttons of its tour clicked"
    finally:
        copy.unlink(missing_ok=True)
