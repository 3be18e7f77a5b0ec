"""Fetches pinned files from the Hugging Face hub: the cache, then one short request, then a clear error.

Run `python -m helpers.language.hub` when online to record the revisions that the profiles leave open.
"""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import json
import os
import queue
import re
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import HfApi, constants, get_session, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import tqdm

from helpers.artifacts import write_json
from helpers.artifacts.fingerprint import file_digest

Kind = Literal["model", "dataset"]

MODEL_FILES = ("config.json", "model*.safetensors", "tokenizer.json|vocab.json&merges.txt")
MODEL_EXTRAS = (
    "model.safetensors.index.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"
)  # fmt: skip
ANSWER_SECONDS = 4.0
"""How long the hub may take to say what it holds; an error within five seconds is the promise."""

SILENT_SECONDS = 3.5
"""How long no byte may arrive while files are fetched; left alone, the library waits up to two minutes."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
"""Errors of this machine's disk, which do not always say of which file."""

RECORDED = Path(__file__).with_name("revisions.json")
"""Revisions resolved by running this file: {"model/owner/name": "full hash"}."""


class HubError(RuntimeError):
    """Something wanted from the hub is not there or out of reach; says what, where, and the way round."""


def model_folder(repository: str, revision: str | None, *, files: Sequence[str] = MODEL_FILES) -> Path:
    """The local folder with a model's configuration, weights and tokenizer, fetched if need be."""
    return snapshot(repository, revision, kind="model", files=files, extras=MODEL_EXTRAS)


def dataset_files(repository: str, revision: str | None, pattern: str) -> list[Path]:
    """The local copies of a dataset's files that match a pattern such as "data/train-*.parquet", in order."""
    folder = snapshot(repository, revision, kind="dataset", files=(pattern,))
    return sorted(
        path for path in _files_in(folder) if fnmatch.fnmatch(path.relative_to(folder).as_posix(), pattern)
    )


def snapshot(
    repository: str, revision: str | None, *, kind: Kind, files: Sequence[str], extras: Sequence[str] = ()
) -> Path:
    """A folder that holds the wanted files of one revision of a repository.

    Args:
        revision: a full commit hash. None means: the one recorded in revisions.json, else whatever `main`
            is in the cache or on the hub, with a warning.
        files: patterns that must each match a file; "a|b&c" asks for a, or for b and c.
        extras: patterns that are fetched too where they exist.

    Raises:
        HubError: the hub did not answer, has no such repository or revision, or the revision lacks a file;
            or a file in the cache is not what the hub has.
    """
    revision = pinned(repository, revision, kind)
    patterns = [single for pattern in (*files, *extras) for single in re.split("[|&]", pattern)]

    def fetch(held: Sequence[str] = (), **how: Any) -> Path | None:
        """The folder, or None where it lacks a file: the library serves what it has if the hub goes away."""
        folder = _download(repository, repo_type=kind, allow_patterns=patterns, **how)
        cached, listed = how.get("local_files_only", False), _listing(folder)
        if cached and not listed and not constants.is_offline_mode():
            return None  # who knows what of it failed to arrive: the hub is asked
        names = [path.relative_to(folder).as_posix() for path in _files_in(folder)]
        known = {*names, *listed, *held}
        ours = [name for name in known if any(fnmatch.fnmatch(name, each) for each in patterns)]
        if _missing(names, files) or not set(ours) <= set(names):
            return None
        _verify(folder, sorted(ours), keep=cached)
        return folder

    with suppress(LocalEntryNotFoundError):  # raised too where an earlier download was interrupted
        if folder := fetch(revision=revision, local_files_only=True):
            return folder
    wanted = f"{kind} {repository} at {revision or 'its newest revision'}"
    if constants.is_offline_mode():
        raise _out_of_reach(wanted, "HF_HUB_OFFLINE is set and it is not in the cache")
    commit, listing = _ask(repository, revision, kind, wanted)
    if missing := _missing(listing, files):
        shown = ", ".join(listing[:20]) + (" …" if len(listing) > 20 else "")
        raise HubError(f"The {wanted} has no file {missing[0]!r}. It has: {shown or 'nothing'}.")
    try:
        if folder := fetch(listing, revision=commit, etag_timeout=ANSWER_SECONDS):
            return folder
    except (OSError, HTTPError) as error:
        place = getattr(error, "filename", None)
        if place or getattr(error, "errno", None) in FULL:  # of this machine: no network would mend it
            raise HubError(
                f"Wanted the {wanted}, but {place or constants.HF_HUB_CACHE} cannot be written: {error}. "
                "Make room or leave to write there, or set HF_HOME to another folder."
            ) from error
        raise _out_of_reach(wanted, f"a file did not arrive: {error}") from error
    raise _out_of_reach(wanted, "a file did not arrive")


def pinned(repository: str, revision: str | None, kind: Kind) -> str | None:
    """The revision to use: the profile's, else the recorded one, else None with a warning."""
    recorded = _recorded().get(f"{kind}/{repository}")
    if revision is None and recorded is None:
        warnings.warn(
            f"The {kind} {repository} is not pinned to a revision: figures may change when it does. "
            "`python -m helpers.language.hub` records the present one.",
            stacklevel=2,
        )
    return revision or recorded


def resolve(repository: str, kind: Kind) -> str:
    """The full hash of a repository's newest revision; one request."""
    return _ask(repository, None, kind, f"{kind} {repository}")[0]


def _ask(repository: str, revision: str | None, kind: Kind, wanted: str) -> tuple[str, list[str]]:
    """Commit hash and file names of a repository: one request by the hub library's session, on a deadline.

    The request runs in a thread, because the session's timeout does not cover a name server that keeps
    silent.
    """
    answers = _in_background(
        lambda: HfApi().repo_info(
            repository, revision=revision, repo_type=kind, timeout=ANSWER_SECONDS - 1
        )
    )
    try:
        answer = answers.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        raise _out_of_reach(wanted, f"no answer within {ANSWER_SECONDS:g} seconds") from None
    if isinstance(answer, RevisionNotFoundError):
        raise HubError(f"The hub has no {wanted}: the repository is there, the revision is not.") from answer
    if isinstance(answer, RepositoryNotFoundError):
        raise HubError(
            f"The hub has no {wanted} (or it is private: log in with `hf auth login`)."
        ) from answer
    if isinstance(answer, HfHubHTTPError | OfflineModeIsEnabled | OSError | HTTPError | ValueError):
        raise _out_of_reach(wanted, str(answer).strip().splitlines()[0] if str(answer).strip() else
                            type(answer).__name__) from answer  # fmt: skip
    if isinstance(answer, Exception):
        raise answer
    return answer.sha, sorted(sibling.rfilename for sibling in answer.siblings or [])


def _in_background(call: Callable[[], Any]) -> queue.Queue[Any]:
    """Starts a call that may hang; its result, or its error, comes by the queue."""
    answers: queue.Queue[Any] = queue.Queue()

    def run() -> None:
        try:
            answers.put(call())
        except (OSError, HTTPError, ValueError, RuntimeError, LookupError) as error:
            answers.put(error)

    threading.Thread(target=run, daemon=True).start()
    return answers


class _Pulse:
    """When something last arrived from the hub, and what it last answered in place of it.

    The library's bars move once in 10 MB, which a slow line takes longer for than a silent hub is waited for;
    so the bytes of its open answers are counted, as its HTTP client counts them.
    """

    def __init__(self) -> None:
        self.last, self.refused = time.monotonic(), ""
        self.answers: list[Any] = []
        self.bytes = 0

    def note(self, answer: Any) -> None:
        """Called by the HTTP client with every answer, before its content is read."""
        if answer.status_code >= 400:
            self.refused = f"; the hub answers {answer.status_code} to {answer.request.url.path}"
        else:
            self.last = time.monotonic()
            self.answers.append(answer)

    def silent_for(self) -> float:
        """Seconds since the last byte. The library may have replaced its client: a new one is listened to."""
        hooks = get_session().event_hooks["response"]
        if self.note not in hooks:
            hooks.append(self.note)
        count = sum(answer.num_bytes_downloaded for answer in self.answers)
        if count != self.bytes:
            self.bytes, self.last = count, time.monotonic()
        return time.monotonic() - self.last

    def end(self) -> None:
        """Listens no longer."""
        hooks = get_session().event_hooks["response"]
        if self.note in hooks:
            hooks.remove(self.note)


def _download(repository: str, **how: Any) -> Path:
    """`snapshot_download`, given up with a TimeoutError once no byte has arrived for a while."""
    pulse = _Pulse()

    class Heard(tqdm):  # type: ignore[type-arg]
        """The library's bar, which tells when it moved: what comes by Xet does not come by the client."""

        def update(self, n: Any = 1) -> Any:
            pulse.last = time.monotonic()
            return super().update(n)

    pulse.silent_for()
    answers = _in_background(lambda: snapshot_download(repository, tqdm_class=Heard, **how))
    try:
        while True:
            try:
                answer = answers.get(timeout=0.2)
            except queue.Empty:
                if pulse.silent_for() > SILENT_SECONDS:
                    said = f"no byte arrived for {SILENT_SECONDS:g} seconds{pulse.refused}"
                    raise TimeoutError(said) from None
                continue
            if isinstance(answer, Exception):
                raise answer
            return Path(answer)
    finally:
        pulse.end()


def _listing(folder: Path) -> dict[str, dict[str, Any]]:
    """What the hub said of a snapshot's files, from the listing that the library keeps; empty without one."""
    try:
        kept = (folder.parents[1] / "trees" / f"{folder.name}.json").read_text(encoding="utf-8")
        return dict(json.loads(kept)["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _verify(folder: Path, names: Sequence[str], *, keep: bool = True) -> None:
    """Holds files against the hashes that the hub gave when they were fetched.

    They are in the listing that the library keeps beside the snapshots; where it kept none, a blob is named
    after its hash. Files of Git proper have Git's SHA-1, large ones their SHA-256.

    Args:
        keep: whether a damaged file stays where it is, because it may be a reader's; what has just arrived
            so is deleted.

    Raises:
        HubError: names the first file that is not what the hub has, and what to delete.
    """
    said = _listing(folder)
    for name in names:
        path = (folder / name).resolve()
        entry = said.get(name, {})
        wanted = entry.get("lfs_sha256") or entry.get("blob_id") or path.name
        if re.fullmatch(r"[0-9a-f]{64}", wanted):
            found = file_digest(path)
        elif re.fullmatch(r"[0-9a-f]{40}", wanted):
            content = path.read_bytes()
            found = hashlib.sha1(b"blob %d\0%s" % (len(content), content), usedforsecurity=False).hexdigest()
        else:
            continue
        if found != wanted:
            size = f"{path.stat().st_size:,} bytes" + (f" of {entry['size']:,}" if "size" in entry else "")
            if not keep:
                path.unlink()
                (folder / name).unlink(missing_ok=True)
            raise HubError(
                f"{folder / name} {'is' if keep else 'arrived'} damaged: {size} with the hash {found}, where "
                f"the hub has {wanted}. "
                + (f"Delete {path} and run again" if keep else "It was deleted: run again")
                + "; it is fetched anew."
            )


def _out_of_reach(wanted: str, why: str) -> HubError:
    return HubError(
        f"Wanted the {wanted} from {constants.ENDPOINT}, but could not get it: {why}. "
        "Check the network, HF_ENDPOINT and proxy settings and run again (with HF_HUB_OFFLINE=1 if another "
        "tool fetched it: its cache is then taken as it is), "
        'or run on the embedded model, which needs no network: PROFILE = "pocket" '
        "(or TOXICITY_LAB_PROFILE=pocket)."
    )


def _files_in(folder: Path) -> list[Path]:
    """The files under a folder; a link to a blob that was deleted is none."""
    found = (Path(place) / name for place, _, names in os.walk(folder) for name in names)
    return sorted(path for path in found if path.exists())


def _missing(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """The patterns that no file matches, or whose numbered shards (`-00000-of-00002`) are not all there."""

    def there(single: str) -> bool:
        found = fnmatch.filter(names, single)
        shards = [re.search(r"-\d+-of-(\d+)", name) for name in found]
        return bool(found) and not any(shard and int(shard[1]) > len(found) for shard in shards)

    return [
        pattern
        for pattern in patterns
        if not any(all(map(there, either.split("&"))) for either in pattern.split("|"))
    ]


def _recorded() -> dict[str, str]:
    return json.loads(RECORDED.read_text()) if RECORDED.is_file() else {}


def main() -> None:
    """Records the newest revision of everything that a built-in profile wants from the hub without a pin."""
    from helpers.profiles import PROFILES, unpinned

    revisions = _recorded()
    for kind, repository in sorted({place for profile in PROFILES.values() for place in unpinned(profile)}):
        revisions[f"{kind}/{repository}"] = resolve(repository, kind)
        print(f"{kind} {repository}: {revisions[f'{kind}/{repository}']}")  # noqa: T201
    write_json(RECORDED, dict(sorted(revisions.items())))
    print(f"Written to {RECORDED.name}.")  # noqa: T201


if __name__ == "__main__":
    main()
