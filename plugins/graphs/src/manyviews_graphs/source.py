"""Graphs as a source: read, checked and put in order once, then served as slices of arrays."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped
from pydantic import Field, NonNegativeInt, PositiveInt

from manyviews.errors import DataError
from manyviews.source import Labels, Pairs, Source, Spec
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.describe import describe
from manyviews_graphs.example import example
from manyviews_graphs.fit import Features, Wishes
from manyviews_graphs.graphgpt.draws import Draws
from manyviews_graphs.graphgpt.serial import Serial, serialise
from manyviews_graphs.graphgpt.vocabulary import Vocabulary
from manyviews_graphs.leave_out import without_bad
from manyviews_graphs.load import Plan, load
from manyviews_graphs.places import Places
from manyviews_graphs.reading.find import GraphPath, open_graphs
from manyviews_graphs.reading.raw import Options, RawGraphs
from manyviews_graphs.reading.targets import TargetKind
from manyviews_graphs.spec import GraphSpec
from manyviews_graphs.splits import labels_and_splits
from manyviews_graphs.validate import check

log = logging.getLogger(__name__)
ROWS = 1 << 14
"""Nodes whose features are summed up together."""
Samples = Literal["graph", "graphs", "neighbourhoods"]
FanOut = Annotated[int, Field(ge=-1)]


class GraphSource(Source):
    """One graph, many graphs, or neighbourhoods sampled in one: from files, or from Python as PyG's, NetworkX' or arrays.

    Args:
        path: A folder of Planetoid or TU, a folder with `edges.csv` and `nodes.csv`, an edge list (CSV, Parquet, Feather), an
            `.npz` or `.pt` file. In Python also PyG's `Data`, `HeteroData` or data set, a NetworkX graph, a list of these, or
            a dictionary of arrays (`edge_index`, `x`, `y`), or a DataFrame with such a graph in each row.
        nodes: With an edge list, a table of nodes.
        node_features: With an edge list, features of nodes in a file of their own: `.npy` (mapped, not read) or SciPy's `.npz`
            by row, `.json` by id (lists of values, or of the numbers of the features that a node has).
        edge_columns: With an edge list, the columns of an edge's two ends. Default: known names, such as source and target.
        id_column: Column of ids in the table of nodes. Default: `id`, else the first.
        attributes: Columns of the table of nodes, or attributes of NetworkX nodes, that are features. Default: all numbers.
        edge_attributes: The same of edges. Default: none.
        node_label: Column or attribute of nodes whose values are categories and inputs: one-hot features.
        target: Column, attribute or array that probes predict. It is never an input. Default: what the format calls labels; of
            columns and NetworkX attributes one called label, labels, y, class or target, unless it is among `attributes`.
        target_kind: `auto`: text and whole numbers that come again and again are classes, other numbers are regressed on.
        splits: A file with a column `split` (train, valid, test or nothing, for each node of one graph, or for each graph), or
            shares such as `{valid: 0.1, test: 0.2}`. Default: what the data bring; else 10% of labelled nodes train probes,
            10% validate and 80% test, and all graphs of a collection train.
        split_number: Which of several splits that the data bring.
        undirected: `true` adds the other direction where it is missing, `false` keeps edges as they are. `auto`: true, unless
            the data say that edges have a direction (a NetworkX DiGraph).
        self_loops: Whether edges from a node to itself are kept. Encoders that need one at each node add it.
        features: `given`: the data's own, node labels behind them; `one_hot`: node labels alone; `degree`: one-hot; `constant`.
            `auto`: node labels where there are any, else the data's own, else the degree, which is said.
        max_degree: With `degree`, larger ones count as this.
        normalize: `row`: features of a node add up to 1; `standard`: channels have mean 0 and standard deviation 1. `auto`: row
            for bags of words (sparse, not negative), standard for columns of tables, else none.
        many: What the recipe is for: `true`, many graphs (or neighbourhoods) as samples; `false`, one graph. Other data are
            refused in words. Default: either.
        places: Positional encodings: kind `rwpe` (random walks) or `lappe` (Laplacian eigenvectors), and channels.
        neighbours: Samples are nodes with sampled neighbours, so many at each hop, such as [10, 10]; -1: all of them. Default:
            one graph is one sample.
        paths: Draw a random Eulerian path through each graph or neighbourhood, along which graphs/graphgpt reads it.
        hold_out_edges: Shares of edges kept out of the graph for link prediction: `{valid: 0.05, test: 0.1}`.
        on_error: `skip` leaves out graphs of a collection that cannot be used, and lists them.
        seed: Of drawn splits, held-out edges and sampled neighbours.
        spec: A fitted spec: read as it says and fit nothing.
    """

    spec: GraphSpec

    def __init__(
        self,
        *,
        path: GraphPath,
        nodes: str | None = None,
        node_features: str | None = None,
        edge_columns: tuple[str, str] | None = None,
        id_column: str | None = None,
        attributes: list[str] | None = None,
        edge_attributes: list[str] | None = None,
        node_label: str | None = None,
        target: str | None = None,
        target_kind: TargetKind = "auto",
        splits: str | dict[str, float] | None = None,
        split_number: NonNegativeInt = 0,
        undirected: Literal["auto"] | bool = "auto",
        self_loops: Literal["drop", "keep"] = "drop",
        features: Literal["auto"] | Features = "auto",
        max_degree: PositiveInt = 400,
        normalize: Literal["auto", "row", "standard", "none"] = "auto",
        many: bool | None = None,
        places: Places | None = None,
        neighbours: Annotated[list[FanOut], Field(min_length=1)] | None = None,
        paths: bool = False,
        hold_out_edges: dict[str, float] | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        seed: NonNegativeInt = 0,
        spec: GraphSpec | None = None,
    ) -> None:
        if spec is not None:  # read as the training data were
            undirected, self_loops, neighbours = spec.undirected, spec.self_loops, neighbours or list(spec.neighbours) or None
            places = Places(kind=spec.place_kind, channels=spec.place_channels) if spec.place_kind != "none" else None
            paths = spec.paths
        columns = Options(nodes, node_features, edge_columns, id_column, attributes, edge_attributes, node_label, target)
        options = replace(columns, target_kind=target_kind, split_number=split_number)
        raw = open_graphs(path, options, _known(spec))
        if on_error == "skip":
            raw, self.skipped = without_bad(raw)
        check(raw)
        self.samples = _samples(raw, neighbours)
        _refuse_others(raw, self.samples, many)
        self._neighbours, self._seed = tuple(neighbours or ()), seed
        if paths and self.samples == "graph":
            raise DataError(
                "data.paths: one large graph is too long a path for a Transformer; set data.neighbours, such as [10, 5]"
            )
        self._labels, self._splits, notes = labels_and_splits(raw, splits, seed)
        plan = Plan(
            undirected=raw.directed is not True if undirected == "auto" else undirected,
            self_loops=self_loops == "keep",
            wishes=Wishes(features, max_degree, normalize),
            places=places,
            held_out=hold_out_edges,
            seed=seed,
            sampled=self.samples == "neighbourhoods",
        )
        trained = None if self._splits is None else np.asarray(self._splits == "train")
        loaded = load(raw, plan, spec, trained)
        self._store, self._pairs, self.notes = loaded.store, loaded.pairs, (*loaded.notes, *notes)
        self.spec = loaded.spec if spec is not None else self._described(loaded.spec, options, paths)
        self._words = Vocabulary.of(self.spec) if paths else None
        self.ids = raw.ids
        """What the nodes of one graph are called, in their order, where that is not their number."""
        self._fingerprint = {
            "graphs": raw.graphs,
            "nodes": loaded.store.csr.nodes,
            "edges": len(raw.source),
            "data": raw.fingerprint,
        }
        for note in self.notes:  # said once: what is read by a spec, was said when that was fitted
            log.log(logging.WARNING if spec is None else logging.INFO, "%s: %s", raw.where, note)

    def _described(self, spec: GraphSpec, options: Options, paths: bool) -> GraphSpec:
        """With what a new file of the same kind is read by."""
        named = {"paths": paths, "node_label": options.node_label, "edge_attributes": tuple(options.edge_attributes or ())}
        return spec.model_copy(update={"samples": self.samples, "neighbours": self._neighbours, **named})

    @classmethod
    def reading(cls, data: Any, spec: Spec) -> GraphSource:
        """New graphs, read as `spec` says; a dictionary with `path` gives further parameters (`nodes`, `node_features`)."""
        assert isinstance(spec, GraphSpec), "the spec of a source of this class"
        if isinstance(data, Mapping) and "path" in data:
            return cls(**data, spec=spec)
        return cls(path=data, spec=spec)

    def __len__(self) -> int:
        return self._store.csr.nodes if self.samples == "neighbourhoods" else len(self._store.starts) - 1

    def batch(self, index: Int[np.ndarray, "samples"]) -> GraphBatch:
        """One whole graph is the same object at each call. Neighbours and paths drawn follow from the seed and the index."""
        index = np.asarray(index)
        if self.samples == "graph" and len(index) == 1:
            return self._whole
        if self.samples == "neighbourhoods":
            rng = np.random.default_rng([self._seed, *index.tolist()])
            batch = self._store.neighbourhoods(index, self._neighbours, rng)
        else:
            batch = self._store.graphs(index)
        return batch if self._words is None else replace(batch, path=self._path(batch, self._words, index))

    def _path(self, batch: GraphBatch, words: Vocabulary, index: Int[np.ndarray, "samples"]) -> Serial:
        draws = Draws.of(self._seed, index)
        return serialise(batch.x, batch.edges, batch.lengths, batch.edge_x, words, draws, seeded=batch.seeded)

    @cached_property
    def _whole(self) -> GraphBatch:
        return self._store.whole()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_whole"}  # each worker makes its own

    def sizes(self) -> Float[np.ndarray, "samples"] | None:
        return np.diff(self._store.starts).astype(np.float64) if self.samples == "graphs" else None

    def splits(self) -> Shaped[np.ndarray, "samples"]:
        return np.full(len(self), "train") if self._splits is None else self._splits

    def labels(self) -> Labels | None:
        return self._labels

    def pairs(self) -> Pairs | None:
        return self._pairs

    def features(self, index: Int[np.ndarray, "samples"]) -> Float[np.ndarray, "samples features"]:
        """Of a graph the sum and the mean of its nodes' features, and its size; of a seed node its own features."""
        index = np.asarray(index)
        if self.samples == "neighbourhoods":
            return self._store.nodes.dense(index)
        return (
            np.stack([self._summary(int(graph)) for graph in index])
            if len(index)
            else np.zeros((0, 2 * self.spec.channels + 1))
        )

    def _summary(self, graph: int) -> Float[np.ndarray, "features"]:
        start, stop = self._store.starts[graph : graph + 2]
        total = np.zeros(self.spec.channels)
        for at in range(start, stop, ROWS):
            total += self._store.nodes.dense(np.arange(at, min(at + ROWS, stop))).sum(0, dtype=np.float64)
        return np.concatenate([total, total / max(stop - start, 1), [stop - start]]).astype(np.float32)

    def token_features(self, tokens: Int[np.ndarray, "tokens"]) -> Float[np.ndarray, "tokens features"]:
        """The features of nodes."""
        return self._store.nodes.dense(np.asarray(tokens))

    def example(self) -> pd.DataFrame | None:
        """A few graphs, a row each; made from the spec."""
        return example(self.spec)

    def fingerprint(self) -> Mapping[str, Any]:
        return self._fingerprint

    def describe(self) -> str:
        """What the graphs were understood to be, as a readable text."""
        return describe(self._store, self.spec, self._labels, self.notes, self.ids is not None)


def _known(spec: GraphSpec | None) -> dict[str, Any]:
    """What a trained encoder says of columns, where nobody says otherwise."""
    if spec is None:
        return {}
    named: dict[str, Any] = {"node_label": spec.node_label, "edge_attributes": spec.edge_attributes or None}
    if spec.features == "given":
        named |= {"attributes": spec.attributes or None, "channels": spec.channels - len(spec.node_types) - len(spec.labels)}
    return named


def _samples(raw: RawGraphs, neighbours: Sequence[int] | None) -> Samples:
    """What a sample is.

    Raises:
        DataError: Neighbours are to be sampled in many graphs, or none at a hop.
    """
    if neighbours is None:
        return "graphs" if raw.many else "graph"
    if raw.many:
        raise DataError(f"data.neighbours: is for one large graph, and {raw.where} has {raw.graphs:,}; leave it out")
    if 0 in neighbours:
        raise DataError(f"data.neighbours: {list(neighbours)}; a hop of 0 reaches nobody; give 1 or more, or -1 for all")
    return "neighbourhoods"


def _refuse_others(raw: RawGraphs, samples: Samples, many: bool | None) -> None:
    """Data that the recipe is not for.

    Raises:
        DataError: One graph where it is for many, or many where it is for one.
    """
    if many and samples == "graph":
        raise DataError(
            f"data.path: {raw.where} is one graph, and this recipe is for many\n"
            "choose a recipe for one graph, such as graphs/graphmae, or data.neighbours=[10,10], which makes each node a sample"
        )
    if many is False and samples == "graphs":
        raise DataError(
            f"data.path: {raw.where} has {raw.graphs:,} graphs, and this recipe is for a single one, whose nodes it compares\n"
            "choose a recipe for many graphs, such as graphs/graphmae_graphs; data.many=null takes the nodes of all of them"
        )
