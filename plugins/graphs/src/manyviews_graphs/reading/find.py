"""Which reader reads this? By what is there, not by what it is called."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import GetPydanticSchema
from pydantic_core import core_schema

from manyviews.errors import DataError
from manyviews_graphs.reading import arrays, planetoid, rows_of_graphs, tables, tu, tu_lines
from manyviews_graphs.reading.npy import Archive, Folder, Named
from manyviews_graphs.reading.raw import Options, RawGraphs

GraphPath = Annotated[Any, GetPydanticSchema(lambda _type, _handler: core_schema.str_schema())]
"""What graphs can be given as. In a recipe it is text; from Python PyG's and NetworkX' graphs and arrays will do too."""

KNOWN = (
    "Expected a folder of Planetoid (ind.NAME.graph …), of TU (NAME_A.txt …, or NAME.txt) or with edges.csv and nodes.csv,\n"
    "an .npz or .pt file, or an edge list (CSV, Parquet, Feather)."
)


@dataclass(frozen=True)
class Reader:
    """How one form of data is read."""

    name: str
    uses: frozenset[str]
    """The options that it has a use for."""
    read: Callable[[Options], RawGraphs]


def open_graphs(given: Any, options: Options, known: Mapping[str, Any] | None = None) -> RawGraphs:
    """Graphs from a path or from Python's memory.

    Args:
        given: Where they are.
        options: What the user says.
        known: Options that a trained encoder brings: taken where the user says nothing and the reader has a use for them.

    Raises:
        DataError: Nothing is there, nobody can read it, or an option belongs to another form.
    """
    reader = _of_path(Path(given).expanduser(), str(given)) if isinstance(given, str | Path) else _of_memory(given)
    said = {option.name for option in fields(Options) if getattr(options, option.name) != option.default}
    if unused := sorted(said - reader.uses):
        raise DataError(f"data.{unused[0]}: has no meaning for {reader.name}; leave it out")
    more = {name: value for name, value in (known or {}).items() if name in reader.uses and name not in said}
    return reader.read(replace(options, **more))


def of_path(path: Path) -> Reader | None:
    """The reader of a file or folder that is there; None where it is no graph."""
    if path.is_dir() and planetoid.find(path):
        return Reader("a Planetoid folder", planetoid.USES, lambda options: planetoid.read(path, options))
    if path.is_dir() and tu.find(path):
        return Reader("a TU folder", tu.USES, lambda options: tu.read(path, options))
    if tu_lines.find(path):
        return Reader("a TU text file", tu_lines.USES, lambda options: tu_lines.read(path, options))
    if path.is_dir() and arrays.holds_graph(Folder(path).names):
        return Reader("a folder of .npy files", arrays.USES, lambda options: arrays.read(Folder(path), options))
    if path.suffix == ".npz":
        return Reader("an .npz file", arrays.USES, lambda options: arrays.read(Archive(path), options))
    if path.suffix == ".pt":
        return Reader("a .pt file", _pyg().USES, lambda options: _pyg().read_file(path, options))
    if tables.find(path):
        return Reader(tables.NAME, tables.USES, lambda options: tables.read(path, options))
    return None


def _of_path(path: Path, given: str) -> Reader:
    if not path.exists():
        raise DataError(f"{given}: there is no such file or folder.\n{KNOWN}")
    reader = of_path(path)
    if reader is None:
        raise DataError(f"{given}: is no graph that can be read.\n{KNOWN}")
    return reader


def _of_memory(given: Any) -> Reader:
    name = type(given).__name__
    if isinstance(given, Mapping):
        return Reader("a dictionary of arrays", arrays.USES, lambda options: arrays.read(Named(given), options))
    if isinstance(given, pd.DataFrame):
        return Reader("a DataFrame of graphs", rows_of_graphs.USES, lambda options: rows_of_graphs.read(given, options))
    first = given[0] if isinstance(given, list | tuple) and given else given
    origins = {base.__module__.partition(".")[0] for base in type(first).__mro__}
    if "torch_geometric" in origins:
        return Reader(f"PyG's {name}", _pyg().USES, lambda options: _pyg().read(given, options))
    if "networkx" in origins:
        return Reader(f"NetworkX' {name}", _networkx().USES, lambda options: _networkx().read(given, options))
    if isinstance(given, list | tuple) and not given:
        raise DataError(f"{name}: there are no graphs in it")
    raise DataError(
        f"a {name} is no graph that can be read; expected a path, PyG's Data, HeteroData or a data set, a NetworkX graph,\n"
        "a list of these, a dictionary of arrays (edge_index, x, y), or a DataFrame with such a graph in each row"
    )


def _pyg() -> Any:
    """PyG takes seconds to import: only where its graphs are given."""
    with warnings.catch_warnings():  # of PyTorch's, about what PyG uses of it
        warnings.simplefilter("ignore", DeprecationWarning)
        from manyviews_graphs.reading import pyg

    return pyg


def _networkx() -> Any:
    from manyviews_graphs.reading import networkx_graphs

    return networkx_graphs
