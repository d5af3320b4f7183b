"""Rows of node features, dense or sparse: taken, made dense, normalised; a sparse matrix is never made dense as a whole."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def dense_rows(x: Float[Tensor, "nodes channels"], index: Int[Tensor, "rows"]) -> Float[Tensor, "rows channels"]:
    """These rows of `x`, dense or `torch.sparse_csr`, as a dense tensor; an index may come again."""
    if x.layout == torch.strided:
        return x[index]
    if x.device.type == "cpu":
        return _gathered(x, index)
    return _scattered(x, index)


def take_rows(
    x: Float[Tensor, "nodes channels"], index: Int[Tensor, "rows"], entries: int | None = None
) -> Float[Tensor, "rows channels"]:
    """These rows of `x` in the layout of `x`.

    Args:
        x: Dense or sparse.
        index: Which rows.
        entries: Of all these rows together, where that is known; else an accelerator is asked for it, which waits.
    """
    if x.layout == torch.strided:
        return x[index]
    counts, places = _entries(x, index, entries)
    pointer = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return _csr(pointer, x.col_indices()[places], x.values()[places], len(index), x.shape[1])


def rows_of(x: Float[Tensor, "nodes channels"]) -> Tensor:
    """The row of each entry of a sparse matrix."""
    rows = torch.arange(x.shape[0], device=x.device)
    return rows.repeat_interleave(x.crow_indices().diff(), output_size=x.values().shape[0])


def row_normalise(x: Float[Tensor, "nodes channels"]) -> Float[Tensor, "nodes channels"]:
    """Each row divided by its sum, which makes bags of words shares; a row that adds up to 0 stays as it is."""
    if x.layout == torch.strided:
        return x / _divisor(x.sum(1))[:, None]
    counts = x.crow_indices().diff()
    rows = torch.repeat_interleave(counts, output_size=x.values().shape[0])
    sums = x.values().new_zeros(x.shape[0]).index_add(0, rows, x.values())
    return _csr(x.crow_indices(), x.col_indices(), x.values() / _divisor(sums)[rows], *x.shape)


def _divisor(sums: Float[Tensor, "nodes"]) -> Float[Tensor, "nodes"]:
    return torch.where(sums == 0, torch.ones_like(sums), sums)


def _gathered(x: Tensor, index: Int[Tensor, "rows"]) -> Tensor:
    """Reads the entries of the rows asked for and no others; how many these are, the host must know."""
    counts, entries = _entries(x, index)
    rows = torch.repeat_interleave(counts, output_size=len(entries))
    dense = x.values().new_zeros(len(index), x.shape[1])
    return dense.index_put_((rows, x.col_indices()[entries]), x.values()[entries])


def _scattered(x: Tensor, index: Int[Tensor, "rows"]) -> Tensor:
    """Goes through all entries, and so asks the device for no size; those of rows not asked for fall into a last row."""
    asked = len(index)
    place = index.new_full((x.shape[0],), asked)
    place[index] = torch.arange(asked, device=index.device)
    rows = place[torch.repeat_interleave(x.crow_indices().diff(), output_size=x.values().shape[0])]
    dense = x.values().new_zeros(asked + 1, x.shape[1]).index_put_((rows, x.col_indices()), x.values())
    return dense[place[index]]  # an index that comes again finds the one place its row was written to


def _entries(
    x: Tensor, index: Int[Tensor, "rows"], entries: int | None = None
) -> tuple[Int[Tensor, "rows"], Int[Tensor, "entries"]]:
    """How many entries each row has, and where they stand."""
    starts = x.crow_indices()[index]
    counts = x.crow_indices()[index + 1] - starts
    shifts = starts - (counts.cumsum(0) - counts)
    places = torch.repeat_interleave(shifts, counts, output_size=entries)
    return counts, places + torch.arange(len(places), device=places.device)


def _csr(pointer: Tensor, columns: Tensor, values: Tensor, rows: int, channels: int) -> Tensor:
    return torch.sparse_csr_tensor(pointer, columns, values, (rows, channels), check_invariants=False)
