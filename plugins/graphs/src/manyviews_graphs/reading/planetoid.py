"""Planetoid's raw folders (Yang et al. 2016): Cora, CiteSeer and PubMed with their public split.

Rows of `allx` are the nodes in order, those of `tx` the test nodes in the order of `test.index`. Where that order has
gaps (15 isolated nodes of CiteSeer), the nodes in between have neither features nor a class.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Int, Shaped

from manyviews.errors import DataError
from manyviews.source import Labels
from manyviews_graphs.reading.files import not_empty, stat_of
from manyviews_graphs.reading.pickles import read_arrays
from manyviews_graphs.reading.raw import Options, RawGraphs

PARTS = ("x", "y", "tx", "ty", "allx", "ally", "graph", "test.index")
VALID = 500
"""Validation nodes of the public split: those behind the training nodes."""
USES: frozenset[str] = frozenset()


def find(folder: Path) -> dict[str, Path] | None:
    """The files of the graph in this folder or its `raw`, by part; None where there is none."""
    for place in (folder, folder / "raw"):
        for file in sorted(place.glob("ind.*.graph")):
            return {part: file.with_name(f"{file.name.removesuffix('graph')}{part}") for part in PARTS}
    return None


def read(folder: Path, options: Options) -> RawGraphs:
    """The graph of a folder with `ind.NAME.x`, `.y`, `.tx`, `.ty`, `.allx`, `.ally`, `.graph` and `.test.index`.

    Raises:
        DataError: A part is missing, is no pickle of arrays, or does not fit the others.
    """
    files = find(folder)
    assert files is not None, "chosen because they are there"
    for file in files.values():
        if not file.is_file():
            raise DataError(f"{file}: there is no such file; a Planetoid folder has ind.NAME.{{{','.join(PARTS)}}}")
        not_empty(file)
    test = _test_index(files["test.index"])
    x = scipy.sparse.vstack([_matrix(files["allx"]), _matrix(files["tx"])]).tocoo()
    train, rest, tested = (_classes(files[part]) for part in ("y", "ally", "ty"))
    order = np.concatenate([np.arange(len(rest)), test])
    _check(files, x.shape[0], len(rest), len(tested), test)
    source, target, listed = _edges(files["graph"])
    nodes = max(listed, int(order.max(initial=-1)) + 1)
    values = np.full(nodes, -1)
    values[order] = np.concatenate([rest, tested])
    gaps = nodes - len(order)
    return RawGraphs(
        where=str(files["graph"].parent),
        many=False,
        nodes=np.array([nodes]),
        edges=np.array([len(source)]),
        source=source,
        target=target,
        x=scipy.sparse.csr_matrix((x.data.astype(np.float32), (order[x.row], x.col)), shape=(nodes, x.shape[1])),
        labels=Labels(
            "class",
            "classification",
            values,
            tuple(str(number) for number in range(int(values.max(initial=-1)) + 1)),
            _public_split(nodes, len(train), len(rest), test),
        ),
        directed=False,
        notes=(f"{gaps} nodes between the test nodes have no features (their rows are zero) and no class",) if gaps else (),
        fingerprint={part: stat_of(file) for part, file in files.items()},
    )


def _matrix(file: Path) -> scipy.sparse.csr_matrix:
    found = read_arrays(file)
    if isinstance(found, np.ndarray) and found.ndim == 2 and found.dtype.kind in "fiub":
        return scipy.sparse.csr_matrix(found)
    if not scipy.sparse.issparse(found):
        raise DataError(f"{file}: holds {_said(found)}; expected a matrix of features")
    return found


def _classes(file: Path) -> Int[np.ndarray, "nodes"]:
    """The class of each one-hot row; -1 for a row of zeros."""
    found = read_arrays(file)
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind not in "fiub":
        raise DataError(f"{file}: holds {_said(found)}; expected one row of class flags for each node")
    wrong = np.flatnonzero(((found != 0) & (found != 1)).any(1) | (found.sum(1) > 1))
    if len(wrong):
        raise DataError(
            f"{file}: row {wrong[0]} is {found[wrong[0]].tolist()}; expected a single 1 among zeros, or zeros alone"
        )
    return np.where(found.any(1), found.argmax(1), -1).astype(np.int64)


def _test_index(file: Path) -> Int[np.ndarray, "tested"]:
    try:
        test = np.array([int(line) for line in file.read_text(encoding="utf-8").split()], dtype=np.int64)
    except ValueError as error:
        raise DataError(f"{file}: {error}; expected the number of a test node on each line") from error
    values, counts = np.unique(test, return_counts=True)
    if (counts > 1).any():
        raise DataError(f"{file}: node {values[counts > 1][0]} stands there {counts.max()} times; expected each test node once")
    return test


def _check(files: Mapping[str, Path], x: int, rest: int, tested: int, test: Int[np.ndarray, "tested"]) -> None:
    """That the files belong together."""
    folder = files["graph"].parent
    if tested != len(test):
        raise DataError(f"{folder}: {files['ty'].name} has {tested} rows for the {len(test)} nodes of test.index")
    if x != rest + tested:
        raise DataError(f"{folder}: {x} rows of features (allx, tx) for {rest + tested} rows of classes (ally, ty)")
    if len(test) and test.min() < rest:
        raise DataError(f"{files['test.index']}: node {test.min()} is one of the first {rest}, whose features stand in allx")


def _edges(file: Path) -> tuple[Int[np.ndarray, "edges"], Int[np.ndarray, "edges"], int]:
    """Both ends of every edge, and how many nodes the dictionary tells of."""
    found = read_arrays(file)
    if not isinstance(found, dict) or not all(type(key) is int and isinstance(found[key], list) for key in found):
        raise DataError(f"{file}: holds {_said(found)}; expected a dictionary from a node's number to its neighbours'")
    counts = np.array([len(others) for others in found.values()], dtype=np.int64)
    try:
        target = np.array(list(chain.from_iterable(found.values())), dtype=np.int64)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{file}: a list of neighbours holds something else than numbers of nodes ({error})") from error
    source = np.repeat(np.array(list(found), dtype=np.int64), counts)
    return source, target, max(found, default=-1) + 1


def _public_split(nodes: int, train: int, rest: int, test: Int[np.ndarray, "tested"]) -> Shaped[np.ndarray, "nodes"]:
    """The first nodes train (20 of each class), the next 500 validate, those of test.index test; the others are in none."""
    splits = np.full(nodes, "", dtype="<U5")
    splits[:train] = "train"
    splits[train : min(train + VALID, rest)] = "valid"
    splits[test] = "test"
    return splits


def _said(found: Any) -> str:
    if isinstance(found, np.ndarray):
        return f"an array of {found.dtype} of shape {found.shape}"
    return f"a {type(found).__name__}"
