"""The hub: cache first, one short request, endpoint and proxy respected, and errors that show the way round.

Each case runs in a process of its own, because the hub library reads its environment on import, against a
small server on this machine that answers as the hub does.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.utils import _http

from helpers.language import hub
from helpers.language.prefetch import fetch_all
from helpers.profiles import POCKET, HubText, ProfileError
from tests.hub_imitation import server as fault
from tests.hub_imitation.server import Hub, Repository, serve

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
HELD = Repository("owner/name", "model", COMMIT, FILES, frozenset({"model.safetensors"}))
TABLE = Repository("owner/table", "dataset", COMMIT, {"train.csv": b"comment,toxic\nYou fool.,1\nHello.,0\n"})
FETCH = "from helpers.language import hub; print(hub.model_folder('owner/name', {revision!r}))"


@pytest.fixture
def server() -> Iterator[Hub]:
    with serve(HELD, TABLE) as found:
        yield found


@pytest.fixture
def here(server, tmp_path, monkeypatch) -> Iterator[Hub]:
    """The same for this very process, where one of its own would cost seconds.

    A download that was given up goes on asking in its thread, and a server that is gone by then makes the
    library close the client that it shares with the next test's: so it is let finish, without pauses.
    """
    constants = hub.constants
    for name, value in {
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_CACHE": str(tmp_path),
        "ENDPOINT": server.address,
        "HUGGINGFACE_CO_URL_TEMPLATE": server.address + "/{repo_id}/resolve/{revision}/{filename}",
    }.items():
        monkeypatch.setattr(constants, name, value)
    download = hub.snapshot_download  # which took the folder of the cache from its environment
    monkeypatch.setattr(hub, "snapshot_download", partial(download, cache_dir=str(tmp_path)))
    monkeypatch.setattr(_http, "time", SimpleNamespace(**vars(time) | {"sleep": server.over.wait}))
    yield server
    server.faults.clear()
    server.over.set()
    for thread in threading.enumerate():
        if thread.name.endswith("(run)"):
            thread.join(60)
            assert not thread.is_alive(), "a download that was given up does not end"


@pytest.fixture
def waits(monkeypatch) -> list[tuple[float, float, float]]:
    """Every wait of the project's code for the hub: when it began, how long it might last, when it ended."""
    found = []
    start = hub._in_background

    def watched(call):
        answers = start(call)
        get = answers.get

        def timed(timeout):
            begin = time.monotonic()
            try:
                return get(timeout=timeout)
            finally:
                found.append((begin, timeout, time.monotonic()))

        answers.get = timed
        return answers

    monkeypatch.setattr(hub, "_in_background", watched)
    return found


def waited(waits: list[tuple[float, float, float]], since: float = 0.0) -> float:
    """Seconds waited for the hub since then, which other work on this machine makes no longer.

    For a wait counts at most as long as it might last, and what is computed between two does not count.
    """
    return sum(min(most, end - max(begin, since)) for begin, most, end in waits if end > since)


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
        timeout=600,  # a guard against hanging for good, not a measure of speed
    )


def test_fetches_what_is_wanted_then_needs_no_network(server, tmp_path):
    code = FETCH.format(revision=COMMIT)
    done = run(code, tmp_path, HF_ENDPOINT=server.address)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert folder.is_relative_to(tmp_path), "HF_HOME says where the cache is"
    assert {path.name for path in folder.iterdir()} == set(FILES) - {"pytorch_model.bin"}
    asked = len(server.asked)
    for environment in ({"HF_ENDPOINT": server.address}, {"HF_HUB_OFFLINE": "1"}):
        again = run(code, tmp_path, **environment)
        assert again.stdout == done.stdout, again.stderr
    assert len(server.asked) == asked


@pytest.mark.parametrize("lost", ["tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_an_interrupted_download_is_completed(server, tmp_path, lost):
    code, endpoint = FETCH.format(revision=COMMIT), server.address
    folder = Path(run(code, tmp_path, HF_ENDPOINT=endpoint).stdout.strip())
    (folder / lost).unlink()
    again = run(code, tmp_path, HF_HUB_OFFLINE="1")
    assert "HubError" in again.stderr and "HF_HUB_OFFLINE is set" in again.stderr
    again = run(code, tmp_path, HF_ENDPOINT=endpoint)
    assert again.returncode == 0, again.stderr
    assert (folder / lost).is_file()


def test_a_damaged_file_is_never_served_and_is_fetched_again_once_deleted(server, tmp_path):
    code, endpoint = FETCH.format(revision=COMMIT), server.address
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
    folder, blob = tmp_path / "snapshots" / COMMIT, tmp_path / "blobs" / HELD.hashes[name]
    for place in (folder, blob.parent, tmp_path / "trees"):
        place.mkdir(parents=True)
    blob.write_bytes(FILES[name])
    (folder / name).symlink_to(blob)
    said = {"size": len(FILES[name]), "blob_id": "0" * 40, "lfs_sha256": HELD.hashes[name]}
    if name not in HELD.large:
        said = {"size": len(FILES[name]), "blob_id": HELD.hashes[name]}
    text = {"whole": json.dumps({"files": {name: said}}), "damaged": '{"files'}
    if listing in text:
        (tmp_path / "trees" / f"{COMMIT}.json").write_text(text[listing])
    hub._verify(folder, [name])
    blob.write_bytes(harm(FILES[name]))
    with pytest.raises(hub.HubError, match=f"{name} is damaged: .* Delete .*{blob.name} and run again"):
        hub._verify(folder, [name])


@pytest.mark.parametrize("where", ["revision", "tree", "resolve.*config.json", "storage"])
@pytest.mark.parametrize("wrong", [fault.hang, fault.broken])
def test_where_no_byte_flows_it_is_given_up_within_five_seconds(here, waits, where, wrong):
    """And what is fetched afterwards is whole."""
    here.faults[where] = wrong
    with pytest.raises(hub.HubError, match="500|no byte arrived|no answer|timed out") as caught:
        hub.model_folder("owner/name", COMMIT)
    assert 0 < waited(waits, since=here.quiet_since) < 5
    assert 'PROFILE = "pocket"' in str(caught.value)
    assert wrong is not fault.broken or "500" in str(caught.value)
    here.faults.clear()
    here.over.set()
    check_whole(hub.model_folder("owner/name", COMMIT))


def check_whole(folder: Path) -> None:
    for name in set(FILES) - {"pytorch_model.bin"}:
        assert (folder / name).read_bytes() == FILES[name]


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"])
@pytest.mark.parametrize("listing", [True, False])
def test_a_snapshot_that_one_file_did_not_reach_is_not_whole(here, tmp_path, name, listing):
    """Though what is there would do for a tokenizer; earlier versions of the library kept no listing."""
    here.faults[f"resolve/.*/{name}"] = fault.gone
    with pytest.raises(hub.HubError):
        hub.model_folder("owner/name", COMMIT)
    here.faults.clear()
    if not listing:
        for kept in tmp_path.rglob("trees/*.json"):
            kept.unlink()
    check_whole(hub.model_folder("owner/name", COMMIT))


@pytest.mark.parametrize(
    ("name", "path"), [("config.json", "resolve/.*/config.json"), ("model.safetensors", "storage/")]
)
def test_what_arrives_damaged_is_said_and_not_kept(here, tmp_path, name, path):
    here.faults[path] = fault.harmed
    with pytest.raises(hub.HubError, match=f"{name} arrived damaged: .* It was deleted: run again"):
        hub.model_folder("owner/name", COMMIT)
    assert not [path for path in tmp_path.rglob(f"snapshots/*/{name}") if path.exists()]
    here.faults.clear()
    check_whole(hub.model_folder("owner/name", COMMIT))


def test_a_file_that_is_always_cut_short_is_said_and_not_kept(here, waits, tmp_path):
    """The library asks five times for the rest, a second apart; each time it gets half of what is left."""
    here.faults["storage/"] = fault.cut_short
    with pytest.raises(hub.HubError, match="a file did not arrive"):
        hub.model_folder("owner/name", COMMIT)
    assert waited(waits) < 10
    assert not list(tmp_path.rglob("snapshots/*/model.safetensors"))
    here.faults.clear()
    check_whole(hub.model_folder("owner/name", COMMIT))


def test_a_download_that_was_cut_off_goes_on_where_it_was(here, monkeypatch):
    """One answer that is cut short costs no more than the rest."""

    def once(answer):
        fault.cut_short(answer)
        here.faults.clear()

    monkeypatch.setattr(hub.constants, "DOWNLOAD_CHUNK_SIZE", 1)  # what it had of a chunk, it forgets
    here.faults["storage/"] = once
    check_whole(hub.model_folder("owner/name", COMMIT))
    assert here.sent_of["model.safetensors"] == len(FILES["model.safetensors"])


def test_bytes_that_trickle_are_no_silence(here, monkeypatch):
    """The library's bar moves once in 10 MB: none of these bytes reaches it before the last has come."""
    monkeypatch.setattr(hub, "SILENT_SECONDS", 2.5)
    here.pause = 1.0
    begin = time.monotonic()
    check_whole(hub.model_folder("owner/name", COMMIT))
    assert time.monotonic() - begin > 4 * 1.0


def test_a_renamed_column_is_said_before_anything_runs(here):
    columns = {"text": "comment_text"}
    table = HubText(repository="owner/table", revision=COMMIT, file="train.csv", columns=columns)
    profile = POCKET.model_copy(update={"data": POCKET.data.model_copy(update={"comments": table})})
    with pytest.raises(ProfileError, match="no column 'comment_text'. Did you mean 'comment'.*data.comments"):
        fetch_all(profile)


@pytest.mark.parametrize(
    ("number", "place", "said"),
    [
        (errno.EROFS, "hub", "hub cannot be written: .*Read-only.*HF_HOME"),
        (errno.ENOSPC, None, "hub cannot be written: .*No space left.*Make room.*HF_HOME"),
    ],
)
def test_a_cache_that_cannot_be_written_is_not_blamed_on_the_network(
    tmp_path, monkeypatch, number, place, said
):
    def refuse(*_, local_files_only=False, **__):
        if local_files_only:
            raise LocalEntryNotFoundError("nothing there")
        raise OSError(number, os.strerror(number), *([str(tmp_path / place)] if place else []))

    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "snapshot_download", refuse)
    monkeypatch.setattr(hub, "_ask", lambda *_: (COMMIT, list(FILES)))
    with pytest.raises(hub.HubError, match=said) as caught:
        hub.model_folder("owner/name", COMMIT)
    assert "network" not in str(caught.value)


def test_a_slow_download_is_no_silent_one(monkeypatch):
    def slow(repository, tqdm_class):
        with tqdm_class(total=4) as bar:
            for _ in range(4):
                time.sleep(0.6)
                bar.update(1)
        return "folder"

    monkeypatch.setattr(hub, "snapshot_download", slow)
    monkeypatch.setattr(hub, "SILENT_SECONDS", 2.0)
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
        FETCH.format(revision=COMMIT), tmp_path, HF_ENDPOINT=server.address, HF_HUB_OFFLINE="1"
    )
    assert "HF_HUB_OFFLINE is set" in done.stderr and "pocket" in done.stderr
    assert server.asked == []


def test_proxy_is_used(server, tmp_path):
    done = run(
        FETCH.format(revision=COMMIT),
        tmp_path,
        HF_ENDPOINT="http://hub.invalid",
        HTTP_PROXY=server.address,
    )
    assert done.returncode == 0, done.stderr
    theirs = ("http://hub.invalid/", f"http://localhost:{server.port}/storage/")
    assert all(path.startswith(theirs) for path in server.asked), "a proxy gets whole addresses"
    assert {path.split("/")[2] for path in server.asked} == {"hub.invalid", f"localhost:{server.port}"}


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
    done = run(code, tmp_path, HF_ENDPOINT=server.address)
    assert done.returncode != 0
    for part in ("HubError", *parts):
        assert part in done.stderr


def test_no_pin_warns_and_the_resolved_one_can_be_recorded(server, tmp_path):
    done = run(FETCH.format(revision=None), tmp_path, HF_ENDPOINT=server.address)
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
    done = run(record, tmp_path, HF_ENDPOINT=server.address)
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
