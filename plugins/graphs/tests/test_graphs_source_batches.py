"""What the source hands out: one graph, many, neighbourhoods; the same as PyG collates, the same again, from workers too."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch

from manyviews.engine.loader import Order, Samples, read
from manyviews_graphs.collate import ranges
from manyviews_graphs.places import Places
from manyviews_graphs.source import GraphSource
from manyviews_graphs.spec import GraphSpec

with warnings.catch_warnings():  # of PyTorch's, about what PyG uses of it
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.data import Batch, Data


def random_graph(nodes: int, edges: int, seed: int = 0, **more: object) -> Data:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(nodes, 3, generator=draw)
    return Data(x=x, edge_index=torch.randint(nodes, (2, edges), generator=draw), **more)


def collection() -> list[Data]:
    """Twelve ragged graphs, directed, with edge features; the last one has no nodes, another no edges."""
    graphs = [random_graph(3 + number % 5, 6 + number, number) for number in range(10)]
    graphs += [random_graph(2, 0), Data(x=torch.zeros(0, 3), edge_index=torch.zeros(2, 0, dtype=torch.long))]
    for number, graph in enumerate(graphs):
        graph = graph.coalesce()
        graph.edge_attr = torch.arange(graph.num_edges * 2.0).reshape(-1, 2) + 100 * number
        graphs[number] = graph
    return graphs


def as_set(source: torch.Tensor, target: torch.Tensor, edge_x: torch.Tensor) -> set[tuple[float, ...]]:
    return set(zip(source.tolist(), target.tolist(), *edge_x.T.tolist(), strict=True))


def assert_as_pyg(source: GraphSource, graphs: list[Data], index: list[int]) -> None:
    """The batch is PyG's, but for the order of the edges."""
    batch, wanted = source.batch(np.array(index)), Batch.from_data_list([graphs[number] for number in index])
    assert torch.equal(batch.x, wanted.x)
    assert torch.equal(batch.lengths.tensor, wanted.ptr.diff())
    assert torch.equal(batch.lengths.owners(), wanted.batch)
    assert (batch.lengths.total, batch.edges.nodes) == (wanted.num_nodes, wanted.num_nodes)
    assert len(batch.edges) == wanted.num_edges
    assert (batch.edges.target.diff() >= 0).all()
    edges = torch.zeros(wanted.num_edges, 0) if wanted.edge_attr is None else wanted.edge_attr
    mine = torch.zeros(len(batch.edges), 0) if batch.edge_x is None else batch.edge_x
    assert as_set(batch.edges.source, batch.edges.target, mine) == as_set(*wanted.edge_index, edges)


def test_many_graphs_are_collated_as_pyg_does() -> None:
    graphs = collection()
    source = GraphSource(path=graphs, undirected=False, self_loops="keep")
    assert len(source) == 12
    for index in ([0, 1, 2], [5], [11], [9, 11, 3, 10, 0], list(range(12))):
        assert_as_pyg(source, graphs, index)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["MUTAG", "PROTEINS"])
def test_mutag_is_collated_as_pyg_does(realdata: Path, name: str) -> None:
    """Against a reading of the file in another way: as adjacency lists, graph by graph, one-hot tags."""
    lines = iter((realdata / "graphs" / "tu" / name / f"{name}.txt").read_text().splitlines())
    graphs = []
    for _ in range(int(next(lines))):
        nodes = int(next(lines).split()[0])
        rows = [list(map(int, next(lines).split())) for _ in range(nodes)]
        edges = [(start, end) for start, row in enumerate(rows) for end in row[2:]]
        tags = torch.tensor([row[0] for row in rows])
        graphs.append(Data(tags=tags, edge_index=torch.tensor(edges).T.reshape(2, -1)))
    found = torch.cat([graph.tags for graph in graphs]).unique()
    for graph in graphs:
        graph.x = (graph.tags[:, None] == found).float()
    source = GraphSource(path=str(realdata / "graphs" / "tu" / name))
    order = np.random.default_rng(0).permutation(len(graphs))
    for start in range(0, len(graphs), 64):
        assert_as_pyg(source, graphs, order[start : start + 64].tolist())


def test_a_trailing_empty_graph_keeps_its_row() -> None:
    source = GraphSource(path=collection())
    batch = source.batch(np.array([0, 11]))
    assert len(batch) == 2
    assert batch.lengths.mean(batch.x).shape == (2, 3)
    assert not batch.lengths.mean(batch.x)[1].any()
    assert not source.features(np.array([11])).any()


def test_one_graph_is_the_same_object_at_each_call() -> None:
    source = GraphSource(path=random_graph(6, 9))
    assert source.batch(np.array([0])) is source.batch(np.array([0]))
    again = pickle.loads(pickle.dumps(source))
    assert torch.equal(again.batch(np.array([0])).x, source.batch(np.array([0])).x)


def big(**more: object) -> GraphSource:
    data = random_graph(300, 1500, y=torch.arange(300) % 4)
    data.edge_attr = torch.arange(1500.0)
    return GraphSource(path=data, neighbours=[4, 3], self_loops="keep", **more)


def test_neighbourhoods() -> None:
    source = big(undirected=False)
    assert (len(source), source.samples) == (300, "neighbourhoods")
    assert (source.splits() == "train").all()
    assert (source.labels().splits == "train").sum() < 60
    seeds = np.array([7, 200, 31])
    batch = source.batch(seeds)
    starts = batch.lengths.starts()
    assert batch.seeded
    assert batch.numbers[starts].tolist() == seeds.tolist()
    data = random_graph(300, 1500)
    assert torch.equal(batch.x, data.x[batch.numbers])
    given = {(s, t) for s, t in data.edge_index.T.tolist()}
    ends = torch.stack([batch.numbers[batch.edges.source], batch.numbers[batch.edges.target]])
    assert {tuple(pair) for pair in ends.T.tolist()} <= given
    first = {}
    for number, pair in enumerate(data.edge_index.T.tolist()):
        first.setdefault(tuple(pair), number)
    assert batch.edge_x.ravel().tolist() == [first[tuple(pair)] for pair in ends.T.tolist()]
    assert np.array_equal(source.features(seeds), data.x[seeds].numpy())


def test_what_is_sampled_is_a_function_of_the_seed_and_the_index() -> None:
    one, two, other = big(), big(), big(seed=1)
    index = np.array([3, 250, 77])
    one.batch(np.array([1, 2]))  # what came before does not matter
    same, different = one.batch(index), one.batch(index[::-1].copy())
    assert torch.equal(same.numbers, two.batch(index).numbers)
    assert same.numbers.tolist() != other.batch(index).numbers.tolist()
    assert same.numbers.tolist() != different.numbers.tolist()


def test_workers_read_the_same() -> None:
    for source in (big(), GraphSource(path=collection())):
        order = Order(np.arange(len(source)), 4, seed=0)
        alone = list(read(Samples(source), order, 0, 3, workers=0))
        apart = list(read(Samples(source), order, 0, 3, workers=2))
        for left, right in zip(alone, apart, strict=True):
            assert torch.equal(left.x, right.x)
            assert torch.equal(left.edges.source, right.edges.source)


def test_mapped_features_stay_in_their_file(tmp_path: Path) -> None:
    """400,000 rows are mapped; a pickled source carries the file's name, not the numbers."""
    x = np.random.default_rng(0).normal(size=(400_000, 4)).astype(np.float32)
    edges = np.random.default_rng(1).integers(400_000, size=(2, 1000))
    np.savez(tmp_path / "g.npz", edge_index=edges, x=x)
    np.save(tmp_path / "x.npy", x)
    import pandas as pd

    pd.DataFrame(edges.T, columns=["source", "target"]).to_parquet(tmp_path / "e.parquet")
    for given in (
        {"path": str(tmp_path / "g.npz")},
        {"path": str(tmp_path / "e.parquet"), "node_features": str(tmp_path / "x.npy")},
    ):
        source = GraphSource(**given, neighbours=[3])
        rows = source._store.nodes.parts[0].values
        assert isinstance(rows, np.memmap)
        sent = pickle.dumps(source)
        assert len(sent) < x.nbytes
        seeds = np.array([5, 399_999])
        for one in (source, pickle.loads(sent)):
            batch = one.batch(seeds)
            assert torch.equal(batch.x, torch.from_numpy(x)[batch.numbers])


def test_half_precision_and_whole_numbers_become_float32() -> None:
    edges = np.array([[0], [1]])
    for dtype in (np.float16, np.float64, np.int64, np.bool_):
        x = np.array([[1, 0, 1], [1, 1, 0]], dtype=dtype)
        assert GraphSource(path={"edge_index": edges, "x": x}, normalize="none").batch(np.array([0])).x.dtype == torch.float32


def test_raw_features_of_graphs_are_sums_means_and_size() -> None:
    graphs = collection()
    found = GraphSource(path=graphs).features(np.array([2, 0]))
    for row, graph in zip(found, (graphs[2], graphs[0]), strict=True):
        wanted = torch.cat([graph.x.sum(0), graph.x.mean(0), torch.tensor([float(graph.num_nodes)])])
        np.testing.assert_allclose(row, wanted, rtol=1e-5)


def test_splits_of_graphs_are_of_samples_and_the_spec_is_of_training_graphs(tmp_path: Path) -> None:
    graphs = [nx.path_graph(3), nx.star_graph(8), nx.path_graph(4)]
    (tmp_path / "s.csv").write_text("split\ntrain\ntest\nvalid\n")
    source = GraphSource(path=graphs, splits=str(tmp_path / "s.csv"))
    assert source.splits().tolist() == ["train", "test", "valid"]
    assert source.spec.max_degree == 2  # the star's centre is no training node
    drawn = GraphSource(path=[nx.path_graph(3)] * 20, splits={"valid": 0.1, "test": 0.2})
    assert dict(zip(*np.unique(drawn.splits(), return_counts=True), strict=True)) == {"test": 4, "train": 14, "valid": 2}


def test_drawn_splits_of_nodes_are_even_and_said() -> None:
    source = GraphSource(path=random_graph(200, 400, y=torch.arange(200) % 2))
    labels = source.labels()
    for label in (0, 1):
        counts = dict(zip(*np.unique(labels.splits[labels.values == label], return_counts=True), strict=True))
        assert counts == {"train": 10, "valid": 10, "test": 80}
    assert any("10% of nodes train probes" in note for note in source.notes)
    given = GraphSource(path=random_graph(200, 400, y=torch.arange(200) % 2), splits={"test": 0.5})
    assert (given.labels().splits == "test").sum() == 100


def test_duplicates_loops_and_missing_directions_are_counted_and_said() -> None:
    edges = np.array([[0, 0, 1, 2, 3, 0], [1, 1, 0, 3, 3, 2]])
    source = GraphSource(path={"edge_index": edges, "x": np.ones((5, 1))})
    batch = source.batch(np.array([0]))
    ends = list(zip(batch.edges.source.tolist(), batch.edges.target.tolist(), strict=True))
    assert ends == [(1, 0), (2, 0), (0, 1), (0, 2), (3, 2), (2, 3)]
    assert [note.split(";")[0] for note in source.notes] == [
        "1 self-loops left out (self_loops: drop)",
        "1 edges are there more than once",
        "2 edges had no edge back, which was added (undirected)",
    ]
    assert "5, 1 of them isolated" in source.describe()
    assert len(GraphSource(path={"edge_index": edges, "x": np.ones((5, 1))}, undirected=False).batch(np.array([0])).edges) == 4


def test_the_spec_survives_json_and_describes_what_is_read() -> None:
    source = GraphSource(path=random_graph(20, 30), places=Places(kind="rwpe", channels=3), neighbours=[2])
    spec = GraphSpec.model_validate_json(source.spec.model_dump_json())
    assert spec == source.spec
    again = GraphSource.reading(random_graph(20, 30), spec)
    assert (again.samples, again._neighbours) == ("neighbourhoods", (2,))
    assert torch.equal(again.batch(np.array([3])).places, source.batch(np.array([3])).places)


def test_ranges() -> None:
    assert ranges(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]
    assert len(ranges(np.zeros(0, int), np.zeros(0, int))) == 0
