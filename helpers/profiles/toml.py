"""Reads a profile from a TOML file: inheritance, paths, and errors that say what would be right."""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from helpers.pocket import not_trained
from helpers.profiles.schema import Profile
from helpers.profiles.sources import ProfileError, Settings


def read_toml(path: Path, builtin: Mapping[str, Profile]) -> Profile:
    """The profile a TOML file describes, over the one it names under `inherits`.

    Paths are relative to the file, and `${VARIABLE}` in them is taken from the environment.

    Raises:
        ProfileError: with every complaint about the file in one message.
    """
    written = _merged(path, builtin)
    try:
        # JSON mode is strict about types, yet lets a list be a tuple and a string be a path.
        return Profile.model_validate_json(json.dumps(written, default=str), strict=True)
    except ValidationError as error:
        raise ProfileError(_explain(error, path)) from None


def _merged(path: Path, builtin: Mapping[str, Profile], seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A TOML profile merged over what it inherits from, as plain data with absolute paths."""
    path = path.resolve()
    if path in seen:
        raise ProfileError(f"{path} inherits from itself, by way of {', '.join(str(one) for one in seen)}.")
    if not path.is_file():
        raise ProfileError(f"The profile {path} does not exist. The built-in ones: {', '.join(builtin)}.")
    try:
        own = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path} is not valid TOML: {error}.") from error
    parent = own.pop("inherits", None)
    if not isinstance(parent, str):
        raise ProfileError(f'{path} must say which profile it starts from, such as inherits = "pocket".')
    if parent in builtin:
        base = builtin[parent].model_dump(mode="json")
    elif parent.endswith(".toml"):
        base = _merged(path.parent / _expand(parent, f"{path}: inherits"), builtin, (*seen, path))
    else:
        raise ProfileError(f"{path} cannot inherit: {no_such_profile(parent, builtin)}")
    # A name for what is no longer the parent, so that no figure goes by the wrong one.
    own = {"name": path.stem, "label": own.get("name", path.stem), **own}
    return _merge(base, _absolute(own, path))


def _merge(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`own` over `base`, table by table; a table of another kind or place replaces it whole."""
    merged = dict(base)
    for key, value in own.items():
        below = base.get(key)
        if isinstance(value, dict) and isinstance(below, dict) and not _replaces(value, below):
            value = _merge(below, value)
        merged[key] = value
    return merged


def _replaces(own: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    """Whether a table stands for something else than the one below it, so that no key of that may remain."""
    return own.get("kind", base.get("kind")) != base.get("kind") or bool(own.keys() & {"id", "folder"})


def _absolute(value: Any, profile: Path, place: str = "") -> Any:
    """Expands ${VARIABLE} in paths and makes them absolute, seen from the profile's folder."""
    if isinstance(value, dict):
        return {key: _absolute(one, profile, f"{place}.{key}".lstrip(".")) for key, one in value.items()}
    if isinstance(value, list):
        return [_absolute(one, profile, f"{place}[{number}]") for number, one in enumerate(value)]
    if isinstance(value, str) and place.rsplit(".", 1)[-1] in ("path", "folder"):
        return str((profile.parent / Path(_expand(value, f"{profile}: {place}")).expanduser()).resolve())
    return value


def _expand(text: str, place: str) -> str:
    def replace(match: re.Match[str]) -> str:
        value = os.environ.get(match[1])
        if not value:
            raise ProfileError(f"{place} uses ${{{match[1]}}}, but that environment variable is not set.")
        return value

    return re.sub(r"\$\{(\w+)\}", replace, text)


def _explain(error: ValidationError, path: Path) -> str:
    """One message from all of pydantic's complaints, with near misses for unknown keys."""
    lines = []
    for problem in error.errors():
        *parents, key = problem["loc"] or ("profile",)
        place = ".".join(str(part) for part in _visible(problem["loc"])) or "profile"
        if problem["type"] == "extra_forbidden":
            known = [name for model in _models_at(Profile, parents) for name in model.model_fields]
            lines.append(f"{place}: there is no such key.{near_misses(str(key), known)}")
        elif problem["type"] == "missing":
            lines.append(f"{place}: is missing.")
        else:
            shown = json.dumps(problem["input"], default=str)
            lines.append(f"{place}: {problem['msg']} (it is {shown[:80]}).")
    return f"{path} is not a usable profile:\n" + "\n".join(f"  {line}" for line in lines)


def _visible(place: tuple[int | str, ...]) -> Iterator[int | str]:
    """An error's place without the union tags that pydantic puts in it and nobody writes."""
    kinds = {"pocket", "file", "hub", "pocket-exact", "pocket-masked", "comments", "words"}
    for number, part in enumerate(place):
        inside_union = number >= 2 and place[0] in ("data", "scorers")
        if not (inside_union and part in kinds and number == 2):
            yield part


def _models_at(model: type[BaseModel], parents: list[int | str]) -> list[type[BaseModel]]:
    """The settings classes that an error's place leads to; a union's kind picks one of several."""
    found = [model]
    for part in parents:
        below = [one for parent in found for one in _members(parent, part)]
        picked = [
            one for one in found if "kind" in one.model_fields and one.model_fields["kind"].default == part
        ]
        found = below or picked or found
    return found


def _members(model: type[BaseModel], field: int | str) -> list[type[BaseModel]]:
    annotation = model.model_fields[field].annotation if field in model.model_fields else None
    return list(_settings_in(annotation))


def _settings_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, Settings):
            yield annotation
        return
    for argument in get_args(annotation):
        yield from _settings_in(argument)


def no_such_profile(name: str, known: Iterable[str]) -> str:
    """For errors: what may have been meant, or the command that would make it."""
    if member := re.fullmatch(r"pocket-(\d+)", name):
        return not_trained(int(member[1]))
    return f"There is no profile {name!r}.{near_misses(name, known)}"


def near_misses(wrong: str, known: Iterable[str]) -> str:
    """What may have been meant, and what there is."""
    names = list(dict.fromkeys(known))
    close = difflib.get_close_matches(wrong, names, n=2, cutoff=0.5)
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    return f"{meant} There are: {', '.join(names)}."
