"""Every form in which graphs are kept is read for what it is."""

from __future__ import annotations

import json
import pickle
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from manyviews.engine.parts import build_source
from manyviews.recipe.load import load_recipe
from manyviews.recipe.resolve import resolve
from manyviews_graphs.demo import prepare
from manyviews_graphs.source import GraphSource

# One graph of 5 nodes: 0-1, 0-2, 1-2, 3 alone, 2-4.
PAIRS = np.array([[0, 1], [0, 2], [1, 2], [2, 4]])
X = np.array([[1, 0, 2], [0, 1, 0], [3, 0, 1], [0, 0, 0], [0, 2, 2]], dtype=np.float32)
Y = np.array([0, 1, 1, 0, 2])


def edges_of(source: GraphSource) -> set[tuple[int, int]]:
    edges = source.batch(np.arange(len(source))).edges
    return set(zip(edges.source.tolist(), edges.target.tolist(), strict=True))


BOTH = {(a, b) for a, b in PAIRS.tolist()} | {(b, a) for a, b in PAIRS.tolist()}


def x_of(source: GraphSource) -> np.ndarray:
    return source.token_features(np.arange(source.batch(np.arange(len(source))).lengths.total))


def write_planetoid(folder: Path, *, gap: bool = False, protocol: int = 2) -> None:
    """Nodes 0-2 with y for the first two, test nodes 4, 3 (in this order); with a gap, 5, 3 and no node 4."""
    test = [5, 3] if gap else [4, 3]
    hot = np.eye(3, dtype=np.int32)
    parts = {
        "x": scipy.sparse.csr_matrix(X[:2]),
        "y": hot[Y[:2]],
        "allx": scipy.sparse.csr_matrix(X[:3]),
        "ally": hot[Y[:3]],
        "tx": scipy.sparse.csr_matrix(X[[4, 3]]),
        "ty": hot[Y[[4, 3]]],
        "graph": defaultdict(list, {0: [1, 2, 2], 1: [0, 2], 2: [0, 1, test[0], 2], test[0]: [2], 3: []}),
    }
    for name, part in parts.items():
        (folder / f"ind.tiny.{name}").write_bytes(pickle.dumps(part, protocol=protocol))
    (folder / "ind.tiny.test.index").write_text("".join(f"{node}\n" for node in test))


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("below", ["", "raw"])
def test_planetoid(tmp_path: Path, protocol: int, below: str) -> None:
    (tmp_path / below).mkdir(exist_ok=True)
    write_planetoid(tmp_path / below, protocol=protocol)
    source = GraphSource(path=str(tmp_path), normalize="none")
    assert len(source) == 1
    assert edges_of(source) == BOTH
    np.testing.assert_array_equal(x_of(source), X)
    labels = source.labels()
    assert labels.values.tolist() == Y.tolist()
    assert labels.splits.tolist() == ["train", "train", "valid", "test", "test"]
    assert any("1 self-loops left out" in note for note in source.notes)


def test_planetoid_with_a_gap_between_test_nodes(tmp_path: Path) -> None:
    """As in CiteSeer: the node in the gap is there, without features, class or split."""
    write_planetoid(tmp_path, gap=True)
    source = GraphSource(path=str(tmp_path), normalize="none")
    x = x_of(source)
    assert x.shape == (6, 3)
    np.testing.assert_array_equal(x[[5, 3]], X[[4, 3]])
    assert not x[4].any()
    assert source.labels().values.tolist() == [0, 1, 1, 0, -1, 2]
    assert source.labels().splits.tolist() == ["train", "train", "valid", "test", "", "test"]
    assert any("1 nodes between the test nodes have no features" in note for note in source.notes)
    assert "2 of them isolated" in source.describe()


def write_lines(folder: Path, *, attributes: bool = False) -> Path:
    """A triangle with a tail (tags 5, 5, 7, 5), a single node, and an empty graph."""
    more = [" .5 1", " 1.5 2", " 2.5 3", " 3.5 4", " 4.5 5"] if attributes else [""] * 5
    folder.mkdir()
    file = folder / f"{folder.name}.txt"
    file.write_text(
        f"3\n4 -1\n5 2 1 2{more[0]}\n5 2 0 2{more[1]}\n7 3 0 1 3{more[2]}\n5 1 2{more[3]}\n1 1\n9 0{more[4]}\n0 1\n"
    )
    return file


def test_tu_lines(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "DS")
    for path in (file, file.parent):
        source = GraphSource(path=str(path))
        assert len(source) == 3
        assert source.spec.labels == ("5", "7", "9")
        assert source.labels().values.tolist() == [0, 1, 1]
        assert source.labels().classes == ("-1", "1")
        batch = source.batch(np.array([1, 0, 2]))
        assert batch.lengths.tensor.tolist() == [1, 4, 0]
        assert batch.x.tolist() == [[0, 0, 1], [1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]]
        assert set(zip(batch.edges.source.tolist(), batch.edges.target.tolist(), strict=True)) == {
            (1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (3, 2), (3, 4), (4, 3),
        }  # fmt: skip


def test_tu_lines_with_attributes(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "DS", attributes=True)
    assert any("2 attributes join with features: given" in note for note in GraphSource(path=str(file)).notes)
    source = GraphSource(path=str(file), features="given")
    assert x_of(source)[[0, 4]].tolist() == [[0.5, 1, 1, 0, 0], [4.5, 5, 0, 0, 1]]


def write_tu(folder: Path) -> None:
    """The same graphs in the official layout, the last one without nodes."""
    folder.mkdir(exist_ok=True)
    ends = [(1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (3, 2), (3, 4), (4, 3)]
    (folder / "DS_A.txt").write_text("".join(f"{a}, {b}\n" for a, b in ends))
    (folder / "DS_graph_indicator.txt").write_text("1\n1\n1\n1\n2\n")
    (folder / "DS_graph_labels.txt").write_text("-1\n1\n1\n")
    (folder / "DS_node_labels.txt").write_text("5\n5\n7\n5\n9\n")
    (folder / "DS_node_attributes.txt").write_text("0.5, 1\n1.5, 2\n2.5, 3\n3.5, 4\n4.5, 5\n")
    (folder / "DS_edge_labels.txt").write_text("".join(f"{int(b == 4 or a == 4)}\n" for a, b in ends))
    (folder / "DS_edge_attributes.txt").write_text("".join(f"{a}.25\n" for a, _ in ends))


def test_tu_official(tmp_path: Path) -> None:
    write_lines(tmp_path / "lines", attributes=True)
    write_tu(tmp_path / "official")
    for features in ("one_hot", "given"):
        source = GraphSource(path=str(tmp_path / "official"), features=features)
        lines = GraphSource(path=str(tmp_path / "lines"), features=features)
        assert len(source) == 3
        assert source.labels().values.tolist() == lines.labels().values.tolist()
        assert source.labels().classes == lines.labels().classes
        np.testing.assert_array_equal(x_of(source), x_of(lines))
        assert edges_of(source) == edges_of(lines)
    batch = source.batch(np.array([1, 0]))
    assert source.spec.edge_labels == ("0", "1")
    wanted = [[s + 0.25, *([0, 1] if 4 in (s, t) else [1, 0])] for s, t in _ends(batch)]  # a node comes before them
    assert batch.edge_x.tolist() == wanted


def _ends(batch: object) -> list[tuple[int, int]]:
    return list(zip(batch.edges.source.tolist(), batch.edges.target.tolist(), strict=True))


def test_tu_with_a_number_to_predict(tmp_path: Path) -> None:
    write_tu(tmp_path)
    (tmp_path / "DS_graph_labels.txt").unlink()
    (tmp_path / "DS_graph_attributes.txt").write_text("0.5\n1.5\n")
    source = GraphSource(path=str(tmp_path))
    assert source.labels().kind == "regression"
    assert source.labels().values.tolist() == [0.5, 1.5]


def arrays(style: str) -> dict[str, np.ndarray]:
    adjacency = scipy.sparse.csr_matrix((np.ones(4), PAIRS.T), shape=(5, 5))
    bag = scipy.sparse.csr_matrix(X)
    train = np.array([True, True, False, False, False])
    match style:
        case "pyg":
            return {"edge_index": PAIRS.T, "x": X, "y": Y, "train_mask": train, "test_mask": ~train}
        case "benchmark":
            found = {f"adj_{name}": np.asarray(getattr(adjacency, name)) for name in ("data", "indices", "indptr", "shape")}
            found |= {f"attr_{name}": np.asarray(getattr(bag, name)) for name in ("data", "indices", "indptr", "shape")}
            return found | {
                "labels": Y,
                "class_names": np.array(["a", "b", "c"]),
                "node_names": np.array([{}, 1], dtype=object),
            }
        case _:
            masks = np.stack([~train, train])
            return {"edges": PAIRS, "node_features": X, "node_labels": Y, "train_masks": masks, "test_masks": ~masks}


@pytest.mark.parametrize("style", ["pyg", "benchmark", "heterophilous"])
@pytest.mark.parametrize("stored", ["npz", "compressed", "folder", "dict"])
def test_arrays_by_name(tmp_path: Path, style: str, stored: str) -> None:
    found, path = arrays(style), str(tmp_path / "g.npz")
    match stored:
        case "npz":
            np.savez(path, **found)
        case "compressed":
            np.savez_compressed(path, **found)
        case "folder":
            path = str(tmp_path)
            for name, array in found.items():
                np.save(tmp_path / f"{name}.npy", array)
        case _:
            path = {name: array for name, array in found.items() if not array.dtype.hasobject}
            if style == "benchmark":
                path["class_names"] = found["class_names"].tolist()
    source = GraphSource(path=path, normalize="none", split_number=int(style == "heterophilous"))
    assert edges_of(source) == BOTH
    np.testing.assert_array_equal(x_of(source), X)
    labels = source.labels()
    assert labels.values.tolist() == Y.tolist()
    assert labels.classes == (("a", "b", "c") if style == "benchmark" else ("0", "1", "2"))
    if style != "benchmark":
        assert labels.splits.tolist() == ["train", "train", "test", "test", "test"]
    assert GraphSource(path=path).fingerprint() == source.fingerprint()


def test_many_graphs_in_arrays() -> None:
    """`batch` says which graph a node is of; as many labels as graphs tell of a last one without nodes."""
    edges = np.array([[0, 1, 4], [1, 2, 3]])
    source = GraphSource(path={"edge_index": edges, "x": X, "batch": np.array([0, 0, 0, 1, 1]), "y": np.array([1, 0, 1])})
    assert len(source) == 3
    batch = source.batch(np.array([2, 1, 0]))
    assert batch.lengths.tensor.tolist() == [0, 2, 3]
    assert _ends(batch) == [(1, 0), (0, 1), (3, 2), (2, 3), (4, 3), (3, 4)]
    assert source.labels().values.tolist() == [1, 0, 1]


NAMES = ["ann", "bob", "cy", "dee", "eve"]
GAPPED = [10, 7, 300, 41, 5]


def write_tables(folder: Path, ids: list, suffix: str) -> None:
    """Edges by id, and a table of nodes in the order of the nodes."""
    edges = pd.DataFrame({"weight": [1.5, 2.5, 3.5, 4.5], "from": [ids[a] for a, _ in PAIRS], "to": [ids[b] for _, b in PAIRS]})
    nodes = pd.DataFrame(
        {"city": list("xyxyz"), "id": ids, "a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "kind": ["p", "q", "q", "p", "r"]}
    )
    for name, frame in (("edges", edges), ("nodes", nodes)):
        file = folder / f"{name}.{suffix}"
        frame.to_parquet(file) if suffix == "parquet" else frame.to_csv(file, index=False)


@pytest.mark.parametrize("ids", [NAMES, GAPPED, ["007", "8", "9", "10", "x"], [0, 1, 2, 3, 4]], ids=str)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_edge_lists_with_ids_of_any_kind(tmp_path: Path, ids: list, suffix: str) -> None:
    write_tables(tmp_path, ids, suffix)
    source = GraphSource(path=str(tmp_path), target="kind", normalize="none", edge_attributes=["weight"])
    assert edges_of(source) == BOTH
    np.testing.assert_array_equal(x_of(source), X)
    assert source.spec.attributes == ("a", "b", "c")
    assert source.labels().classes == ("p", "q", "r")
    assert source.labels().values.tolist() == [0, 1, 1, 0, 2]
    assert source.ids == (None if ids == [0, 1, 2, 3, 4] else ids)
    assert any("no features: city" in note for note in source.notes)
    batch = source.batch(np.array([0]))
    weights = {(min(a, b), max(a, b)): w for (a, b), [w] in zip(_ends(batch), batch.edge_x.tolist(), strict=True)}
    assert weights == {(0, 1): 1.5, (0, 2): 2.5, (1, 2): 3.5, (2, 4): 4.5}


def test_an_edge_list_alone(tmp_path: Path) -> None:
    """No table of nodes: they are those of the edges, in ascending order; their degrees stand in for features."""
    (tmp_path / "e.csv").write_text("# a comment\n7\t300\n41\t7\n7\t300\n")
    source = GraphSource(path=str(tmp_path / "e.csv"))
    assert source.ids == [7, 41, 300]
    assert edges_of(source) == {(0, 2), (2, 0), (1, 0), (0, 1)}
    assert x_of(source).tolist() == [[0, 0, 1], [0, 1, 0], [0, 1, 0]]
    assert source.spec.features == "degree"
    assert any("nodes have no features: their degrees stand in" in note for note in source.notes)
    assert any("1 edges are there more than once" in note for note in source.notes)


@pytest.mark.parametrize("keys", [GAPPED, NAMES])
def test_json_features_by_id(tmp_path: Path, keys: list) -> None:
    bags = {str(key): np.flatnonzero(row).tolist() for key, row in zip(keys, X, strict=True)}
    (tmp_path / "f.json").write_text(json.dumps(bags))
    pd.DataFrame({"id1": [keys[a] for a, _ in PAIRS], "id2": [keys[b] for _, b in PAIRS]}).to_csv(
        tmp_path / "e.csv", index=False
    )
    source = GraphSource(path=str(tmp_path / "e.csv"), node_features=str(tmp_path / "f.json"), normalize="none")
    order = np.argsort(keys)
    assert source.ids == sorted(keys)
    np.testing.assert_array_equal(x_of(source), (X != 0)[order])
    few = {**bags, str(keys[0]): []}
    (tmp_path / "f.json").write_text(json.dumps({key: [n for n in bag if n < 2] for key, bag in few.items()}))
    again = GraphSource.reading({"path": str(tmp_path / "e.csv"), "node_features": str(tmp_path / "f.json")}, source.spec)
    assert x_of(again).shape == (5, 3)
    vectors = {str(key): row.tolist() for key, row in zip(keys, X, strict=True)}
    (tmp_path / "f.json").write_text(json.dumps(vectors))
    source = GraphSource(path=str(tmp_path / "e.csv"), node_features=str(tmp_path / "f.json"), normalize="none")
    np.testing.assert_array_equal(x_of(source), X[order])


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_features_by_row(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"f.{kind}"
    np.save(file, X) if kind == "npy" else scipy.sparse.save_npz(file, scipy.sparse.csr_matrix(X))
    pd.DataFrame(PAIRS, columns=["source", "target"]).to_csv(tmp_path / "e.csv", index=False)
    source = GraphSource(path=str(tmp_path / "e.csv"), node_features=str(file), normalize="none")
    np.testing.assert_array_equal(x_of(source), X)
    assert edges_of(source) == BOTH


def test_columns_of_lists_and_a_split(tmp_path: Path) -> None:
    write_tables(tmp_path, NAMES, "parquet")
    nodes = pd.DataFrame({"id": NAMES, "x": list(X), "y": Y, "split": ["train", "valid", "test", None, "train"]})
    nodes.to_parquet(tmp_path / "nodes.parquet")
    source = GraphSource(path=str(tmp_path), target="y", normalize="none")
    np.testing.assert_array_equal(x_of(source), X)
    assert source.labels().splits.tolist() == ["train", "valid", "test", "", "train"]
    assert source.labels().kind == "classification"


def test_a_column_that_is_called_label_is_no_feature(tmp_path: Path) -> None:
    write_tables(tmp_path, NAMES, "csv")
    frame = pd.read_csv(tmp_path / "nodes.csv").assign(label=Y, split=["train", "valid", "test", "", ""])
    frame.to_csv(tmp_path / "nodes.csv", index=False)
    source = GraphSource(path=str(tmp_path))
    assert source.spec.attributes == ("a", "b", "c")
    assert source.labels().values.tolist() == Y.tolist()
    assert source.labels().splits.tolist() == ["train", "valid", "test", "", ""]
    assert any("'label' is taken for what probes predict" in note for note in source.notes)
    asked = GraphSource(path=str(tmp_path), attributes=["a", "label"])
    assert (asked.spec.attributes, asked.labels()) == (("a", "label"), None)
    assert GraphSource.reading(str(tmp_path), asked.spec).labels() is None
    frame.assign(label=[f"n{i}" for i in range(5)]).to_csv(tmp_path / "nodes.csv", index=False)  # names, as of a drawing
    assert GraphSource(path=str(tmp_path)).labels() is None


def test_whole_numbers_that_hardly_come_again_are_numbers(tmp_path: Path) -> None:
    pd.DataFrame({"source": range(60), "target": range(1, 61)}).to_csv(tmp_path / "edges.csv", index=False)
    pd.DataFrame({"id": range(61), "views": range(0, 610, 10), "team": [i % 6 for i in range(61)]}).to_csv(
        tmp_path / "nodes.csv", index=False
    )
    assert GraphSource(path=str(tmp_path), target="views").labels().kind == "regression"
    assert GraphSource(path=str(tmp_path), target="team").labels().classes == tuple("012345")
    assert GraphSource(path=str(tmp_path), target="views", target_kind="classification").labels().kind == "classification"


def test_named_columns_are_standardised(tmp_path: Path) -> None:
    write_tables(tmp_path, NAMES, "csv")
    source = GraphSource(path=str(tmp_path))
    np.testing.assert_allclose(x_of(source), (X - X.mean(0)) / X.std(0), atol=1e-6)
    new = tmp_path / "new"
    new.mkdir()
    write_tables(new, NAMES, "csv")
    frame = pd.read_csv(new / "nodes.csv").assign(a=lambda f: f.a + 1, zip=5)[["zip", "c", "b", "a", "id"]]
    frame.to_csv(new / "nodes.csv", index=False)
    again = x_of(GraphSource.reading(str(new), source.spec))
    np.testing.assert_allclose(again, (X + np.array([1, 0, 0]) - X.mean(0)) / X.std(0), atol=1e-6)


def test_the_demo_prepares_a_graph_that_its_recipe_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MANYVIEWS_DATA", raising=False)
    demo = prepare(tmp_path)
    recipe = resolve(load_recipe(demo.recipe, demo.overrides))
    source = build_source(recipe)
    assert source.spec.channels == 64
    assert source.labels().classes == tuple("0123456789")
    edges = source.batch(np.array([0])).edges
    assert (source.labels().values[edges.source] == source.labels().values[edges.target]).mean() > 0.9


@pytest.mark.realdata
def test_the_demo_takes_cora_where_it_is(tmp_path: Path, realdata: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYVIEWS_DATA", str(realdata))
    demo = prepare(tmp_path)
    source = build_source(resolve(load_recipe(demo.recipe, demo.overrides)))
    assert source.fingerprint()["nodes"] == 2708


@pytest.mark.realdata
def test_cora(realdata: Path) -> None:
    source = GraphSource(path=str(realdata / "graphs" / "planetoid" / "Cora"))
    batch = source.batch(np.array([0]))
    assert (batch.lengths.total, len(batch.edges), source.spec.channels) == (2708, 10_556, 1433)
    assert batch.x.layout == torch.sparse_csr
    assert batch.x.values().shape == (49_216,)
    assert dict(zip(*np.unique(source.labels().splits, return_counts=True), strict=True)) == {
        "": 1068, "test": 1000, "train": 140, "valid": 500,
    }  # fmt: skip
    x = source.token_features(np.arange(2708))
    np.testing.assert_allclose(x.sum(1), 1, rtol=1e-5)
    saved = GraphSource(path=str(realdata / "graphs" / "planetoid" / "Cora" / "processed" / "data.pt"))  # PyG's own reading
    assert torch.equal(saved.batch(np.array([0])).edges.source, batch.edges.source)
    assert (saved.labels().values == source.labels().values).all()
    assert (saved.labels().splits == source.labels().splits).all()
    np.testing.assert_allclose(saved.token_features(np.arange(2708)), x, atol=1e-7)


@pytest.mark.realdata
def test_chameleon(realdata: Path) -> None:
    folder = realdata / "graphs" / "csv"
    files = {
        "path": folder / "chameleon_edges.csv",
        "nodes": folder / "chameleon_target.csv",
        "node_features": folder / "chameleon.json",
    }
    source = GraphSource(**{key: str(file) for key, file in files.items()}, target="target")
    assert (source.fingerprint()["nodes"], source.spec.channels) == (2277, 3132)
    assert source.labels().kind == "regression"
    assert len(source.batch(np.array([0])).edges) == 2 * 31_371
    assert source.spec.undirected
