"""What a source understood the graphs to be, as a short text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from manyviews.source import Labels
from manyviews_graphs.collate import Store
from manyviews_graphs.spec import GraphSpec

SAMPLES = {
    "graph": "one graph is one sample; its nodes are the units",
    "graphs": "a graph is a sample",
    "neighbourhoods": "a node with sampled neighbours is a sample",
}


def describe(store: Store, spec: GraphSpec, labels: Labels | None, notes: Sequence[str], ids: bool) -> str:
    """Graphs, nodes, edges, features, labels, and what was done on the way, a line each."""
    sizes, degrees = np.diff(store.starts), np.diff(store.csr.pointer)
    edges, undirected = store.csr.edges, spec.undirected
    shown = f"{edges // 2:,} undirected" if undirected else f"{edges:,} directed"
    isolated = int(((degrees == 0) & (np.bincount(store.csr.source, minlength=len(degrees)) == 0)).sum())
    lines = {
        "samples": SAMPLES[spec.samples],
        "graphs": f"{len(sizes):,}" + (f" of {sizes.min():,} to {sizes.max():,} nodes" if len(sizes) > 1 else ""),
        "nodes": f"{len(degrees):,}, {isolated:,} of them isolated" + ("; named by ids" if ids else ""),
        "edges": f"{shown}; {degrees.mean() if len(degrees) else 0:.1f} into a node, {degrees.max(initial=0):,} at most",
        "features": _features(spec),
        "edge features": f"{spec.edge_channels:,}" if spec.edge_channels else "none",
        "places": f"{spec.place_kind}, {spec.place_channels} channels" if spec.place_channels else "none",
        "labels": _labels(labels),
    }
    text = [f"{name:<14} {line}" for name, line in lines.items()]
    return "\n".join(text + [f"{'note':<14} {note}" for note in notes])


def _features(spec: GraphSpec) -> str:
    where = {"given": "the data's own", "one_hot": "one-hot labels", "degree": "one-hot degrees", "constant": "a constant"}
    types = f", the last {len(spec.node_types)} for the type of node" if spec.node_types else ""
    scaled = {"row": "; each row adds up to 1", "standard": "; each channel of mean 0 and deviation 1", "none": ""}
    return f"{spec.channels:,}: {where[spec.features]}{types}{scaled[spec.normalize]}"


def _labels(labels: Labels | None) -> str:
    if labels is None:
        return "none"
    known = labels.values >= 0 if labels.kind == "classification" else ~np.isnan(labels.values)
    what = f"{len(labels.classes)} classes" if labels.kind == "classification" else "numbers"
    said = f"{labels.name}: {what}, {int(known.sum()):,} of {len(known):,} labelled"
    if labels.splits is None:
        return said
    counts = {split: int((labels.splits == split).sum()) for split in ("train", "valid", "test")}
    return f"{said}; " + ", ".join(f"{count:,} {split}" for split, count in counts.items())
