"""The edges of a large graph on the host, by the node they end in: what neighbour sampling reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True, eq=False)
class CSR:
    """The edges into node i come from `source[pointer[i] : pointer[i + 1]]`; either array may be mapped from a file."""

    pointer: Int[np.ndarray, "nodes_and_one"]
    source: Int[np.ndarray, "edges"]
    """int32 where the nodes can be counted so, which halves what is read."""
    _scratch: list[Int[np.ndarray, "nodes"]] = field(default_factory=list, init=False, repr=False)

    @classmethod
    def of(cls, source: Int[np.ndarray, "edges"], target: Int[np.ndarray, "edges"], nodes: int) -> CSR:
        """From edges `source[i] -> target[i]` in any order; those into one node keep theirs."""
        pointer = np.zeros(nodes + 1, dtype=np.int64)
        np.cumsum(np.bincount(target, minlength=nodes), out=pointer[1:])
        narrow = np.int32 if nodes <= np.iinfo(np.int32).max else np.int64
        order = np.argsort(target.astype(narrow, copy=False), kind="stable")
        return cls(pointer, source.astype(narrow, copy=False)[order])

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
        return CSR, (self.pointer, self.source)  # scratch does not travel
