"""Notebook 10 in JupyterLab in headless Chromium: run from first cell to last, its tour clicked through."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from helpers.course.chromium import PATIENCE, BrowserError, browse
from helpers.course.series import ROOT

PATIENCE_RUN = 900.0
TOUR = (
    "[...document.querySelectorAll('.jp-OutputArea button')]"
    ".filter((one) => /^\\s*[1-5]\\b/.test(one.innerText))"
)
"""The tour's buttons: those in an output whose label begins with a step's number."""


@contextmanager
def serve(folder: Path, env: Mapping[str, str]) -> Iterator[str]:
    """JupyterLab on a folder, on a free port of this machine; gives its address, {} for a path."""
    token, home = secrets.token_hex(16), Path(tempfile.mkdtemp(prefix="explorer-lab-"))
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        "--ServerApp.port=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}",
        "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    settings = {"JUPYTER_RUNTIME_DIR": str(home), "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces")}
    with (home / "log").open("w") as said:
        server = subprocess.Popen(command, stdout=said, stderr=said, env={**os.environ, **env, **settings})
    try:
        end = time.monotonic() + PATIENCE
        while not (found := list(home.glob("jpserver-*.json"))):
            if server.poll() is not None or time.monotonic() > end:
                raise BrowserError(f"JupyterLab did not start: {(home / 'log').read_text()[-500:]}")
            time.sleep(0.2)
        address = json.loads(found[0].read_text())["url"]
        build_opener(ProxyHandler({})).open(f"{address}api?token={token}", timeout=PATIENCE)
        yield f"{address}lab/tree/{{}}?token={token}"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(home, ignore_errors=True)


def check_notebook(notebook: Path, chromium: str, pictures: Path, env: Mapping[str, str]) -> str:
    """Opens a copy of the notebook, runs all of it, clicks through its tour; says what was found.

    Raises BrowserError where a cell fails, a widget is not drawn or the console has an error.
    """
    # Beside the notebooks, where imports and data are found; a copy, so that the stored one stays.
    copy = notebook.with_name(f".browser-{notebook.name}")
    shutil.copy(notebook, copy)
    try:
        with serve(ROOT, env) as address, browse(chromium) as page:
            page.look(width=1400, height=1000)
            page.open(address.format(f"notebooks/{copy.name}"))
            page.wait("window.jupyterapp || document.querySelector('.jp-Notebook .jp-Cell')", 120.0)
            page.wait("document.querySelector('.jp-Notebook .jp-Cell')", 120.0)
            began = time.monotonic()
            page.wait("document.querySelector('[data-jp-item-name=restart-and-run]')")
            page.ask("document.querySelector('.jp-Notebook').focus()")
            page.click("[data-jp-item-name='restart-and-run'] :is(jp-button, button)")
            page.wait("document.querySelector('.jp-Dialog .jp-mod-accept')", 30.0)
            page.click(".jp-Dialog .jp-mod-accept")
            state = (
                "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map((one) => one.innerText)"
            )
            page.wait(f"{state}.length && {state}.every((one) => /\\[\\d+\\]/.test(one))", PATIENCE_RUN)
            took = time.monotonic() - began
            failed = page.ask("document.querySelectorAll('.jp-RenderedText[data-mime-type$=error]').length")
            if failed:
                raise BrowserError(f"{failed} cells of {notebook.name} failed in JupyterLab.")
            page.wait("document.querySelector('.jp-OutputArea .jupyter-widgets')", 60.0)
            steps = page.ask(f"{TOUR}.length")
            for step in range(steps):
                page.ask(f"{TOUR}[{step}].click()")
                time.sleep(1.5)
            page.ask("document.querySelector('.jp-OutputArea .jupyter-widgets').scrollIntoView()")
            page.picture(pictures / "notebook.png")
            # JupyterLab asks for files of a workspace and settings that a fresh one has not.
            said = [one for one in page.complaints if not one.startswith("404") and "404" not in one]
            if said:
                raise BrowserError(f"JupyterLab's console says: {said[:5]}")
        return f"notebook 10 in JupyterLab: ran in {took:.0f} s, {steps} buttons of its tour clicked"
    finally:
        copy.unlink(missing_ok=True)
