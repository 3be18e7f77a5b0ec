"""A server on this machine that answers as the hub does: what huggingface_hub asks for, and the ways to fail.

Routes: what a repository or one of its revisions holds (`/api/models/…`), the tree of a revision in pages,
files (`resolve`, HEAD and GET, byte ranges), large ones by way of a redirect to another host, as the hub's
storage is (`localhost` for 127.0.0.1). Xet, the hub's newer way to send large files, is left out: no file
says that it has it.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PAGE = 3
"""Rows of a tree to a page, so that every listing of ours has several; the hub's have a thousand."""

Fault = Callable[["Answer"], None]


@dataclass(frozen=True)
class Repository:
    """One revision of a model or dataset: file contents by name; `large` ones are kept apart, by Git LFS."""

    name: str
    kind: str
    commit: str
    files: Mapping[str, bytes]
    large: frozenset[str] = frozenset()

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of a large file; of any other, what Git calls it by."""
        return {
            name: hashlib.sha256(content).hexdigest()
            if name in self.large
            else hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            for name, content in self.files.items()
        }

    @classmethod
    def read(cls, name: str, kind: str, commit: str, folder: Path) -> Repository:
        """All files of a folder, so named from there on; weights and tables are large."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        large = {one for one in files if one.endswith((".safetensors", ".parquet", ".jsonl"))}
        return cls(name, kind, commit, files, frozenset(large))


@dataclass
class Answer:
    """What is about to be sent: a fault may change it, or keep it for as long as it likes."""

    path: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""
    name: str = ""
    hub: Hub | None = None


@dataclass
class Hub:
    """The server with what it holds, what was asked of it, and what goes wrong, by a pattern of the path."""

    repositories: tuple[Repository, ...]
    faults: dict[str, Fault] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    sent_of: Counter[str] = field(default_factory=Counter)
    pause: float = 0.0
    quiet_since: float = 0.0
    """When the last byte went out that is no complaint; before that, when the first request came."""
    port: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        """What HF_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self.port}"

    def answer(self, path: str, headers: Mapping[str, str]) -> Answer:
        """The hub's answer to one request."""
        asked = urlsplit(path)
        found = self.route(asked.path, parse_qs(asked.query), headers)
        if asked.netloc and "Link" in found.headers:  # a proxy is asked by whole address: that host goes on
            found.headers["Link"] = found.headers["Link"].replace(self.address, f"http://{asked.netloc}")
        found.hub = self
        for pattern, fault in list(self.faults.items()):
            if re.search(pattern, asked.path):
                fault(found)
        return found

    def route(self, path: str, query: Mapping[str, list[str]], headers: Mapping[str, str]) -> Answer:
        """The same before anything goes wrong."""
        if stored := re.fullmatch(r"/storage/(\w+)", path):
            for each in self.repositories:
                for name, digest in each.hashes.items():
                    if digest == stored[1]:
                        found = Answer(path, 200, {"ETag": f'"{digest}"'}, each.files[name], name)
                        return part(found, headers)
            return Answer(path, 404)
        for each in self.repositories:
            api = f"/api/{each.kind}s/{each.name}"
            if path in (api, f"{api}/revision/{each.commit}", f"{api}/revision/main"):
                return self.info(path, each)
            if path == f"{api}/tree/{each.commit}":
                return self.tree(path, each, int(query.get("cursor", ["0"])[0]))
            files = f"{'/datasets' * (each.kind == 'dataset')}/{each.name}/resolve/{each.commit}/"
            if path.startswith(files):
                return self.file(path, each, path.removeprefix(files), headers)
            if path.startswith((api + "/", files.split("/resolve")[0] + "/resolve/")):
                return Answer(path, 404, {"X-Error-Code": "RevisionNotFound"})
        return Answer(path, 404, {"X-Error-Code": "RepoNotFound"})

    def info(self, path: str, each: Repository) -> Answer:
        """Commit and file names, without sizes."""
        names = [{"rfilename": name} for name in each.files]
        return as_json(path, {"id": each.name, "sha": each.commit, "siblings": names})

    def tree(self, path: str, each: Repository, start: int) -> Answer:
        """A page of the files with their sizes and hashes; where there are more, its header says where."""
        rows = []
        for name, content in list(each.files.items())[start : start + PAGE]:
            size, digest = len(content), each.hashes[name]
            row = {"type": "file", "oid": digest, "size": size, "path": name}
            if name in each.large:  # what Git itself holds is a small pointer, with a name of its own
                row["oid"] = hashlib.sha1(digest.encode()).hexdigest()
                row["lfs"] = {"oid": digest, "size": size, "pointerSize": 134}
            rows.append(row)
        answer = as_json(path, rows)
        if start + PAGE < len(each.files):
            answer.headers["Link"] = f'<{self.address}{path}?cursor={start + PAGE}>; rel="next"'
        return answer

    def file(self, path: str, each: Repository, name: str, headers: Mapping[str, str]) -> Answer:
        """A file, or for a large one where it is stored; both say the commit and the hash."""
        said = {"X-Repo-Commit": each.commit}
        if name not in each.files:
            return Answer(path, 404, {**said, "X-Error-Code": "EntryNotFound"})
        digest, content = each.hashes[name], each.files[name]
        if name not in each.large:
            return part(Answer(path, 200, {**said, "ETag": f'"{digest}"'}, content, name), headers)
        linked = {"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(content))}
        return Answer(
            path, 302, {**said, **linked, "Location": f"http://localhost:{self.port}/storage/{digest}"}
        )


def as_json(path: str, content: object) -> Answer:
    """An answer in JSON."""
    return Answer(path, 200, {"Content-Type": "application/json"}, json.dumps(content).encode())


def part(answer: Answer, headers: Mapping[str, str]) -> Answer:
    """The same from the byte on that the request names, as a download asks that was cut off."""
    answer.headers["Accept-Ranges"] = "bytes"
    if wanted := re.fullmatch(r"bytes=(\d+)-", headers.get("Range", "")):
        start, whole = int(wanted[1]), len(answer.content)
        answer.status, answer.content = 206, answer.content[start:]
        answer.headers["Content-Range"] = f"bytes {start}-{whole - 1}/{whole}"
    return answer


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends what the hub answers."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        """Headers alone."""
        self.reply(body=False)

    def do_GET(self) -> None:
        """Headers and content."""
        self.reply(body=True)

    def reply(self, body: bool) -> None:
        """One request; a client that has gone away is no error of the server's."""
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        hub.asked.append(self.path)
        hub.quiet_since = hub.quiet_since or time.monotonic()
        answer = hub.answer(self.path, dict(self.headers.items()))
        try:
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.content)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                hub.sent_of[answer.name] += len(answer.content)
                self.send(answer.content, hub.pause if answer.name else 0)
            if answer.status < 400:
                hub.quiet_since = time.monotonic()
            if int(answer.headers.get("Content-Length", 0)) > len(answer.content):
                self.close_connection = True
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def send(self, content: bytes, pause: float) -> None:
        """All at once, or in four parts with a pause before each."""
        size = -(-len(content) // 4) if pause else len(content)
        for start in range(0, len(content), size or 1):
            time.sleep(pause)
            self.wfile.write(content[start : start + size])

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def serve(*repositories: Repository) -> Iterator[Hub]:
    """Runs a hub that holds these repositories, on a free port, until the block ends."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub = Hub(repositories, port=server.server_port)
    server.hub = hub  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.over.set()
        server.shutdown()
        server.server_close()


# --- what may go wrong --------------------------------------------------------------------------------------
def hang(answer: Answer) -> None:
    """Keeps silent until the test is over."""
    assert answer.hub is not None
    answer.hub.over.wait(60)


def broken(answer: Answer) -> None:
    """Says that something is wrong with the server."""
    answer.status, answer.content = 500, b"Internal Error"


def gone(answer: Answer) -> None:
    """The repository is there, the revision no longer."""
    answer.status, answer.content, answer.headers = 404, b"", {"X-Error-Code": "RevisionNotFound"}


def cut_short(answer: Answer) -> None:
    """Announces the whole and sends half of it, whenever it is asked."""
    answer.headers["Content-Length"] = str(len(answer.content))
    answer.content = answer.content[: len(answer.content) // 2]


def harmed(answer: Answer) -> None:
    """Sends as many bytes as announced, one of them another."""
    if answer.content:
        answer.content = answer.content[:-1] + bytes([answer.content[-1] ^ 1])
