"""NetworkX graphs, one or a list of them: nodes in their order, attributes of nodes as features by name."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np

from manyviews.errors import DataError
from manyviews.plugins.suggest import did_you_mean
from manyviews_graphs.reading.merge import Graph, merge, with_labels
from manyviews_graphs.reading.raw import Options, RawGraphs
from manyviews_graphs.reading.targets import named_like_labels, said_of

USES = frozenset({"attributes", "edge_attributes", "node_label", "target", "target_kind"})
Items = Sequence[tuple[str, Mapping[str, Any]]]
"""What nodes or edges are called, with their attributes."""


def read(given: Any, options: Options) -> RawGraphs:
    """The graphs.

    Raises:
        DataError: Something else is among them, or an attribute is missing at a node or of another length; names it.
    """
    many = not isinstance(given, nx.Graph)
    items = list(given) if many else [given]
    where = type(given).__name__
    for number, graph in enumerate(items):
        if not isinstance(graph, nx.Graph):
            raise DataError(f"{where}: graph {number} is a {type(graph).__name__}; expected NetworkX graphs alone")
    names = [f"{where}, graph {number}" if many else where for number in range(len(items))]
    options, guessed = _with_target(items, options)
    chosen, notes = _attributes(items, options)
    graphs = [_graph(graph, chosen, options, name) for graph, name in zip(items, names, strict=True)]
    raw = merge(graphs, where, many=many)
    numbered = many or list(items[0].nodes) == list(range(len(items[0])))
    raw = replace(
        raw,
        directed=any(graph.is_directed() for graph in items),
        ids=None if numbered else list(items[0].nodes),
        attributes=chosen,
        notes=(*notes, *guessed),
    )
    return raw if options.target is None else with_labels(raw, graphs, options.target, options)


def _with_target(graphs: Sequence[nx.Graph], options: Options) -> tuple[Options, tuple[str, ...]]:
    """With the attribute that its name makes the target where none is given, and what is said of it."""
    if options.target is not None:
        return options, ()

    def values(name: str) -> np.ndarray:
        if all(name in graph.graph for graph in graphs):
            return _plain([graph.graph[name] for graph in graphs])
        return _plain([value for graph in graphs for _, value in graph.nodes(data=name)])

    def names(graph: nx.Graph) -> set[Any]:
        return set(graph.graph if len(graphs) > 1 else ()).union(*(attributes for _, attributes in graph.nodes(data=True)))

    everywhere = set[Any].intersection(*map(names, graphs)) if graphs else set[Any]()
    found = named_like_labels(everywhere - {options.node_label}, options.attributes, values)
    return (options, ()) if found is None else (replace(options, target=found), (said_of(found),))


def _attributes(graphs: Sequence[nx.Graph], options: Options) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The attributes that are features: those named, else all that hold numbers; and what is left out."""
    if options.attributes is not None:
        return tuple(options.attributes), ()
    found: dict[str, Any] = {}
    for graph in graphs:
        for _, attributes in graph.nodes(data=True):
            found |= {name: value for name, value in attributes.items() if name not in found}
    names = [name for name in found if name not in (options.target, options.node_label)]
    chosen = tuple(name for name in names if _numeric(found[name]))
    out = [name for name in names if name not in chosen]
    return chosen, (f"attributes of nodes that are no features: {', '.join(out)}",) if out else ()


def _numeric(value: Any) -> bool:
    return np.asarray(value).dtype.kind in "fiub" if not isinstance(value, str) else False


def _graph(graph: nx.Graph, chosen: Sequence[str], options: Options, where: str) -> Graph:
    numbers: dict[Hashable, int] = {node: number for number, node in enumerate(graph.nodes)}
    nodes = [(f"node {node!r}", attributes) for node, attributes in graph.nodes(data=True)]
    edges = list(graph.edges(data=True))
    named = [(f"edge {source!r} - {target!r}", attributes) for source, target, attributes in edges]
    return Graph(
        nodes=len(nodes),
        source=np.array([numbers[source] for source, _, _ in edges], dtype=np.int64),
        target=np.array([numbers[target] for _, target, _ in edges], dtype=np.int64),
        x=_columns(nodes, chosen, where, "attributes"),
        edge_x=_columns(named, options.edge_attributes or (), where, "edge_attributes"),
        y=_targets(graph, nodes, options.target, where),
        node_labels=None if options.node_label is None else _texts(nodes, options.node_label, where),
    )


def _columns(items: Items, names: Iterable[str], where: str, key: str) -> np.ndarray | None:
    """The named attributes side by side, (items, channels)."""
    columns = [_column(items, name, where, key) for name in names]
    return np.concatenate(columns, axis=1) if columns else None


def _column(items: Items, name: str, where: str, key: str) -> np.ndarray:
    """One attribute, (items, its length): a number, or as many numbers at each."""
    rows = []
    for called, attributes in items:
        if name not in attributes:
            raise _missing(called, attributes, name, where, key)
        try:
            rows.append(np.atleast_1d(np.asarray(attributes[name], dtype=np.float32)).ravel())
        except (ValueError, TypeError):
            raise DataError(
                f"{where}: {called} has {name!r} = {attributes[name]!r:.60} (data.{key}); expected numbers"
            ) from None
        if len(rows[-1]) != len(rows[0]):
            raise DataError(
                f"{where}: {called} has {len(rows[-1])} numbers in {name!r}, and {items[0][0]} has {len(rows[0])}\n"
                "Give every one as many, or leave the attribute out by data.attributes."
            )
    return np.stack(rows) if rows else np.zeros((0, 1), dtype=np.float32)


def _missing(called: str, attributes: Mapping[str, Any], name: str, where: str, key: str) -> DataError:
    return DataError(
        f"{where}: {called} has no attribute {name!r} (data.{key}); it has: {', '.join(map(str, attributes)) or 'none'}."
        f"{did_you_mean(name, map(str, attributes))}\nGive it to every one, or leave it out."
    )


def _texts(items: Items, name: str, where: str) -> np.ndarray:
    for called, attributes in items:
        if name not in attributes:
            raise _missing(called, attributes, name, where, "node_label")
    return np.array([str(attributes[name]) for _, attributes in items], dtype=str)


def _targets(graph: nx.Graph, nodes: Items, name: str | None, where: str) -> np.ndarray | None:
    """A value of the graph (`graph.graph[name]`), or of each node; a node without one is not labelled."""
    if name is None:
        return None
    if name in graph.graph:
        return _plain([graph.graph[name]])
    values = [attributes.get(name) for _, attributes in nodes]
    if nodes and all(value is None for value in values):
        raise DataError(f"{where}: neither the graph nor any node has an attribute {name!r} (data.target)")
    return _plain(values)


def _plain(values: Sequence[Any]) -> np.ndarray:
    """Numbers where all are; objects, None among them, where not."""
    if any(value is None or isinstance(value, str) for value in values):
        return np.array(values, dtype=object)
    return np.array(values)
