"""A DataFrame with a graph in each row, as a served encoder is sent them: cells are arrays or nested lists.

`edge_index` (two lists of node numbers) is needed; `x`, `node_labels`, `edge_attr`, `edge_labels`, `num_nodes` and `y` where
there are any. A single row is one graph, of which an encoder trained on neighbourhoods embeds the nodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from manyviews.errors import DataError
from manyviews_graphs.reading.merge import Graph, merge, with_labels
from manyviews_graphs.reading.raw import Options, RawGraphs

USES = frozenset({"target", "target_kind"})
EDGES = "edge_index"


def read(frame: pd.DataFrame, options: Options) -> RawGraphs:
    """The graphs, in the order of the rows.

    Raises:
        DataError: There is no column of edges, or a cell holds something else than numbers; names the row.
    """
    if EDGES not in frame.columns:
        names = ", ".join(map(str, frame.columns))
        raise DataError(f"DataFrame: there is no column {EDGES!r}, the edges of each graph; it has: {names}")
    rows = frame.to_dict("records")
    graphs = [_graph({str(key): cell for key, cell in row.items()}, number, options) for number, row in enumerate(rows)]
    name = options.target or "y"
    raw = merge(graphs, "DataFrame", many=len(graphs) != 1)
    return with_labels(raw, graphs, name, options)


def _graph(row: dict[str, Any], number: int, options: Options) -> Graph:
    edges = _array(row, EDGES, number, np.int64, 2)
    assert edges is not None, "checked above"
    if edges.shape[0] != 2:
        raise DataError(f"DataFrame: {EDGES} of row {number} has shape {edges.shape}; expected two lists of node numbers")
    x = _array(row, "x", number, np.float32, 2)
    labels = _array(row, "node_labels", number, None, 1)
    known = next((len(part) for part in (x, labels) if part is not None), int(edges.max(initial=-1)) + 1)
    y = row.get(options.target or "y")
    return Graph(
        nodes=int(row["num_nodes"]) if row.get("num_nodes") is not None else known,
        source=edges[0],
        target=edges[1],
        x=x,
        edge_x=_array(row, "edge_attr", number, np.float32, 2),
        edge_labels=_array(row, "edge_labels", number, None, 1),
        node_labels=labels,
        y=None if y is None else np.atleast_1d(y),
    )


def _array(row: dict[str, Any], name: str, number: int, kind: Any, axes: int) -> np.ndarray | None:
    """A cell with so many axes; None where there is none."""
    cell = row.get(name)
    if cell is None:
        return None
    try:
        found = np.array([np.asarray(part) for part in cell], dtype=kind)
    except (ValueError, TypeError) as error:
        raise DataError(f"DataFrame: {name} of row {number} is no array of numbers ({error})") from error
    if not found.size:
        return found.reshape(2 if name == EDGES else 0, *[0] * (axes - 1))
    if found.ndim != axes:
        raise DataError(f"DataFrame: {name} of row {number} has shape {found.shape}; expected {axes} axes")
    return found
