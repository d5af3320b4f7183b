"""A few graphs as a user of the served encoder sends them: made from the spec, so that nothing of the data travels with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from manyviews_graphs.spec import GraphSpec


def example(spec: GraphSpec) -> pd.DataFrame | None:
    """A path of three nodes and, where graphs are samples, one of two, a row each; None for graphs of several types."""
    if spec.node_types or spec.edge_types:
        return None
    return pd.DataFrame([_path(nodes, spec) for nodes in ((3, 2) if spec.samples == "graphs" else (3,))])


def _path(nodes: int, spec: GraphSpec) -> dict[str, Any]:
    ends = [list(range(nodes - 1)), list(range(1, nodes))]
    row: dict[str, Any] = {"edge_index": ends, "num_nodes": nodes}
    own = spec.channels - len(spec.labels) if spec.features == "given" else 0
    if own:
        row["x"] = np.ones((nodes, own)).tolist()
    if spec.labels:
        row["node_labels"] = [spec.labels[place % len(spec.labels)] for place in range(nodes)]
    if spec.edge_channels > len(spec.edge_labels):
        row["edge_attr"] = np.ones((nodes - 1, spec.edge_channels - len(spec.edge_labels))).tolist()
    if spec.edge_labels:
        row["edge_labels"] = [spec.edge_labels[0]] * (nodes - 1)
    return row
