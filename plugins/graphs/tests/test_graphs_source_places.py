"""Positional encodings against their definitions in dense algebra, and against PyG's."""

from __future__ import annotations

import warnings

import networkx as nx
import numpy as np
import pytest
import torch

from manyviews.errors import DataError
from manyviews_graphs import places
from manyviews_graphs.csr import CSR
from manyviews_graphs.places import Places, laplacian, random_walks
from manyviews_graphs.source import GraphSource

with warnings.catch_warnings():  # of PyTorch's, about what PyG uses of it
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.data import Data
    from torch_geometric.transforms import AddLaplacianEigenvectorPE, AddRandomWalkPE


def graph(nodes: int, share: float, seed: int, *, directed: bool = False) -> np.ndarray:
    """An adjacency matrix; node 0 of a directed graph has no edge out."""
    draw = np.random.default_rng(seed)
    matrix = (draw.random((nodes, nodes)) < share).astype(float)
    np.fill_diagonal(matrix, 0)
    if directed:
        matrix[0] = 0
        return matrix
    return np.triu(matrix) + np.triu(matrix).T


def csr(matrix: np.ndarray) -> CSR:
    target, source = np.nonzero(matrix.T)
    return CSR.of(source, target, len(matrix))


def walks(matrix: np.ndarray, channels: int) -> np.ndarray:
    """diag((D⁻¹A)^k), longhand."""
    degrees = matrix.sum(1, keepdims=True)
    step = np.divide(matrix, degrees, out=np.zeros_like(matrix), where=degrees > 0)
    return np.stack([np.diag(np.linalg.matrix_power(step, k)) for k in range(1, channels + 1)], axis=1)


@pytest.mark.parametrize("channels", [1, 2, 7])
@pytest.mark.parametrize("directed", [False, True])
def test_random_walks(channels: int, directed: bool) -> None:
    matrix = graph(40, 0.08, 0, directed=directed)
    found = random_walks(csr(matrix), np.array([40]), channels, undirected=not directed)
    np.testing.assert_allclose(found, walks(matrix, channels), atol=1e-7)
    edges = torch.from_numpy(np.stack(np.nonzero(matrix)))
    pyg = AddRandomWalkPE(channels)(Data(edge_index=edges, num_nodes=40)).random_walk_pe
    np.testing.assert_allclose(found, pyg.numpy().reshape(40, channels), atol=1e-6)


def test_random_walks_by_blocks_of_nodes_and_of_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [graph(size, 0.3, size) for size in (5, 9, 0, 7, 3, 30, 1)]
    whole = np.zeros((55, 55))
    at = 0
    for part in parts:
        whole[at : at + len(part), at : at + len(part)] = part
        at += len(part)
    monkeypatch.setattr(places, "BLOCK", 12)
    found = random_walks(csr(whole), np.array([len(part) for part in parts]), 6, undirected=True)
    np.testing.assert_allclose(found, walks(whole, 6), atol=1e-7)
    np.testing.assert_allclose(random_walks(csr(whole), np.array([55]), 6, undirected=True), found, atol=1e-7)


def test_walks_that_would_take_hours_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MOST_WORK", 1000)
    with pytest.raises(DataError, match=r"from each of 40 nodes of the graph take 4e\+04 multiplications"):
        random_walks(csr(graph(40, 0.08, 0)), np.array([40]), 16, undirected=True)


@pytest.mark.parametrize("dense", [500, 10])
def test_laplacian_eigenvectors(monkeypatch: pytest.MonkeyPatch, dense: int) -> None:
    """Of a connected graph: those of the normalised Laplacian, in order, up to their sign; as PyG's."""
    monkeypatch.setattr(places, "DENSE", dense)
    matrix = graph(60, 0.15, 1)
    assert nx.is_connected(nx.from_numpy_array(matrix))
    found = laplacian(csr(matrix), 5)
    root = np.diag(matrix.sum(1) ** -0.5)
    values, vectors = np.linalg.eigh(np.eye(60) - root @ matrix @ root)
    np.testing.assert_allclose(np.abs(found), np.abs(vectors[:, 1:6]), atol=1e-6)
    for column, value in zip(found.T.astype(np.float64), values[1:6], strict=True):
        np.testing.assert_allclose((np.eye(60) - root @ matrix @ root) @ column, value * column, atol=1e-6)
        assert column[np.abs(column).argmax()] > 0
    edges = torch.from_numpy(np.stack(np.nonzero(matrix)))
    pyg = AddLaplacianEigenvectorPE(5, is_undirected=True)(Data(edge_index=edges, num_nodes=60)).laplacian_eigenvector_pe
    np.testing.assert_allclose(np.abs(found), pyg.abs(), atol=1e-4)


def test_each_component_has_its_own_eigenvectors() -> None:
    one, two = graph(30, 0.2, 2), graph(4, 1.1, 3)
    assert nx.is_connected(nx.from_numpy_array(one))
    both = np.zeros((36, 36))  # nodes 34 and 35 are alone
    both[:30, :30], both[30:34, 30:34] = one, two
    found = laplacian(csr(both), 6)
    np.testing.assert_allclose(found[:30], laplacian(csr(one), 6), atol=1e-6)
    assert found[30:34, :3].any(0).all()
    assert not found[30:34, 3:].any()
    assert not found[34:].any()


def test_direction_and_self_loops_do_not_count() -> None:
    matrix = graph(30, 0.2, 2)
    directed = np.triu(matrix) + np.diag(np.ones(30))
    np.testing.assert_allclose(laplacian(csr(directed), 4), laplacian(csr(matrix), 4), atol=1e-6)


@pytest.mark.parametrize("kind", ["rwpe", "lappe"])
def test_batches_carry_them(kind: str) -> None:
    graphs = [nx.cycle_graph(5), nx.path_graph(4), nx.empty_graph(0)]
    source = GraphSource(path=graphs, places=Places(kind=kind, channels=3))
    assert (source.spec.place_kind, source.spec.place_channels) == (kind, 3)
    alone = GraphSource(path=graphs[1], places=Places(kind=kind, channels=3)).batch(np.array([0])).places
    batch = source.batch(np.array([2, 1, 0]))
    assert batch.places.shape == (9, 3)
    torch.testing.assert_close(batch.places[:4], alone)
