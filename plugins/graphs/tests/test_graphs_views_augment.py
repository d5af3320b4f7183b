"""Views that differ in edges, nodes and features."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import networkx as nx
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.testing import assert_close

from manyviews.errors import RecipeError, UserError
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.objectives.ntxent import NTXent
from manyviews.plugins.match import check_fit, facts_of
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.edges import Edges
from manyviews_graphs.gat import GAT
from manyviews_graphs.spec import GraphSpec
from manyviews_graphs.views.adaptive import channel_chances, edge_chances
from manyviews_graphs.views.augment import Augment, undirected_numbers
from manyviews_graphs.views.walk import first_visits, walked

ALL = ["ring", "sparse_ring", "two_graphs", "sparse_two_graphs", "seeded"]
EVERYTHING = {"edge_drop": 0.3, "feature_drop": 0.3, "attribute_drop": 0.4, "node_drop": 0.3, "subgraph": 0.7}


@pytest.fixture(params=ALL)
def batch(request: pytest.FixtureRequest) -> GraphBatch:
    found: GraphBatch = request.getfixturevalue(request.param)
    return found


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def only(**shares: Any) -> Augment:
    """Views that differ in these things alone."""
    return Augment(**{"edge_drop": 0.0, "feature_drop": 0.0, **shares})


def made(views: Augment, batch: GraphBatch, number: int = 0) -> tuple[View, ...]:
    views.bind(nodes)
    return views(batch, Layout(batch.lengths), seed(number))


def nodes(batch: GraphBatch) -> Layout:
    """How an encoder cuts a batch whose tokens are nodes."""
    return Layout(batch.lengths)


def dense(x: Tensor) -> Tensor:
    return x if x.layout == torch.strided else x.to_dense()


def pairs(edges: Edges) -> list[tuple[int, int]]:
    return list(zip(edges.source.tolist(), edges.target.tolist(), strict=True))


def random_graphs(lengths: list[int], degree: float = 4.0, channels: int = 6) -> GraphBatch:
    """Undirected graphs of random edges, back to back."""
    draw, parts, first = seed(7), [], 0
    for nodes in lengths:
        ends = torch.randint(nodes, (2, int(degree * nodes / 2)), generator=draw)
        ends = ends[:, ends[0] != ends[1]]
        both = torch.cat([ends, ends.flip(0)], dim=1).unique(dim=1)
        parts.append(both + first)
        first += nodes
    source, target = torch.cat(parts, dim=1)
    return GraphBatch(torch.rand(first, channels, generator=draw) + 1, Edges.of(source, target, first), Lengths.of(lengths))


@pytest.mark.parametrize("one_of", [False, True])
def test_every_view_is_a_part_of_the_batch(batch: GraphBatch, one_of: bool) -> None:
    """Each node of a view is one of the batch's with its features or zeros, each edge one between nodes that stayed."""
    marked = replace(batch, numbers=torch.arange(batch.lengths.total))
    before, nodes = set(pairs(batch.edges)), batch.lengths.tensor
    for number in range(6):
        for view in made(only(views=3, one_of=one_of, **EVERYTHING), marked, number):
            part = view.batch
            assert view.layout == Layout(part.lengths)
            assert (
                part.lengths.tensor.tolist()
                == torch.bincount(batch.lengths.owners()[part.numbers], minlength=len(batch)).tolist()
            )
            assert ((part.lengths.tensor >= 1) & (part.lengths.tensor <= nodes)).all()
            assert part.numbers.diff().gt(0).all()
            assert part.edges.nodes == part.lengths.total == part.x.shape[0] == len(part.places)
            assert part.edges.target.diff().ge(0).all()
            assert {(int(part.numbers[s]), int(part.numbers[t])) for s, t in pairs(part.edges)} <= before
            x, own = dense(part.x), dense(batch.x)[part.numbers]
            assert ((x == own) | (x == 0)).all()
            assert part.x.layout == batch.x.layout
            assert len(part.edge_x) == len(part.edges)
            assert_close(part.places, batch.places[part.numbers])
            if batch.seeded:
                assert (part.numbers[part.lengths.starts()] == batch.lengths.starts()).all()


def test_features_of_edges_stay_with_their_edges(two_graphs: GraphBatch) -> None:
    known = dict(zip(pairs(two_graphs.edges), two_graphs.edge_x, strict=True))
    marked = replace(two_graphs, numbers=torch.arange(8))
    for number in range(5):
        for view in made(only(edge_drop=0.3, node_drop=0.3), marked, number):
            part = view.batch
            for (source, target), row in zip(pairs(part.edges), part.edge_x, strict=True):
                assert torch.equal(row, known[int(part.numbers[source]), int(part.numbers[target])])


def test_what_is_given_follows_from_the_parameters() -> None:
    assert only(edge_drop=0.2, feature_drop=0.3, attribute_drop=0.1).gives == {Trait.SEVERAL_VIEWS, Trait.ALIGNED_TOKENS}
    assert only(node_drop=0.2).gives == only(subgraph=0.8).gives == {Trait.SEVERAL_VIEWS}
    assert only(node_drop=(0.0, 0.1)).gives == {Trait.SEVERAL_VIEWS}
    assert Augment.gives == Augment().gives
    with pytest.raises(UserError, match=r"would all be the same; give one of edge_drop, .*, subgraph a share"):
        only()


def test_views_that_lose_nodes_are_refused_where_nodes_are_compared() -> None:
    objective, encoder = facts_of("ntxent", "objective", NTXent()), facts_of("graphs/gat", "encoder", GAT)
    losing = facts_of("graphs/augment", "views", only(node_drop=0.2))
    check_fit(objective, losing, encoder, unit="sample", domain="graphs")
    with pytest.raises(RecipeError, match=r"`ntxent` needs on `unit: token` views whose tokens stand for the same things"):
        check_fit(objective, losing, encoder, unit="token", domain="graphs")
    check_fit(objective, facts_of("graphs/augment", "views", Augment()), encoder, unit="token", domain="graphs")


def test_shares_of_each_view() -> None:
    batch = random_graphs([2000])
    views = made(only(views=3, edge_drop=(0.0, 0.25, 0.75), feature_drop=(0.0, 0.0, 0.99)), batch)
    assert views[0].batch.edges is batch.edges
    for view, share in zip(views[1:], (0.25, 0.75), strict=True):
        kept, total = len(view.batch.edges), len(batch.edges)
        assert stats.binomtest(kept, total, 1 - share).pvalue > 1e-3
    assert torch.equal(views[1].batch.x, batch.x)
    assert (views[2].batch.x == 0).any(0).sum() >= 5
    with pytest.raises(UserError, match=r"edge_drop: \[0\.1, 0\.2, 0\.3\] is for 3 views, and there are 2"):
        only(edge_drop=(0.1, 0.2, 0.3))


def test_feature_channels_are_dropped_at_all_nodes_alike_whether_dense_or_sparse(
    ring: GraphBatch, sparse_ring: GraphBatch
) -> None:
    wide = replace(ring, x=torch.rand(8, 4000, generator=seed()) + 1)
    (one, _) = made(only(feature_drop=(0.3, 0.0)), wide)
    gone = one.batch.x == 0
    assert torch.equal(gone.any(0), gone.all(0))
    assert stats.binomtest(int(gone.all(0).sum()), 4000, 0.3).pvalue > 1e-3
    for number in range(5):
        for view, sparse in zip(
            made(only(feature_drop=0.5), ring, number), made(only(feature_drop=0.5), sparse_ring, number), strict=True
        ):
            assert torch.equal(view.batch.x, dense(sparse.batch.x))
            assert sparse.batch.x.layout == torch.sparse_csr


def test_features_of_a_share_of_each_sample_s_nodes_are_zero() -> None:
    batch = random_graphs([10, 25, 3])
    for view in made(only(attribute_drop=0.4), batch):
        gone = (view.batch.x == 0).all(1)
        assert [int(part.sum()) for part in gone.split([10, 25, 3])] == [4, 10, 1]
        assert torch.equal(view.batch.x[~gone], batch.x[~gone])


def test_a_share_of_each_sample_s_nodes_is_taken_away_but_no_seed() -> None:
    batch = random_graphs([10, 25, 3, 1])
    for view in made(only(node_drop=0.4), batch):
        assert view.batch.lengths.tensor.tolist() == [6, 15, 2, 1]


def test_no_seed_is_taken_away() -> None:
    """Of 400 neighbourhoods of 10 nodes each loses 4 of the 9 that are no seed, each as often."""
    batch = replace(random_graphs([10] * 400), seeded=True, numbers=torch.arange(4000))
    for view in made(only(node_drop=0.4), batch):
        assert view.batch.lengths.tensor.tolist() == [6] * 400
        kept = torch.bincount(view.batch.numbers % 10, minlength=10)
        assert kept[0] == 400
        assert_close(kept[1:] / 400, torch.full((9,), 5 / 9), atol=0.1, rtol=0)


def test_an_edge_and_its_reverse_go_together_or_each_alone() -> None:
    batch = random_graphs([300])
    for view in made(only(edge_drop=0.5, symmetric=True), batch):
        kept = set(pairs(view.batch.edges))
        assert kept == {(t, s) for s, t in kept}
        assert stats.binomtest(len(kept) // 2, len(batch.edges) // 2, 0.5).pvalue > 1e-3
    for view in made(only(edge_drop=0.5), batch):
        kept = set(pairs(view.batch.edges))
        both = sum((t, s) in kept for s, t in kept) / len(kept)
        assert abs(both - 0.5) < 0.1


def test_numbers_of_undirected_edges() -> None:
    edges = Edges.of(torch.tensor([0, 1, 1, 2, 2, 2, 0]), torch.tensor([1, 0, 2, 1, 2, 0, 1]), 3)
    numbers: dict[frozenset[int], set[int]] = {}
    for pair, number in zip(pairs(edges), undirected_numbers(edges).tolist(), strict=True):
        numbers.setdefault(frozenset(pair), set()).add(number)
    assert all(len(each) == 1 for each in numbers.values())
    assert len(set.union(*numbers.values())) == len(numbers) == 4
    assert undirected_numbers(Edges.of(torch.tensor([], dtype=torch.long), torch.tensor([], dtype=torch.long), 3)).shape == (0,)


def test_one_thing_is_done_to_each_sample() -> None:
    lengths = [20] * 300
    batch = replace(random_graphs(lengths), numbers=torch.arange(6000))
    (view, _) = made(only(edge_drop=0.5, node_drop=(0.25, 0.0), attribute_drop=0.5, one_of=True), batch)
    owners = view.batch.lengths.owners()
    nodes = view.batch.lengths.tensor < 20
    edges_before = torch.bincount(batch.lengths.owners()[batch.edges.target], minlength=300)
    edges = (torch.bincount(owners[view.batch.edges.target], minlength=300) < edges_before) & ~nodes
    features = torch.zeros(300).index_add(0, owners, (view.batch.x == 0).all(1).float()) > 0
    assert ((nodes.int() + edges.int() + features.int()) == 1).all()
    assert stats.chisquare([int(nodes.sum()), int(edges.sum()), int(features.sum())]).pvalue > 1e-3


def test_a_walk_gathers_a_connected_part_of_each_graph() -> None:
    lengths = [40, 7, 1, 120]
    batch = random_graphs(lengths, degree=6)
    graph = nx.Graph(pairs(batch.edges))
    graph.add_nodes_from(range(sum(lengths)))
    for number in range(10):
        where = walked(batch, 0.3, seed(number))
        for part, first, size in zip(where.split(lengths), batch.lengths.starts().tolist(), lengths, strict=True):
            nodes = (part.nonzero().flatten() + first).tolist()
            assert 1 <= len(nodes) <= max(int(0.3 * size), 1)
            assert nx.is_connected(graph.subgraph(nodes))
    sizes = [int(part.sum()) for part in walked(batch, 0.3, seed()).split(lengths)]
    assert sizes[0] >= 10
    assert sizes[3] >= 30


def test_a_walk_is_uniform_over_the_neighbours_of_where_it_stands() -> None:
    """From a node with three ways a walker is on each after one step as often; a node without a way is not left."""
    edges = Edges.of(torch.tensor([1, 2, 3, 0]), torch.tensor([0, 0, 0, 3]), 5)
    reached = first_visits(edges, torch.tensor([0]), 1, seed())
    assert sorted(reached.tolist()) == [0, 1, 2, 2, 2]
    each = 5 * torch.arange(3000)  # so many copies of the graph, and a walker in each
    copies = Edges.of(*((ends + each[:, None]).flatten() for ends in (edges.source, edges.target)), 15_000)
    ends = (first_visits(copies, each, 1, seed()) == 1).view(3000, 5).sum(0)
    assert ends[[0, 4]].tolist() == [0, 0]
    assert stats.chisquare(ends[1:4].tolist()).pvalue > 1e-3
    assert first_visits(edges, torch.tensor([4, 2]), 5, seed()).tolist() == [6, 6, 0, 6, 0]
    # 3 -> 0 is the only way back from 3, so a walk from 3 is at 0 after one step and elsewhere after two
    assert first_visits(edges, torch.tensor([3]), 2, seed()).tolist()[0] == 1


def test_neighbourhoods_are_walked_from_their_seeds(seeded: GraphBatch) -> None:
    for number in range(10):
        assert walked(seeded, 0.4, seed(number))[[0, 3, 6]].all()


def test_chances_of_edges_are_gca_s() -> None:
    """`degree_drop_weights` and `drop_edge_weighted` of the released code, with the paper's mean over both ends."""
    batch = random_graphs([200])
    edges = batch.edges
    graph = nx.Graph(pairs(edges))
    s = torch.tensor([(graph.degree[a] + graph.degree[b]) / 2 for a, b in pairs(edges)], dtype=torch.float64).log()
    weights = (s.max() - s) / (s.max() - s.mean())
    weights = weights / weights.mean() * 0.4
    assert_close(edge_chances(edges, 0.4, 0.7), weights.where(weights < 0.7, torch.ones_like(weights) * 0.7))
    ring = Edges.of(torch.arange(5), (torch.arange(5) + 1) % 5, 5)
    assert_close(edge_chances(ring, 0.4, 0.7), torch.full((5,), 0.4, dtype=torch.float64))


def test_chances_of_channels_are_gca_s(ring: GraphBatch, sparse_ring: GraphBatch) -> None:
    """`feature_drop_weights_dense` of the released code; a channel that is zero everywhere is left out."""
    degree = ring.edges.in_degree.double()
    s = (ring.x.abs().double().T @ degree).log()
    weights = (s.max() - s) / (s.max() - s.mean())
    expected = (weights / weights.mean() * 0.3).clamp(max=0.7)
    assert_close(channel_chances(ring, 0.3, 0.7), expected, rtol=1e-5, atol=1e-6)
    assert_close(channel_chances(sparse_ring, 0.3, 0.7), expected)
    x = torch.cat([ring.x, torch.zeros(8, 1)], 1)
    assert_close(
        channel_chances(replace(ring, x=x), 0.3, 0.7), torch.cat([expected, torch.zeros(1).double()]), rtol=1e-5, atol=1e-6
    )


def test_edges_of_high_degree_are_dropped_less() -> None:
    graph = nx.barabasi_albert_graph(400, 2, seed=0)
    source, target = torch.tensor(list(graph.to_directed().edges)).T
    batch = GraphBatch(torch.ones(400, 3), Edges.of(source, target, 400), Lengths.of([400]))
    degree = batch.edges.in_degree.double()
    central = (degree[batch.edges.source] + degree[batch.edges.target]) / 2
    kept = torch.cat(
        [
            (degree[v.batch.edges.source] + degree[v.batch.edges.target]) / 2
            for v in made(only(edge_drop=0.5, adaptive=True), batch)
        ]
    )
    assert kept.mean() > 1.1 * central.mean()
    assert abs(len(kept) / 2 / len(central) - 0.5) < 0.06


def test_a_seed_repeats_the_views(batch: GraphBatch) -> None:
    views = only(one_of=True, **EVERYTHING)
    for one, again in zip(made(views, batch, 3), made(views, batch, 3), strict=True):
        assert pairs(one.batch.edges) == pairs(again.batch.edges)
        assert torch.equal(dense(one.batch.x), dense(again.batch.x))


@pytest.mark.parametrize(
    "parameters", [EVERYTHING, {"edge_drop": 0.2, "feature_drop": 0.4, "adaptive": True, "symmetric": True}]
)
def test_an_encoder_reads_the_views(batch: GraphBatch, spec: GraphSpec, parameters: dict[str, Any]) -> None:
    encoder = GAT(spec, width=4, layers=2, heads=2)
    for view in made(only(**parameters), batch):
        encoding = encoder(view)
        assert encoding.pooled.shape == (len(batch), 4)
        assert encoding.tokens.shape == (view.batch.lengths.total, 4)
        assert torch.isfinite(encoding.tokens).all()
