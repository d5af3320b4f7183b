"""What becomes of an encoder's vectors, or of a task's answers, in a file: Parquet, npy, a domain's own GeoTIFF or NIfTI.

A component of kind `writer`, found by the ending of the output's name. It is handed all rows part by part, in the order of
the samples, once all are computed: what computes them keeps them on the disk as it goes, so that a killed export goes on and
no writer needs to know of that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Int, Shaped

from manyviews.source import Source

What = Literal["embedding", "answer", "events"]
"""What rows are."""
EVENT = ("onset", "offset", "class", "score")
"""A row of an event: seconds from its sample's beginning, the number of its class, and how sure it is."""


@dataclass(frozen=True)
class Rows:
    """The rows of some samples."""

    samples: Int[np.ndarray, "samples"]
    """Their numbers in the source, ascending."""
    counts: Int[np.ndarray, "samples"]
    """Rows of each: 1, or its number of tokens."""
    values: Shaped[np.ndarray, "rows *rest"]
    """A vector a row; or a label map, one sample at a time."""
    grid: tuple[int, ...] | None = None
    """Of each sample's tokens, where rows are tokens that lie on one."""

    def each(self) -> list[Shaped[np.ndarray, "rows_of_it *rest"]]:
        """Those of each sample."""
        return np.split(self.values, self.counts.cumsum()[:-1])


@dataclass(frozen=True)
class About:
    """What is known of all rows."""

    source: Source
    """Where the samples come from: it knows names, places, georeferences."""
    what: What
    rows: int
    rest: tuple[int, ...] | None
    """Shape of a row; None where rows differ in shape (label maps of samples of unlike size)."""
    names: tuple[str, ...] = ()
    """Of answers: the classes, in the order of a row's columns or by the values of a label map."""


class Writer(ABC):
    """Writes all rows to one place. Built without parameters."""

    suffixes: ClassVar[tuple[str, ...]]
    """Endings of a name that mean this writer, with the dot."""
    holds: ClassVar[frozenset[What]] = frozenset(("embedding", "answer", "events"))
    """What it has a form for."""

    def check(self, source: Source) -> None:  # noqa: B027 (most writers take anything)
        """Refuse, before anything is computed, what this writer has no place for, or a library that is not there.

        Raises:
            UserError: Says what is lacking.
        """

    def cut(self, source: Source) -> Source:
        """The samples to be embedded: those of `source`, or, where a map of whole scans is written, others of the same data
        that leave no place out. Answers are always those of `source`."""
        return source

    @abstractmethod
    def write(self, parts: Iterator[Rows], about: About, place: Path) -> None:
        """Write all rows to `place`, a file or a folder that is not there yet; it ends as the output does, and is renamed when
        it is whole."""
