"""From torch's tensors to the arrays that the readers give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from manyviews.errors import DataError
from manyviews_graphs.reading.raw import Matrix


def edges_of(found: Mapping[str, Any], where: str) -> tuple[Int[np.ndarray, "edges"], Int[np.ndarray, "edges"]]:
    """Both ends of each edge, from `edge_index` or a sparse `adj_t`; none where there is neither.

    Raises:
        DataError: Another shape or type.
    """
    if (transposed := found.get("adj_t")) is not None:
        if not isinstance(transposed, Tensor) or transposed.layout == torch.strided:
            raise DataError(f"{where}: adj_t is a {type(transposed).__name__}; expected a sparse tensor, or edge_index")
        target, source = transposed.to_sparse(layout=torch.sparse_coo).coalesce().indices()
        return source.numpy(), target.numpy()
    edges = found.get("edge_index")
    if edges is None:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    if not isinstance(edges, Tensor) or edges.ndim != 2 or edges.shape[0] != 2:
        said = tuple(edges.shape) if isinstance(edges, Tensor) else type(edges).__name__
        raise DataError(f"{where}: edge_index is {said}; expected a tensor of shape (2, edges)")
    if edges.dtype.is_floating_point or edges.dtype == torch.bool:
        raise DataError(f"{where}: edge_index holds {edges.dtype}; expected whole numbers of nodes")
    source, target = edges.cpu().numpy()
    return source, target


def matrix_of(x: Any, where: str) -> Matrix | None:
    """Features as numpy or SciPy hold them.

    Raises:
        DataError: They are no tensor of one or two axes.
    """
    if x is None:
        return None
    if not isinstance(x, Tensor) or x.ndim > 2:
        said = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise DataError(f"{where}: x is {said}; expected a tensor of shape (nodes, channels)")
    if x.layout == torch.strided:
        return as_rows(cast(np.ndarray, array_of(x)))
    coo = x.detach().cpu().to_sparse(layout=torch.sparse_coo).coalesce()
    rows, columns = coo.indices().numpy()
    return scipy.sparse.csr_matrix((coo.values().numpy(), (rows, columns)), shape=tuple(coo.shape))


def as_rows(values: np.ndarray) -> Shaped[np.ndarray, "items channels"]:
    """One row an item, whatever its axes; a single number is a row of one."""
    return values.reshape(len(values), math.prod(values.shape[1:]))


def array_of(value: Any) -> np.ndarray | None:
    """A tensor or number as an array; None stays None."""
    if value is None:
        return None
    if not isinstance(value, Tensor):
        return np.asarray(value)
    value = value.detach().cpu()
    return value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()
