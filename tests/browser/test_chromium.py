"""Starting Chromium: what never comes is waited for in vain for so long, and then said."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from subprocess import Popen
from threading import Thread
from unittest.mock import Mock

import pytest

from helpers.course import chromium


class NoPages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


def running(status: int | None) -> Mock:
    """A browser's process: running, or ended with a status."""
    return Mock(spec=Popen, poll=lambda: status)


def test_a_browser_without_a_page_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(chromium, "PATIENCE", 0.3)
    server = HTTPServer(("127.0.0.1", 0), NoPages)
    Thread(target=server.serve_forever, daemon=True).start()
    (port := tmp_path / "port").write_text(f"{server.server_port}\n")
    try:
        with pytest.raises(chromium.BrowserError, match="no page"):
            chromium._address(port, running(None), tmp_path / "log")
    finally:
        server.shutdown()
        server.server_close()


def test_a_browser_that_ended_is_not_waited_for(tmp_path):
    (log := tmp_path / "log").write_text("no such library")
    with pytest.raises(chromium.BrowserError, match="no such library"):
        chromium._address(tmp_path / "port", running(1), log)
