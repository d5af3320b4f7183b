"""GraphGPT: walks that cover every edge, sequences from which the graph can be read back, and the encoder over them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from manyviews.engine.pretrain import pretrain
from manyviews.errors import DataError, UserError
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.objective import Branch
from manyviews.objectives.autoregression import Autoregression
from manyviews.objectives.masked_reconstruction import MaskedReconstruction
from manyviews.view import View
from manyviews.views.random_mask import RandomMask
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.edges import Edges
from manyviews_graphs.gcn import GCN
from manyviews_graphs.graphgpt.circuits import follow
from manyviews_graphs.graphgpt.draws import Draws
from manyviews_graphs.graphgpt.encoder import GraphGPT
from manyviews_graphs.graphgpt.repeats import repeats
from manyviews_graphs.graphgpt.serial import NODE, Serial, label_words, serialise
from manyviews_graphs.graphgpt.vocabulary import BACK, BOTH, END, JUMP, Vocabulary
from manyviews_graphs.graphgpt.walk import Ends, walk
from manyviews_graphs.source import GraphSource
from manyviews_graphs.spec import GraphSpec

LABELS = GraphSpec(
    channels=3,
    features="one_hot",
    labels=("a", "b", "c"),
    edge_channels=2,
    edge_labels=("s", "d"),
    samples="graphs",
    paths=True,
)
GRAPHS = {
    "ring": nx.cycle_graph(7),
    "tree": nx.balanced_tree(2, 3),
    "clique": nx.complete_graph(6),
    "karate": nx.karate_club_graph(),
    "parts": nx.disjoint_union_all([nx.path_graph(3), nx.empty_graph(2), nx.cycle_graph(4), nx.star_graph(4)]),
    "alone": nx.empty_graph(1),
}


def arrays(graph: nx.Graph) -> tuple[np.ndarray, np.ndarray, int]:
    ends = np.array(list(graph.edges), dtype=np.int64).reshape(-1, 2)
    return ends[:, 0], ends[:, 1], len(graph)


def drawn(seed: int = 0, graphs: int = 1) -> Draws:
    return Draws.of(seed, np.arange(graphs))


def fewest(graph: nx.Graph) -> int:
    """By networkx' exact matching of odd nodes."""
    parts = [graph.subgraph(part) for part in nx.connected_components(graph)]
    odd = [part for part in parts if len(part) > 1 and not nx.is_eulerian(part)]
    return sum(nx.eulerize(part).number_of_edges() - part.number_of_edges() for part in odd)


@pytest.mark.parametrize("name", GRAPHS)
def test_repeated_edges_make_all_degrees_even(name: str) -> None:
    one, two, nodes = arrays(GRAPHS[name])
    twice = repeats(one, two, nodes)
    assert len(set(twice.tolist())) == len(twice)
    degree = np.bincount(np.concatenate([one, two, one[twice], two[twice]]), minlength=nodes)
    assert (degree % 2 == 0).all()
    assert len(twice) >= fewest(GRAPHS[name])


def test_repeated_edges_are_fewest_on_trees_rings_and_cliques() -> None:
    for name in ("ring", "tree", "clique", "parts"):
        assert len(repeats(*arrays(GRAPHS[name]))) == fewest(GRAPHS[name])


def test_repeated_edges_are_nearly_fewest() -> None:
    graphs = [nx.gnp_random_graph(20, 0.15, seed=seed) for seed in range(10)]
    assert sum(len(repeats(*arrays(g))) for g in graphs) <= 1.25 * sum(fewest(g) for g in graphs)


@pytest.mark.parametrize("seed", range(5))
def test_a_circuit_goes_along_every_edge_of_its_part_once(seed: int) -> None:
    """A multigraph of even degrees in several parts: every edge of random graphs twice, and rings."""
    graphs = [nx.gnp_random_graph(12, 0.3, seed=seed), nx.cycle_graph(5), nx.complete_graph(5)]
    one, two, _ = arrays(nx.disjoint_union_all(graphs))
    some = one < 12
    one, two = np.concatenate([one, one[some]]), np.concatenate([two, two[some]])
    following = follow(one, two, np.random.default_rng(seed).random((3, 2 * len(one))))
    leaves = np.stack([one, two], axis=1).ravel()
    graph = nx.Graph(zip(one.tolist(), two.tolist(), strict=True))
    for part in nx.connected_components(graph):
        edges = [edge for edge in range(len(one)) if one[edge] in part]
        dart, walked = 2 * edges[0], []
        while not walked or dart != 2 * edges[0]:
            walked.append(dart // 2)
            assert leaves[following[dart]] == leaves[dart ^ 1]  # it goes on where it came to
            dart = int(following[dart])
        assert sorted(walked) == edges


def test_without_edges_there_is_no_circuit() -> None:
    assert follow(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((3, 0))).tolist() == []


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("seed", range(3))
def test_a_walk_covers_all_and_is_cut_off_behind_its_last_new_edge(name: str, seed: int) -> None:
    graph = GRAPHS[name]
    one, two, nodes = arrays(graph)
    steps = walk(Ends(one, two, np.zeros(nodes, dtype=np.int64)), drawn(seed))
    assert set(steps.node.tolist()) == set(range(nodes))
    assert steps.edge[0] == -1
    for before, node, edge in zip(steps.node[:-1].tolist(), steps.node[1:].tolist(), steps.edge[1:].tolist(), strict=True):
        if edge >= 0:
            assert {before, node} == {one[edge], two[edge]}
        else:
            assert not nx.has_path(graph, before, node)
    walked = [edge for edge in steps.edge.tolist() if edge >= 0]
    assert set(walked) == set(range(len(one)))
    assert len(walked) <= len(one) + len(repeats(one, two, nodes))
    seen: set[int] = set()
    new = []
    for edge in steps.edge.tolist():
        new.append(edge >= 0 and edge not in seen)
        seen.add(edge)
    assert steps.new.tolist() == new
    ends = [place for place in range(len(new)) if place + 1 == len(new) or steps.edge[place + 1] < 0]
    assert all(new[place] or steps.edge[place] < 0 for place in ends)
    assert (steps.edge == -1).sum() == nx.number_connected_components(graph)


def test_walks_differ_begin_anywhere_and_repeat_under_a_seed() -> None:
    one, two, nodes = arrays(nx.karate_club_graph())
    ends = Ends(one, two, np.zeros(nodes, dtype=np.int64))
    walks = [walk(ends, drawn(seed)).node.tolist() for seed in range(30)]
    assert len({tuple(nodes) for nodes in walks}) == 30
    assert len({nodes[0] for nodes in walks}) > 8
    assert walk(ends, drawn(3)).node.tolist() == walks[3]


def test_of_equal_choices_each_is_drawn() -> None:
    """Two triangles that share a node: it may be walked as figure of eight in either sense, from any node."""
    graph = nx.Graph([(0, 1), (1, 2), (2, 0), (0, 3), (3, 4), (4, 0)])
    one, two, nodes = arrays(graph)
    ends = Ends(one, two, np.zeros(nodes, dtype=np.int64))
    counts = Counter(tuple(walk(ends, drawn(seed), np.array([0])).node.tolist()) for seed in range(800))
    assert len(counts) == 8
    assert min(counts.values()) > 50


def test_graphs_of_a_batch_are_walked_one_after_another_and_seeds_begin() -> None:
    graph = nx.disjoint_union_all([nx.path_graph(4), nx.cycle_graph(3), nx.empty_graph(1), nx.path_graph(2)])
    one, two, _ = arrays(graph)
    owners = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1])  # the first graph has three parts
    for seed in range(20):
        steps = walk(Ends(one, two, owners), drawn(seed, 2), seeds=np.array([5, 9]))
        assert owners[steps.node].tolist() == sorted(owners[steps.node].tolist())
        assert steps.node[0] == 5
        assert steps.node[owners[steps.node] == 1][0] == 9


def labelled(graph: nx.Graph, lengths: list[int], *, directed: bool = False) -> GraphBatch:
    """With one-hot labels of nodes and edges; node 0 and every fifth edge have none."""
    one, two, nodes = arrays(graph)
    also = slice(None, None, 3 if directed else 1)  # directed: every third edge has its reverse
    source, target = np.concatenate([one, two[also]]), np.concatenate([two, one[also]])
    edges = Edges.of(torch.from_numpy(source), torch.from_numpy(target), nodes)
    x = torch.eye(3)[torch.arange(nodes) % 3]
    x[0] = 0
    kind = torch.minimum(edges.source, edges.target) * 7 + torch.maximum(edges.source, edges.target)
    edge_x = torch.eye(2)[kind % 2] * (kind % 5 != 0)[:, None]
    return GraphBatch(x, edges, Lengths.of(lengths), edge_x)


def written(batch: GraphBatch, spec: GraphSpec = LABELS, seed: int = 0) -> Serial:
    words = Vocabulary.of(spec)
    return serialise(batch.x, batch.edges, batch.lengths, batch.edge_x, words, drawn(seed, len(batch)), seeded=batch.seeded)


def read_back(serial: Serial, words: Vocabulary) -> list[tuple[nx.DiGraph, dict[int, int]]]:
    """Each sample's graph, from nothing but its words and numbers; and the labels of its nodes."""
    graphs, start = [], 0
    for length in serial.lengths.tensor.tolist():
        graph, labels, node, signs, label = nx.DiGraph(), {}, None, set(), None
        tokens = zip(serial.word[start : start + length].tolist(), serial.number[start : start + length].tolist(), strict=True)
        for word, number in tokens:
            if word == NODE:
                graph.add_node(number)
                if node is not None and JUMP not in signs:
                    one, two = (number, node) if BACK in signs else (node, number)
                    if not graph.has_edge(one, two) and not graph.has_edge(two, one):
                        graph.add_edge(one, two, label=label)
                        graph.add_edges_from([(two, one, {"label": label})] if BOTH in signs else [])
                node, signs, label = number, set(), None
            elif word in (END, JUMP, BACK, BOTH):
                signs.add(word)
            elif word >= words.edges[0].word:
                label = word - words.edges[0].word
            else:
                labels[node] = word - words.nodes[0].word
        assert signs == {END}
        graphs.append((graph, labels))
        start += length
    return graphs


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_graph_can_be_read_back(directed: bool, seed: int) -> None:
    parts = [GRAPHS["karate"], GRAPHS["parts"], GRAPHS["alone"], GRAPHS["clique"]]
    lengths = [len(part) for part in parts]
    batch = labelled(nx.disjoint_union_all(parts), lengths, directed=directed)
    words = LABELS.model_copy(update={"undirected": not directed})
    serial = written(batch, words, seed=seed)
    truth, start = [], 0
    every = list(zip(batch.edges.source.tolist(), batch.edges.target.tolist(), strict=True))
    kinds = [int(row.argmax()) if row.any() else None for row in batch.edge_x]
    for length in lengths:
        graph = nx.DiGraph()
        graph.add_nodes_from((node, {"label": None if node == 0 else node % 3}) for node in range(start, start + length))
        inside = [(edge, kind) for edge, kind in zip(every, kinds, strict=True) if start <= edge[0] < start + length]
        graph.add_edges_from((*edge, {"label": kind}) for edge, kind in inside)
        truth.append(graph)
        start += length
    for (found, labels), graph in zip(read_back(serial, Vocabulary.of(words)), truth, strict=True):
        nx.set_node_attributes(found, {node: labels.get(node) for node in found}, "label")
        shape = graph if directed else nx.Graph(graph)
        other = found if directed else nx.Graph(found)
        assert nx.is_isomorphic(shape, other, lambda a, b: a["label"] == b["label"], lambda a, b: a["label"] == b["label"])


def test_nodes_are_numbered_by_first_visit_and_read_there() -> None:
    serial = written(labelled(GRAPHS["karate"], [34]))
    numbers = serial.number[serial.word == NODE].tolist()
    assert list(dict.fromkeys(numbers)) == list(range(34))
    assert (serial.number[serial.word != NODE] == 0).all()
    read = serial.node[serial.node >= 0].tolist()
    assert sorted(read) == list(range(34))
    assert (serial.word[serial.node >= 0] == NODE).all()
    assert sorted(serial.edge[serial.edge >= 0].tolist()) == sorted(set(serial.edge[serial.edge >= 0].tolist()))
    assert (serial.edge >= 0).sum() == GRAPHS["karate"].number_of_edges()


def test_edges_between_neighbourhoods_are_left_out(seeded: GraphBatch) -> None:
    """Node 4 is a neighbour of two seeds, and stands with the first."""
    spec = GraphSpec(channels=5, edge_channels=3, samples="neighbourhoods", paths=True)
    serial = serialise(seeded.x, seeded.edges, seeded.lengths, seeded.edge_x, Vocabulary.of(spec), drawn(0, 3), seeded=True)
    starts = serial.lengths.starts().tolist()
    assert serial.node[starts].tolist() == [0, 3, 6]
    assert [graph.number_of_nodes() for graph, _ in read_back(serial, Vocabulary.of(LABELS))] == [3, 3, 2]
    assert [nx.Graph(graph).number_of_edges() for graph, _ in read_back(serial, Vocabulary.of(LABELS))] == [3, 2, 1]


def test_a_graph_without_nodes_has_no_tokens() -> None:
    serial = written(labelled(nx.path_graph(3), [3, 0]))
    assert serial.lengths.tensor.tolist()[1] == 0


def test_words_of_sparse_and_dense_labels() -> None:
    (labels,) = Vocabulary.of(GraphSpec(channels=6, features="given", labels=("a", "b"), node_types=())).nodes
    assert (labels.channel, labels.size, labels.word) == (4, 2, 4)
    x = torch.tensor([[1.0, 0, 0, 2, 0, 1], [0, 1, 0, 0, 1, 0], [5, 0, 0, 0, 0, 0]])
    assert label_words(x, labels).tolist() == label_words(x.to_sparse_csr(), labels).tolist() == [5, 4, -2]


def test_vocabulary_of_every_kind_of_features() -> None:
    kinds = GraphSpec(channels=9, labels=("a", "b"), node_types=("p", "q", "r"), edge_channels=4, edge_types=("u", "v"))
    words = Vocabulary.of(kinds)
    assert (words.numbers, words.edge_numbers, words.size) == (4, 2, 4 + 2 + 3 + 2)
    assert [(part.channel, part.size, part.word) for part in (*words.nodes, *words.edges)] == [(4, 2, 4), (6, 3, 6), (2, 2, 9)]
    degrees = Vocabulary.of(GraphSpec(channels=8, features="degree", max_degree=7))
    assert (degrees.numbers, degrees.nodes, degrees.size) == (0, (), 4)


def ready(spec: GraphSpec = LABELS, seed: int = 0) -> GraphBatch:
    parts = [GRAPHS["karate"], GRAPHS["tree"], GRAPHS["parts"]]
    batch = labelled(nx.disjoint_union_all(parts), [len(part) for part in parts])
    return replace(batch, path=written(batch, spec, seed))


def encoder(spec: GraphSpec = LABELS, **parameters) -> GraphGPT:
    torch.manual_seed(0)
    return GraphGPT(spec, **({"width": 16, "depth": 2, "heads": 2, "numbers": 40} | parameters))


def whole(net: GraphGPT, batch: GraphBatch) -> View:
    return View(batch, net.layout(batch))


def test_numbers_go_round_from_a_random_one() -> None:
    net, batch = encoder(), ready()
    classes, serial = net.classes(batch), batch.path
    owners = serial.lengths.owners()
    node = serial.word == NODE
    assert torch.equal(classes[node], (serial.number + serial.shift[owners])[node] % 40)
    assert torch.equal(classes[~node], 40 + serial.word[~node])
    assert classes.max() < net.target_classes == 40 + 4 + 3 + 2
    shifts = {int(shift) % 40 for seed in range(40) for shift in ready(seed=seed).path.shift}
    assert len(shifts) > 30


@pytest.mark.parametrize("causal", [True, False])
def test_what_a_token_sees(causal: bool) -> None:
    net, batch = encoder(causal=causal).double(), ready()
    view = whole(net, batch)
    before = net(view).tokens
    hidden = torch.zeros(1, view.layout.lengths.total, dtype=torch.bool)
    hidden[0, 10] = True
    after = net(replace(view, hidden=Mask(hidden))).tokens
    changed = (before != after).any(1)
    assert bool(changed[:10].any()) is not causal
    assert changed[10]
    assert not changed[view.layout.lengths.tensor[0] :].any()


def test_hidden_tokens_say_nothing_of_what_they_are() -> None:
    net, batch = encoder(causal=False), ready()
    view = whole(net, batch)
    node = batch.path.word == NODE
    other = replace(batch, path=replace(batch.path, number=torch.where(node, (batch.path.number + 7) % 34, 0)))
    hidden = Mask(node[None])
    assert_close(net(replace(view, hidden=hidden)).tokens, net(replace(view, batch=other, hidden=hidden)).tokens)


@pytest.mark.parametrize("pool", ["mean", "last"])
def test_pooled(pool: str) -> None:
    net, batch = encoder(pool=pool), ready()
    found = net(whole(net, batch))
    parts = found.tokens.split(batch.path.lengths.tensor.tolist())
    assert_close(found.pooled, torch.stack([part.mean(0) if pool == "mean" else part[-1] for part in parts]))


def test_numbers_of_nodes_and_edges_are_read_where_they_come_first(two_graphs: GraphBatch) -> None:
    spec = GraphSpec(channels=5, edge_channels=3, samples="graphs", paths=True)
    words = Vocabulary.of(spec)
    assert (words.numbers, words.edge_numbers) == (5, 3)
    serial = serialise(two_graphs.x, two_graphs.edges, two_graphs.lengths, two_graphs.edge_x, words, drawn(0, 3))
    net, batch = encoder(spec), replace(two_graphs, path=serial)
    plain = net.embedding(net.classes(batch))
    expected = plain.clone()
    for token in range(serial.lengths.total):
        if serial.node[token] >= 0:
            expected[token] += net.node_numbers.weight @ batch.x[serial.node[token]]
        if serial.edge[token] >= 0:
            expected[token] += net.edge_numbers.weight @ batch.edge_x[serial.edge[token]]
    assert_close(net._embedded(batch), expected)
    sparse = replace(batch, x=batch.x.to_sparse_csr())
    assert_close(net._embedded(sparse), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert net(whole(net, sparse)).pooled.isfinite().all()


def test_layers_are_those_of_the_transformer() -> None:
    net, batch = encoder(), ready()
    view = whole(net, batch)
    found = net(replace(view, layers=True))
    assert len(found.layers) == 2
    assert_close(found.layers[-1], net(view).tokens)


def test_next_tokens_are_learnt() -> None:
    net, batch = encoder(), ready()
    objective = Autoregression()
    student = Branch(net, torch.nn.Identity(), objective.predictor(net, 16), "sample")
    optimizer, losses = torch.optim.Adam(student.parameters(), lr=1e-2), []
    for _ in range(60):
        loss = objective((whole(net, batch),), student, None, torch.Generator())
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
        losses.append(loss.value.item())
    assert losses[-1] < 0.6 * losses[0]


def test_masked_tokens_are_learnt() -> None:
    net, batch = encoder(causal=False), ready()
    objective = MaskedReconstruction(loss="cross_entropy", depth=0)
    student = Branch(net, torch.nn.Identity(), objective.predictor(net, 16), "sample")
    views = RandomMask(share=(0.05, 0.95), power=1.0, per="sample")
    optimizer, losses = torch.optim.Adam(student.parameters(), lr=5e-3), []
    for seed in range(60):
        shown = views(batch, net.layout(batch), torch.Generator().manual_seed(seed))
        loss = objective(shown, student, None, torch.Generator())
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
        losses.append(loss.value.item())
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_what_it_cannot_read_is_refused(ring: GraphBatch) -> None:
    with pytest.raises(UserError, match=r"reads graphs along paths, and `data` draws none; set `data\.paths: true`"):
        encoder(GraphSpec(channels=5))
    with pytest.raises(UserError, match="along paths, and these have none"):
        encoder().layout(ring)
    with pytest.raises(UserError, match=r"encoder\.numbers: 20 numbers for a graph of 34 nodes"):
        encoder(numbers=20).layout(ready())
    with pytest.raises(UserError, match=r"set `encoder\.causal: true`"):
        Autoregression().predictor(encoder(causal=False), 16)


def collection(folder: Path, **more) -> dict:
    """Rings and stars, the label says which, as arrays."""
    graphs = [nx.cycle_graph(4 + n % 4) if n % 2 else nx.star_graph(4 + n % 4) for n in range(24)]
    joined = nx.disjoint_union_all(graphs)
    one, two, _ = arrays(joined)
    sizes = [len(graph) for graph in graphs]
    x = np.random.default_rng(0).normal(size=(sum(sizes), 2)).astype(np.float32)
    ends = np.stack([np.concatenate([one, two]), np.concatenate([two, one])])
    np.savez(folder / "graphs.npz", edge_index=ends, x=x, batch=np.repeat(np.arange(24), sizes), y=np.arange(24) % 2)
    return {"source": "graph", "path": str(folder / "graphs.npz"), "paths": True, **more}


def paths(source: GraphSource, *index: int) -> dict[int, list[int]]:
    """The words and numbers of each of these graphs, read in one batch."""
    path = source.batch(np.array(index)).path
    codes = torch.where(path.word == NODE, 1000 + (path.number + path.shift[path.lengths.owners()]) % 997, path.word)
    return {i: part.tolist() for i, part in zip(index, codes.split(path.lengths.tensor.tolist()), strict=True)}


def test_a_source_draws_paths_by_seed_and_index(tmp_path: Path) -> None:
    data = collection(tmp_path)
    del data["source"]
    source = GraphSource(**data)
    assert source.spec.paths
    assert paths(source, 5, 3, 7) == paths(source, 5, 3, 7)
    assert paths(source, 5, 3, 7)[3] != paths(source, 5, 3, 8)[3]  # training draws anew
    assert paths(source, 3)[3] == paths(source, 3, 5)[3] == paths(source, *range(24))[3]  # evaluation does not
    assert paths(GraphSource(**data, seed=1), 3) != paths(source, 3)
    assert paths(GraphSource.reading(data["path"], source.spec), 2, 4) == paths(source, 2, 4)
    moved = source.batch(np.array([0])).to(torch.device("meta"))
    assert moved.path.word.device.type == "meta"


def test_draws_are_uniform_and_of_their_own() -> None:
    draws = Draws.of(0, np.arange(4))
    sample, number = np.repeat(np.arange(4), 5000), np.tile(np.arange(5000), 4)
    uniform = [draws.uniform(sample, number, use) for use in (0, 1)]
    for values in (uniform[0], uniform[0][:5000], uniform[1]):
        assert abs(values.mean() - 0.5) < 0.02
        assert abs(values.var() - 1 / 12) < 0.005
        assert 0 <= values.min() < values.max() < 1
    columns = np.array([uniform[0][:5000], uniform[0][5000:10000], uniform[1][:5000], np.roll(uniform[0][:5000], 1)])
    assert np.abs(np.corrcoef(columns) - np.eye(4)).max() < 0.06


def test_a_path_through_one_large_graph_is_refused() -> None:
    data = {"edge_index": np.array([[0, 1], [1, 0]]), "x": np.eye(2, dtype=np.float32)}
    with pytest.raises(DataError, match=r"data\.paths: one large graph is too long a path"):
        GraphSource(path=data, paths=True)


@pytest.mark.parametrize(
    ("views", "objective", "causal"),
    [
        ({"name": "whole"}, {"name": "autoregression"}, True),
        (
            {"name": "random_mask", "share": [0.1, 0.9], "per": "sample"},
            {"name": "masked_reconstruction", "loss": "cross_entropy", "depth": 0},
            False,
        ),
    ],
    ids=["next token", "masked token"],
)
def test_both_ways_run_from_a_recipe(tmp_path: Path, views: dict, objective: dict, causal: bool) -> None:
    recipe = {
        "domain": "graphs",
        "data": collection(tmp_path),
        "encoder": {"name": "graphgpt", "width": 16, "depth": 1, "heads": 2, "numbers": 12, "causal": causal},
        "views": views,
        "objective": objective,
        "train": {"steps": 6, "batch_size": 8, "device": "cpu", "folder": str(tmp_path / "runs"), "log_every": 3},
        "track": None,
    }
    run = pretrain(load(recipe))
    assert run.checkpoint.name == "step-00000006"


def load(recipe: dict):
    from manyviews.recipe.load import load_recipe

    return load_recipe(recipe, {})


def test_views_of_nodes_do_not_fit(tmp_path: Path) -> None:
    assert not GraphGPT.offers >= GCN.offers
    recipe = {
        "domain": "graphs",
        "data": collection(tmp_path),
        "encoder": {"name": "graphgpt"},
        "views": {"name": "augment"},
        "objective": {"name": "ntxent"},
        "train": {"steps": 1, "batch_size": 8, "folder": str(tmp_path / "runs")},
        "track": None,
    }
    with pytest.raises(UserError, match="needs an encoder whose tokens are the data's own parts; not given by encoder"):
        pretrain(load(recipe))
