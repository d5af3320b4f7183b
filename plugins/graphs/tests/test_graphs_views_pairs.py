"""The graph beside its corruption (DGI) and beside its diffusion (MVGRL)."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from torch import Tensor
from torch.testing import assert_close

from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.view import View, ViewGenerator
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.dgi import Corrupted
from manyviews_graphs.edges import Edges
from manyviews_graphs.views.diffusion import Diffusion, diffuse, heat_terms, pagerank_terms, strongest, transition
from manyviews_graphs.views.shuffle import Shuffle

ALL = ["ring", "sparse_ring", "two_graphs", "sparse_two_graphs", "seeded"]


@pytest.fixture(params=ALL)
def batch(request: pytest.FixtureRequest) -> GraphBatch:
    found: GraphBatch = request.getfixturevalue(request.param)
    return found


def made(views: ViewGenerator, batch: GraphBatch, number: int = 0) -> tuple[View, ...]:
    views.bind(nodes)
    return views(batch, Layout(batch.lengths), torch.Generator().manual_seed(number))


def nodes(batch: GraphBatch) -> Layout:
    """How an encoder cuts a batch whose tokens are nodes."""
    return Layout(batch.lengths)


def dense(x: Tensor) -> Tensor:
    return x if x.layout == torch.strided else x.to_dense()


def test_the_corruption_has_the_same_rows_at_other_nodes(batch: GraphBatch) -> None:
    moved = False
    for number in range(5):
        whole, corrupted = made(Shuffle(), batch, number)
        assert whole.batch is batch
        assert (whole.target, corrupted.target) == (Corrupted(False), Corrupted(True))
        assert corrupted.batch.edges is batch.edges
        assert corrupted.batch.x.layout == batch.x.layout
        before, after = dense(batch.x), dense(corrupted.batch.x)
        moved |= not torch.equal(before, after)
        scopes = [batch.lengths.total] if batch.seeded else batch.lengths.tensor.tolist()
        for one, two in zip(before.split(scopes), after.split(scopes), strict=True):
            assert sorted(map(tuple, one.tolist())) == sorted(map(tuple, two.tolist()))
    assert moved


def test_rows_are_shuffled_uniformly(ring: GraphBatch) -> None:
    marked = replace(ring, x=torch.arange(8.0)[:, None])
    generator, views, layout = torch.Generator().manual_seed(0), Shuffle(), Layout(ring.lengths)
    views.bind(nodes)
    counts = torch.zeros(8, 8)
    for _ in range(400):
        counts[torch.arange(8), views(marked, layout, generator)[1].batch.x[:, 0].long()] += 1
    assert_close(counts / 400, torch.full((8, 8), 0.125), atol=0.08, rtol=0)


def longhand(edges: Edges, kind: str) -> np.ndarray:
    """alpha (I - (1 - alpha) T)^-1 and e^(t (T - I)), T = D^-1/2 (A + I) D^-1/2, in float64, with dense matrices."""
    a = np.eye(edges.nodes)
    a[edges.target, edges.source] = 1.0
    root = np.diag(a.sum(1) ** -0.5)
    t = root @ a @ root
    eye = np.eye(edges.nodes)
    return 0.2 * np.linalg.inv(eye - 0.8 * t) if kind == "ppr" else expm(5.0 * (t - eye))


@pytest.mark.parametrize(("kind", "terms"), [("ppr", pagerank_terms(0.2, 1e-9)), ("heat", heat_terms(5.0, 1e-9))])
def test_the_series_is_the_diffusion(ring: GraphBatch, two_graphs: GraphBatch, kind: str, terms: list[float]) -> None:
    for edges in (ring.edges, two_graphs.edges):
        flow = diffuse(transition(edges).double(), torch.eye(edges.nodes).double(), terms)
        assert_close(flow.T, torch.tensor(longhand(edges, kind)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4])
def test_terms_leave_out_no_more_than_the_tolerance(tolerance: float) -> None:
    for terms in (pagerank_terms(0.15, tolerance), heat_terms(3.0, tolerance)):
        assert 0 <= 1 - sum(terms) <= tolerance < 1 - sum(terms[:-1])


@pytest.mark.parametrize("neighbours", [1, 3, 100])
def test_the_strongest_sources_of_each_node_become_its_edges(batch: GraphBatch, neighbours: int) -> None:
    (whole, diffused) = made(Diffusion(neighbours=neighbours, tolerance=1e-6), batch)
    assert whole.batch is batch
    assert diffused.batch.x is batch.x
    edges = diffused.batch.edges
    assert edges.target.diff().ge(0).all()
    flow = longhand(batch.edges, "ppr")
    np.fill_diagonal(flow, 0.0)
    for node in range(edges.nodes):
        sources = edges.source[edges.target == node].tolist()
        reachable = np.flatnonzero(flow[node] > 1e-12)
        assert len(sources) == len(set(sources)) == min(neighbours, len(reachable))
        assert set(sources) <= set(reachable.tolist())
        best = np.sort(flow[node])[::-1][: len(sources)]
        np.testing.assert_allclose(np.sort(flow[node, sources])[::-1], best, atol=1e-5)


def test_diffusion_of_directed_edges_goes_with_them() -> None:
    """0 -> 1 -> 2: node 2 hears from both others, node 0 from none."""
    edges = Edges.of(torch.tensor([0, 1]), torch.tensor([1, 2]), 3)
    got = strongest(edges, Lengths.of([3]), pagerank_terms(0.2, 1e-4), 5)
    assert sorted(zip(got.source.tolist(), got.target.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2)]


def test_columns_in_blocks_give_the_same(two_graphs: GraphBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = strongest(two_graphs.edges, two_graphs.lengths, pagerank_terms(0.2, 1e-4), 3)
    monkeypatch.setattr("manyviews_graphs.views.diffusion.CELLS", 12)
    in_blocks = strongest(two_graphs.edges, two_graphs.lengths, pagerank_terms(0.2, 1e-4), 3)
    assert torch.equal(at_once.source, in_blocks.source)
    assert torch.equal(at_once.target, in_blocks.target)


def test_a_graph_is_diffused_once(ring: GraphBatch, two_graphs: GraphBatch) -> None:
    views = Diffusion(neighbours=3)
    first = made(views, ring)[1].batch.edges
    assert made(views, ring)[1].batch.edges is first
    other = made(views, two_graphs)[1].batch.edges
    assert other is not first
    for copied in (copy.deepcopy(views), pickle.loads(pickle.dumps(views))):
        again = made(copied, two_graphs)[1].batch.edges
        assert again is not other
        assert torch.equal(again.source, other.source)
