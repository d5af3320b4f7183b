"""Volumes on disk as memory-mapped chunks in native type, so that a crop reads what it needs and nothing else.

In one flat array every row of a crop lies on a page of its own: 96³ of a 512³ volume touches five times what it needs. A
chunk of 32³ is contiguous. Volumes smaller than 2 MiB are a single chunk, whose crop is one slice. Pages are the
operating system's: workers share them, and nothing counts as this process's memory that could not be dropped at once.
"""

from __future__ import annotations

import json
import mmap
import os
from collections import OrderedDict
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

CHUNK = 32
WHOLE = 2**21
"""Bytes up to which a volume is one chunk."""
OPEN = 256
"""Volumes that a process keeps mapped."""


def write(path: Path, volume: Shaped[np.ndarray, "channels x y z"], about: dict[str, Any]) -> None:
    """A volume and what is known of it; whole or not at all, whoever else writes it at the same time."""
    shape = volume.shape
    chunk = shape[1:] if volume.nbytes <= WHOLE else (CHUNK,) * 3
    counts = [-(-size // side) for size, side in zip(shape[1:], chunk, strict=True)]
    beyond = [count * side - size for count, side, size in zip(counts, chunk, shape[1:], strict=True)]
    padded = np.pad(volume, [(0, 0), *((0, more) for more in beyond)]) if any(beyond) else volume
    tiles = padded.reshape(shape[0], counts[0], chunk[0], counts[1], chunk[1], counts[2], chunk[2])
    head = {"shape": shape, "chunk": chunk, "dtype": volume.dtype.str, "about": about}
    path.parent.mkdir(parents=True, exist_ok=True)
    unique = f".{os.getpid()}-{os.urandom(4).hex()}"
    data = path.with_suffix(unique)
    np.ascontiguousarray(tiles.transpose(1, 3, 5, 0, 2, 4, 6)).tofile(data)
    data.replace(path.with_suffix(".vol"))
    head_file = path.with_suffix(f"{unique}j")
    head_file.write_text(json.dumps(head))
    head_file.replace(path.with_suffix(".json"))  # last: where it is, the volume is whole


def known(path: Path) -> dict[str, Any] | None:
    """What is known of a stored volume; None where there is none, or none of the right size."""
    try:
        head: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
        size = path.with_suffix(".vol").stat().st_size
    except (OSError, ValueError):
        return None
    counts = [-(-size // side) for size, side in zip(head["shape"][1:], head["chunk"], strict=True)]
    wanted = int(np.prod(counts)) * head["shape"][0] * int(np.prod(head["chunk"])) * np.dtype(head["dtype"]).itemsize
    return head if size == wanted else None


class Stored:
    """One stored volume, mapped when it is first read."""

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        self.path, self.about = path.with_suffix(".vol"), head["about"]
        self.channels, *shape = head["shape"]
        self.shape: tuple[int, int, int] = tuple(shape)
        self.chunk: tuple[int, int, int] = tuple(head["chunk"])
        self.counts = tuple(-(-size // side) for size, side in zip(shape, head["chunk"], strict=True))
        self.dtype = np.dtype(head["dtype"])

    def map(self) -> Shaped[np.ndarray, "cx cy cz channels x y z"]:
        """The chunks, as pages that are read when they are touched."""
        with self.path.open("rb") as file:
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(pages, self.dtype).reshape(*self.counts, self.channels, *self.chunk)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__


class Maps:
    """Open maps of stored volumes, the least recently read closed first."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, np.ndarray] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"_open": OrderedDict()}  # each process maps for itself

    def tiles(self, stored: Stored) -> Shaped[np.ndarray, "cx cy cz channels x y z"]:
        """A volume's chunks."""
        tiles = self._open.get(stored.path)
        if tiles is None:
            tiles = self._open[stored.path] = stored.map()
            if len(self._open) > OPEN:
                self._open.popitem(last=False)
        return tiles

    def read(self, stored: Stored, start: Sequence[int], out: Shaped[np.ndarray, "channels x y z"]) -> None:
        """Fill `out` with the box that begins at `start`; what lies beyond the volume is left as it was."""
        tiles, chunk = self.tiles(stored), stored.chunk
        low = [max(first, 0) for first in start]
        high = [min(first + size, most) for first, size, most in zip(start, out.shape[1:], stored.shape, strict=True)]
        if any(end <= begin for begin, end in zip(low, high, strict=True)):
            return
        if stored.counts == (1, 1, 1):
            _copy(tiles[0, 0, 0], (0, 0, 0), low, high, start, out)
            return
        ranges = [range(begin // side, -(-end // side)) for begin, end, side in zip(low, high, chunk, strict=True)]
        for place in product(*ranges):
            origin = [number * side for number, side in zip(place, chunk, strict=True)]
            inner_low = [max(begin, first) for begin, first in zip(low, origin, strict=True)]
            inner_high = [min(end, first + side) for end, first, side in zip(high, origin, chunk, strict=True)]
            _copy(tiles[place], origin, inner_low, inner_high, start, out)


def _copy(
    tile: np.ndarray, origin: Sequence[int], low: Sequence[int], high: Sequence[int], start: Sequence[int], out: np.ndarray
) -> None:
    source = tuple(slice(begin - first, end - first) for begin, end, first in zip(low, high, origin, strict=True))
    target = tuple(slice(begin - first, end - first) for begin, end, first in zip(low, high, start, strict=True))
    out[(slice(None), *target)] = tile[(slice(None), *source)]
