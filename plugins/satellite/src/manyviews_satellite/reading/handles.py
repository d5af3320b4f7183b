"""Open files, a few at a time: opening costs a hundred times what a read of a cached block does.

Each process has its own, since GDAL's handles survive neither a fork nor a pickle.
"""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from functools import cache
from pathlib import PurePath
from threading import local

import numpy as np
import rasterio
from rasterio.env import Env
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader

OPEN = 240
"""Files that a thread keeps open at most: a year of Landsat is 228, one a band and date, and a file that is opened anew costs a
hundred reads."""
SHARE = 4
"""Of the files that the system lets a process have open (256 on macOS, 1,024 mostly), these may be one in so many."""
BUFFERS = 24 << 20
"""Bytes that these may hold: once read from, an open TIFF keeps a block as it is stored and one decoded, megabytes each. At
least one stays open."""
CACHE = "64"
"""MB of decoded blocks that GDAL keeps in a process, unless the variable GDAL_CACHEMAX says otherwise. Left to itself it takes
a twentieth of the machine's memory, in every worker; tiles of a region are cut from what is read once."""
KINDS = {".tif": ("GTiff",), ".tiff": ("GTiff",), ".jp2": ("JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID")}
"""What files of these endings may be. GDAL looks at what a file begins with: a list of other files, local or remote, that is
called .tif would be followed for whoever sent it."""


class _Open(local):
    def __init__(self) -> None:
        self.process = os.getpid()
        self.files: OrderedDict[tuple[str, tuple[int, int]], DatasetReader] = OrderedDict()
        self.buffers = 0


_OPEN = _Open()


def opened(path: str) -> DatasetReader:
    """A file, open for reading. Closed when many others have been asked for since, or when it is gone or another by then.

    Raises:
        rasterio.errors.RasterioIOError: GDAL cannot open it.
    """
    if _OPEN.process != os.getpid():
        _OPEN.__init__()  # type: ignore[misc]  # the parent's handles are not ours to close
    files = _OPEN.files
    key = path, state(path)
    if key in files:
        files.move_to_end(key)
        return files[key]
    for old in [old for old in files if old[1] != state(old[0])]:
        _close(old)
    found = once(path)
    while files and (len(files) >= _most() or _OPEN.buffers + _buffers(found) > BUFFERS):
        _close(next(iter(files)))
    files[key] = found
    _OPEN.buffers += _buffers(found)
    return found


@cache
def _most() -> int:
    """Files that are kept open."""
    try:
        import resource
    except ImportError:  # Windows, whose limit is none of ours
        return OPEN
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return OPEN if allowed == resource.RLIM_INFINITY else max(min(OPEN, allowed // SHARE), 1)


def _close(key: tuple[str, tuple[int, int]]) -> None:
    old = _OPEN.files.pop(key)
    _OPEN.buffers -= _buffers(old)
    old.close()


def _buffers(file: DatasetReader) -> int:
    """Bytes of two of its blocks."""
    if not file.count:
        return 0
    rows, cols = file.block_shapes[0]
    together = file.count if file.interleaving is not None and file.interleaving.name == "pixel" else 1
    kind = file.dtypes[0].replace("complex_int16", "int32")  # NumPy has no pairs of int16
    return 2 * rows * cols * together * np.dtype(kind).itemsize


def once(path: str) -> DatasetReader:
    """A file, open for reading, for the caller to close.

    Raises:
        rasterio.errors.RasterioIOError: GDAL cannot open it.
    """
    os.environ.setdefault("GDAL_CACHEMAX", CACHE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # said in words by who needs coordinates
        return rasterio.open(path, driver=_driver(PurePath(path).suffix.lower()))


@cache
def _driver(suffix: str) -> str | None:
    """That of GDAL's that is here; None: any."""
    if suffix not in KINDS:
        return None
    with Env() as env:
        return next((name for name in KINDS[suffix] if name in env.drivers()), None)


def state(path: str) -> tuple[int, int]:
    """A file that was written anew is another one."""
    try:
        told = os.stat(path)
    except OSError:
        return 0, 0  # a remote one
    return told.st_mtime_ns, told.st_size
