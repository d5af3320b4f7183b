"""The edges of a batch of graphs, in the one order that message passing reads them: by the node they end in.

Sorted by target, edges are the rows of a sparse matrix (CSR), so that aggregation is a product of matrices; the way
back (gradients) reads the same edges by source, whose order is found once and kept. A batch of graphs is one graph
without edges between its parts, numbered through.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from manyviews_graphs.nets.links import Links, counted

with warnings.catch_warnings():  # torch says once a process that CSR tensors are in beta: here, where nobody hears it
    warnings.simplefilter("ignore", UserWarning)
    torch.eye(1).to_sparse_csr()
CHECKS: Any = torch.sparse.check_sparse_tensor_invariants
if not CHECKS.is_enabled():  # the same said aloud, or torch warns of what a worker process sends
    CHECKS.disable()


@dataclass(frozen=True)
class Edges:
    """Directed edges `source[i] -> target[i]`; an undirected graph holds each edge in both directions."""

    source: Int[Tensor, "edges"]
    target: Int[Tensor, "edges"]
    """In ascending order."""
    nodes: int

    @classmethod
    def of(cls, source: Int[Tensor, "edges"], target: Int[Tensor, "edges"], nodes: int) -> Edges:
        """From edges in any order; see `order_of` for what must follow them."""
        order = order_of(source, target, nodes)
        return cls(source[order], target[order], nodes)

    def __len__(self) -> int:
        return self.source.shape[0]

    @cached_property
    def pointer(self) -> Int[Tensor, "nodes_and_one"]:
        """CSR row pointer: the edges into node i are those from `pointer[i]` to `pointer[i + 1]`."""
        counts = counted(self.target, self.nodes)
        return torch.cat([counts.new_zeros(1), counts.cumsum(0)])

    @cached_property
    def by_source(self) -> Int[Tensor, "edges"]:
        """The order of the edges by source (and target): the rows of the transposed matrix."""
        return order_of(self.target, self.source, self.nodes)

    @cached_property
    def links(self) -> Links:
        """The same as sparse matrices, whose patterns are kept with these edges."""
        return Links(self.source, self.target, self.nodes, self.nodes)

    @cached_property
    def in_degree(self) -> Int[Tensor, "nodes"]:
        """Edges into each node."""
        return self.pointer.diff()

    @cached_property
    def out_degree(self) -> Int[Tensor, "nodes"]:
        """Edges out of each node."""
        return counted(self.source, self.nodes)

    @cached_property
    def looped(self) -> Edges:
        """The same with exactly one self-loop at each node: those that are there are dropped, one each is added."""
        between = self.source != self.target
        own = torch.arange(self.nodes, device=self.source.device)
        return Edges.of(torch.cat([self.source[between], own]), torch.cat([self.target[between], own]), self.nodes)

    def keep(self, where: Bool[Tensor, "edges"]) -> Edges:
        """Those edges alone."""
        return Edges(self.source[where], self.target[where], self.nodes)

    def to(self, device: torch.device, non_blocking: bool = False) -> Edges:
        """On another device; `self`, with all that was derived from it, where it is there already."""
        if self.source.device == device:
            return self
        source, target = (part.to(device, non_blocking=non_blocking) for part in (self.source, self.target))
        return Edges(source, target, self.nodes)


def order_of(source: Int[Tensor, "edges"], target: Int[Tensor, "edges"], nodes: int) -> Int[Tensor, "edges"]:
    """Where each edge comes from when edges are put in order of target, then source: for what belongs to edges."""
    return (target * nodes + source).argsort(stable=True)
