"""Data that lie elsewhere, brought to this machine: `s3://…`, `gs://…`, `https://…`, whatever fsspec knows.

Sources read files of this machine, by memory map and by window, which no object store has. So the one place where a source is
given its data brings what a URL names into a cache first: what is there already and unchanged is not brought again, what was
used longest ago goes where the cache would grow beyond its limit, and what does not fit into it at all is refused. Processes
of a machine bring a thing once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from manyviews.errors import DataError, UserError

FOLDER, LIMIT = "MANYVIEWS_CACHE", "MANYVIEWS_CACHE_GB"
"""Environment variables: where the cache lies, and how large it may grow."""
GIGABYTES = 100.0
GIGA = 10**9
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::|://)")
_NAMES, _LISTED, _USERS, _CONTENT = ".url", ".files.jsonl", ".users", "content"


@dataclass(frozen=True)
class Remote:
    """A file under a URL."""

    place: str
    """Where its filesystem has it."""
    name: str
    """Below the URL; of a single file its own name."""
    size: int
    version: str
    """Changes when the content does, as far as the filesystem tells."""
    modified: float


def is_url(value: object) -> bool:
    """Whether it names something that is to be brought here; `file://` does, too."""
    return isinstance(value, str) and _URL.match(value) is not None


def local(value: Any) -> Any:
    """What a URL names, as a path of this machine; anything else is itself.

    A list of files that stand beside it is given with its folder, `s3://bucket/sounds#train.csv`: the folder is brought.

    Raises:
        UserError: The URL's filesystem is not installed, or what it names is larger than the cache may be.
        DataError: There is nothing under it, or it cannot be read.
    """
    if not is_url(value):
        return value
    folder, inside, name = value.partition("#")
    return str(Path(_here(folder)) / name) if inside else _here(value)


def _here(value: str) -> str:
    filesystem, place = _filesystem(value)
    if "file" in (filesystem.protocol if isinstance(filesystem.protocol, tuple) else (filesystem.protocol,)):
        return str(place)
    from filelock import FileLock

    entry = cache_folder() / hashlib.sha256(value.encode()).hexdigest()[:24]
    entry.mkdir(parents=True, exist_ok=True)
    (entry / _NAMES).write_text(value, encoding="utf-8")
    with FileLock(entry.with_suffix(".lock")):
        _use(entry)
        found = _files(filesystem, place, value)
        _bring(filesystem, found, entry, value)
    single = len(found) == 1 and found[0].place.rstrip("/") == place.rstrip("/")
    return str(entry / _CONTENT / found[0].name) if single else str(entry / _CONTENT)


def local_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A source's parameters, with what lies elsewhere brought here."""
    return {key: local(value) for key, value in parameters.items()}


def cache_folder() -> Path:
    """Where what is brought lies."""
    given = os.environ.get(FOLDER)
    return Path(given) if given else Path.home() / ".cache" / "manyviews"


def _limit() -> int:
    given = os.environ.get(LIMIT, str(GIGABYTES))
    try:
        return int(float(given) * GIGA)
    except ValueError:
        raise UserError(f"{LIMIT}: {given!r} is no number of gigabytes") from None


def _filesystem(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]
    except ImportError:
        raise UserError(f"{url}: data that lie elsewhere are read with fsspec; pip install fsspec") from None
    try:
        filesystem, place = url_to_fs(url)
    except ImportError as error:
        raise UserError(f"{url}: its filesystem is not installed here: {_first_line(error)}") from error
    except ValueError as error:
        raise UserError(f"{url}: {_first_line(error)}; a path of this machine has no `://`") from error
    return filesystem, str(place)


def _files(filesystem: Any, place: str, url: str) -> list[Remote]:
    try:
        found: Mapping[str, Mapping[str, Any]] = filesystem.find(place, detail=True)
    except Exception as error:  # each filesystem raises what its own client does
        raise DataError(f"{url}: cannot be listed ({_first_line(error)})") from error
    if not found:
        raise DataError(f"{url}: there is nothing there")
    base = place.rstrip("/")
    return [_remote(where, base, about) for where, about in sorted(found.items())]


def _remote(where: str, base: str, about: Mapping[str, Any]) -> Remote:
    name = where.rstrip("/").removeprefix(base).strip("/") or where.rstrip("/").rpartition("/")[2]
    if ".." in Path(name).parts:
        raise DataError(f"{where}: a name that leads out of its folder")
    times = [about.get(key) for key in ("mtime", "LastModified", "last_modified", "updated", "modified", "created")]
    modified = next((_seconds(time) for time in times if time is not None), 0.0)
    marks = [str(about.get(key)) for key in ("ETag", "etag", "md5Hash", "checksum", "generation") if about.get(key)]
    return Remote(where, name, int(about.get("size") or 0), "|".join([*marks, str(modified)]), modified)


def _seconds(time: Any) -> float:
    if isinstance(time, datetime):
        return time.timestamp()
    if isinstance(time, int | float):
        return float(time)
    with suppress(ValueError):
        return datetime.fromisoformat(str(time)).timestamp()
    return 0.0


def _bring(filesystem: Any, found: list[Remote], entry: Path, url: str) -> None:
    """Make the entry what the URL holds now: new and changed files brought, others left, those that are gone removed."""
    before = _listed(entry)
    now = {file.name: [file.size, file.version] for file in found}
    changed = [file for file in found if before.get(file.name) != now[file.name] or not (entry / _CONTENT / file.name).exists()]
    _make_room(sum(file.size for file in changed), sum(file.size for file in found), entry, url)
    if before == now and not changed:
        return
    for name in before.keys() - now.keys():
        (entry / _CONTENT / name).unlink(missing_ok=True)
    with (entry / _LISTED).open("a", encoding="utf-8") as listed:  # line by line: what is killed has not lost what it brought
        for file in changed:
            _fetch(filesystem, file, entry / _CONTENT / file.name)
            listed.write(_line(file.name, now[file.name]))
            listed.flush()
    (entry / _LISTED).write_text("".join(_line(name, about) for name, about in now.items()), encoding="utf-8")


def _fetch(filesystem: Any, file: Remote, to: Path) -> None:
    """Beside its place first: what is there is whole. It is as old as there, so that fingerprints agree between machines."""
    to.parent.mkdir(parents=True, exist_ok=True)
    draft = to.with_name(f".{to.name}.part")
    try:
        filesystem.get_file(file.place, str(draft))
        if file.modified:
            os.utime(draft, (file.modified, file.modified))
        draft.replace(to)
    except Exception as error:
        draft.unlink(missing_ok=True)
        raise DataError(f"{file.place}: cannot be brought here ({_first_line(error)})") from error


def _line(name: str, about: list[Any]) -> str:
    return json.dumps([name, *about]) + "\n"


def _listed(entry: Path) -> dict[str, list[Any]]:
    """The files that were brought whole, as they were then; the last line of one counts."""
    found: dict[str, list[Any]] = {}
    if (entry / _LISTED).is_file():
        for line in (entry / _LISTED).read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # half a line was being written when a process was killed: its file is brought again
                name, *about = json.loads(line)
                found[name] = about
    return found


def _use(entry: Path) -> None:
    """Say that this process reads it, which keeps others from removing it, and when."""
    (entry / _USERS).mkdir(exist_ok=True)
    (entry / _USERS / str(os.getpid())).touch()
    os.utime(entry / _NAMES)


def _in_use(entry: Path) -> bool:
    for mark in (entry / _USERS).glob("*"):
        try:
            os.kill(int(mark.name), 0)
        except ProcessLookupError:
            mark.unlink(missing_ok=True)
        except (PermissionError, ValueError):
            return True
        else:
            return True
    return False


def _make_room(coming: int, whole: int, entry: Path, url: str) -> None:
    limit = _limit()
    if whole > limit:
        raise UserError(
            f"{url}: {whole / GIGA:.1f} GB, and the cache in {cache_folder()} may hold {limit / GIGA:.1f}; "
            f"set {LIMIT} higher, {FOLDER} to a larger disk, or mount the store"
        )
    if not coming:
        return
    held = sum(_sizes(cache_folder()))
    for old in sorted(_entries(), key=lambda path: (path / _NAMES).stat().st_mtime):
        if held + coming <= limit:
            return
        if old != entry and not _in_use(old):
            held -= sum(_sizes(old))
            shutil.rmtree(old)
    if held + coming > limit:
        raise UserError(
            f"{url}: {coming / GIGA:.1f} GB more do not fit into the cache in {cache_folder()} beside what other processes "
            f"are reading there; set {LIMIT} higher"
        )


def _entries() -> list[Path]:
    return [path for path in cache_folder().iterdir() if (path / _NAMES).is_file()]


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                yield path.stat().st_size


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
