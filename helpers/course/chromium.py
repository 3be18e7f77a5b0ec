"""Drives a headless Chromium over its DevTools protocol, and keeps what it complains of."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import websocket

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--remote-debugging-port=0", "--remote-allow-origins=*",
)  # fmt: skip
OUTSIDE = ("http://*", "https://*", "ws://*", "wss://*", "ftp://*")
PATIENCE = 60.0


class BrowserError(RuntimeError):
    """What the browser did not do, with what it said."""


class Page:
    """One page of a browser. `complaints`: errors on its console, exceptions, requests that failed."""

    def __init__(self, address: str) -> None:
        self.socket = websocket.create_connection(
            address, timeout=10 * PATIENCE, suppress_origin=True, http_no_proxy=["127.0.0.1", "localhost"]
        )
        self.number = 0
        self.complaints: list[str] = []
        self.requests: dict[str, str] = {}
        self.loaded = False
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **asked: Any) -> dict[str, Any]:
        """One command of the protocol, and its result; events that come meanwhile are noted."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": asked}))
        while True:
            told = json.loads(self.socket.recv())
            if told.get("id") == self.number:
                if "error" in told:
                    raise BrowserError(f"{method}: {told['error'].get('message')}")
                return told["result"]
            self._note(told)

    def _note(self, told: dict[str, Any]) -> None:
        kind, said = told.get("method", ""), told.get("params", {})
        if kind == "Page.loadEventFired":
            self.loaded = True
        elif kind == "Runtime.exceptionThrown":
            details = said["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif kind == "Runtime.consoleAPICalled" and said["type"] in ("error", "assert"):
            self.complaints.append(" ".join(str(one.get("value", one)) for one in said["args"]))
        elif kind == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.complaints.append(said["entry"]["text"] + " " + said["entry"].get("url", ""))
        elif kind == "Network.requestWillBeSent":
            self.requests[said["requestId"]] = said["request"]["url"][:200]
        elif kind == "Network.loadingFailed" and not said.get("canceled"):
            self.complaints.append(f"{said['errorText']}: {self.requests.get(said['requestId'], '?')}")
        elif kind == "Network.responseReceived" and said["response"]["status"] >= 400:
            self.complaints.append(f"{said['response']['status']}: {said['response']['url'][:200]}")

    def cut_network(self) -> None:
        """From now on, a request that leaves the machine fails, and is noted as a complaint."""
        self.call("Network.setBlockedURLs", urls=list(OUTSIDE))

    def open(self, address: str) -> None:
        """Goes to an address and waits until it is loaded."""
        self.loaded = False
        self.call("Page.navigate", url=address)
        end = time.monotonic() + PATIENCE
        while not self.loaded:
            if time.monotonic() > end:
                raise BrowserError(f"{address} did not load within {PATIENCE:.0f} s: {self.complaints}")
            self._note(json.loads(self.socket.recv()))

    def ask(self, script: str) -> Any:
        """The value of an expression in the page; of a promise, what it comes to."""
        told = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in told:
            details = told["exceptionDetails"]
            raise BrowserError(
                f"{script[:200]}: {details.get('exception', {}).get('description', details['text'])}"
            )
        return told["result"].get("value")

    def wait(self, script: str, patience: float = PATIENCE) -> None:
        """Waits until an expression is true of the page, in the sense of its language: an element is."""
        end = time.monotonic() + patience
        while not self.ask(f"Promise.resolve(({script})).then(Boolean)"):
            if time.monotonic() > end:
                raise BrowserError(f"Not true within {patience:.0f} s: {script}; {self.complaints}")
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        """Clicks an element where it is on the screen, as a reader's mouse would."""
        box = self.ask(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); if (!one) return null;"
            "one.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const box = one.getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        if box is None:
            raise BrowserError(f"There is no {selector} to click.")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def type(self, selector: str, text: str) -> None:
        """Replaces what a field holds by a text, as a reader who pastes it."""
        self.ask(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            "one.focus(); one.select(); })()"
        )
        if text:
            self.call("Input.insertText", text=text)
        else:
            self.press("Delete")

    def press(self, key: str, code: int = 0) -> None:
        """Presses and releases a key."""
        codes = {"Enter": 13, "Tab": 9, "Delete": 46, "ArrowLeft": 37, "ArrowRight": 39, "Home": 36, " ": 32}
        code = code or codes.get(key, ord(key[0].upper()))
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        self.call(
            "Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **text
        )
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    def look(self, *, width: int, height: int, dark: bool = False, scale: float = 1.0) -> None:
        """The size of the window, and which colours its reader prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=width < 600,
        )  # fmt: skip
        # A page that still scrolls is clicked beside the mark.
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme, still])

    def picture(self, target: Path, *, whole: bool = False) -> Path:
        """A PNG of what is on the screen, or of the whole page."""
        told = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(base64.b64decode(told["data"]))
        return target


@contextmanager
def browse(chromium: str) -> Iterator[Page]:
    """A page of a new browser with an empty profile; both are gone afterwards.

    Raises BrowserError where the browser does not start.
    """
    profile = Path(tempfile.mkdtemp(prefix="explorer-"))
    log = profile / "log"
    with log.open("w") as said:
        command = [chromium, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        browser = subprocess.Popen(
            command, stdout=said, stderr=said, env={**os.environ, "HOME": str(profile)}
        )
    page = None
    try:
        page = Page(_address(profile / "DevToolsActivePort", browser, log))
        yield page
    finally:
        if page is not None:
            page.socket.close()
        end(browser, profile)


def end(process: subprocess.Popen, folder: Path, patience: float = 10.0) -> None:
    """Ends a program, by force where it does not go, and removes its folder."""
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _address(file: Path, browser: subprocess.Popen, log: Path) -> str:
    until = time.monotonic() + PATIENCE
    while not (file.is_file() and file.read_text().strip()):
        if browser.poll() is not None or time.monotonic() > until:
            raise BrowserError(f"The browser did not start: {log.read_text()[-500:]}")
        time.sleep(0.05)
    port = file.read_text().splitlines()[0]
    straight = build_opener(ProxyHandler({}))  # to this machine, whatever proxy the environment names
    while True:
        targets = json.loads(straight.open(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE).read())
        pages = [one["webSocketDebuggerUrl"] for one in targets if one["type"] == "page"]
        if pages:
            return pages[0]
        if time.monotonic() > until:
            raise BrowserError("The browser opened no page.")
        time.sleep(0.05)
