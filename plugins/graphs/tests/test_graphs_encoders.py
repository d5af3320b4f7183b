"""Encoders and their decoders on every kind of batch; GraphMAE whole, against PyG's layers, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.objective import Branch
from manyviews.objectives.masked_reconstruction import MaskedReconstruction
from manyviews.view import View
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.csr import CSR
from manyviews_graphs.edges import Edges
from manyviews_graphs.encoder import GraphEncoder
from manyviews_graphs.gat import GAT
from manyviews_graphs.gcn import GCN
from manyviews_graphs.gin import GIN
from manyviews_graphs.sampling import sample
from manyviews_graphs.spec import GraphSpec
from manyviews_graphs.transformer import GraphTransformer

ENCODERS = {"gat": GAT, "gcn": GCN, "gin": GIN, "transformer": GraphTransformer}
BATCHES = ["ring", "sparse_ring", "two_graphs", "sparse_two_graphs", "seeded"]


@pytest.fixture(params=list(ENCODERS))
def make(request: pytest.FixtureRequest) -> Callable[..., GraphEncoder]:
    """Builds each encoder, small, in float64 and eval mode, with a mask token that is not zero."""

    def build(spec: GraphSpec, **parameters: Any) -> GraphEncoder:
        torch.manual_seed(0)
        encoder = ENCODERS[request.param](spec, **{"width": 8, "layers": 2, **parameters}).double().eval()
        nn.init.normal_(encoder.mask_token)
        return encoder

    return build


@pytest.fixture(params=BATCHES)
def batch(request: pytest.FixtureRequest) -> GraphBatch:
    """Every kind of batch."""
    return request.getfixturevalue(request.param)


def view_of(encoder: GraphEncoder, batch: GraphBatch, hidden: list[int] | None = None, **more: Any) -> View:
    layout = encoder.layout(batch)
    where = torch.zeros(1, layout.lengths.total, dtype=torch.bool)
    where[0, hidden or []] = True
    each = len(hidden) if hidden and len(batch) == 1 else None
    return View(batch, layout, hidden=Mask(where, each) if hidden is not None else None, **more)


def rows(x: Tensor) -> Tensor:
    """Dense, whatever it was."""
    return x if x.layout == torch.strided else x.to_dense()


def test_all_nodes_are_tokens(make: Callable[..., GraphEncoder], spec: GraphSpec, batch: GraphBatch) -> None:
    encoder = make(spec)
    encoding = encoder(view_of(encoder, batch))
    assert encoding.tokens.shape == (batch.lengths.total, 8)
    assert encoding.pooled.shape == (len(batch), 8)
    assert encoding.present is None
    assert encoding.tokens.isfinite().all()


def test_a_withheld_node_shows_the_token(make: Callable[..., GraphEncoder], spec: GraphSpec, batch: GraphBatch) -> None:
    """As if the features were the token; the tokens of the others alone are given back."""
    encoder = make(spec)
    hidden = [1, 4, 6]
    encoding = encoder(view_of(encoder, batch, hidden))
    left = [i for i in range(batch.lengths.total) if i not in hidden]
    x = rows(batch.x).double()
    x[hidden] = encoder.mask_token.detach()
    whole = encoder(view_of(encoder, replace(batch, x=x)))
    assert encoding.present.tolist() == left
    assert_close(encoding.tokens, whole.tokens[left])
    assert encoding.lengths.total == len(left)
    other = rows(batch.x).clone()
    other[hidden] += 1
    assert_close(encoder(view_of(encoder, replace(batch, x=other), hidden)).tokens, encoding.tokens)


def test_a_stand_in_shows_its_features(make: Callable[..., GraphEncoder], spec: GraphSpec, batch: GraphBatch) -> None:
    encoder = make(spec)
    stand_ins = torch.full((8,), -1)
    stand_ins[4], stand_ins[6] = 0, 6  # another's features, and the node's own
    encoding = encoder(view_of(encoder, replace(batch, stand_ins=stand_ins), [1, 4, 6]))
    x = rows(batch.x).double()
    x[1], x[4] = encoder.mask_token.detach(), x[0]
    whole = encoder(view_of(encoder, replace(batch, x=x)))
    assert_close(encoding.tokens, whole.tokens[[0, 2, 3, 5, 7]])


def test_everything_may_be_withheld(make: Callable[..., GraphEncoder], spec: GraphSpec, batch: GraphBatch) -> None:
    encoder = make(spec)
    encoding = encoder(view_of(encoder, batch, list(range(8))))
    assert encoding.tokens.shape == (0, 8)
    assert_close(encoding.pooled, torch.zeros(len(batch), 8, dtype=torch.double))
    view = view_of(encoder, batch, list(range(8)))
    found = encoder.decoder(6, 1, 1, 3).double().eval()(encoding, view, view.hidden)
    assert found.shape == (8, 3)
    assert found.isfinite().all()


def test_gradients_of_sparse_and_dense_features_are_the_same(
    make: Callable[..., GraphEncoder], spec: GraphSpec, sparse_two_graphs: GraphBatch, two_graphs: GraphBatch
) -> None:
    found = []
    for some in (two_graphs, sparse_two_graphs):
        encoder = make(spec)
        encoding = encoder(view_of(encoder, some, [1, 6]))
        (encoding.tokens.cos().sum() + encoding.pooled.sin().sum()).backward()
        found.append({name: p.grad for name, p in encoder.named_parameters()})
    assert_close(found[0], found[1])
    assert found[0]["mask_token"].any()


@pytest.mark.parametrize("pool", ["mean", "sum", "max"])
def test_pooling(spec: GraphSpec, two_graphs: GraphBatch, pool: str) -> None:
    """Over the nodes present; a graph without any is zeros, the last one too."""
    encoder = GCN(spec, width=4, pool=pool).double().eval()
    reduce: dict[str, Callable[[Tensor], Tensor]] = {
        "mean": lambda t: t.mean(0), "sum": lambda t: t.sum(0), "max": lambda t: t.amax(0)
    }  # fmt: skip
    tokens = encoder(view_of(encoder, two_graphs)).tokens
    longhand = torch.stack([reduce[pool](part) for part in tokens.split([4, 1, 3])])
    assert_close(encoder(view_of(encoder, two_graphs)).pooled, longhand)
    hidden = encoder(view_of(encoder, two_graphs, [1, 4, 5, 6, 7]))
    assert hidden.lengths.tensor.tolist() == [3, 0, 0]
    assert_close(hidden.pooled[0], reduce[pool](hidden.tokens))
    assert not hidden.pooled[1:].any()


def test_a_seed_stands_for_its_neighbourhood(make: Callable[..., GraphEncoder], spec: GraphSpec, seeded: GraphBatch) -> None:
    encoder = make(spec)
    encoding = encoder(view_of(encoder, seeded))
    assert_close(encoding.pooled, encoding.tokens[[0, 3, 6]])
    some = encoder(view_of(encoder, seeded, [1, 3]))
    assert_close(some.pooled[[0, 2]], some.tokens[[0, 4]])
    assert not some.pooled[1].any()


@pytest.mark.parametrize("make", ["gat", "gin"], indirect=True)
def test_whole_neighbourhoods_give_what_the_whole_graph_gives(make: Callable[..., GraphEncoder], spec: GraphSpec) -> None:
    """Two layers read two hops: with all neighbours sampled, seeds are embedded as in the graph they come from."""
    draws = np.random.default_rng(0)
    source, target = draws.integers(0, 40, (2, 120))
    x, seeds = torch.from_numpy(draws.normal(size=(40, 5))), np.array([3, 17, 30])
    graph = GraphBatch(x, Edges.of(torch.from_numpy(source), torch.from_numpy(target), 40), Lengths.of([40]))
    found = sample(CSR.of(source, target, 40), seeds, [-1, -1], draws)
    ends = torch.from_numpy(found.source.astype(np.int64)), torch.from_numpy(found.target.astype(np.int64))
    part = GraphBatch(
        x[torch.from_numpy(found.nodes)],
        Edges(*ends, len(found.nodes)),
        Lengths.of(found.lengths.tolist()),
        seeded=True,
    )
    encoder = make(GraphSpec(channels=5))
    assert len(found.nodes) < 40
    assert_close(encoder(view_of(encoder, part)).pooled, encoder(view_of(encoder, graph)).tokens[torch.from_numpy(seeds)])


def test_a_graph_is_the_same_alone_and_in_a_batch(
    make: Callable[..., GraphEncoder], spec: GraphSpec, two_graphs: GraphBatch
) -> None:
    encoder = make(spec)
    edges = two_graphs.edges
    last = (edges.target >= 5).nonzero().squeeze(1)
    alone = GraphBatch(
        two_graphs.x[5:], Edges(edges.source[last] - 5, edges.target[last] - 5, 3), Lengths.of([3]), two_graphs.edge_x[last]
    )
    assert_close(encoder(view_of(encoder, two_graphs)).pooled[2:], encoder(view_of(encoder, alone)).pooled)


def test_targets_and_classes(sparse_two_graphs: GraphBatch) -> None:
    spec = GraphSpec(channels=5, features="one_hot", labels=("C", "N", "O"))
    encoder = GIN(spec, width=4)
    some = torch.tensor([6, 0])
    assert torch.equal(encoder.targets(sparse_two_graphs, some), sparse_two_graphs.x.to_dense()[some])
    x = F.one_hot(torch.tensor([0, 2, 1, 3, 4, 0, 1, 2]), 5).float()  # channels 3 and 4 are not labels: types of nodes
    for features in (x, x.to_sparse_csr()):
        classes = encoder.classes(replace(sparse_two_graphs, x=features))
        assert classes.tolist() == [0, 2, 1, -1, -1, 0, 1, 2]
    with pytest.raises(ValueError, match="gives no token classes"):
        GIN(GraphSpec(channels=5)).classes(sparse_two_graphs)


def test_the_decoder_answers_for_what_is_asked(make: Callable[..., GraphEncoder], spec: GraphSpec, batch: GraphBatch) -> None:
    """Set by set; what is hidden has no part in it."""
    encoder = make(spec)
    decoder = encoder.decoder(6, 2, 2, 3).double().eval()
    sets = torch.zeros(2, 8, dtype=torch.bool)
    sets[0, [1, 4]] = sets[1, [4, 6, 7]] = True
    view = view_of(encoder, batch, [1, 4, 6, 7])
    found = decoder(encoder(view), view, Mask(sets))
    assert found.shape == (5, 3)
    every = decoder(encoder(view), view, view.hidden)
    assert_close(found, every[[0, 1, 1, 2, 3]])
    x = rows(batch.x).clone()
    x[[1, 4, 6, 7]] += 1
    other = view_of(encoder, replace(batch, x=x), [1, 4, 6, 7])
    assert_close(decoder(encoder(other), other, other.hidden), every)


def test_a_decoder_without_depth_reads_nodes_in_place(
    make: Callable[..., GraphEncoder], spec: GraphSpec, ring: GraphBatch
) -> None:
    encoder = make(spec)
    decoder = encoder.decoder(6, 0, 2, 3).double()
    view = view_of(encoder, ring)
    asked = view_of(encoder, ring, [2, 5]).hidden
    assert_close(decoder(encoder(view), view, asked), decoder.outwards(encoder(view).tokens[[2, 5]]))
    hidden = view_of(encoder, ring, [2, 5])
    with pytest.raises(UserError, match="set `depth` to 1"):
        decoder(encoder(hidden), hidden, asked)


def test_bf16_autocast_is_finite_and_near(make: Callable[..., GraphEncoder], spec: GraphSpec, batch: GraphBatch) -> None:
    encoder = make(spec).float()
    decoder = encoder.decoder(6, 1, 2, 3).eval()
    view = view_of(encoder, batch, [1, 4])
    exact = decoder(encoder(view), view, view.hidden)
    with torch.autocast("cpu", torch.bfloat16):
        encoding = encoder(view)
        found = decoder(encoding, view, view.hidden)
    assert encoding.tokens.dtype == torch.float32
    assert_close(found.float(), exact, rtol=0.1, atol=0.1)
    found.float().square().sum().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in encoder.parameters())


@pytest.mark.parametrize("hidden", [None, [1, 4, 6]])
def test_dropout_is_drawn_from_the_global_generator(
    make: Callable[..., GraphEncoder], spec: GraphSpec, batch: GraphBatch, hidden: list[int] | None
) -> None:
    encoder = make(spec, dropout=0.4).train()
    view = view_of(encoder, batch, hidden)
    torch.manual_seed(1)
    one, other = encoder(view).tokens, encoder(view).tokens
    torch.manual_seed(1)
    assert torch.equal(one, encoder(view).tokens)
    assert not torch.equal(one, other)


class LonghandGraphMAE(nn.Module):
    """The published model, from PyG's layers: two GAT layers, a linear map, re-mask, one GAT layer."""

    def __init__(self, channels: int, width: int, heads: int) -> None:
        super().__init__()
        from torch_geometric.nn import GATConv

        self.layers = nn.ModuleList(
            GATConv(one, width // heads, heads=heads, add_self_loops=False) for one in (channels, width)
        )
        self.acts = nn.ModuleList(nn.PReLU() for _ in range(2))
        self.between = nn.Linear(width, width, bias=False)
        self.decoder = GATConv(width, channels, heads=1, add_self_loops=False)

    def forward(self, x: Tensor, shown: Tensor, edges: Tensor, masked: Tensor, gamma: float) -> Tensor:
        h = shown
        for layer, act in zip(self.layers, self.acts, strict=True):
            h = act(layer(h, edges))
        h = self.between(h).index_fill(0, masked, 0.0)
        z = self.decoder(h, edges)
        return ((1 - F.cosine_similarity(z[masked], x[masked], dim=-1)) ** gamma).mean()

    @torch.no_grad()
    def copy(self, branch: Branch) -> list[tuple[nn.Parameter, nn.Parameter, Callable[[Tensor], Tensor]]]:
        """Take the weights of ours; (ours, this one's, how ours becomes this one's)."""
        stack, behind = branch.encoder.trunk.stack.layers, branch.predictor
        pairs = [(behind.inwards.weight, self.between.weight, torch.clone)]
        pairs += [(layer.activation.slope, act.weight, torch.clone) for layer, act in zip(stack, self.acts, strict=True)]
        convs = [*(layer.conv for layer in stack), behind.trunk.stack.layers[0].conv]
        for ours, theirs in zip(convs, [*self.layers, self.decoder], strict=True):
            pairs += [(ours.weight, theirs.lin.weight, torch.t), (ours.bias, theirs.bias, torch.clone)]
            pairs += [(ours.send, theirs.att_src, lambda v: v[None]), (ours.take, theirs.att_dst, lambda v: v[None])]
        for mine, other, become in pairs:
            nn.init.normal_(mine, std=0.5)
            other.copy_(become(mine))
        return pairs


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["ring", "sparse_ring", "two_graphs", "sparse_two_graphs"])
def test_graphmae_equals_pyg(request: pytest.FixtureRequest, spec: GraphSpec, name: str) -> None:
    """The loss, and its gradient to every parameter and to the mask token."""
    batch: GraphBatch = request.getfixturevalue(name)
    encoder = GAT(spec, width=6, heads=2, dropout=0.0, attention_dropout=0.0).double()
    nn.init.normal_(encoder.mask_token)
    objective = MaskedReconstruction(loss="cosine", gamma=3.0, width=6, depth=1)
    branch = Branch(encoder, nn.Identity(), objective.predictor(encoder, 6).double(), "token")
    plain = LonghandGraphMAE(5, 6, 2).double()
    pairs = plain.copy(branch)
    masked, stand_ins = [0, 2, 5, 6], torch.full((8,), -1)
    stand_ins[2] = 7
    view = view_of(encoder, replace(batch, stand_ins=stand_ins), masked)
    loss = objective((view,), branch, None, torch.Generator()).value
    x = rows(batch.x).double()
    token = encoder.mask_token.detach().clone().requires_grad_()
    shown = x.index_copy(0, torch.tensor([0, 5, 6]), token.expand(3, -1))
    shown[2] = x[7]
    edges = batch.edges.looped
    longhand = plain(x, shown, torch.stack([edges.source, edges.target]), torch.tensor(masked), 3.0)
    assert_close(loss, longhand)
    ours = torch.autograd.grad(loss, [*(mine for mine, _, _ in pairs), encoder.mask_token])
    theirs = torch.autograd.grad(longhand, [*(other for _, other, _ in pairs), token])
    for one, two, become in zip(ours, theirs, [*(become for _, _, become in pairs), torch.clone], strict=True):
        assert_close(become(one), two)


def test_published_initial_weights(spec: GraphSpec) -> None:
    """Xavier-normal with gain 1.414, a mask token of zeros."""
    torch.manual_seed(0)
    encoder = GAT(GraphSpec(channels=300), width=400, heads=4)
    conv = encoder.trunk.stack.layers[0].conv
    assert_close(conv.weight.std(), torch.tensor(1.414 * (2 / 700) ** 0.5), rtol=0.02, atol=0)
    assert_close(conv.send.std(), torch.tensor(1.414 * (2 / (400 + 100)) ** 0.5), rtol=0.1, atol=0)
    assert not encoder.mask_token.any()


def test_the_mean_of_heads(spec: GraphSpec, ring: GraphBatch) -> None:
    """Heads of the last layer have the whole width each, and need not divide it."""
    encoder = GAT(spec, width=5, heads=3, layers=1, last_heads="mean")
    assert encoder.trunk.stack.layers[0].conv.weight.shape == (5, 15)
    assert encoder(view_of(encoder, ring)).tokens.shape == (8, 5)
    with pytest.raises(UserError, match="width 5 does not divide by 3 heads"):
        GAT(spec, width=5, heads=3)
    with pytest.raises(UserError, match="width 5 does not divide by 3 heads"):
        encoder.decoder(5, 2, 3, 4)


def test_gcn_between_widths_and_its_last_activation(spec: GraphSpec, ring: GraphBatch) -> None:
    encoder = GCN(spec, width=4, hidden=6, layers=3, activation="relu", last_activation=False)
    assert [tuple(layer.conv.weight.shape) for layer in encoder.trunk.stack.layers] == [(5, 6), (6, 6), (6, 4)]
    assert (encoder(view_of(encoder, ring)).tokens < 0).any()
    rectified = GCN(spec, width=4, activation="relu")
    assert not (rectified(view_of(rectified, ring)).tokens < 0).any()


def test_gin_reads_features_of_edges_where_there_are_any(spec: GraphSpec, ring: GraphBatch) -> None:
    encoder = GIN(spec, width=4).double().eval()
    other = replace(ring, edge_x=ring.edge_x + 1)
    assert not torch.allclose(encoder(view_of(encoder, ring)).tokens, encoder(view_of(encoder, other)).tokens)
    without = GIN(spec, width=4, edge_features=False).double().eval()
    assert_close(without(view_of(without, ring)).tokens, without(view_of(without, other)).tokens)


def test_gin_with_self_loops_counts_each_node_twice(spec: GraphSpec, ring: GraphBatch) -> None:
    plain = GIN(spec, width=4, edge_features=False, learn_eps=True).double().eval()
    looped = GIN(spec, width=4, edge_features=False, learn_eps=True, self_loops=True).double().eval()
    looped.load_state_dict(plain.state_dict())
    for layer in plain.trunk.stack.layers:
        torch.nn.init.ones_(layer.conv.eps)  # 1 + eps = 2
    assert_close(looped(view_of(looped, ring)).tokens, plain(view_of(plain, ring)).tokens)
    with pytest.raises(UserError, match=r"a self-loop has no features.*\n.*edge_features: false"):
        GIN(spec, self_loops=True)


def test_the_transformer_reads_places(placed_spec: GraphSpec, ring: GraphBatch) -> None:
    encoder = GraphTransformer(placed_spec, width=8, layers=1).double().eval()
    other = replace(ring, places=ring.places.flip(0))
    assert not torch.allclose(encoder(view_of(encoder, ring)).tokens, encoder(view_of(encoder, other)).tokens)


def test_signs_of_eigenvectors_are_drawn_in_training_alone(placed_spec: GraphSpec, two_graphs: GraphBatch) -> None:
    """One sign for each graph and eigenvector."""
    encoder = GraphTransformer(placed_spec.model_copy(update={"place_kind": "lappe"}), width=8, layers=1, norm="layer")
    places = encoder.trunk.places
    torch.manual_seed(0)
    drawn = places.train()(two_graphs.places, two_graphs.lengths) - places.linear.bias
    possible = [
        signs * two_graphs.places @ places.linear.weight.T for signs in torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 2)
    ]
    for graph in (slice(0, 4), slice(4, 5), slice(5, 8)):
        assert sum(bool(torch.allclose(drawn[graph], one[graph], atol=1e-6)) for one in possible) == 1
    assert_close(places.eval()(two_graphs.places, two_graphs.lengths), places.linear(two_graphs.places))


def test_the_transformer_attends_within_graphs_and_beyond_edges(spec: GraphSpec, two_graphs: GraphBatch) -> None:
    encoder = GraphTransformer(spec, width=8, layers=1, local="none").double().eval()
    x = two_graphs.x.clone()
    x[3] += 1  # the isolated node of the first graph
    one, other = (encoder(view_of(encoder, replace(two_graphs, x=some))).tokens for some in (two_graphs.x, x))
    changed = (one != other).any(1)
    assert changed.tolist() == [True] * 4 + [False] * 4


def test_what_an_encoder_cannot_read_is_refused(placed_spec: GraphSpec, spec: GraphSpec, ring: GraphBatch) -> None:
    with pytest.raises(UserError, match="GAT reads no positional encodings, and `data` asks for rwpe"):
        GAT(placed_spec)
    with pytest.raises(UserError, match="neighbourhoods share their nodes"):
        GraphTransformer(spec.model_copy(update={"samples": "neighbourhoods"}))
    small = GraphTransformer(spec, largest=7)
    with pytest.raises(UserError, match="a graph has 8 of them"):
        small(view_of(small, ring))
