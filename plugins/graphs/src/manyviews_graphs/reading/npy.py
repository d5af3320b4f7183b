"""Stores of named arrays: `.npz` archives, folders of `.npy` files, dictionaries in Python. Nothing is unpickled.

A large array that lies uncompressed on disk is mapped, not read: features larger than memory stay where they are.
"""

from __future__ import annotations

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from manyviews.errors import DataError
from manyviews_graphs.reading.files import digest, not_empty, stat_of

MAPPED_BYTES = 1 << 20
"""Smaller arrays are read."""
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Arrays(ABC):
    """Arrays by name."""

    where: str
    names: frozenset[str]

    @abstractmethod
    def read(self, name: str) -> np.ndarray:
        """One that is there.

        Raises:
            DataError: It holds Python objects, or is damaged.
        """

    @abstractmethod
    def fingerprint(self) -> Mapping[str, Any]:
        """Files with sizes and times, or a hash."""

    def get(self, *names: str) -> np.ndarray | None:
        """The first of these that there is; None where there is none."""
        return next((self.read(name) for name in names if name in self.names), None)


class Archive(Arrays):
    """A `.npz` file."""

    def __init__(self, path: Path) -> None:
        self.path, self.where = not_empty(path), str(path)
        try:
            with zipfile.ZipFile(path) as archive:
                self._members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        except zipfile.BadZipFile as error:
            raise DataError(f"{path}: no readable .npz archive ({error}); write it with np.savez") from error
        self.names = frozenset(self._members)

    def read(self, name: str) -> np.ndarray:
        info = self._members[name]
        try:
            if info.compress_type != zipfile.ZIP_STORED:
                with zipfile.ZipFile(self.path) as archive, archive.open(info) as member:
                    return np.lib.format.read_array(member, allow_pickle=False)
            with self.path.open("rb") as file:
                file.seek(info.header_offset + 26)  # where the lengths of the member's name and extra field stand
                lengths = file.read(4)
                file.seek(int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"), 1)
                return read_array(file, self.path)
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise _unreadable(f"{self.path}: array {name!r}", error) from error

    def fingerprint(self) -> Mapping[str, Any]:
        return stat_of(self.path)


class Folder(Arrays):
    """A folder of `.npy` files, each an array of that name."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._files = {file.stem: file for file in sorted(path.glob("*.npy"))}
        self.names = frozenset(self._files)

    def read(self, name: str) -> np.ndarray:
        return read_npy(self._files[name])

    def fingerprint(self) -> Mapping[str, Any]:
        return {name: stat_of(file) for name, file in self._files.items()}


class Named(Arrays):
    """A dictionary of arrays."""

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self.where, self._arrays = "dict", arrays
        self.names = frozenset(arrays)

    def read(self, name: str) -> np.ndarray:
        found = np.asarray(self._arrays[name])
        if found.dtype.hasobject:
            raise DataError(f"dict: {name!r} is no array of numbers or text; its rows may differ in length")
        return found

    def fingerprint(self) -> Mapping[str, Any]:
        return digest([self.read(name) for name in sorted(self.names)])


def read_npy(path: Path) -> np.ndarray:
    """The array of a `.npy` file.

    Raises:
        DataError: It holds Python objects, or is damaged.
    """
    try:
        with not_empty(path).open("rb") as file:
            return read_array(file, path)
    except (ValueError, OSError, EOFError) as error:
        raise error if isinstance(error, DataError) else _unreadable(str(path), error) from error


def read_array(file: BinaryIO, path: Path) -> np.ndarray:
    """The array in numpy's format that begins where `file`, opened from `path`, stands; mapped where it is large."""
    begin = file.tell()
    header = _HEADERS.get(np.lib.format.read_magic(file))
    if header is not None:
        shape, fortran, dtype = header(file)
        if not dtype.hasobject and np.prod(shape, dtype=np.float64) * dtype.itemsize >= MAPPED_BYTES:
            return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")
    file.seek(begin)
    return np.lib.format.read_array(file, allow_pickle=False)


def _unreadable(what: str, error: Exception) -> DataError:
    if "Object arrays" in str(error):
        return DataError(
            f"{what} holds Python objects, and reading those can run any program.\n"
            "Where you trust the file: load it once, save each part as a plain array (text with .astype('U')) by np.savez."
        )
    return DataError(f"{what} cannot be read ({error}); write the file again")
