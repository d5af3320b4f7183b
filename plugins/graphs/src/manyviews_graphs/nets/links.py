"""Edges from one list of nodes to another, as the sparse matrices whose products are message passing.

With H heads, what nodes send is (sources, H, channels), and a weight for each edge and head mixes it: one product with
a sparse matrix of H x H diagonal blocks, (targets * H) x (sources * H). Which entry of that matrix is which weight
depends on the edges alone; it is found once and kept, forwards and transposed, for as long as the edges are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor


def counted(numbers: Int[Tensor, "entries"], kinds: int) -> Int[Tensor, "kinds"]:
    """How often each number below `kinds` occurs: `torch.bincount`, which on an accelerator asks for the largest and waits."""
    if numbers.device.type == "cpu":
        return torch.bincount(numbers, minlength=kinds)
    return numbers.new_zeros(kinds).scatter_add_(0, numbers, torch.ones_like(numbers))


@dataclass(frozen=True)
class Pattern:
    """Where a sparse matrix has entries (CSR), and which weight is at each."""

    rows: Int[Tensor, "rows_and_one"]
    columns: Int[Tensor, "entries"]
    order: Int[Tensor, "entries"] | None
    """The place in the flat list of weights, (edges heads), of each entry; None: they are in that order."""
    shape: tuple[int, int]

    def matrix(self, weights: Float[Tensor, "edges heads"]) -> Float[Tensor, "rows columns"]:
        """The matrix of these weights, `torch.sparse_csr`."""
        values = weights.reshape(-1) if self.order is None else weights.reshape(-1)[self.order]
        return torch.sparse_csr_tensor(self.rows, self.columns, values, self.shape, check_invariants=False)

    def weights(
        self, matrix: Float[Tensor, "rows columns"], like: Float[Tensor, "edges heads"]
    ) -> Float[Tensor, "edges heads"]:
        """The weights of such a matrix, in their own order."""
        if self.order is None:
            return matrix.values().reshape(like.shape)
        return torch.empty_like(like).view(-1).index_copy(0, self.order, matrix.values()).reshape(like.shape)


@dataclass(frozen=True)
class Links:
    """Edges `source[i] -> target[i]`, numbers in two lists of nodes."""

    source: Int[Tensor, "edges"]
    target: Int[Tensor, "edges"]
    """In ascending order."""
    sources: int
    targets: int
    _patterns: dict[tuple[int, bool, bool], Pattern] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return self.source.shape[0]

    @cached_property
    def pointer(self) -> Int[Tensor, "targets_and_one"]:
        """Edges into target i are those from `pointer[i]` to `pointer[i + 1]`."""
        return _pointer(self.target, self.targets)

    @cached_property
    def by_source(self) -> Int[Tensor, "edges"]:
        """The order of the edges by source."""
        return self.source.argsort(stable=True)

    def pattern(self, heads: int, *, apart: bool, transposed: bool = False) -> Pattern:
        """Rows are (target, head); columns (source, head) where heads send things apart, else sources; or transposed."""
        key = (heads, apart, transposed)
        if key not in self._patterns:
            self._patterns[key] = self._transposed(heads, apart) if transposed else self._forwards(heads, apart)
        return self._patterns[key]

    def _forwards(self, heads: int, apart: bool) -> Pattern:
        if heads == 1:
            return _narrow(self.pointer, self.source, None, (self.targets, self.sources))
        columns = _each_head(self.source, heads) if apart else self.source[:, None].expand(-1, heads)
        edges = torch.arange(len(self), device=self.source.device)
        shape = (self.targets * heads, self.sources * heads if apart else self.sources)
        return _by_node_and_head(self.pointer, self.target, columns, _each_head(edges, heads), shape)

    def _transposed(self, heads: int, apart: bool) -> Pattern:
        order = self.by_source
        pointer = _pointer(self.source, self.sources)
        columns, weights = _each_head(self.target[order], heads), _each_head(order, heads)
        if apart:
            shape = (self.sources * heads, self.targets * heads)
            return _by_node_and_head(pointer, self.source[order], columns, weights, shape)
        small = (self.sources, self.targets * heads)
        return _narrow(pointer * heads, columns.reshape(-1), weights.reshape(-1), small)


def _pointer(nodes: Int[Tensor, "edges"], number: int) -> Int[Tensor, "nodes_and_one"]:
    counts = counted(nodes, number)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _each_head(numbers: Int[Tensor, "edges"], heads: int) -> Int[Tensor, "edges heads"]:
    return numbers[:, None] * heads + torch.arange(heads, device=numbers.device)


def _by_node_and_head(
    pointer: Int[Tensor, "nodes_and_one"],
    node: Int[Tensor, "edges"],
    columns: Int[Tensor, "edges heads"],
    weights: Int[Tensor, "edges heads"],
    shape: tuple[int, int],
) -> Pattern:
    """Edges stand by node; a node's edges come once for each head, head by head, since a row is a node's head."""
    heads = columns.shape[1]
    counts = pointer.diff()
    first = pointer[node]
    within = torch.arange(len(node), device=node.device) - first
    head = torch.arange(heads, device=node.device)
    place = ((first * heads + within)[:, None] + head * counts[node][:, None]).reshape(-1)
    rows = torch.cat([pointer[:1], counts.repeat_interleave(heads, output_size=len(counts) * heads).cumsum(0)])
    put = torch.empty_like(place)
    put_columns, put_weights = (put.index_copy(0, place, what.reshape(-1)) for what in (columns, weights))
    return _narrow(rows, put_columns, put_weights, shape)


def _narrow(rows: Tensor, columns: Tensor, order: Tensor | None, shape: tuple[int, int]) -> Pattern:
    """With indices of half the size where they fit, which MKL and cuSPARSE read as they are."""
    fits = max(*shape, len(columns)) < 2**31
    kind = torch.int32 if fits else torch.int64
    return Pattern(rows.to(kind), columns.to(kind), order, shape)
