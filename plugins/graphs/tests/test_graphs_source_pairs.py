"""Edges held out for link prediction: gone from the graph, in both directions, and asked for beside pairs without an edge."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest

from manyviews.errors import DataError
from manyviews_graphs.csr import CSR
from manyviews_graphs.hold_out import _unlinked, hold_out
from manyviews_graphs.places import Places
from manyviews_graphs.source import GraphSource

GRAPH = nx.gnm_random_graph(60, 200, seed=0)


def edges_of(source: GraphSource) -> set[tuple[int, int]]:
    edges = source.batch(np.array([0])).edges
    return set(zip(edges.source.tolist(), edges.target.tolist(), strict=True))


@pytest.mark.parametrize("directed", [False, True])
def test_held_out_edges(directed: bool) -> None:
    graph = nx.DiGraph(GRAPH.edges) if directed else GRAPH
    graph.add_nodes_from(range(60))
    everything = edges_of(GraphSource(path=graph))
    source = GraphSource(path=graph, hold_out_edges={"valid": 0.05, "test": 0.1})
    left, pairs = edges_of(source), source.pairs()
    assert pairs.name == "edge"
    asked = list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
    assert len(set(asked)) == len(asked)
    for split, count in (("valid", 10), ("test", 20), ("train", 170)):
        here = [pair for pair, own in zip(asked, pairs.splits, strict=True) if own == split]
        same = [pair for pair, own, linked in zip(asked, pairs.splits, pairs.same, strict=True) if own == split and linked]
        assert (len(here), len(same)) == (2 * count, count)
        assert set(same) <= everything
        both = set(same) if directed else set(same) | {(b, a) for a, b in same}
        assert both <= left if split == "train" else not both & left
        others = set(here) - set(same)
        assert not others & everything
        assert directed or not {(b, a) for a, b in others} & everything
        assert all(a != b for a, b in others)
    assert len(left) == (170 if directed else 340)
    assert edges_of(GraphSource(path=graph, hold_out_edges={"valid": 0.05, "test": 0.1})) == left
    assert edges_of(GraphSource(path=graph, hold_out_edges={"valid": 0.05, "test": 0.1}, seed=1)) != left


def test_what_is_made_of_edges_is_made_of_those_that_are_left() -> None:
    """Degrees and places know nothing of what is asked for."""
    source = GraphSource(path=GRAPH, hold_out_edges={"test": 0.3}, places=Places(kind="rwpe", channels=4))
    left = nx.empty_graph(60)
    left.add_edges_from(edges_of(source))
    again = GraphSource(path=left, places=Places(kind="rwpe", channels=4))
    np.testing.assert_array_equal(source.token_features(np.arange(60)), again.token_features(np.arange(60)))
    np.testing.assert_array_equal(source.batch(np.array([0])).places, again.batch(np.array([0])).places)


def test_edge_features_go_with_their_edges() -> None:
    edges = np.array(GRAPH.edges).T
    path = {"edge_index": edges, "edge_attr": edges.sum(0) + 100.0 * edges.min(0), "x": np.ones((60, 1))}
    batch = GraphSource(path=path, hold_out_edges={"test": 0.5}).batch(np.array([0]))
    source, target = batch.edges.source.numpy(), batch.edges.target.numpy()
    np.testing.assert_array_equal(batch.edge_x[:, 0], source + target + 100 * np.minimum(source, target))


def test_seeds_are_asked_for_by_number() -> None:
    source = GraphSource(path=GRAPH, hold_out_edges={"test": 0.2}, neighbours=[3])
    assert source.pairs().left.max() < len(source)
    assert GraphSource(path=GRAPH).pairs() is None


def test_pairs_without_an_edge_are_uniform() -> None:
    """A square of four nodes lacks its two diagonals; drawn one at a time, each comes half of the time."""
    square = CSR.of(np.array([0, 1, 2, 3, 1, 2, 3, 0]), np.array([1, 2, 3, 0, 0, 1, 2, 3]), 4)
    drawn = [_unlinked(np.array([1, 6, 11, 3]), 4, 1, True, np.random.default_rng(seed), "")[0] for seed in range(400)]
    assert set(drawn) == {0 * 4 + 2, 1 * 4 + 3}
    assert 150 < drawn.count(2) < 250
    with pytest.raises(DataError, match="has 2 pairs without an edge, and 4 are needed"):
        hold_out(square, {"test": 0.5}, undirected=True, seed=0, where="square")


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({}, "give shares of valid and test"),
        ({"train": 0.5}, "give shares of valid and test"),
        ({"test": 1.0}, "add up to more than 0, less than 1"),
        ({"test": -0.1}, "shares must be 0 or more"),
        ({"test": 0.001}, "is none for test; hold out more"),
    ],
)
def test_shares_that_cannot_be(shares: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        GraphSource(path=GRAPH, hold_out_edges=shares)
