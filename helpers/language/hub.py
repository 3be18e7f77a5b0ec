"""Fetches pinned files from the Hugging Face hub: the cache, then one short request, then a clear error.

Run `python -m helpers.language.hub` when online to record the revisions that the profiles leave open.
"""

from __future__ import annotations

import fnmatch
import json
import os
import queue
import re
import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from helpers.artifacts import write_json

Kind = Literal["model", "dataset"]

MODEL_FILES = ("config.json", "model*.safetensors", "tokenizer.json|vocab.json&merges.txt")
MODEL_EXTRAS = (
    "model.safetensors.index.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"
)  # fmt: skip
ANSWER_SECONDS = 4.0
"""How long the hub may take to say what it holds; an error within five seconds is the promise."""

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
        HubError: the hub did not answer, has no such repository or revision, or the revision lacks a file.
    """
    revision = pinned(repository, revision, kind)
    patterns = [single for pattern in (*files, *extras) for single in re.split("[|&]", pattern)]

    def fetch(**how: Any) -> Path | None:
        """The folder, or None where it lacks a file: the library serves what it has if the hub goes away."""
        folder = Path(snapshot_download(repository, repo_type=kind, allow_patterns=patterns, **how))
        names = [path.relative_to(folder).as_posix() for path in _files_in(folder)]
        return None if _missing(names, files) else folder

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
        if folder := fetch(revision=commit, etag_timeout=ANSWER_SECONDS):
            return folder
    except (OSError, HTTPError) as error:
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
    answers: queue.Queue = queue.Queue()

    def request() -> None:
        try:
            answers.put(
                HfApi().repo_info(repository, revision=revision, repo_type=kind, timeout=ANSWER_SECONDS - 1)
            )
        except (OSError, HTTPError, ValueError) as error:
            answers.put(error)

    threading.Thread(target=request, daemon=True).start()
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
    return answer.sha, sorted(sibling.rfilename for sibling in answer.siblings or [])


def _out_of_reach(wanted: str, why: str) -> HubError:
    return HubError(
        f"Wanted the {wanted} from {constants.ENDPOINT}, but could not get it: {why}. "
        "Check the network, HF_ENDPOINT and proxy settings and run again, "
        'or run on the embedded model, which needs no network: PROFILE = "pocket" '
        "(or TOXICITY_LAB_PROFILE=pocket)."
    )


def _files_in(folder: Path) -> list[Path]:
    return sorted(Path(place) / name for place, _, names in os.walk(folder) for name in names)


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
