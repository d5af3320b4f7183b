"""Small batches of graphs, one of each kind of sample, and the same with sparse features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from manyviews.lengths import Lengths
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.edges import Edges
from manyviews_graphs.spec import GraphSpec

CHANNELS, EDGE_CHANNELS = 5, 3


def batch_of(pairs: Sequence[tuple[int, int]], lengths: Sequence[int], *, seeded: bool = False) -> GraphBatch:
    """A batch with these undirected edges; features, edge features and places drawn from a fixed seed."""
    draw = torch.Generator().manual_seed(0)
    nodes = sum(lengths)
    one, two = torch.tensor([*pairs, *[(b, a) for a, b in pairs if a != b]]).T
    edges = Edges.of(one, two, nodes)
    x = torch.randn(nodes, CHANNELS, generator=draw)
    x = x * (torch.rand(x.shape, generator=draw) < 0.6)  # zeros, so that sparse features have some to leave out
    numbers = torch.arange(nodes) + 100 if seeded else None
    return GraphBatch(
        x,
        edges,
        Lengths.of(lengths),
        edge_x=torch.randn(len(edges), EDGE_CHANNELS, generator=draw),
        places=torch.rand(nodes, 2, generator=draw),
        seeded=seeded,
        numbers=numbers,
    )


def sparse(batch: GraphBatch) -> GraphBatch:
    """The same batch with its features as `torch.sparse_csr`."""
    return replace(batch, x=batch.x.to_sparse_csr())


@pytest.fixture
def ring() -> GraphBatch:
    """One graph, one sample: a ring of 8 nodes with two chords; every node has a neighbour."""
    return batch_of([(i, (i + 1) % 8) for i in range(8)] + [(0, 4), (1, 6)], [8])


@pytest.fixture
def sparse_ring(ring: GraphBatch) -> GraphBatch:
    """The ring with sparse features."""
    return sparse(ring)


@pytest.fixture
def two_graphs() -> GraphBatch:
    """Three ragged samples: a path of 3 with an isolated fourth node, a graph of a single node, a triangle with a self-loop."""
    return batch_of([(0, 1), (1, 2), (5, 6), (6, 7), (5, 7), (6, 6)], [4, 1, 3])


@pytest.fixture
def sparse_two_graphs(two_graphs: GraphBatch) -> GraphBatch:
    """The ragged batch with sparse features."""
    return sparse(two_graphs)


@pytest.fixture
def seeded() -> GraphBatch:
    """Neighbourhoods of three seeds, nodes 0, 3 and 6; node 4 is a neighbour of two of them, and stands with the first."""
    return batch_of([(0, 1), (0, 2), (1, 2), (3, 4), (4, 5), (6, 4), (6, 7), (2, 4)], [3, 3, 2], seeded=True)


@pytest.fixture
def spec() -> GraphSpec:
    """What the batches above are described by, their places left out."""
    return GraphSpec(channels=CHANNELS, edge_channels=EDGE_CHANNELS)


@pytest.fixture
def placed_spec() -> GraphSpec:
    """What the batches above are described by, with their places."""
    return GraphSpec(channels=CHANNELS, edge_channels=EDGE_CHANNELS, place_kind="rwpe", place_channels=2)
