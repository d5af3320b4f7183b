"""Features of nodes beside an edge list: `.npy` (mapped), SciPy's `.npz`, `.json` by node id, or a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse

from manyviews.errors import DataError
from manyviews_graphs.reading.files import existing
from manyviews_graphs.reading.ids import plain
from manyviews_graphs.reading.npy import Archive, read_npy
from manyviews_graphs.reading.pickles import csr_from
from manyviews_graphs.reading.raw import Matrix

KEY = "node_features"


def read_rows(path: Path) -> Matrix:
    """Rows in the order of the nodes: a `.npy` file or a SciPy matrix in `.npz`.

    Raises:
        DataError: Another suffix, or no matrix in it.
    """
    existing(path, KEY)
    if path.suffix == ".npy":
        found = read_npy(path)
        if found.ndim != 2:
            raise DataError(f"{path}: has shape {found.shape}; expected (nodes, channels)")
        return found
    archive = Archive(path)
    parts = [archive.get(name) for name in ("data", "indices", "indptr", "shape")]
    if any(part is None for part in parts) or archive.get("format") not in (None, np.bytes_(b"csr")):
        raise DataError(f"{path}: no CSR matrix; write it with scipy.sparse.save_npz(path, matrix.tocsr())")
    return csr_from(parts, str(path))


def read_json(path: Path) -> dict[str, list[Any]]:
    """`{"node id": [...]}`: the numbers of the features that a node has (a bag), or the values of all of them.

    Raises:
        DataError: Anything else.
    """
    try:
        found = json.loads(existing(path, KEY).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: no readable JSON ({error})") from error
    if not isinstance(found, dict) or not found:
        raise DataError(f"{path}: holds a {type(found).__name__}; expected an object from node ids to lists of numbers")
    for node, values in found.items():
        if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
            raise DataError(f"{path}: node {node!r} has {values!r:.60}; expected a list of numbers")
    return found


def json_ids(found: Mapping[str, Sequence[Any]]) -> pd.Index:
    """Its nodes in ascending order: as whole numbers where all are."""
    names = list(found)
    if all(name == str(int(name)) if name.lstrip("-").isdigit() else False for name in names):
        return pd.Index(np.sort(np.array(names, dtype=np.int64)))
    return pd.Index(sorted(names), dtype=object)


def json_rows(found: Mapping[str, Sequence[Any]], nodes: pd.Index, path: Path, channels: int | None = None) -> Matrix:
    """The features of these nodes, in their order; a bag of whole numbers becomes a CSR matrix of ones.

    Args:
        found: The file's content.
        nodes: Ids of the nodes.
        path: The file, for messages.
        channels: Channels of a bag, where they are known from training data.

    Raises:
        DataError: A node has no entry, a vector's length differs, a bag's number is negative or too large.
    """
    missing = [node for node in nodes if str(node) not in found]
    if missing:
        raise DataError(
            f"{path}: node {plain(missing[0])!r} has no features ({len(missing):,} such nodes); give it an empty list"
        )
    rows = [found[str(node)] for node in nodes]
    lengths = np.array([len(row) for row in rows])
    flat = list(chain.from_iterable(rows))
    if any(type(value) is float for value in flat):
        ragged = np.flatnonzero(lengths != lengths[0])
        if len(ragged):
            odd, first = plain(nodes[ragged[0]]), plain(nodes[0])
            raise DataError(f"{path}: node {odd!r} has {lengths[ragged[0]]} features, and node {first!r} has {lengths[0]}")
        return np.array(flat, dtype=np.float32).reshape(len(rows), -1)
    return _bag(np.array(flat, dtype=np.int64), lengths, nodes, path, channels)


def _bag(
    columns: np.ndarray, lengths: np.ndarray, nodes: pd.Index, path: Path, channels: int | None
) -> scipy.sparse.csr_matrix:
    owners = np.repeat(np.arange(len(lengths)), lengths)
    width = int(columns.max(initial=-1)) + 1 if channels is None else channels
    wrong = np.flatnonzero((columns < 0) | (columns >= width))
    if len(wrong):
        node = plain(nodes[owners[wrong[0]]])
        raise DataError(f"{path}: node {node!r} has feature {columns[wrong[0]]}; they go from 0 to {width - 1}")
    bag = scipy.sparse.csr_matrix((np.ones(len(columns), dtype=np.float32), (owners, columns)), shape=(len(lengths), width))
    bag.data[:] = 1  # a number that a node lists twice
    return bag
