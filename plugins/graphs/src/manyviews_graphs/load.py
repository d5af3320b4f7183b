"""From what was read to what is served: put in order, described by a spec, in the spec's channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Shaped

from manyviews.errors import DataError
from manyviews.source import Pairs
from manyviews_graphs.arrange import Arranged, arrange
from manyviews_graphs.collate import Store
from manyviews_graphs.content import edge_columns, node_columns
from manyviews_graphs.csr import CSR
from manyviews_graphs.fit import Wishes, as_sparse, fit
from manyviews_graphs.hold_out import hold_out
from manyviews_graphs.mapped import arrange_mapped
from manyviews_graphs.places import Places, encode
from manyviews_graphs.reading.raw import RawGraphs
from manyviews_graphs.spec import GraphSpec


@dataclass(frozen=True)
class Loaded:
    """Graphs ready to be asked for."""

    store: Store
    spec: GraphSpec
    arranged: Arranged
    pairs: Pairs | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What a recipe says of edges, features and places."""

    undirected: bool
    self_loops: bool
    wishes: Wishes
    places: Places | None = None
    held_out: Mapping[str, float] | None = None
    seed: int = 0
    sampled: bool = False
    """Of one graph no more than neighbourhoods are asked for: its edges need not be in memory."""


def load(raw: RawGraphs, plan: Plan, spec: GraphSpec | None, trained: Shaped[np.ndarray, "graphs"] | None) -> Loaded:
    """Graphs that were checked.

    Args:
        raw: The graphs.
        plan: The recipe's; with `spec`, agrees with it.
        spec: Fitted on training data; None: is fitted here, but for `samples` and `neighbours`.
        trained: True for training graphs, on which it is fitted; None: all are.

    Raises:
        DataError: What the recipe asks for, or the spec describes, is not there.
    """
    raw = replace(raw, x=as_sparse(raw.x))
    with_rows = any(part is not None for part in (raw.edge_x, raw.edge_labels, raw.edge_kinds))
    if plan.sampled and not with_rows and plan.held_out is None and plan.places is None:
        arranged = arrange_mapped(raw, undirected=plan.undirected, self_loops=plan.self_loops)
    else:
        arranged = arrange(raw, undirected=plan.undirected, self_loops=plan.self_loops, with_rows=with_rows)
    notes, pairs = _said(arranged, plan, both_ways=raw.directed is False), None
    if plan.held_out is not None:
        arranged, pairs = _held_out(raw, arranged, plan)
    csr = arranged.csr
    degrees = np.diff(csr.pointer)
    if spec is None:
        of_nodes = None if trained is None else np.repeat(trained, raw.nodes)
        of_edges = None if trained is None else np.repeat(trained, raw.edges)
        spec, said = fit(raw, plan.wishes, degrees, of_nodes, of_edges)
        kind, channels = (plan.places.kind, plan.places.channels) if plan.places else ("none", 0)
        loops = "keep" if plan.self_loops else "drop"
        spec = spec.model_copy(
            update={"undirected": plan.undirected, "self_loops": loops, "place_kind": kind, "place_channels": channels}
        )
        notes += said
    places = None
    if plan.places is not None:
        places = encode(csr, raw.nodes, plan.places, undirected=plan.undirected, where=raw.where)
    starts = np.concatenate([[0], np.cumsum(raw.nodes)])
    store = Store(csr, starts, node_columns(raw, spec, degrees), edge_columns(raw, spec, arranged.rows), places)
    return Loaded(store, spec, arranged, pairs, (*raw.notes, *notes))


def _said(arranged: Arranged, plan: Plan, *, both_ways: bool) -> list[str]:
    """What became of edges; of data that say themselves that edges go both ways, nobody need be told that they do."""
    notes = []
    if arranged.loops:
        kept = "kept" if plan.self_loops else "left out (self_loops: drop)"
        notes.append(f"{arranged.loops:,} self-loops {kept}")
    if arranged.repeated:
        notes.append(f"{arranged.repeated:,} edges are there more than once; each counts once")
    if arranged.added and not both_ways:
        notes.append(
            f"{arranged.added:,} edges had no edge back, which was added (undirected); undirected: false keeps directions"
        )
    return notes


def _held_out(raw: RawGraphs, arranged: Arranged, plan: Plan) -> tuple[Arranged, Pairs]:
    """Without the edges that are asked for."""
    assert plan.held_out is not None
    if raw.graphs != 1:
        raise DataError(f"data.hold_out_edges: is for one graph, and {raw.where} has {raw.graphs:,}; leave it out")
    kept, pairs = hold_out(arranged.csr, plan.held_out, undirected=plan.undirected, seed=plan.seed, where=raw.where)
    rows = None if arranged.rows is None else arranged.rows[kept]
    return replace(arranged, csr=_without(arranged.csr, kept), rows=rows), pairs


def _without(csr: CSR, kept: Bool[np.ndarray, "edges"]) -> CSR:
    before = np.concatenate([[0], np.cumsum(kept)])
    return CSR(before[csr.pointer], csr.source[kept])
