"""Open files, a few at a time: opening costs a hundred times what a read of a cached block does.

Each process has its own, since GDAL's handles survive neither a fork nor a pickle.
"""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from threading import local

import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader

OPEN = 32
"""Files that a thread keeps open."""


class _Open(local):
    def __init__(self) -> None:
        self.process = os.getpid()
        self.files: OrderedDict[tuple[str, tuple[int, int]], DatasetReader] = OrderedDict()


_OPEN = _Open()


def opened(path: str) -> DatasetReader:
    """A file, open for reading. Closed when many others have been asked for since.

    Raises:
        rasterio.errors.RasterioIOError: GDAL cannot open it.
    """
    if _OPEN.process != os.getpid():
        _OPEN.__init__()  # type: ignore[misc]  # the parent's handles are not ours to close
    files = _OPEN.files
    key = path, _state(path)
    if key in files:
        files.move_to_end(key)
        return files[key]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # said in words by who needs coordinates
        files[key] = rasterio.open(path)
    if len(files) > OPEN:
        files.popitem(last=False)[1].close()
    return files[key]


def _state(path: str) -> tuple[int, int]:
    """A file that was written anew is another one."""
    try:
        told = os.stat(path)
    except OSError:
        return 0, 0  # a remote one
    return told.st_mtime_ns, told.st_size
