"""What tells one data set from another: files by size and time, arrays in memory by a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from manyviews.errors import DataError


def stat_of(path: Path) -> Mapping[str, Any]:
    """Name, size and time of a file."""
    stat = path.stat()
    return {"file": path.name, "bytes": stat.st_size, "modified": stat.st_mtime_ns}


def digest(parts: Sequence[np.ndarray | scipy.sparse.csr_matrix | None]) -> Mapping[str, Any]:
    """A hash of arrays and sparse matrices; None counts as a part."""
    total = hashlib.blake2b(digest_size=16)
    for part in parts:
        arrays = [part] if isinstance(part, np.ndarray) else [] if part is None else [part.data, part.indices, part.indptr]
        total.update(str(len(arrays)).encode())
        for array in arrays:
            total.update(f"{array.dtype}{array.shape}".encode())
            total.update(np.ascontiguousarray(array.astype("U") if array.dtype.hasobject else array).tobytes())
    return {"blake2b": total.hexdigest()}


def existing(path: Path, key: str) -> Path:
    """The file that a parameter names.

    Raises:
        DataError: It is not there, or empty.
    """
    if not path.is_file():
        raise DataError(f"data.{key}: there is no file {path}")
    return not_empty(path)


def not_empty(path: Path) -> Path:
    """The same path.

    Raises:
        DataError: The file has no bytes.
    """
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty (0 bytes)")
    return path
