"""What nodes or edges are like, kept as it came (dense, mapped from a file, sparse, a code) until rows are asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from manyviews_graphs.features import row_normalise
from manyviews_graphs.reading.raw import Matrix


class Rows(ABC):
    """Some channels of every node or edge."""

    channels: int

    @abstractmethod
    def take(self, index: Int[np.ndarray, "rows"]) -> Matrix:
        """These rows, float32; sparse where they are kept so."""

    @abstractmethod
    def whole(self) -> Matrix:
        """All rows, float32; codes as a sparse matrix."""


class Dense(Rows):
    """An array, in memory or mapped from a file."""

    def __init__(self, values: Shaped[np.ndarray, "items channels"]) -> None:
        self.values, self.channels = values, values.shape[1]

    def take(self, index: Int[np.ndarray, "rows"]) -> Matrix:
        return np.asarray(self.values[index], dtype=np.float32)

    def whole(self) -> Matrix:
        shared = isinstance(self.values, np.memmap) or not self.values.flags.writeable
        return np.array(self.values, dtype=np.float32) if shared else np.asarray(self.values, dtype=np.float32)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """A worker maps the file itself: the numbers do not travel."""
        values = self.values
        if not isinstance(values, np.memmap) or values.base is None or isinstance(values.base, np.ndarray):
            return Dense, (np.asarray(values),)
        order = "F" if values.flags.f_contiguous and not values.flags.c_contiguous else "C"
        return _mapped, (str(values.filename), values.dtype, values.offset, values.shape, order)


def _mapped(path: str, dtype: np.dtype[Any], offset: int, shape: tuple[int, ...], order: Any) -> Dense:
    return Dense(np.memmap(path, dtype, "r", offset, shape, order))


class Sparse(Rows):
    """A CSR matrix."""

    def __init__(self, values: scipy.sparse.csr_matrix) -> None:
        self.values, self.channels = values.astype(np.float32, copy=False), values.shape[1]

    def take(self, index: Int[np.ndarray, "rows"]) -> Matrix:
        return self.values[index]

    def whole(self) -> Matrix:
        return self.values


class OneHot(Rows):
    """A code for each, -1 for none."""

    def __init__(self, codes: Int[np.ndarray, "items"], channels: int) -> None:
        self.codes, self.channels = codes, channels

    def take(self, index: Int[np.ndarray, "rows"]) -> Matrix:
        codes = self.codes[index]
        values = np.zeros((len(codes), self.channels), dtype=np.float32)
        known = np.flatnonzero(codes >= 0)
        values[known, codes[known]] = 1
        return values

    def whole(self) -> Matrix:
        known = self.codes >= 0
        pointer = np.concatenate([[0], np.cumsum(known)])
        ones = np.ones(pointer[-1], dtype=np.float32)
        return scipy.sparse.csr_matrix((ones, self.codes[known], pointer), shape=(len(self.codes), self.channels))


class Scaled(Rows):
    """Channels shifted and scaled, which makes sparse ones dense."""

    def __init__(self, rows: Rows, mean: Sequence[float], scale: Sequence[float]) -> None:
        self.rows, self.channels = rows, rows.channels
        self.mean, self.scale = np.array(mean, dtype=np.float32), np.array(scale, dtype=np.float32)

    def take(self, index: Int[np.ndarray, "rows"]) -> Matrix:
        return self._scaled(self.rows.take(index))

    def whole(self) -> Matrix:
        return self._scaled(self.rows.whole())

    def _scaled(self, values: Matrix) -> Matrix:
        return ((values if isinstance(values, np.ndarray) else values.toarray()) - self.mean) / self.scale


@dataclass(frozen=True)
class Columns:
    """Rows side by side: all channels."""

    parts: Sequence[Rows]
    row_normalised: bool = False

    @property
    def channels(self) -> int:
        return sum(part.channels for part in self.parts)

    def take(self, index: Int[np.ndarray, "rows"]) -> Float[Tensor, "rows channels"]:
        """These rows, as a tensor of its own: dense, or `torch.sparse_csr` where features are kept sparse."""
        return self._tensor([part.take(index) for part in self.parts])

    def whole(self) -> Float[Tensor, "items channels"]:
        """All rows; codes make them sparse."""
        return self._tensor([part.whole() for part in self.parts])

    def dense(self, index: Int[np.ndarray, "rows"]) -> Float[np.ndarray, "rows channels"]:
        """These rows as an array."""
        found = self.take(index)
        return (found if found.layout == torch.strided else found.to_dense()).numpy()

    def _tensor(self, found: Sequence[Matrix]) -> Tensor:
        if all(isinstance(part, np.ndarray) for part in found):
            dense = found[0] if len(found) == 1 else np.concatenate(found, axis=1)
            values = torch.from_numpy(dense)
        else:
            values = to_torch(scipy.sparse.hstack(found, format="csr") if len(found) > 1 else found[0])
        return row_normalise(values) if self.row_normalised else values


def to_torch(matrix: scipy.sparse.csr_matrix) -> Float[Tensor, "rows channels"]:
    """A SciPy matrix as torch holds it."""
    pointer, columns = (torch.from_numpy(part.astype(np.int64)) for part in (matrix.indptr, matrix.indices))
    return torch.sparse_csr_tensor(pointer, columns, torch.from_numpy(matrix.data), matrix.shape, check_invariants=False)
