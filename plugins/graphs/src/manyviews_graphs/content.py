"""The features of nodes and edges as a spec says: from what is given, in the spec's channels, or refused in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Shaped

from manyviews.errors import DataError
from manyviews_graphs.fit import codes_of
from manyviews_graphs.reading.raw import Kinds, RawGraphs
from manyviews_graphs.rows import Columns, Dense, OneHot, Rows, Scaled, Sparse
from manyviews_graphs.spec import GraphSpec


def node_columns(raw: RawGraphs, spec: GraphSpec, degrees: Int[np.ndarray, "nodes"]) -> Columns:
    """The features of all nodes.

    Raises:
        DataError: They are not those that the spec describes.
    """
    parts: list[Rows] = []
    match spec.features:
        case "given":
            parts = _given(raw, spec)
        case "one_hot":
            codes = codes_of(raw)
            if codes is None:
                raise DataError(
                    f"{raw.where}: nodes have no labels, and the encoder was trained on {', '.join(spec.labels[:5])}"
                )
            parts = [_one_hot(codes, spec.labels)]
        case "degree":
            parts = [OneHot(np.minimum(degrees, spec.max_degree), spec.max_degree + 1)]
        case "constant":
            parts = [Dense(np.ones((len(degrees), 1), dtype=np.float32))]
    parts += _kinds(raw, raw.node_kinds, spec.node_types, "nodes")
    return Columns(tuple(parts), row_normalised=spec.normalize == "row")


def edge_columns(raw: RawGraphs, spec: GraphSpec, rows: Int[np.ndarray, "edges"] | None) -> Columns | None:
    """The features of edges, `rows` saying which given edge each one is; None where the spec has none.

    Raises:
        DataError: They are not those that the spec describes.
    """
    if not spec.edge_channels:
        return None
    if rows is None:
        raise DataError(f"{raw.where}: edges have 0 features, and the encoder was trained with {spec.edge_channels}")
    parts: list[Rows] = [] if raw.edge_x is None else [Dense(raw.edge_x[rows])]
    if spec.edge_labels:
        if raw.edge_labels is None:
            raise DataError(
                f"{raw.where}: edges have no labels, and the encoder was trained on {', '.join(spec.edge_labels[:5])}"
            )
        parts.append(_one_hot(raw.edge_labels[rows], spec.edge_labels))
    kinds = None if raw.edge_kinds is None else Kinds(raw.edge_kinds.names, raw.edge_kinds.codes[rows])
    columns = Columns((*parts, *_kinds(raw, kinds, spec.edge_types, "edges")))
    if columns.channels != spec.edge_channels:
        raise DataError(
            f"{raw.where}: edges have {columns.channels} features, and the encoder was trained with {spec.edge_channels}"
        )
    return columns


def _given(raw: RawGraphs, spec: GraphSpec) -> list[Rows]:
    expected = spec.channels - len(spec.labels) - len(spec.node_types)
    found = 0 if raw.x is None else raw.x.shape[1]
    if found != expected:
        raise DataError(f"{raw.where}: nodes have {found:,} features, and the encoder was trained with {expected:,}")
    parts: list[Rows] = []
    if raw.x is not None:
        plain = Dense(raw.x) if isinstance(raw.x, np.ndarray) else Sparse(raw.x)
        parts = [Scaled(plain, spec.mean, spec.scale) if spec.normalize == "standard" else plain]
    if spec.labels:
        if raw.node_labels is None:
            raise DataError(f"{raw.where}: nodes have no labels, and the encoder was trained on {', '.join(spec.labels[:5])}")
        parts.append(_one_hot(raw.node_labels, spec.labels))
    return parts


def _one_hot(labels: Shaped[np.ndarray, "items"], known: Sequence[str]) -> OneHot:
    """A label that is not known has no channel."""
    values, codes = np.unique(labels, return_inverse=True)
    places = {label: place for place, label in enumerate(known)}
    return OneHot(np.array([places.get(str(value), -1) for value in values.tolist()], dtype=np.int64)[codes], len(known))


def _kinds(raw: RawGraphs, kinds: Kinds | None, known: Sequence[str], what: str) -> list[Rows]:
    if not known:
        return []
    names = () if kinds is None else kinds.names
    new = [name for name in names if name not in known]
    if kinds is None or new:
        said = f"of type {new[0]!r}" if new else "of no type"
        raise DataError(f"{raw.where}: {what} are {said}, and the encoder was trained on {', '.join(known)}")
    return [OneHot(np.array([known.index(name) for name in names], dtype=np.int64)[kinds.codes], len(known))]
