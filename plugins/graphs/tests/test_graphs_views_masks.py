"""Withheld nodes: GraphMAE's counts, stand-ins, and the core's samplers on batches of graphs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.view import View
from manyviews.views.random_mask import RandomMask
from manyviews.views.set_mask import SetMask
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.edges import Edges
from manyviews_graphs.gat import GAT
from manyviews_graphs.spec import GraphSpec
from manyviews_graphs.views.node_mask import NodeMask

ALL = ["ring", "sparse_ring", "two_graphs", "sparse_two_graphs", "seeded"]


@pytest.fixture(params=ALL)
def batch(request: pytest.FixtureRequest) -> GraphBatch:
    found: GraphBatch = request.getfixturevalue(request.param)
    return found


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def made(views: Any, batch: GraphBatch, number: int = 0) -> Any:
    (view,) = views(batch, Layout(batch.lengths), seed(number))
    return view


def without_edges(lengths: list[int]) -> GraphBatch:
    none = torch.zeros(0, dtype=torch.long)
    return GraphBatch(torch.zeros(sum(lengths), 1), Edges(none, none, sum(lengths)), Lengths.of(lengths))


@pytest.mark.parametrize(
    ("share", "replace", "nodes", "withheld", "strange"),
    [(0.5, 0.05, 2708, 1354, 67), (0.75, 0.0, 19717, 14787, 0), (0.29, 0.5, 100, 28, 14), (0.5, 0.1, 3327, 1663, 166)],
)
def test_counts_on_one_graph_are_those_of_graphmae(
    share: float, replace: float, nodes: int, withheld: int, strange: int
) -> None:
    """int(share N) withheld and int(replace int(share N)) noisy, as `encoding_mask_noise` of its code counts them."""
    assert (withheld, strange) == (int(share * nodes), int(replace * int(share * nodes)))
    view = made(NodeMask(share=share, replace=replace), without_edges([nodes]))
    assert view.hidden.each == int(view.hidden.where.sum()) == withheld
    if replace:
        shown = view.batch.stand_ins[view.hidden.where[0]]
        assert int((shown >= 0).sum()) == strange
        assert len(shown[shown >= 0].unique()) == strange
        assert (view.batch.stand_ins[~view.hidden.where[0]] == -1).all()


def test_the_batch_is_shown_as_it_is_where_only_the_token_stands_in(batch: GraphBatch) -> None:
    assert made(NodeMask(), batch).batch is batch


def test_some_nodes_are_withheld_and_some_shown(batch: GraphBatch) -> None:
    for share in (0.01, 0.5, 0.99):
        hidden = int(made(NodeMask(share=share), batch).hidden.where.sum())
        assert hidden == min(max(int(share * batch.lengths.total), 1), batch.lengths.total - 1)


def test_shares_of_each_sample(two_graphs: GraphBatch) -> None:
    lengths = [4, 1, 30, 7, 100, 2]
    view = made(NodeMask(share=0.6, replace=0.25, keep=0.5, per="sample"), without_edges(lengths))
    for part, stand_ins, first in zip(
        view.hidden.where[0].split(lengths), view.batch.stand_ins.split(lengths), Lengths.of(lengths).starts(), strict=True
    ):
        nodes = torch.arange(len(part)) + first
        withheld = min(max(int(0.6 * len(part)), 1), len(part) - 1)
        assert int(part.sum()) == withheld
        assert int((stand_ins >= 0).sum()) == int(0.25 * withheld) + int(0.5 * withheld)
        assert int((stand_ins == nodes).sum()) >= int(0.5 * withheld)
        shown = stand_ins[stand_ins >= 0]
        assert set(shown.tolist()) <= set(nodes.tolist())  # from the same graph


def test_equal_samples_are_known_on_the_host() -> None:
    view = made(NodeMask(share=0.5, per="sample"), without_edges([6, 6, 6]))
    assert view.hidden.each == 3
    assert view.hidden.where[0].view(3, 6).sum(1).tolist() == [3, 3, 3]


def test_every_node_is_withheld_alike_and_every_node_stands_in_alike() -> None:
    views, generator = NodeMask(share=0.5, replace=0.5), seed()
    batch = without_edges([8])
    layout = Layout(batch.lengths)
    drawn = [views(batch, layout, generator)[0] for _ in range(400)]
    hidden = torch.cat([view.hidden.where for view in drawn if view.hidden]).double()
    assert_close(hidden.mean(0), torch.full((8,), 0.5, dtype=torch.float64), atol=0.12, rtol=0)
    strangers = torch.stack([view.batch.stand_ins for view in drawn]).flatten()
    counts = torch.bincount(strangers[strangers >= 0], minlength=8)
    assert_close(counts / counts.sum(), torch.full((8,), 0.125), atol=0.05, rtol=0)


def test_a_range_is_drawn_from_once_a_batch() -> None:
    counts = {made(NodeMask(share=(0.2, 0.8)), without_edges([100]), number).hidden.each for number in range(30)}
    assert min(counts) >= 20
    assert max(counts) <= 80
    assert len(counts) > 10


def test_shares_that_are_more_than_all_are_refused() -> None:
    with pytest.raises(UserError, match=r"replace \(0\.7\) and keep \(0\.4\) are together more than all"):
        NodeMask(replace=0.7, keep=0.4)
    with pytest.raises(UserError, match=r"low end 0\.9 is above the high end 0\.1"):
        NodeMask(share=(0.9, 0.1))


def test_tokens_that_are_not_nodes_are_refused(ring: GraphBatch) -> None:
    with pytest.raises(
        UserError, match=r"node_mask is for encoders whose tokens are nodes; of 8 nodes this one makes 20 tokens"
    ):
        NodeMask()(ring, Layout(Lengths.equal(1, 20)), seed())


def test_what_an_encoder_reads_at_withheld_nodes(ring: GraphBatch, sparse_ring: GraphBatch, spec: GraphSpec) -> None:
    """Written out: with the features put in by hand and nothing withheld, the shown nodes get the same embeddings."""
    torch.manual_seed(0)
    encoder = GAT(spec, width=8, layers=2, heads=2).double().eval()
    with torch.no_grad():
        encoder.mask_token.normal_()
    view = made(NodeMask(share=0.6, replace=0.5, keep=0.25), ring)
    x = ring.x.double().clone()
    for node in view.hidden.where[0].nonzero().flatten().tolist():
        stranger = int(view.batch.stand_ins[node])
        x[node] = encoder.mask_token if stranger < 0 else ring.x[stranger].double()
    by_hand = GraphBatch(x, ring.edges, ring.lengths)
    expected = encoder(View(by_hand, Layout(by_hand.lengths))).tokens[~view.hidden.where[0]]
    assert_close(encoder(view).tokens, expected)
    sparse = made(NodeMask(share=0.6, replace=0.5, keep=0.25), sparse_ring)
    assert_close(encoder(sparse).tokens, expected)


@pytest.mark.parametrize("views", [RandomMask(share=0.5), SetMask(), NodeMask(replace=0.2)], ids=lambda v: type(v).__name__)
def test_samplers_of_tokens_run_on_every_kind_of_batch(views: Any, batch: GraphBatch, spec: GraphSpec) -> None:
    encoder = GAT(spec, width=4, layers=1, heads=1)
    encoding = encoder(made(views, batch))
    assert encoding.pooled.shape == (len(batch), 4)
    assert torch.isfinite(encoding.tokens).all()
