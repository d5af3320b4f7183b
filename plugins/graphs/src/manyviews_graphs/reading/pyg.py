"""PyG's graphs: `Data`, `Batch`, `HeteroData`, a data set or a list of them, and what `torch.save` made of one.

A saved file is a pickle: it is read by torch's reader of weights (`weights_only=True`), which runs nothing.
"""

from __future__ import annotations

import pickle  # its error alone
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, Dataset, HeteroData
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.separate import separate
from torch_geometric.data.storage import BaseStorage, EdgeStorage, GlobalStorage, NodeStorage

from manyviews.errors import DataError
from manyviews_graphs.reading.files import not_empty, stat_of
from manyviews_graphs.reading.hetero import homogeneous
from manyviews_graphs.reading.merge import Graph, merge, with_labels
from manyviews_graphs.reading.raw import Options, RawGraphs
from manyviews_graphs.reading.tensors import array_of, as_rows, edges_of, matrix_of

USES = frozenset({"target", "target_kind", "split_number"})
OWN: list[Any] = [DataEdgeAttr, DataTensorAttr, BaseStorage, EdgeStorage, GlobalStorage, NodeStorage]
"""Of PyG, what a saved `Data` is made of, beside those that PyG itself declares safe."""
MASKS = {"train": "train_mask", "valid": "val_mask", "test": "test_mask"}


def read(given: Any, options: Options, where: str | None = None) -> RawGraphs:
    """The graphs of a `Data`, `HeteroData`, `Batch`, data set or list of these.

    Raises:
        DataError: It is something else, or graphs do not fit one another.
    """
    where = where or type(given).__name__
    items, many = _items(given, where)
    name = options.target or "y"
    if options.target is not None and not any(options.target in data for data in items):
        raise DataError(f"{where}: no graph has {name!r} (data.target); they have {', '.join(sorted(items[0].keys()))}")
    graphs: list[Graph] = []
    notes: tuple[str, ...] = ()
    for number, data in enumerate(items):
        of = f"{where}, graph {number}" if many else where
        if isinstance(data, HeteroData):
            graph, notes = homogeneous(data, name, MASKS, of)
        else:
            graph = _graph(data, name, of)
        graphs.append(graph)
    return with_labels(replace(merge(graphs, where, many=many), notes=notes), graphs, name, options)


def read_file(path: Path, options: Options) -> RawGraphs:
    """The same of a `.pt` file.

    Raises:
        DataError: The file needs more than tensors and PyG's own classes.
    """
    try:
        with torch.serialization.safe_globals(OWN):
            found = torch.load(not_empty(path), weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        raise DataError(
            f"{path}: refused: loading it would use {named[1] if named else 'some code'}, and a pickle can run any program.\n"
            "Where you trust it, load it yourself and give the Data in Python, or save data.to_dict() with torch.save."
        ) from error
    except DataError:
        raise
    except Exception as error:  # a broken pickle fails in any way
        raise DataError(f"{path}: no readable .pt file ({type(error).__name__}: {str(error)[:80]})") from error
    return replace(read(_restored(found, path), options, str(path)), fingerprint=stat_of(path))


def _items(given: Any, where: str) -> tuple[list[Any], bool]:
    """Each graph, and whether there may be several."""
    match given:
        case Batch():
            return list(given.to_data_list()), True
        case Data() | HeteroData():
            return [given], False
        case Dataset():
            items = [given[number] for number in range(len(given))]
            many = len(items) != 1
        case _:
            items, many = list(given), True
    for number, data in enumerate(items):
        if not isinstance(data, Data | HeteroData):
            raise DataError(f"{where}: graph {number} is a {type(data).__name__}; expected PyG's Data or HeteroData")
    return items, many


def _restored(found: Any, path: Path) -> Any:
    """A saved data set is a tuple (attributes, slices, class), or its older form (Data, slices)."""
    if isinstance(found, Data | HeteroData):
        return found
    if isinstance(found, Mapping) and not any(isinstance(value, Mapping) for value in found.values()):
        return Data.from_dict(dict(found))
    if isinstance(found, list):
        return found
    if not isinstance(found, tuple) or len(found) not in (2, 3):
        raise DataError(f"{path}: holds a {type(found).__name__}; expected a Data, a list of Data or a saved data set")
    kind = found[2] if len(found) == 3 else Data
    whole = kind.from_dict(found[0]) if isinstance(found[0], dict) else found[0]
    slices = found[1]
    if slices is None:
        return whole
    first = next(iter(slices.values()))
    count = len(first if isinstance(first, Tensor) else next(iter(first.values()))) - 1
    return [separate(type(whole), whole, number, slices, decrement=False) for number in range(count)]


def _graph(data: Data, name: str, where: str) -> Graph:
    source, target = edges_of(data.to_dict(), where)
    found = cast(Mapping[str, Any], data.to_dict())
    edge_x = array_of(found.get("edge_attr", found.get("edge_weight")))
    y = array_of(found.get(name))
    return Graph(
        nodes=int(data.num_nodes or 0),
        source=source,
        target=target,
        x=matrix_of(found.get("x"), where),
        edge_x=None if edge_x is None else as_rows(edge_x),
        y=None if y is None else np.atleast_1d(y),
        masks={split: np.asarray(found[mask]) for split, mask in MASKS.items() if mask in found},
    )
