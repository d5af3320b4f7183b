"""The doctor finds every problem, each in a line, and keeps to graphs."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from manyviews.plugins.registry import registry
from manyviews_graphs.doctor import examine

with warnings.catch_warnings():  # of PyTorch's, about what PyG uses of it
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.data import Data

EDGES = np.array([[0, 1, 2], [1, 2, 3]])


def test_every_problem_is_a_line(tmp_path: Path) -> None:
    x = np.ones((4, 2))
    x[1, 0] = np.nan
    np.savez(tmp_path / "a.npz", edge_index=EDGES + 1, x=x, y=np.arange(3))
    findings = examine(tmp_path / "a.npz")
    assert len(findings) == 3
    for wanted in ("3 labels 'y' for 4 nodes", "edge 2, 3 -> 4, has an end that is beyond", "features of node 1 hold nan"):
        assert any(wanted in line for line in findings), findings
    assert all("\n" not in line for line in findings)


def test_every_graph_of_a_collection_is_looked_at(tmp_path: Path) -> None:
    graphs = [Data(x=torch.tensor([[1.0], [value]]), edge_index=torch.tensor([[0], [1]])) for value in (1, np.nan, 2, np.inf)]
    torch.save(graphs, tmp_path / "g.pt")
    findings = examine(tmp_path / "g.pt")
    assert [line.split("node 1 of ")[1].split(" in channel")[0] for line in findings] == [
        "graph 1 hold nan",
        "graph 3 hold inf",
    ]


def test_a_folder_is_looked_through(tmp_path: Path) -> None:
    np.savez(tmp_path / "good.npz", edge_index=EDGES, x=np.ones((4, 1)))
    np.savez(tmp_path / "bare.npz", edge_index=EDGES)
    np.savez(tmp_path / "weights.npz", layer=np.ones(3))
    pd.DataFrame({"source": [1, None], "target": [2, 3]}).to_csv(tmp_path / "edges_of_mine.csv", index=False)
    pd.DataFrame({"height": [1], "width": [2]}).to_csv(tmp_path / "table.csv", index=False)
    tu = tmp_path / "DS"
    tu.mkdir()
    (tu / "DS.txt").write_text("1\n2 0\n0 1 5\n0 0\n")
    findings = examine(tmp_path)
    assert len(findings) == 3
    assert "DS.txt: edge 0 of graph 0, 0 -> 5" in findings[0]
    assert "bare.npz: nodes have no features: their degrees stand in" in findings[1]
    assert "edges_of_mine.csv: row 1 has no 'source'" in findings[2]


def test_it_keeps_to_graphs(tmp_path: Path) -> None:
    (tmp_path / "scan.nii").touch()
    pd.DataFrame({"height": [1], "width": [2]}).to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "empty.csv").touch()
    (tmp_path / "labels.json").write_text(json.dumps({"1": [2]}))
    assert examine(tmp_path) is None
    assert examine(tmp_path / "table.csv") is None


def test_it_is_heard(tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", edge_index=EDGES)
    [(plugin, findings)] = registry().call("manyviews_doctor", "graphs", path=tmp_path)
    assert plugin.name == "graphs"
    assert "no features" in findings[0]
