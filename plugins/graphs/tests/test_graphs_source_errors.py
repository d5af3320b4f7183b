"""Every bad graph is refused in a few words that name the file, the node or edge, and the way to mend it."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from manyviews.errors import DataError
from manyviews_graphs.source import GraphSource

with warnings.catch_warnings():  # of PyTorch's, about what PyG uses of it
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.data import Data, HeteroData

EDGES = np.array([[0, 1, 2], [1, 2, 3]])
X = np.ones((4, 2), dtype=np.float32)


def refused(match: str, **parameters: Any) -> str:
    """The message; it must be a DataError of at most three lines."""
    with pytest.raises(DataError, match=match) as caught:
        GraphSource(**parameters)
    message = str(caught.value)
    assert len(message.splitlines()) <= 3
    return message


def arrays(**more: Any) -> dict[str, Any]:
    return {"edge_index": EDGES, "x": X, **more}


def test_missing_file(tmp_path: Path) -> None:
    assert "Planetoid" in refused(r"nowhere: there is no such file or folder", path=str(tmp_path / "nowhere"))


def test_a_folder_or_file_that_is_no_graph(tmp_path: Path) -> None:
    refused("is no graph that can be read", path=str(tmp_path))
    (tmp_path / "scan.nii").touch()
    refused("is no graph that can be read", path=str(tmp_path / "scan.nii"))
    refused("a float is no graph that can be read; expected a path", path=1.5)
    refused("there are no graphs in it", path=[])


@pytest.mark.parametrize("name", ["g.npz", "g.csv", "g.pt", "g.parquet"])
def test_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    refused(f"{name}: the file is empty", path=str(tmp_path / name))


@pytest.mark.parametrize("name", ["g.npz", "g.pt", "g.parquet"])
def test_damaged_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"this is none of these")
    refused(rf"{name}: (no readable|refused)", path=str(tmp_path / name))


@pytest.mark.parametrize(("end", "why"), [(4, r"beyond its 4 nodes \(0 to 3\)"), (-1, "negative")])
def test_an_edge_that_leads_out_of_the_graph(end: int, why: str) -> None:
    edges = EDGES.copy()
    edges[1, 2] = end
    message = refused(rf"edge 2, 2 -> {end}, has an end that is {why}", path=arrays(edge_index=edges))
    assert "Correct the edge" in message


def test_nodes_counted_from_1_are_noticed() -> None:
    assert "counted from 1: subtract 1" in refused("beyond its 4 nodes", path=arrays(edge_index=EDGES + 1))


def test_the_graph_is_named_in_a_collection() -> None:
    good = Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0], [1]]))
    bad = Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0, 1], [1, 7]]))
    refused("edge 1 of graph 2, 1 -> 7, has an end that is beyond its 3 nodes", path=[good, good, bad])
    source = GraphSource(path=[bad, good, bad, good], on_error="skip")
    assert len(source) == 2
    assert len(source.skipped) == 2
    assert "edge 1 of graph 2" in source.skipped[1]
    assert source.batch(np.array([0, 1])).lengths.tensor.tolist() == [3, 3]
    refused("there are no nodes in it", path=[bad], on_error="skip")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["dense", "sparse", "mapped"])
def test_features_that_are_no_numbers(tmp_path: Path, value: float, kind: str) -> None:
    x = np.zeros((400_000, 2) if kind == "mapped" else (4, 2), dtype=np.float32)
    x[2, 1] = x[3, 0] = value
    path: Any = arrays(x=x)
    if kind == "sparse":
        path = Data(x=torch.from_numpy(x).to_sparse_csr(), edge_index=torch.from_numpy(EDGES))
    elif kind == "mapped":
        np.savez(tmp_path / "g.npz", **path)
        path = str(tmp_path / "g.npz")
    message = refused(f"the features of node 2 hold {value} in channel 1; 2 such rows", path=path)
    assert "Fill in a number" in message


def test_edge_features_that_are_no_numbers() -> None:
    refused("the edge features of edge 1 hold nan in channel 0", path=arrays(edge_attr=np.array([1, np.nan, 2])))


def test_some_graphs_with_and_some_without() -> None:
    edges = torch.tensor([[0], [1]])
    having = Data(x=torch.ones(2, 1), edge_index=edges, edge_attr=torch.ones(1, 1), y=torch.tensor([1]))
    for name, what in (("x", "node features"), ("edge_attr", "edge features"), ("y", "labels 'y'")):
        lacking = having.clone()
        del lacking[name]
        lacking.num_nodes = 2
        refused(f"graph 1 has no {what}, and graph 0 has; give them to all or to none", path=[having, lacking])
    wider = Data(x=torch.ones(2, 3), edge_index=edges, edge_attr=torch.ones(1, 1), y=torch.tensor([1]))
    refused(r"graph 1 has node features of width \(3,\), and graph 0 of width \(1,\)", path=[having, wider])


def test_a_type_of_nodes_that_only_edges_know() -> None:
    data = HeteroData()
    data["paper"].x = torch.ones(2, 1)
    data["author", "writes", "paper"].edge_index = torch.tensor([[0], [1]])
    refused("how many nodes of type 'author' are there. Give them x, or set num_nodes", path=data)


def test_no_features_at_all() -> None:
    path = {"edge_index": EDGES, "y": np.array([0, 1, 0, 1])}
    refused("nodes have no features .*choose degree or constant", path=path, features="given")
    refused("nodes have no labels, nor a single whole number", path=path, features="one_hot")
    source = GraphSource(path=path)
    assert source.spec.features == "degree"  # never the label
    assert any("their degrees stand in" in note for note in source.notes)


def test_wrong_lengths() -> None:
    refused("x has 5 rows for 4 nodes", path=Data(x=torch.ones(5, 1), edge_index=torch.from_numpy(EDGES), num_nodes=4))
    refused("edge features has 2 rows for 3 edges", path=arrays(edge_attr=np.ones((2, 1))))
    refused("3 labels 'y' for 4 nodes; give one for each", path=arrays(y=np.array([0, 1, 2])))
    refused(r"the mask of split train has shape \(3,\)", path=arrays(y=np.zeros(4, int), train_mask=np.ones(3, bool)))


def test_labels_out_of_range() -> None:
    names = np.array(["a", "b"])
    message = refused("'y' of unit 2 is 2, and there are 2 classes, 0 to 1", path=arrays(y=[0, 1, 2, 0], class_names=names))
    assert "-1 means that it is not labelled" in message
    source = GraphSource(path=arrays(y=[0, 1, -1, 0], class_names=names))
    assert source.labels().values.tolist() == [0, 1, -1, 0]
    refused("the target 'y' is infinite at 1", path=arrays(y=[0.5, np.inf, 1.5, 2.5]))


def test_masks_that_overlap() -> None:
    masks = {"train_mask": np.array([1, 1, 0, 0], bool), "test_mask": np.array([0, 1, 1, 0], bool)}
    refused("unit 1 is in two splits, train and test", path=arrays(y=np.zeros(4, int), **masks))
    several = np.zeros((4, 3), bool)
    refused("has 3 splits; 3 should be below", path=arrays(y=np.zeros(4, int), train_mask=several), split_number=3)


def test_edges_of_another_shape_or_type() -> None:
    refused(r"edge_index has shape \(3, 2\); expected \(2, edges\); transpose it", path=arrays(edge_index=EDGES.T))
    refused("edge_index holds float64; expected whole numbers", path=arrays(edge_index=EDGES * 1.0))
    refused("there are no edges among its arrays", path={"x": X})
    refused("adj_indptr needs adj_indices and adj_shape", path={"adj_indptr": np.array([0, 1])})
    refused("edge_index holds torch.float32", path=Data(x=torch.ones(2, 1), edge_index=torch.zeros(2, 1)))
    refused(r"edge_index is \(3, 2\); expected", path=Data(x=torch.ones(2, 1), edge_index=torch.zeros(3, 2).long()))


def test_a_sparse_matrix_that_would_read_foreign_memory(tmp_path: Path) -> None:
    parts = {
        "adj_data": np.ones(2),
        "adj_indices": np.array([0, 10**6]),
        "adj_indptr": np.array([0, 1, 2]),
        "adj_shape": (2, 2),
    }
    np.savez(tmp_path / "g.npz", **parts)
    refused("adj_….: no sound sparse matrix".replace("….", "…"), path=str(tmp_path / "g.npz"))


def test_object_arrays_are_not_unpickled(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    harm = np.array([[_Harm(str(marker))]], dtype=object)
    for name, found in (("g.npz", {"edge_index": EDGES, "x": harm}), ("stored.npz", {"edge_index": harm, "x": X})):
        np.savez(tmp_path / name, **found)
        message = refused("holds Python objects, and reading those can run any program", path=str(tmp_path / name))
        assert "np.savez" in message
    assert not marker.exists()


class _Harm:
    """Unpickling it runs a command."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return os.system, (f"touch {self.marker}",)


def write_planetoid(folder: Path, **parts: Any) -> None:
    hot = np.eye(2, dtype=np.int32)
    found: dict[str, Any] = {
        "x": scipy.sparse.csr_matrix(X[:1]),
        "y": hot[:1],
        "allx": scipy.sparse.csr_matrix(X[:2]),
        "ally": hot,
        "tx": scipy.sparse.csr_matrix(X[2:]),
        "ty": hot,
        "graph": {0: [1], 1: [0, 2], 2: [1], 3: []},
    }
    for name, part in (found | parts).items():
        (folder / f"ind.g.{name}").write_bytes(part if isinstance(part, bytes) else pickle.dumps(part, protocol=2))
    (folder / "ind.g.test.index").write_text("2\n3\n")


def test_a_pickle_that_would_run_something(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    write_planetoid(tmp_path, graph=_Harm(str(marker)))
    message = refused(r"ind.g.graph: refused: loading it would use \w+.system", path=str(tmp_path))
    assert "save it as .npz" in message
    write_planetoid(tmp_path, x=np.array([{}], dtype=object), tx=np.array([{}], dtype=object))
    refused("ind.g.tx: refused: loading it would use an array of type 'O8'", path=str(tmp_path))
    torch.save(_Harm(str(marker)), tmp_path / "g.pt")
    refused(r"g.pt: refused: loading it would use \w+.system", path=str(tmp_path / "g.pt"))
    assert not marker.exists()


def test_a_pickled_matrix_that_would_read_foreign_memory(tmp_path: Path) -> None:
    broken = scipy.sparse.csr_matrix(X[:2])
    broken.indices[0] = 10**6
    write_planetoid(tmp_path, allx=broken)
    refused("ind.g.allx: no sound sparse matrix", path=str(tmp_path))


def test_planetoid_files_that_do_not_belong_together(tmp_path: Path) -> None:
    write_planetoid(tmp_path, graph=b"no pickle")
    refused("ind.g.graph: (no readable pickle|refused)", path=str(tmp_path))
    write_planetoid(tmp_path, graph=[1, 2])
    refused("ind.g.graph: holds a list; expected a dictionary", path=str(tmp_path))
    write_planetoid(tmp_path, ty=np.eye(3, dtype=np.int32))
    refused("ind.g.ty has 3 rows for the 2 nodes of test.index", path=str(tmp_path))
    write_planetoid(tmp_path, tx=scipy.sparse.csr_matrix(X))
    refused("6 rows of features .* for 4 rows of classes", path=str(tmp_path))
    write_planetoid(tmp_path, ally=np.ones((2, 2), dtype=np.int32))
    refused(r"ind.g.ally: row 0 is \[1, 1\]; expected a single 1", path=str(tmp_path))
    write_planetoid(tmp_path)
    (tmp_path / "ind.g.test.index").write_text("1\n3\n")
    refused("node 1 is one of the first 2", path=str(tmp_path))
    (tmp_path / "ind.g.test.index").write_text("2\n2\n")
    refused("node 2 stands there 2 times", path=str(tmp_path))
    (tmp_path / "ind.g.test.index").write_text("two\n")
    refused("test.index: invalid literal.*expected the number of a test node", path=str(tmp_path))
    (tmp_path / "ind.g.tx").unlink()
    refused("ind.g.tx: there is no such file", path=str(tmp_path))


def test_tu_lines_that_say_something_else(tmp_path: Path) -> None:
    file = tmp_path / "g.txt"
    for text, match in (
        ("1\n2 0\n0 1 1\n", "ends in the middle of graph 0, which should have 2 nodes"),
        ("2\n1 0\n0 0\n", "line 4 is not there; expected the nodes and the label of graph 1"),
        ("1\n1 0\n0 3 1\n", "line 3 is '0 3 1'; expected a tag, a degree and that many neighbours"),
        ("1\n1 0\n0 0\n0 0\n", "line 4 comes after the 1 graphs"),
        ("1\n2 0\n0 1 1 .5\n0 1 0\n", "line 4 has 0 numbers behind its 1 neighbours, other nodes have 1"),
        ("1\n2 0\n0 1 one\n0 1 0\n", "neighbours and attributes should be numbers"),
        ("1\n2 0\n0 1 2\n0 1 0\n", "edge 0 of graph 0, 0 -> 2, has an end that is beyond its 2 nodes"),
    ):
        file.write_text(text)
        refused(match, path=str(file))


def write_tu(folder: Path, **parts: str) -> None:
    found = {"A": "1, 2\n2, 1\n3, 4\n", "graph_indicator": "1\n1\n2\n2\n", "graph_labels": "0\n1\n"}
    for name, text in (found | parts).items():
        (folder / f"DS_{name}.txt").write_text(text)


def test_tu_files_that_do_not_belong_together(tmp_path: Path) -> None:
    write_tu(tmp_path, A="1, 2\n2, 3\n")
    refused("DS_A.txt: edge 1 runs between two graphs, 1 and 2", path=str(tmp_path))
    write_tu(tmp_path, A="1, 2\n4, 5\n")
    refused("DS_A.txt: edge 1 is 4 -> 5, and its 4 nodes are 1 to 4", path=str(tmp_path))
    write_tu(tmp_path, A="1, 2, 3\n")
    refused("expected two numbers of nodes", path=str(tmp_path))
    write_tu(tmp_path, A="1, x\n")
    refused(r"DS_A.txt: line 1 holds .*; expected numbers", path=str(tmp_path))
    write_tu(tmp_path, graph_indicator="2\n2\n1\n1\n")
    refused("the graph of each node as a number from 1 on, in ascending order", path=str(tmp_path))
    write_tu(tmp_path, graph_labels="0\n")
    refused("1 graphs have a class, and 2 have nodes", path=str(tmp_path))
    write_tu(tmp_path, node_labels="0\n1\n")
    refused("DS_node_labels.txt: 2 lines for 4 nodes", path=str(tmp_path))
    (tmp_path / "DS_A.txt").unlink()
    refused("DS_A.txt, do not stand beside it", path=str(tmp_path))


def write_tables(folder: Path, edges: dict[str, Any], nodes: dict[str, Any]) -> str:
    pd.DataFrame(edges).to_csv(folder / "edges.csv", index=False)
    pd.DataFrame(nodes).to_csv(folder / "nodes.csv", index=False)
    return str(folder)


def test_an_edge_that_names_an_unknown_node(tmp_path: Path) -> None:
    path = write_tables(tmp_path, {"source": ["a", "b"], "target": ["b", "zoe"]}, {"id": ["a", "b"], "v": [1, 2]})
    message = refused(r"'target' of edge 1 is node 'zoe', which nodes.csv does not have \(1 such edges\)", path=path)
    assert "Add the node there" in message
    path = write_tables(tmp_path, {"source": [7, 9], "target": [9, 41]}, {"id": [7, 9], "v": [1, 2]})
    refused(r"'target' of edge 1 is node 41, which nodes.csv", path=path)


def test_ids_that_come_twice_or_not_at_all(tmp_path: Path) -> None:
    edges = {"source": ["a"], "target": ["b"]}
    refused("node 'a' is there 2 times, in rows 0 and 2", path=write_tables(tmp_path, edges, {"id": ["a", "b", "a"], "v": 1}))
    refused("row 1 has no 'id'", path=write_tables(tmp_path, edges, {"id": [1, None, 3], "v": 1}))
    refused(
        "row 0 has no 'target'", path=write_tables(tmp_path, {"source": [1, 1], "target": [None, 3]}, {"id": [1, 3], "v": 1})
    )
    refused(
        "'source' should be whole numbers or text", path=write_tables(tmp_path, {"source": [1.5], "target": [1]}, {"id": [1]})
    )


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    path = write_tables(tmp_path, {"a": [1], "b": [2], "c": [3]}, {"id": [1, 2], "color": ["x", "y"], "size": [1, 2]})
    assert "data.edge_columns" in refused("which of its columns are the two ends of an edge", path=path)
    refused("no column 'd'", path=path, edge_columns=("a", "d"))
    ends = {"path": path, "edge_columns": ("a", "b")}
    refused(r"no column 'colour' \(data.target\). Did you mean `color`", **ends, target="colour")
    refused(r"no column 'width' \(data.attributes\)", **ends, attributes=["width"])
    refused(r"column 'color' \(data.attributes\) holds (large_)?string; expected numbers", **ends, attributes=["color"])
    refused(r"no column 'key' \(data.id_column\)", **ends, id_column="key")
    (tmp_path / "edges.csv").write_text("a,b,a\n1,2,3\n")
    refused("column 'a' is there 2 times", path=path)
    (tmp_path / "edges.csv").write_text("source,target\n")
    (tmp_path / "nodes.csv").write_text("id,v\n")
    refused("nodes.csv: the table has no rows", path=path)


def test_a_missing_cell_names_the_node_and_the_column(tmp_path: Path) -> None:
    path = write_tables(tmp_path, {"source": ["a"], "target": ["b"]}, {"id": ["a", "b"], "age": [3, None], "size": [1, 2]})
    refused(r"the features of node 'b' hold nan in channel 0 \('age'\)", path=path)


def test_json_features_that_do_not_fit(tmp_path: Path) -> None:
    pd.DataFrame({"source": [1, 2], "target": [2, 5]}).to_csv(tmp_path / "e.csv", index=False)
    file = tmp_path / "f.json"
    both = {"path": str(tmp_path / "e.csv"), "node_features": str(file)}
    refused("data.node_features: there is no file", **both)
    for content, match in (
        ({"1": [0], "2": [1]}, r"'target' of edge 1 is node 5, which .*f.json does not have"),
        ({"1": [0], "2": [-1], "5": []}, "node 2 has feature -1; they go from 0"),
        ({"1": [0.5, 1.0], "2": [1.5], "5": [2.0, 1.0]}, "node 2 has 1 features, and node 1 has 2"),
        ({"1": "abc"}, "node '1' has 'abc'; expected a list of numbers"),
        ([1, 2], "holds a list; expected an object"),
    ):
        file.write_text(json.dumps(content))
        refused(match, **both)
    file.write_text("{")
    refused("no readable JSON", **both)
    pd.DataFrame({"id": [1, 2, 5]}).to_csv(tmp_path / "n.csv", index=False)
    file.write_text(json.dumps({"1": [0], "2": [1]}))
    refused("node 5 has no features", **both, nodes=str(tmp_path / "n.csv"))


def test_features_by_row_that_do_not_fit(tmp_path: Path) -> None:
    pd.DataFrame({"source": [0, 1], "target": [1, 4]}).to_csv(tmp_path / "e.csv", index=False)
    both = {"path": str(tmp_path / "e.csv"), "node_features": str(tmp_path / "f.npy")}
    np.save(tmp_path / "f.npy", X)
    refused(r"'target' of edge 1 is node 4, which .*f.npy \(4 rows, numbered from 0\) does not have", **both)
    np.save(tmp_path / "f.npy", X[0])
    refused(r"f.npy: has shape \(2,\); expected \(nodes, channels\)", **both)
    pd.DataFrame({"id": [0, 1, 4]}).to_csv(tmp_path / "n.csv", index=False)
    np.save(tmp_path / "f.npy", X)
    refused("the matrix of features has 4 rows for 3 nodes", **both, nodes=str(tmp_path / "n.csv"))


def test_ragged_attributes_of_networkx_name_the_node() -> None:
    graph = nx.Graph()
    graph.add_nodes_from([("Bern", {"x": [1, 2]}), ("Rome", {"x": [1, 2, 3]})])
    refused("node 'Rome' has 3 numbers in 'x', and node 'Bern' has 2", path=graph)
    graph.add_node("Oslo", y=1)
    graph.nodes["Rome"]["x"] = [3, 4]
    message = refused(r"node 'Oslo' has no attribute 'x' \(data.attributes\); it has: y", path=graph, attributes=["x"])
    assert "Give it to every one" in message
    graph.nodes["Oslo"]["x"] = "wide"
    refused("node 'Oslo' has 'x' = 'wide' .*; expected numbers", path=graph, attributes=["x"])
    graph.add_edge("Bern", "Rome", weight=1)
    graph.add_edge("Bern", "Oslo")
    refused("edge 'Bern' - 'Oslo' has no attribute 'weight'", path=graph, attributes=[], edge_attributes=["weight"])
    refused("neither the graph nor any node has an attribute 'mayor'", path=graph, attributes=[], target="mayor")
    refused("graph 1 is a int; expected NetworkX graphs", path=[graph, 3])


def test_several_types_that_do_not_fit() -> None:
    data = HeteroData()
    data["a"].x = torch.ones(2, 1)
    refused("there are no edges of any type", path=data)
    data["a", "to", "a"].edge_index = torch.tensor([[0], [1]])
    spec = GraphSource(path=data).spec
    data["b"].x = torch.ones(1, 1)
    with pytest.raises(DataError, match="nodes are of type 'b', and the encoder was trained on a"):
        GraphSource.reading(data, spec)
    refused("graph 1 is a int; expected PyG's Data", path=[data, 3])


def test_new_data_that_are_not_what_was_trained_on() -> None:
    spec = GraphSource(path=arrays(edge_attr=np.ones((3, 2)))).spec
    for path, match in (
        (arrays(x=np.ones((4, 3))), "nodes have 3 features, and the encoder was trained with 2"),
        ({"edge_index": EDGES}, "nodes have 0 features, and the encoder was trained with 2"),
        (arrays(), "edges have 0 features, and the encoder was trained with 2"),
    ):
        with pytest.raises(DataError, match=match):
            GraphSource.reading(path, spec)


def test_parameters_that_have_no_meaning_for_the_data(tmp_path: Path) -> None:
    refused("data.attributes: has no meaning for a dictionary of arrays", path=arrays(), attributes=["x"])
    refused("data.target: 'y' is to be a column of a table of nodes, and there is none", path=_edge_list(tmp_path), target="y")
    refused("splits of nodes are for what probes predict, and .* has no labels", path=arrays(), splits={"valid": 0.5})
    refused("data.normalize: row is for features that data bring", path={"edge_index": EDGES}, normalize="row")
    refused("there is no array 'z'", path=arrays(), target="z")
    refused("no graph has 'z'", path=Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]])), target="z")
    graphs = [nx.path_graph(3), nx.path_graph(4)]
    refused("data.neighbours: is for one large graph, and list has 2", path=graphs, neighbours=[2])
    refused("a hop of 0 reaches nobody", path=arrays(), neighbours=[2, 0])
    refused("data.hold_out_edges: is for one graph", path=graphs, hold_out_edges={"test": 0.5})


def _edge_list(folder: Path) -> str:
    (folder / "e.csv").write_text("source,target\n1,2\n")
    return str(folder / "e.csv")


def test_splits_that_do_not_fit(tmp_path: Path) -> None:
    labelled = arrays(y=np.array([0, 1, 0, 1]))
    file = tmp_path / "s.csv"
    refused("there is no file", path=labelled, splits=str(file))
    for text, match in (
        ("fold\ntrain\n", "there is no column 'split'"),
        ("split\ntrain\n", "1 splits for 4 units"),
        ("split\ntrain\ntrain\ntest\nhold\n", "'hold' in row 3 is no split"),
    ):
        file.write_text(text)
        refused(match, path=labelled, splits=str(file))
    refused("leave nothing to train on", path=labelled, splits={"valid": 0.5, "test": 0.5})
    file.write_text("split\ntest\ntest\n")
    refused("no graph of list is a training graph", path=[nx.path_graph(2), nx.path_graph(3)], splits=str(file))


def test_only_the_first_problem_is_said_and_the_others_counted() -> None:
    edges = EDGES.copy()
    edges[0, 0] = 9
    x = X.copy()
    x[1] = np.nan
    assert "1 more such problems: manyviews doctor" in refused("edge 0, 9 -> 1", path=arrays(edge_index=edges, x=x))


def test_graphs_that_the_recipe_is_not_for() -> None:
    one, several = arrays(), [Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]]))] * 2
    refused(
        r"data.path: dict is one graph, and this recipe is for many\nchoose .*graphs/graphmae.*data.neighbours",
        path=one,
        many=True,
    )
    refused(
        r"list has 2 graphs, and this recipe is for a single one.*\nchoose .*graphs/graphmae_graphs", path=several, many=False
    )
    assert len(GraphSource(path=one, many=True, neighbours=[2])) == 4
    for path, many in ((one, False), (one, None), (several, True), (several, None)):
        assert len(GraphSource(path=path, many=many)) == (1 if path is one else 2)
