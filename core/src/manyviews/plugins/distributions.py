"""The installed distributions, found as `importlib.metadata` finds them, without importing it.

That module brings the e-mail parser, zip files and sockets along, and takes longer to import and to list a hundred
distributions than click and pluggy together (docs/decisions.md has the numbers). What every machine has, folders on
`sys.path` with `*.dist-info` in them, is therefore read here; where there is anything else (a zip file on the path, a
finder of somebody's own), all of it is left to `importlib.metadata`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from typing import Any

_SUFFIXES = {".dist-info": "METADATA", ".egg-info": "PKG-INFO"}
"""Ending of a distribution's folder -> the file in it that describes it."""
_SEPARATORS = re.compile(r"[-_.]+")


@dataclass(frozen=True)
class Distribution:
    """What is read of an installed distribution: two texts."""

    entry_points: str
    """entry_points.txt; empty where there is none."""
    metadata: str
    """The header of METADATA: names and values, before the description."""


def distributions(group: str) -> Iterator[Distribution]:
    """Those that have entry points of a group; of several of one name the first on `sys.path`."""
    wanted = f"[{group}]"
    if not _all_are_folders():
        yield from _by_library(wanted)
        return
    for path, described in _folders():
        entry_points = _read(os.path.join(path, "entry_points.txt"))
        if wanted in entry_points:
            yield Distribution(entry_points, _header(_read(os.path.join(path, described))))


def version_of(name: str) -> str:
    """The version of an installed distribution.

    Raises:
        importlib.metadata.PackageNotFoundError: There is none of this name.
    """
    if _all_are_folders():
        for path, described in _folders():
            if _normal(os.path.basename(path)) == _normal(name) and (found := _field(path, described)) is not None:
                return found
    from importlib.metadata import version

    return version(name)


def _field(path: str, described: str) -> str | None:
    found = re.search(r"^Version:[ \t]*(.*?)[ \t]*$", _header(_read(os.path.join(path, described))), re.MULTILINE)
    return found[1] if found else None


def _all_are_folders() -> bool:
    """Whether what is read here is all that `importlib.metadata` would find."""
    finders: list[Any] = [finder for finder in sys.meta_path if getattr(finder, "find_distributions", None)]
    return finders == [PathFinder] and not any(os.path.isfile(entry) for entry in sys.path)


def _folders() -> Iterator[tuple[str, str]]:
    """Folder and description file of every distribution, each name once."""
    seen: set[str] = set()
    for place in sys.path:
        try:
            names = os.listdir(place or ".")
        except OSError:
            continue  # not there, or not to be read: as the import system has it
        for name in names:
            described = _SUFFIXES.get(name[-len(".egg-info") :]) or _SUFFIXES.get(name[-len(".dist-info") :])
            if described is not None and (key := _normal(name)) not in seen:
                seen.add(key)
                yield os.path.join(place, name), described


def _normal(name: str) -> str:
    """`Many.Views-1.0.dist-info` -> `many_views`."""
    return _SEPARATORS.sub("_", name.partition("-")[0] if name.endswith("-info") else name).lower()


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def _header(text: str) -> str:
    return text.partition("\n\n")[0]


def _by_library(wanted: str) -> Iterator[Distribution]:
    from importlib.metadata import distributions as every

    seen: set[str] = set()
    for found in every():
        text = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""
        header = _header(text.replace("\r\n", "\n"))
        name = re.search(r"^Name:[ \t]*(.*?)[ \t]*$", header, re.MULTILINE)
        key = _normal(name[1]) if name else ""
        entry_points = found.read_text("entry_points.txt") or ""
        if wanted in entry_points and (not key or key not in seen):
            yield Distribution(entry_points, header)
        seen.add(key)
