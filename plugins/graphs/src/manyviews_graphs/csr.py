"""The edges of a large graph on the host, by the node they end in: what neighbour sampling reads.

Two plain arrays, which may lie in memory or stay in files (`open`): a batch touches only the rows it needs, and a
worker process is handed the folder, not the arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from manyviews.errors import DataError


@dataclass(frozen=True, eq=False)
class CSR:
    """The edges into node i come from `source[pointer[i] : pointer[i + 1]]`."""

    pointer: Int[np.ndarray, "nodes_and_one"]
    source: Int[np.ndarray, "edges"]
    """int32 where the nodes can be counted so, which halves what is read."""
    folder: Path | None = None
    """Where the arrays lie, if they are mapped from files."""
    _scratch: list[Int[np.ndarray, "nodes"]] = field(default_factory=list, init=False, repr=False)

    @classmethod
    def of(cls, source: Int[np.ndarray, "edges"], target: Int[np.ndarray, "edges"], nodes: int) -> CSR:
        """From edges `source[i] -> target[i]` in any order; those into one node keep theirs."""
        pointer = np.zeros(nodes + 1, dtype=np.int64)
        np.cumsum(np.bincount(target, minlength=nodes), out=pointer[1:])
        order = np.argsort(_narrow(target, nodes), kind="stable")
        return cls(pointer, _narrow(source, nodes)[order])

    @classmethod
    def open(cls, folder: Path) -> CSR:
        """Mapped from the files that `save` wrote: nothing is read before it is asked for.

        Raises:
            DataError: A file is missing or is no numpy array, or the two do not belong together.
        """
        pointer, source = (_mapped(folder / f"{name}.npy") for name in ("pointer", "source"))
        if pointer.ndim != 1 or source.ndim != 1 or not len(pointer) or pointer[0] != 0 or pointer[-1] != len(source):
            raise DataError(
                f"{folder}: pointer.npy should run from 0 to the {source.size} edges of source.npy; write both with CSR.save"
            )
        return cls(pointer, source, folder)

    def save(self, folder: Path) -> None:
        """Write the arrays into an existing folder, for `open`."""
        np.save(folder / "pointer.npy", self.pointer)
        np.save(folder / "source.npy", self.source)

    @property
    def nodes(self) -> int:
        return len(self.pointer) - 1

    @property
    def edges(self) -> int:
        return len(self.source)

    @contextmanager
    def scratch(self) -> Iterator[Int[np.ndarray, "nodes"]]:
        """An array of -1, one a node, kept between calls; whoever borrows it leaves it as it was.

        To fill it anew would cost more than a whole batch on a graph of millions of nodes. Each thread that samples at
        the same time gets its own; one whose borrower failed is thrown away.
        """
        try:
            array = self._scratch.pop()
        except IndexError:  # no test beforehand: another thread may take the last one meanwhile
            array = np.full(self.nodes, -1, dtype=np.int32)
        yield array
        self._scratch.append(array)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (CSR.open, (self.folder,)) if self.folder else (CSR, (self.pointer, self.source))


def _narrow(numbers: Int[np.ndarray, "edges"], nodes: int) -> Int[np.ndarray, "edges"]:
    return numbers.astype(np.int32 if nodes <= np.iinfo(np.int32).max else np.int64, copy=False)


def _mapped(path: Path) -> Int[np.ndarray, "*shape"]:
    try:
        return np.asarray(np.load(path, mmap_mode="r"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a numpy array ({error}); write it with CSR.save") from error
