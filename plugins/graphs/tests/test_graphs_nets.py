"""Layers against PyG's, values and gradients, in float64; and what they are made of against its definition."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from manyviews.errors import UserError
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.edges import Edges
from manyviews_graphs.nets.activation import PReLU, make_activation, make_norm
from manyviews_graphs.nets.conv import each_head, sums_first
from manyviews_graphs.nets.dropout import draw, dropout, share
from manyviews_graphs.nets.gat import GATConv
from manyviews_graphs.nets.gcn import GCNConv
from manyviews_graphs.nets.gin import GINConv, GINEConv
from manyviews_graphs.nets.hop import Hop
from manyviews_graphs.nets.links import Links
from manyviews_graphs.nets.rows import Rows, dropped, times
from manyviews_graphs.nets.softmax import edge_softmax
from manyviews_graphs.nets.stack import Layer, Stack, Style
from manyviews_graphs.nets.sums import gathered_sum, weighted_sum

with warnings.catch_warnings():  # of PyTorch's, about what PyG uses of it
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.nn import GATConv as PyGGAT
    from torch_geometric.nn import GCNConv as PyGGCN
    from torch_geometric.nn import GINConv as PyGGIN
    from torch_geometric.nn import GINEConv as PyGGINE

WANTED = torch.tensor([0, 2, 3, 6])


def edge_index(edges: Edges) -> Tensor:
    return torch.stack([edges.source, edges.target])


def random_links(sources: int = 7, targets: int = 5, edges: int = 20) -> Links:
    """Some pairs come twice, some targets (the last) have no edge."""
    draws = torch.Generator().manual_seed(1)
    target = torch.randint(0, targets - 1, (edges,), generator=draws).sort().values
    return Links(torch.randint(0, sources, (edges,), generator=draws), target, sources, targets)


def weighed(y: Tensor) -> Tensor:
    """A scalar in which every number of `y` has another share."""
    return (y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape).cos()).sum()


def compare(ours: Tensor, theirs: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> None:
    """Values, then the gradients of each pair (ours, theirs)."""
    assert_close(ours, theirs)
    one = torch.autograd.grad(weighed(ours), [pair[0] for pair in pairs])
    two = torch.autograd.grad(weighed(theirs), [pair[1] for pair in pairs])
    for a, b in zip(one, two, strict=True):
        assert_close(a.reshape(-1), b.reshape(-1))


def gat(*, heads: int, concat: bool, channels: int = 5, each: int = 3, slope: float = 0.2) -> tuple[GATConv, PyGGAT]:
    """Ours and PyG's with the same weights, in float64."""
    out = heads * each if concat else each
    ours = GATConv(channels, out, heads, concat=concat, slope=slope, dropout=0.0).double()
    theirs = PyGGAT(channels, each, heads=heads, concat=concat, negative_slope=slope, add_self_loops=False).double()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(torch.randn_like(parameter))
        theirs.lin.weight.copy_(ours.weight.T)
        theirs.att_src.copy_(ours.send[None])
        theirs.att_dst.copy_(ours.take[None])
        theirs.bias.copy_(ours.bias)
    return ours, theirs


def gat_gradients(ours: GATConv, theirs: PyGGAT, y: Tensor, z: Tensor, x: Tensor) -> None:
    """Values and all gradients, that to the input too."""
    assert_close(y, z)
    mine = torch.autograd.grad(weighed(y), [ours.weight, ours.send, ours.take, ours.bias, x])
    other = torch.autograd.grad(weighed(z), [theirs.lin.weight, theirs.att_src, theirs.att_dst, theirs.bias, x])
    assert_close(mine[0], other[0].T)
    for one, two in zip(mine[1:], other[1:], strict=True):
        assert_close(one.reshape(two.shape), two)


@pytest.mark.parametrize("concat", [True, False])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("loops", [True, False])
def test_gat_equals_pyg(two_graphs: GraphBatch, heads: int, concat: bool, loops: bool) -> None:
    """Ragged graphs, an isolated node (without self-loops it has nothing to attend to), a graph of one node."""
    ours, theirs = gat(heads=heads, concat=concat)
    edges = two_graphs.edges.looped if loops else two_graphs.edges
    x = two_graphs.x.double().requires_grad_()
    gat_gradients(ours, theirs, ours(x, Hop.over(edges)), theirs(x, edge_index(edges)), x)


def test_gat_equals_pyg_with_its_own_self_loops(two_graphs: GraphBatch) -> None:
    """A loop in the data counts once."""
    ours, theirs = gat(heads=2, concat=True)
    theirs.add_self_loops = True
    y = ours(two_graphs.x.double(), Hop.over(two_graphs.edges.looped))
    assert_close(y, theirs(two_graphs.x.double(), edge_index(two_graphs.edges)))


@pytest.mark.parametrize("each", [2, 9])
@pytest.mark.parametrize("heads", [1, 2])
def test_gat_at_some_nodes_equals_pyg_at_these(ring: GraphBatch, heads: int, each: int) -> None:
    """Whether it multiplies before it sums (narrow heads) or after (wide ones)."""
    ours, theirs = gat(heads=heads, concat=True, each=each)
    edges = ring.edges.looped
    x = ring.x.double().requires_grad_()
    hop = Hop.over(edges, WANTED)
    assert sums_first(x, hop, heads, 5, each) == (each == 9)
    gat_gradients(ours, theirs, ours(x, hop), theirs(x, edge_index(edges))[WANTED], x)


@pytest.mark.parametrize("heads", [1, 2])
def test_gat_from_some_nodes_equals_pyg_where_the_others_are_zero(ring: GraphBatch, heads: int) -> None:
    """Re-masked nodes send nothing but count in the softmax."""
    ours, theirs = gat(heads=heads, concat=True, each=9)
    edges, present = ring.edges.looped, torch.tensor([0, 1, 4, 6, 7])
    x = ring.x.double()[present].requires_grad_()
    full = torch.zeros(8, 5, dtype=torch.double).index_copy(0, present, x)
    rows, hop = Hop.over(edges, WANTED).among(x, present)
    gat_gradients(ours, theirs, ours(rows, hop), theirs(full, edge_index(edges))[WANTED], x)


def test_gat_with_sparse_features_equals_pyg(sparse_ring: GraphBatch) -> None:
    ours, theirs = gat(heads=2, concat=True)
    edges = sparse_ring.edges.looped
    token, places = torch.randn(5, dtype=torch.double, requires_grad=True), torch.tensor([1, 5])
    dense = sparse_ring.x.to_dense().double()
    kept = dense.index_fill(0, places, 0.0).to_sparse_csr()
    full = dense.index_copy(0, places, token.expand(2, -1))
    y, z = ours(Rows(kept, token, places), Hop.over(edges)), theirs(full, edge_index(edges))
    gat_gradients(ours, theirs, y, z, token)


def test_attention_adds_up_to_one_and_is_dropped_out(ring: GraphBatch) -> None:
    """At logits that differ by hundreds, too; dropout is of the weights, and of none in eval mode."""
    conv = GATConv(5, 8, 4, concat=True, slope=0.2, dropout=0.5).double()
    hop = Hop.over(ring.edges.looped)
    scores = 300 * torch.randn(8, 8, dtype=torch.double)
    weights = conv.eval().attention(scores, hop)
    sums = torch.zeros(8, 4, dtype=torch.double).index_add(0, hop.links.target, weights)
    assert_close(sums, torch.ones_like(sums))
    torch.manual_seed(0)
    some = conv.train().attention(scores, hop)
    gone = some == 0
    assert 0.3 < gone[weights > 0].float().mean() < 0.7
    assert_close(some[~gone], 2 * weights[~gone])


@pytest.mark.parametrize("loops", [True, False])
def test_gcn_equals_pyg(two_graphs: GraphBatch, loops: bool) -> None:
    ours, theirs = GCNConv(5, 3).double(), PyGGCN(5, 3, add_self_loops=False).double()
    nn.init.normal_(ours.bias)
    theirs.load_state_dict({"lin.weight": ours.weight.detach().T, "bias": ours.bias.detach()})
    edges = two_graphs.edges.looped if loops else two_graphs.edges
    x = two_graphs.x.double().requires_grad_()
    y, z = ours(x, Hop.over(edges)), theirs(x, edge_index(edges))
    compare(y, z, [(ours.bias, theirs.bias), (x, x)])
    mine, other = ours(x, Hop.over(edges)), theirs(x, edge_index(edges))
    assert_close(
        torch.autograd.grad(weighed(mine), ours.weight)[0], torch.autograd.grad(weighed(other), theirs.lin.weight)[0].T
    )


def test_gcn_where_no_edge_ends_in_a_node() -> None:
    """It has no degree to weigh by: its edges count nothing, as PyG has it."""
    ours, theirs = GCNConv(5, 3).double(), PyGGCN(5, 3, add_self_loops=False).double()
    theirs.load_state_dict({"lin.weight": ours.weight.detach().T, "bias": ours.bias.detach()})
    edges, x = Edges.of(torch.tensor([0, 0, 1, 2]), torch.tensor([1, 2, 2, 1]), 3), torch.randn(3, 5, dtype=torch.double)
    assert_close(ours(x, Hop.over(edges)), theirs(x, edge_index(edges)))


@pytest.mark.parametrize("out", [2, 30])
def test_gcn_at_some_nodes_and_from_some(ring: GraphBatch, out: int) -> None:
    conv, edges, present = GCNConv(5, out).double(), ring.edges.looped, torch.tensor([0, 1, 4, 6, 7])
    x = ring.x.double()[present]
    full = torch.zeros(8, 5, dtype=torch.double).index_copy(0, present, x)
    rows, hop = Hop.over(edges, WANTED).among(x, present)
    assert_close(conv(rows, hop), conv(full, Hop.over(edges))[WANTED])


@pytest.mark.parametrize("hidden", [3, 7])
def test_gin_equals_pyg(two_graphs: GraphBatch, hidden: int) -> None:
    """With a wide MLP sums come first, with a narrow one its first product."""
    ours = GINConv(5, hidden, 4, activation="relu", norm="none", learn_eps=True).double()
    nn.init.constant_(ours.eps, 0.3)
    theirs = PyGGIN(nn.Sequential(ours.first, nn.ReLU(), ours.second), train_eps=True).double()
    nn.init.constant_(theirs.eps, 0.3)
    x = two_graphs.x.double().requires_grad_()
    y, z = ours(x, Hop.over(two_graphs.edges)), theirs(x, edge_index(two_graphs.edges))
    compare(y, z, [(p, p) for p in (*ours.first.parameters(), *ours.second.parameters(), x)] + [(ours.eps, theirs.eps)])


def test_gine_equals_pyg(two_graphs: GraphBatch) -> None:
    ours = GINEConv(5, 6, 4, 3, activation="relu", norm="none").double()
    theirs = PyGGINE(nn.Sequential(ours.first, nn.ReLU(), ours.second), edge_dim=3).double()
    theirs.lin.load_state_dict(ours.edge.state_dict())
    x, edge_x = two_graphs.x.double().requires_grad_(), two_graphs.edge_x.double()
    y, z = ours(x, Hop.over(two_graphs.edges, None, edge_x)), theirs(x, edge_index(two_graphs.edges), edge_x)
    compare(y, z, [(p, p) for p in (*ours.first.parameters(), x)] + [(ours.edge.weight, theirs.lin.weight)])
    some = ours(x, Hop.over(two_graphs.edges, WANTED, edge_x))
    assert_close(some, y[WANTED])


@pytest.mark.parametrize("sums", [weighted_sum, gathered_sum])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("apart", [True, False])
def test_weighted_sums_are_sums_over_edges(sums: Callable[..., Tensor], heads: int, apart: bool) -> None:
    """By sparse products and edge by edge; a target without edges gets 0."""
    links = random_links()
    sent = torch.randn(*((7, heads, 4) if apart else (7, 4)), dtype=torch.double, requires_grad=True)
    weights = torch.randn(20, heads, dtype=torch.double, requires_grad=True)
    longhand = torch.zeros(5, heads, 4, dtype=torch.double)
    for number, (i, j) in enumerate(zip(links.target.tolist(), links.source.tolist(), strict=True)):
        each = sent[j] if apart else sent[j].expand(heads, 4)
        longhand = longhand.index_add(0, torch.tensor([i]), (weights[number, :, None] * each)[None])
    found = sums(sent, weights, links)
    assert not found[-1].any()
    compare(found, longhand, [(sent, sent), (weights, weights)])


def test_without_sparse_products_all_is_gathered(monkeypatch: pytest.MonkeyPatch, sparse_ring: GraphBatch) -> None:
    """Processors for which PyTorch comes without MKL."""
    ours = GATConv(5, 6, 2, concat=True, slope=0.2, dropout=0.0).double()
    x = Rows(sparse_ring.x.double(), torch.randn(5, dtype=torch.double, requires_grad=True), torch.tensor([], dtype=torch.long))

    def run() -> list[Tensor]:
        y = ours(x, Hop.over(sparse_ring.edges.looped))
        return [y, *torch.autograd.grad(weighed(y), list(ours.parameters()))]

    sparse = run()
    monkeypatch.setattr("manyviews_graphs.nets.sums.multiplies_sparse", lambda device: False)
    assert_close(run(), sparse)


@pytest.mark.parametrize("conv", [GATConv(5, 4, 2, concat=True, slope=0.2, dropout=0.0), GCNConv(5, 4), GCNConv(5, 40)])
def test_where_counting_edges_would_halt_the_step_all_of_them_stay(
    monkeypatch: pytest.MonkeyPatch, ring: GraphBatch, conv: nn.Module
) -> None:
    """As on an accelerator: the same numbers, from links whose number is that of the graph's edges."""
    conv, edges, present = conv.double(), ring.edges.looped, torch.tensor([0, 1, 4, 6, 7])
    x = ring.x.double()[present]

    def run() -> tuple[Tensor, int]:
        rows, hop = Hop.over(edges, WANTED).among(x, present)
        return conv(rows, hop), len(hop.carrying.links)

    few, _ = run()
    monkeypatch.setattr("manyviews_graphs.nets.hop._waits", lambda edges: True)
    every, links = run()
    assert links == len(edges)
    assert_close(every, few)


def test_patterns_are_found_once(ring: GraphBatch) -> None:
    links = ring.edges.links
    assert links is ring.edges.links
    assert links.pattern(2, apart=True) is links.pattern(2, apart=True)


def test_edge_softmax_is_a_softmax_at_each_target() -> None:
    links = random_links()
    logits = torch.randn(20, 2, dtype=torch.double, requires_grad=True)
    longhand = torch.cat([logits[links.target == i].softmax(0) for i in range(5)])
    compare(edge_softmax(logits, links), longhand, [(logits, logits)])


def test_each_head_has_its_own_product() -> None:
    x = torch.randn(6, 3, 5, dtype=torch.double, requires_grad=True)
    weight = torch.randn(5, 3, 4, dtype=torch.double, requires_grad=True)
    compare(each_head(x, weight), torch.einsum("nhc,chd->nhd", x, weight), [(x, x), (weight, weight)])


@pytest.mark.parametrize("slope", [0.25, -0.5, 0.0])
def test_prelu_equals_pytorchs(slope: float) -> None:
    ours, theirs = PReLU(slope).double(), nn.PReLU(init=slope).double()
    x = torch.randn(50, 3, dtype=torch.double, requires_grad=True)
    compare(ours(x), theirs(x), [(x, x), (ours.slope, theirs.weight)])


def test_dropout_drops_the_share_it_is_given_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    x = torch.ones(500, 401, requires_grad=True)
    y = dropout(x, 0.2, training=True)
    assert_close((y == 0).float().mean(), torch.tensor(0.2), atol=4e-3, rtol=0)
    assert_close(y[y > 0], torch.full_like(y[y > 0], 1 / share(0.2)))
    assert_close(torch.tensor(share(0.2)), torch.tensor(0.8), atol=1e-5, rtol=0)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert_close(gradient, y.detach())
    assert dropout(x, 0.2, training=False) is x
    assert dropout(x, 0.0, training=True) is x


def test_draws_are_of_the_global_generator_and_independent() -> None:
    torch.manual_seed(3)
    one = draw((1000, 64), 0.5, torch.empty(0))
    two = draw((1000, 64), 0.5, torch.empty(0))
    torch.manual_seed(3)
    assert torch.equal(one, draw((1000, 64), 0.5, torch.empty(0)))
    drawn = torch.cat([one, two], 1)
    assert_close(torch.corrcoef(drawn.T).fill_diagonal_(0).abs().amax(), torch.tensor(0.0), atol=0.17, rtol=0)


def test_dropout_near_one_keeps_something() -> None:
    assert share(0.999999) > 0


@pytest.fixture
def rows() -> tuple[Rows, Callable[[Tensor], Tensor]]:
    """Sparse rows and the token at nodes 1 and 4; and what they are, dense, given the token."""
    x = (torch.randn(6, 5, dtype=torch.double) * (torch.rand(6, 5) < 0.5)).index_fill(0, torch.tensor([1, 4]), 0.0)
    token, places = torch.randn(5, dtype=torch.double, requires_grad=True), torch.tensor([1, 4])
    return Rows(x.to_sparse_csr(), token, places), lambda t: x.index_copy(0, places, t)


def test_sparse_rows_times_weights(rows: tuple[Rows, Callable[[Tensor], Tensor]]) -> None:
    some, dense = rows
    weight = torch.randn(5, 3, dtype=torch.double, requires_grad=True)
    compare(times(some, weight), dense(some.token.expand(2, -1)) @ weight, [(weight, weight), (some.token, some.token)])


def test_sparse_rows_are_dropped_out_each_node_for_itself(rows: tuple[Rows, Callable[[Tensor], Tensor]]) -> None:
    """As dropout of the dense rows: the token has another draw at each node that shows it."""
    torch.manual_seed(0)
    some, dense = rows
    weight = torch.randn(5, 3, dtype=torch.double, requires_grad=True)
    out = dropped(some, 0.5, True)
    assert out.kept is not None
    assert not torch.equal(out.kept[0], out.kept[1])
    of_tokens = out.kept * out.scale * some.token
    longhand = (out.x.to_dense() + dense(of_tokens) - dense(torch.zeros(2, 5, dtype=torch.double))) @ weight
    compare(times(out, weight), longhand, [(weight, weight), (some.token, some.token)])
    values, before = out.x.values(), some.x.values()
    assert_close(values[values != 0], 2 * before[values != 0])
    assert (values == 0).any()


def test_a_row_without_withheld_nodes(rows: tuple[Rows, Callable[[Tensor], Tensor]]) -> None:
    some = replace(rows[0], places=torch.empty(0, dtype=torch.long))
    weight = torch.randn(5, 3, dtype=torch.double, requires_grad=True)
    compare(times(some, weight), some.x.to_dense() @ weight, [(weight, weight)])


def test_what_does_not_matter_is_left_out_on_a_cpu(monkeypatch: pytest.MonkeyPatch, ring: GraphBatch) -> None:
    """Edges to other nodes, edges from nodes that hold nothing, wanted nodes that nothing reaches."""
    wanted, x, present = torch.tensor([2, 3]), torch.arange(4.0).reshape(2, 2), torch.tensor([1, 5])
    hop = Hop.over(ring.edges, wanted)
    assert len(hop.links) == 4
    assert set(hop.links.source.tolist()) == {1, 2, 3, 4}

    def few() -> tuple[Hop, list[int]]:
        rows, hop_of_few = hop.among(x, present)
        assert hop_of_few.sums(rows, torch.ones(4, 1)).squeeze(1).tolist() == [[0.0, 1.0], [0.0, 0.0]]
        return hop_of_few, wanted[hop_of_few.carrying.reached].tolist()

    assert few()[1] == [2, 3]  # counted up to a round number
    monkeypatch.setattr("manyviews_graphs.nets.hop.ROUND", 1)
    some, reached = few()
    assert reached == [2]
    assert (some.carrying.links.source.tolist(), some.carrying.links.target.tolist()) == ([0], [0])


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_a_stack_gives_what_is_wanted_as_if_all_were(ring: GraphBatch, residual: bool, norm: str) -> None:
    """In training, too: a batch norm behind the last layer sees all nodes."""
    style = Style("prelu", norm, 0.0, residual)
    stack = Stack([Layer(GCNConv(5, 4), 5, 4, style), Layer(GCNConv(4, 4), 4, 4, style)]).double()
    x, other = ring.x.double(), copy.deepcopy(stack)
    assert_close(stack(x, ring.edges, None, WANTED), other(x, ring.edges, None, None)[WANTED])


def test_a_layer_is_dropout_conv_residual_norm_activation(ring: GraphBatch) -> None:
    layer = Layer(GCNConv(5, 4), 5, 4, Style("elu", "layer", 0.0, True)).double()
    x, hop = ring.x.double(), Hop.over(ring.edges)
    longhand = F.elu(F.layer_norm(layer.conv(x, hop) + x @ layer.across.weight.T, (4,)))
    assert_close(layer(x, hop), longhand)
    sparse = Rows(ring.x.double().to_sparse_csr(), torch.zeros(5, dtype=torch.double), torch.empty(0, dtype=torch.long))
    assert_close(layer(sparse, hop), longhand)
    same = Layer(GCNConv(5, 5), 5, 5, Style("none", "none", 0.0, True)).double()
    assert_close(same(sparse, hop), same.conv(x, hop) + x)


def test_batch_norm_of_one_node_is_refused() -> None:
    norm = make_norm("batch", 3)
    with pytest.raises(UserError, match="this batch has 1 node"):
        norm(torch.randn(1, 3))
    assert norm.eval()(torch.randn(1, 3)).shape == (1, 3)


@pytest.mark.parametrize("name", ["prelu", "relu", "elu", "gelu", "none"])
def test_activations_have_a_gradient(name: str) -> None:
    x = torch.randn(4, 3, requires_grad=True)
    make_activation(name)(x).sum().backward()
    assert x.grad.isfinite().all()
