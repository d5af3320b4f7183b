"""Parts of a graph store as batches: one graph whole, graphs side by side, neighbourhoods. No Python per node or graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from manyviews.lengths import Lengths
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.csr import CSR
from manyviews_graphs.edges import Edges
from manyviews_graphs.rows import Columns
from manyviews_graphs.sampling import sample


@dataclass(frozen=True)
class Store:
    """All graphs, in order: edges by target, and what nodes and edges are like."""

    csr: CSR
    starts: Int[np.ndarray, "graphs_and_one"]
    """The first node of each graph, and the end."""
    nodes: Columns
    edges: Columns | None = None
    """In the order of the CSR."""
    places: Float[np.ndarray, "nodes place_channels"] | None = None

    def whole(self) -> GraphBatch:
        """Every node and edge; graphs are samples."""
        return GraphBatch(
            self.nodes.whole(),
            _edges(self.csr.source, np.diff(self.csr.pointer)),
            Lengths.of(np.diff(self.starts).tolist()),
            None if self.edges is None else _dense(self.edges.whole()),
            None if self.places is None else torch.from_numpy(self.places),
        )

    def graphs(self, index: Int[np.ndarray, "samples"]) -> GraphBatch:
        """These graphs, back to back."""
        starts, stops = self.starts[index], self.starts[index + 1]
        sizes = stops - starts
        nodes = ranges(starts, sizes)
        first, last = self.csr.pointer[starts], self.csr.pointer[stops]
        edges = ranges(first, last - first)
        shift = np.repeat(sizes.cumsum() - sizes - starts, last - first)
        degrees = self.csr.pointer[nodes + 1] - self.csr.pointer[nodes]
        return GraphBatch(
            self.nodes.take(nodes),
            _edges(self.csr.source[edges] + shift, degrees),
            Lengths.of(sizes.tolist()),
            None if self.edges is None else self.edges.take(edges),
            None if self.places is None else torch.from_numpy(self.places[nodes]),
        )

    def neighbourhoods(
        self, seeds: Int[np.ndarray, "samples"], neighbours: Sequence[int], rng: np.random.Generator
    ) -> GraphBatch:
        """These nodes, each with the nodes sampled around it."""
        part = sample(self.csr, seeds, neighbours, rng)
        edges = Edges(torch.from_numpy(part.source), torch.from_numpy(part.target), len(part.nodes))
        return GraphBatch(
            self.nodes.take(part.nodes),
            edges,
            Lengths.of(part.lengths.tolist()),
            None if self.edges is None else self.edges.take(part.edges),
            None if self.places is None else torch.from_numpy(self.places[part.nodes]),
            seeded=True,
            numbers=torch.from_numpy(part.nodes),
        )


def ranges(starts: Int[np.ndarray, "parts"], sizes: Int[np.ndarray, "parts"]) -> Int[np.ndarray, "total"]:
    """`starts[0]`, `starts[0] + 1`, … `sizes[0]` of them, then those from `starts[1]` on, …"""
    ends = sizes.cumsum()
    return np.repeat(starts - (ends - sizes), sizes) + np.arange(ends[-1] if len(ends) else 0)


def _edges(source: Int[np.ndarray, "edges"], degrees: Int[np.ndarray, "nodes"]) -> Edges:
    """From the rows of a CSR: as many edges into each node as its degree says."""
    target = np.repeat(np.arange(len(degrees)), degrees)
    return Edges(torch.from_numpy(source.astype(np.int64, copy=False)), torch.from_numpy(target), len(degrees))


def _dense(values: torch.Tensor) -> torch.Tensor:
    return values if values.layout == torch.strided else values.to_dense()
