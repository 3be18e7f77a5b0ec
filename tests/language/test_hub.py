"""The hub: cache first, one short request, endpoint and proxy respected, and errors that show the way round.

Each case runs in a process of its own, because the hub library reads its environment on import, against a
small server on this machine that answers as the hub does.
"""

from __future__ import annotations

import errno
import hashlib
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from helpers.language import hub

ROOT = Path(__file__).parents[2]
COMMIT = "c0ffee" + "0" * 34
FILES = {
    "config.json": b'{"model_type": "gpt2"}',
    "model.safetensors": b"weights",
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b"{}",
    "vocab.json": b"{}",
    "merges.txt": b"#version: 0.2",
    "pytorch_model.bin": b"pickle",
}
LARGE = {"model.safetensors"}


def hash_of(name: str) -> str:
    """SHA-256 of a large file, as the hub keeps them apart; of any other, what Git calls it by."""
    content = FILES[name]
    if name in LARGE:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


FETCH = "from helpers.language import hub; print(hub.model_folder('owner/name', {revision!r}))"


class FakeHub(http.server.BaseHTTPRequestHandler):
    """Answers what is asked of the hub: what a revision holds, with and without sizes, and for a file."""

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = self.path.split("owner/name", 1)[-1] if "owner/name" in self.path else None
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        if path is not None and "/api/models/" in self.path and path in ("", f"/revision/{COMMIT}"):
            siblings = [{"rfilename": name} for name in FILES]
            self.send(json.dumps({"id": "owner/name", "sha": COMMIT, "siblings": siblings}).encode(), body)
        elif path is not None and "/api/models/" in self.path and path.startswith(f"/tree/{COMMIT}"):
            tree = [
                {"type": "file", "oid": hash_of(name), "size": len(FILES[name]), "path": name}
                for name in FILES
            ]
            for row in tree:
                if row["path"] in LARGE:
                    row["lfs"] = {"oid": row["oid"], "size": row["size"], "pointerSize": 1}
            self.send(json.dumps(tree).encode(), body)
        elif path is not None and path.startswith(f"/resolve/{COMMIT}/") and path.rsplit("/", 1)[1] in FILES:
            name = path.rsplit("/", 1)[1]
            if name == self.server.silent:  # type: ignore[attr-defined]
                self.server.over.wait(30)  # type: ignore[attr-defined]
            self.send(FILES[name], body, {"ETag": f'"{hash_of(name)}"', "X-Repo-Commit": COMMIT})
        else:
            known = path is not None
            self.send(
                b"", body, {"X-Error-Code": "RevisionNotFound" if known else "RepoNotFound"}, status=404
            )

    def send(
        self, content: bytes, body: bool, headers: dict[str, str] | None = None, status: int = 200
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    fake = http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    fake.asked, fake.silent = [], ""  # type: ignore[attr-defined]
    fake.over = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=fake.serve_forever, daemon=True).start()
    yield fake
    fake.over.set()  # type: ignore[attr-defined]
    fake.shutdown()
    fake.server_close()


def address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def run(code: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a fresh process with its own empty hub cache; no proxy but the one given."""
    inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    inherited = {name: value for name, value in inherited.items() if not name.startswith("HF_")}
    settings = {
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        **environment,
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=inherited | settings,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_fetches_what_is_wanted_then_needs_no_network(server, tmp_path):
    code = FETCH.format(revision=COMMIT)
    done = run(code, tmp_path, HF_ENDPOINT=address(server.server_port))
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert folder.is_relative_to(tmp_path), "HF_HOME says where the cache is"
    assert {path.name for path in folder.iterdir()} == set(FILES) - {"pytorch_model.bin"}
    asked = len(server.asked)
    for environment in ({"HF_ENDPOINT": address(server.server_port)}, {"HF_HUB_OFFLINE": "1"}):
        again = run(code, tmp_path, **environment)
        assert again.stdout == done.stdout, again.stderr
    assert len(server.asked) == asked


@pytest.mark.parametrize("lost", ["tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_an_interrupted_download_is_completed(server, tmp_path, lost):
    code, endpoint = FETCH.format(revision=COMMIT), address(server.server_port)
    folder = Path(run(code, tmp_path, HF_ENDPOINT=endpoint).stdout.strip())
    (folder / lost).unlink()
    again = run(code, tmp_path, HF_HUB_OFFLINE="1")
    assert "HubError" in again.stderr and "HF_HUB_OFFLINE is set" in again.stderr
    again = run(code, tmp_path, HF_ENDPOINT=endpoint)
    assert again.returncode == 0, again.stderr
    assert (folder / lost).is_file()


def test_a_damaged_file_is_never_served_and_is_fetched_again_once_deleted(server, tmp_path):
    code, endpoint = FETCH.format(revision=COMMIT), address(server.server_port)
    file = Path(run(code, tmp_path, HF_ENDPOINT=endpoint).stdout.strip()) / "model.safetensors"
    blob = file.resolve()
    blob.write_bytes(b"Weights")
    again = run(code, tmp_path, HF_ENDPOINT=endpoint)
    assert again.returncode != 0 and f"{file} is damaged: 7 bytes of 7" in again.stderr
    assert f"Delete {blob} and run again" in again.stderr
    blob.unlink()
    again = run(code, tmp_path, HF_ENDPOINT=endpoint)
    assert again.returncode == 0, again.stderr
    assert file.read_bytes() == FILES["model.safetensors"]


@pytest.mark.parametrize("listing", ["whole", "damaged", "absent"])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize(
    "harm", [lambda content: b"x" + content[1:], lambda content: content[:-1], lambda content: b""]
)
def test_every_damage_is_noticed_by_the_listing_or_by_the_blobs_name(tmp_path, listing, name, harm):
    folder, blob = tmp_path / "snapshots" / COMMIT, tmp_path / "blobs" / hash_of(name)
    for place in (folder, blob.parent, tmp_path / "trees"):
        place.mkdir(parents=True)
    blob.write_bytes(FILES[name])
    (folder / name).symlink_to(blob)
    said = {"size": len(FILES[name]), "blob_id": "0" * 40, "lfs_sha256": hash_of(name)}
    if name not in LARGE:
        said = {"size": len(FILES[name]), "blob_id": hash_of(name)}
    text = {"whole": json.dumps({"files": {name: said}}), "damaged": '{"files'}
    if listing in text:
        (tmp_path / "trees" / f"{COMMIT}.json").write_text(text[listing])
    hub._verify(folder, [name])
    blob.write_bytes(harm(FILES[name]))
    with pytest.raises(hub.HubError, match=f"{name} is damaged: .* Delete .*{hash_of(name)} and run again"):
        hub._verify(folder, [name])


def test_a_hub_that_goes_silent_over_a_file_is_given_up_soon(server, tmp_path):
    server.silent = "config.json"
    code = f"""if True:
        import os, sys
        from helpers.language import hub
        hub.SILENT_SECONDS = 2
        try:
            hub.model_folder('owner/name', {COMMIT!r})
        except hub.HubError as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
    """
    done = run(code, tmp_path, HF_ENDPOINT=address(server.server_port))
    assert "no byte arrived for 2 seconds" in done.stderr and "pocket" in done.stderr, done.stderr


def test_a_cache_that_cannot_be_written_is_not_blamed_on_the_network(tmp_path, monkeypatch):
    def refuse(*_, local_files_only=False, **__):
        if local_files_only:
            raise LocalEntryNotFoundError("nothing there")
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / "hub"))

    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "snapshot_download", refuse)
    monkeypatch.setattr(hub, "_ask", lambda *_: (COMMIT, list(FILES)))
    with pytest.raises(hub.HubError, match="hub cannot be written: .*Read-only.*HF_HOME") as caught:
        hub.model_folder("owner/name", COMMIT)
    assert "network" not in str(caught.value)


def test_a_slow_download_is_no_silent_one(monkeypatch):
    def slow(repository, tqdm_class):
        with tqdm_class(total=4) as bar:
            for _ in range(4):
                time.sleep(0.3)
                bar.update(1)
        return "folder"

    monkeypatch.setattr(hub, "snapshot_download", slow)
    monkeypatch.setattr(hub, "SILENT_SECONDS", 0.8)
    assert hub._download("owner/name") == Path("folder")


@pytest.mark.parametrize("silent", [False, True], ids=["closed port", "socket that never answers"])
def test_out_of_reach_says_what_where_and_the_way_round(tmp_path, silent):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if silent:
            listener.listen()
        endpoint = address(listener.getsockname()[1])
        done = run(FETCH.format(revision=COMMIT), tmp_path, HF_ENDPOINT=endpoint)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    for part in ("HubError", "model owner/name", COMMIT, endpoint, 'PROFILE = "pocket"'):
        assert part in last
    assert "Retry" not in done.stderr


def test_offline_fails_at_once_without_a_request(server, tmp_path):
    done = run(
        FETCH.format(revision=COMMIT), tmp_path, HF_ENDPOINT=address(server.server_port), HF_HUB_OFFLINE="1"
    )
    assert "HF_HUB_OFFLINE is set" in done.stderr and "pocket" in done.stderr
    assert server.asked == []


def test_proxy_is_used(server, tmp_path):
    done = run(
        FETCH.format(revision=COMMIT),
        tmp_path,
        HF_ENDPOINT="http://hub.invalid",
        HTTP_PROXY=address(server.server_port),
    )
    assert done.returncode == 0, done.stderr
    assert all(path.startswith("http://hub.invalid/") for path in server.asked)


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        (FETCH.format(revision="0" * 40), ["the repository is there, the revision is not"]),
        (
            FETCH.format(revision=COMMIT).replace("owner/name", "nobody/nothing"),
            ["has no model nobody/nothing"],
        ),
        (
            "from helpers.language import hub; "
            f"hub.snapshot('owner/name', {COMMIT!r}, kind='model', files=['a.csv'])",
            ["has no file 'a.csv'", COMMIT, "config.json, merges.txt, model.safetensors"],
        ),
    ],
    ids=["revision", "repository", "file"],
)
def test_what_is_not_there_is_named(server, tmp_path, code, parts):
    done = run(code, tmp_path, HF_ENDPOINT=address(server.server_port))
    assert done.returncode != 0
    for part in ("HubError", *parts):
        assert part in done.stderr


def test_no_pin_warns_and_the_resolved_one_can_be_recorded(server, tmp_path):
    done = run(FETCH.format(revision=None), tmp_path, HF_ENDPOINT=address(server.server_port))
    assert COMMIT in done.stdout
    assert "not pinned" in done.stderr and "python -m helpers.language.hub" in done.stderr
    record = f"""
from pathlib import Path
from helpers.language import hub
from helpers.profiles import GPT2_MEDIUM, ModelSource, PROFILES
PROFILES["gpt2-medium"] = GPT2_MEDIUM.model_copy(update={{"model": ModelSource(id="owner/name")}})
hub.RECORDED = Path({str(tmp_path)!r}) / "revisions.json"
hub.main()
print(hub.pinned("owner/name", None, "model"))
"""
    done = run(record, tmp_path, HF_ENDPOINT=address(server.server_port))
    assert done.stdout.splitlines()[-1] == COMMIT, done.stderr
    assert json.loads((tmp_path / "revisions.json").read_text()) == {"model/owner/name": COMMIT}


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"], []),
        (["data/train-00000-of-00002.parquet"], ["*train-*.parquet"]),
        (["data/test-00000-of-00001.parquet"], ["*train-*.parquet"]),
    ],
)
def test_a_half_fetched_dataset_is_not_served(names, missing):
    assert hub._missing(names, ["*train-*.parquet"]) == missing


@pytest.mark.parametrize(
    ("names", "enough"),
    [
        (["tokenizer.json"], True),
        (["vocab.json", "merges.txt"], True),
        (["merges.txt"], False),
        (["vocab.json"], False),
    ],
)
def test_a_tokenizer_is_one_file_or_two_that_belong_together(names, enough):
    assert (hub._missing(["config.json", "model.safetensors", *names], hub.MODEL_FILES) == []) == enough
