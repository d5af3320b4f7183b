"""Graphs from Python's memory: PyG's and NetworkX'."""

from __future__ import annotations

import warnings
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch

from manyviews.errors import DataError
from manyviews_graphs.source import GraphSource
from manyviews_graphs.spec import GraphSpec

with warnings.catch_warnings():  # of PyTorch's, about what PyG uses of it
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.data import Batch, Data, HeteroData, InMemoryDataset

X = torch.tensor([[1.0, 0, 2], [0, 1, 0], [3, 0, 1], [0, 0, 0], [0, 2, 2]])
EDGES = torch.tensor([[0, 0, 1, 2, 1, 2, 2, 4], [1, 2, 2, 4, 0, 0, 1, 2]])
Y = torch.tensor([0, 1, 1, 0, 2])


def ends(source: GraphSource, *index: int) -> list[tuple[int, int]]:
    edges = source.batch(np.array(index)).edges
    return list(zip(edges.source.tolist(), edges.target.tolist(), strict=True))


def one(**more: object) -> Data:
    return Data(x=X, edge_index=EDGES, y=Y, **more)


def small(nodes: int, label: int, seed: int) -> Data:
    """A ring with edge features."""
    draw = torch.Generator().manual_seed(seed)
    ring = torch.arange(nodes)
    edges = torch.stack([torch.cat([ring, (ring + 1) % nodes]), torch.cat([(ring + 1) % nodes, ring])])
    return Data(
        x=torch.randn(nodes, 2, generator=draw),
        edge_index=edges,
        edge_attr=torch.randn(edges.shape[1], 3, generator=draw),
        y=torch.tensor([label]),
    )


def test_data() -> None:
    mask = torch.tensor([True, True, False, False, False])
    source = GraphSource(
        path=one(train_mask=mask, val_mask=torch.zeros(5, dtype=torch.bool), test_mask=~mask), normalize="none"
    )
    assert (len(source), source.samples) == (1, "graph")
    assert sorted(ends(source, 0)) == sorted(zip(*EDGES.tolist(), strict=True))
    np.testing.assert_array_equal(source.token_features(np.arange(5)), X)
    assert source.labels().values.tolist() == Y.tolist()
    assert source.labels().splits.tolist() == ["train", "train", "test", "test", "test"]
    assert not source.notes


def test_sparse_features_and_a_sparse_adjacency() -> None:
    adjacency = torch.sparse_coo_tensor(EDGES.flip(0), torch.ones(8), (5, 5), check_invariants=True).to_sparse_csr()
    source = GraphSource(path=Data(x=X.to_sparse_csr(), adj_t=adjacency, num_nodes=5), normalize="none")
    assert sorted(ends(source, 0)) == sorted(zip(*EDGES.tolist(), strict=True))
    batch = source.batch(np.array([0]))
    assert batch.x.layout == torch.sparse_csr
    assert torch.equal(batch.x.to_dense(), X)


def test_dense_features_of_many_zeros_become_sparse() -> None:
    x = torch.zeros(40, 30)
    x[torch.arange(40), torch.arange(40) % 30] = 2.0
    batch = GraphSource(path=Data(x=x, edge_index=EDGES)).batch(np.array([0]))
    assert batch.x.layout == torch.sparse_csr
    assert torch.equal(batch.x.to_dense(), x / 2)  # a bag of words: rows add up to 1


def test_a_list_a_data_set_and_a_batch_are_many_graphs() -> None:
    items = [small(4, 1, 0), small(3, 0, 1), small(5, 1, 2)]

    class Rings(InMemoryDataset):
        def __init__(self) -> None:
            super().__init__()
            self.data, self.slices = self.collate(items)

    sources = [GraphSource(path=path) for path in (items, Rings(), Batch.from_data_list(items))]
    for source in sources:
        assert (len(source), source.samples) == (3, "graphs")
        assert source.labels().values.tolist() == [1, 0, 1]
        assert source.sizes().tolist() == [4, 3, 5]
        assert source.fingerprint()["data"] == sources[0].fingerprint()["data"]
        batch, wanted = source.batch(np.array([2, 0])), sources[0].batch(np.array([2, 0]))
        assert torch.equal(batch.x, torch.cat([items[2].x, items[0].x]))
        assert torch.equal(batch.edge_x, wanted.edge_x)


def test_what_torch_saved(tmp_path: Path) -> None:
    items = [small(4, 1, 0), small(3, 0, 1)]
    torch.save(items, tmp_path / "list.pt")
    InMemoryDataset.save(items, tmp_path / "set.pt")
    torch.save(one(), tmp_path / "data.pt")
    torch.save(one().to_dict(), tmp_path / "dict.pt")
    for name in ("list", "set"):
        source = GraphSource(path=str(tmp_path / f"{name}.pt"))
        assert torch.equal(source.batch(np.array([1, 0])).x, torch.cat([items[1].x, items[0].x]))
    for name in ("data", "dict"):
        source = GraphSource(path=str(tmp_path / f"{name}.pt"))
        assert source.labels().values.tolist() == Y.tolist()
        assert source.fingerprint()["data"]["file"] == f"{name}.pt"


def test_what_the_labels_are_of() -> None:
    items = [small(4, 1, 0), small(3, 0, 1)]
    for number, data in enumerate(items):
        data.y = torch.full((data.num_nodes,), number)
        data.train_mask = torch.ones(data.num_nodes, dtype=torch.bool)
    assert GraphSource(path=items).labels().values.tolist() == [0] * 4 + [1] * 3
    assert GraphSource(path=items).labels().splits.tolist() == ["train"] * 7
    several = Data(x=X, edge_index=EDGES, y=torch.zeros(5, 4), z=torch.tensor([0.5, 1.5, 2.5, 3.5, 4.5]))
    source = GraphSource(path=several)
    assert source.labels() is None
    assert any("labels 'y' of shape (5, 4) are left out" in note for note in source.notes)
    assert GraphSource(path=several, target="z").labels().kind == "regression"


def hetero() -> HeteroData:
    data = HeteroData()
    data["paper"].x, data["author"].x = torch.ones(3, 2), 2 * torch.ones(2, 4)
    data["venue"].num_nodes = 1
    data["paper"].y = torch.tensor([1, 0, 1])
    data["paper"].train_mask = torch.tensor([True, False, False])
    data["author", "writes", "paper"].edge_index = torch.tensor([[0, 1, 1], [0, 0, 2]])
    data["paper", "in", "venue"].edge_index = torch.tensor([[0, 1], [0, 0]])
    return data


def test_several_types_of_nodes_become_one() -> None:
    source = GraphSource(path=hetero())
    spec = source.spec
    assert (spec.channels, spec.node_types) == (7, ("paper", "author", "venue"))
    assert spec.edge_types == ("author-writes-paper", "paper-in-venue")
    x = source.token_features(np.arange(6))
    assert x[:, :4].tolist() == [[1, 1, 0, 0]] * 3 + [[2, 2, 2, 2]] * 2 + [[0, 0, 0, 0]]
    assert x[:, 4:].argmax(1).tolist() == [0, 0, 0, 1, 1, 2]
    batch = source.batch(np.array([0]))
    kinds = dict(zip(ends(source, 0), batch.edge_x.argmax(1).tolist(), strict=True))
    assert kinds == {
        (3, 0): 0,
        (0, 3): 0,
        (4, 0): 0,
        (0, 4): 0,
        (4, 2): 0,
        (2, 4): 0,
        (0, 5): 1,
        (5, 0): 1,
        (1, 5): 1,
        (5, 1): 1,
    }
    assert source.labels().values.tolist() == [1, 0, 1, -1, -1, -1]
    assert source.labels().splits.tolist() == ["train", "", "", "", "", ""]
    assert any("paper 2, author 4, venue 0" in note and "filled up with zeros to 4" in note for note in source.notes)


def test_a_new_graph_of_several_types_is_read_in_the_same_channels() -> None:
    spec = GraphSource(path=hetero()).spec
    other = HeteroData()
    other["venue"].num_nodes, other["author"].x, other["paper"].x = 1, torch.ones(1, 4), torch.ones(1, 2)
    other["author", "writes", "paper"].edge_index = torch.tensor([[0], [0]])
    x = GraphSource.reading(other, GraphSpec.model_validate_json(spec.model_dump_json())).token_features(np.arange(3))
    assert x[:, 4:].argmax(1).tolist() == [2, 1, 0]


def test_networkx() -> None:
    graph = nx.Graph()
    for name, size, kind in (("ann", 1.0, "a"), ("bob", 2.0, "b"), ("cy", 4.0, "a")):
        graph.add_node(name, size=size, place=[size, -size], kind=kind, motto="…", team=int(size > 1))
    graph.add_edge("ann", "bob", weight=0.5)
    graph.add_edge("cy", "bob", weight=1.5)
    source = GraphSource(
        path=graph, target="team", node_label="kind", features="given", normalize="none", edge_attributes=["weight"]
    )
    assert source.ids == ["ann", "bob", "cy"]
    assert source.spec.attributes == ("size", "place")
    assert source.token_features(np.arange(3)).tolist() == [[1, 1, -1, 1, 0], [2, 2, -2, 0, 1], [4, 4, -4, 1, 0]]
    assert source.labels().values.tolist() == [0, 1, 1]
    assert ends(source, 0) == [(1, 0), (0, 1), (2, 1), (1, 2)]
    assert source.batch(np.array([0])).edge_x.ravel().tolist() == [0.5, 0.5, 1.5, 1.5]
    assert any("no features: motto" in note for note in source.notes)
    graph.nodes["ann"]["size"] = 9.0
    again = GraphSource.reading(graph, source.spec)
    assert again.token_features(np.array([0])).tolist() == [[9, 1, -1, 1, 0]]
    assert again.batch(np.array([0])).edge_x.shape == (4, 1)
    elsewhere = pd.DataFrame(
        {"edge_index": [[[0], [1]]], "x": [[[1, 2, 3], [4, 5, 6]]], "node_labels": [["b", "a"]], "edge_attr": [[[7]]]}
    )
    same = GraphSource.reading(elsewhere, source.spec)  # another form, in which nothing has these names
    assert same.token_features(np.arange(2)).tolist() == [[1, 2, 3, 0, 1], [4, 5, 6, 1, 0]]


def test_networkx_says_whether_edges_have_a_direction() -> None:
    edges = [(0, 1), (1, 2), (2, 0), (1, 1)]
    assert len(ends(GraphSource(path=nx.Graph(edges)), 0)) == 6
    notes = GraphSource(path=nx.Graph(edges)).notes
    assert not any("no edge back" in note for note in notes)  # it says itself that it has none
    directed = GraphSource(path=nx.DiGraph(edges))
    assert not directed.spec.undirected
    assert ends(directed, 0) == [(2, 0), (0, 1), (1, 2)]
    assert len(ends(GraphSource(path=nx.DiGraph(edges), undirected=True), 0)) == 6
    assert len(ends(GraphSource(path=nx.DiGraph(edges), self_loops="keep"), 0)) == 4
    assert len(ends(GraphSource.reading(nx.Graph(edges), directed.spec), 0)) == 3  # each edge once, as trained


def test_a_list_of_networkx_graphs() -> None:
    graphs = [nx.cycle_graph(4), nx.path_graph(3), nx.empty_graph(0)]
    for number, graph in enumerate(graphs):
        graph.graph["shape"] = ["ring", "line", "line"][number]
    source = GraphSource(path=graphs, target="shape")
    assert len(source) == 3
    assert source.labels().classes == ("line", "ring")
    assert source.labels().values.tolist() == [1, 0, 0]
    assert source.batch(np.array([2, 1])).lengths.tensor.tolist() == [0, 3]


def test_an_attribute_that_is_called_label_is_no_feature() -> None:
    graph = nx.path_graph(4)
    nx.set_node_attributes(graph, {node: {"size": float(node), "Label": node % 2} for node in graph})
    source = GraphSource(path=graph)
    assert source.spec.attributes == ("size",)
    assert source.labels().values.tolist() == [0, 1, 0, 1]
    assert any("'Label' is taken for what probes predict" in note for note in source.notes)
    assert GraphSource(path=graph, attributes=["Label"]).labels() is None
    assert GraphSource(path=graph, target="size").spec.attributes == ("Label",)
    nx.set_node_attributes(graph, {node: f"number {node}" for node in graph}, "Label")  # what a drawing program calls them
    assert GraphSource(path=graph).labels() is None
    graphs = [nx.path_graph(3) for _ in range(4)]
    for one, kind in zip(graphs, "abab", strict=True):
        one.graph["label"] = kind
    assert GraphSource(path=graphs).labels().values.tolist() == [0, 1, 0, 1]
    assert GraphSource(path=[*graphs, nx.path_graph(2)]).labels() is None  # not every one has it


@pytest.mark.parametrize("features", ["degree", "constant"])
def test_features_that_are_made(features: str) -> None:
    star = nx.star_graph(5)
    source = GraphSource(path=star, features=features, max_degree=3)
    x = source.token_features(np.arange(6))
    assert x.tolist() == ([[0, 0, 0, 1]] + [[0, 1, 0, 0]] * 5 if features == "degree" else [[1]] * 6)
    other = GraphSource.reading(nx.path_graph(3), source.spec).token_features(np.arange(3))
    assert other.tolist() == ([[0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]] if features == "degree" else [[1]] * 3)


def test_labels_of_nodes_that_training_did_not_meet_have_no_channel() -> None:
    train = Data(x=torch.tensor([[3], [5], [3]]), edge_index=torch.tensor([[0, 1], [1, 0]]))
    source = GraphSource(path=train, features="one_hot")
    assert source.spec.labels == ("3", "5")
    assert source.token_features(np.arange(3)).tolist() == [[1, 0], [0, 1], [1, 0]]
    new = Data(x=torch.tensor([[5], [4]]), edge_index=torch.tensor([[0, 1], [1, 0]]))
    assert GraphSource.reading(new, source.spec).token_features(np.arange(2)).tolist() == [[0, 1], [0, 0]]


def test_a_data_frame_has_a_graph_in_each_row() -> None:
    frame = pd.DataFrame(
        {
            "edge_index": [[[0, 1], [1, 2]], [[], []], np.array([[0], [1]])],
            "x": [[[1, 2], [3, 4], [5, 6]], [], np.array([[7.0, 8.0], [9.0, 10.0]])],
            "edge_attr": [[[0.5], [1.5]], [], [[2.5]]],
            "y": ["a", "b", "a"],
        }
    )
    source = GraphSource(path=frame)
    batch = source.batch(np.array([2, 1, 0]))
    assert batch.lengths.tensor.tolist() == [2, 0, 3]
    assert batch.x.tolist() == [[7, 8], [9, 10], [1, 2], [3, 4], [5, 6]]
    assert batch.edge_x.ravel().tolist() == [2.5, 2.5, 0.5, 0.5, 1.5, 1.5]
    assert source.labels().classes == ("a", "b")
    with pytest.raises(DataError, match="no column 'edge_index'"):
        GraphSource(path=frame[["x"]])
    with pytest.raises(DataError, match=r"edge_index of row 0 has shape \(1, 2\); expected two lists"):
        GraphSource(path=pd.DataFrame({"edge_index": [[[0, 1]]]}))
    with pytest.raises(DataError, match="x of row 0 is no array of numbers"):
        GraphSource(path=pd.DataFrame({"edge_index": [[[0], [1]]], "x": [[[1, 2], [3]]]}))


@pytest.mark.parametrize(
    "given",
    [
        {"path": one()},
        {"path": [small(4, 1, 0), small(3, 0, 1)]},
        {"path": Data(x=torch.tensor([[3], [5], [3]]), edge_index=torch.tensor([[0, 1], [1, 0]])), "features": "one_hot"},
        {"path": nx.star_graph(4), "neighbours": [2]},
    ],
    ids=["graph", "graphs", "labels", "neighbourhoods"],
)
def test_the_example_is_read_as_the_spec_says(given: dict) -> None:
    source = GraphSource(**given)
    again = GraphSource.reading(source.example(), source.spec)
    batch = again.batch(np.arange(len(again)))
    assert batch.x.shape[1] == source.spec.channels
    assert batch.edges.nodes == batch.lengths.total
    assert len(again) == {"graph": 1, "graphs": 2, "neighbourhoods": 3}[source.samples]
    assert GraphSource(path=hetero()).example() is None
