"""Splits of nodes or graphs: the data's own, a file's, or drawn by share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int, Shaped

from manyviews.errors import DataError
from manyviews.source import Labels
from manyviews.splits import NAMES, check_shares, draw_splits
from manyviews_graphs.reading import frames
from manyviews_graphs.reading.raw import RawGraphs

NODE_SHARES: Mapping[str, float] = {"valid": 0.1, "test": 0.8}
"""Of labelled nodes that no split comes with: a tenth trains probes, as GRACE (Zhu et al. 2020) and BGRL have it."""


def labels_and_splits(
    raw: RawGraphs, given: str | Mapping[str, float] | None, seed: int
) -> tuple[Labels | None, Shaped[np.ndarray, "graphs"] | None, tuple[str, ...]]:
    """What probes predict, with splits of nodes where it is nodes'; the split of each graph; and what is to be said of these.

    Of a collection, graphs are split, and pretraining sees training graphs alone; of one graph, nodes are, for probes.

    Raises:
        DataError: A file does not fit, shares are impossible, or splits are given and there is nothing to predict.
    """
    labels = raw.labels
    if raw.many:
        splits = np.full(raw.graphs, "train")
        if given is not None:
            strata = labels if labels is not None and len(labels.values) == raw.graphs else None
            splits = splits_of(given, raw.graphs, strata, seed)
        if not (splits == "train").any():
            raise DataError(f"data.splits: no graph of {raw.where} is a training graph")
        return labels, splits, ()
    if labels is None:
        if given is not None:
            raise DataError(
                f"data.splits: splits of nodes are for what probes predict, and {raw.where} has no labels; leave them out"
            )
        return None, None, ()
    units = len(labels.values)
    if given is not None:
        return replace(labels, splits=splits_of(given, units, labels, seed)), None, ()
    if labels.splits is not None or units != raw.nodes[0]:
        return labels, None, ()
    splits = splits_of(NODE_SHARES, units, labels, seed)
    return (
        replace(labels, splits=splits),
        None,
        ("no split comes with the labels: 10% of nodes train probes, 10% validate, 80% test",),
    )


def splits_of(given: str | Mapping[str, float], units: int, labels: Labels | None, seed: int) -> Shaped[np.ndarray, "units"]:
    """The split of each unit, from a file or drawn evenly from the classes."""
    if isinstance(given, str):
        return read_splits(given, units)
    check_shares(given)
    return draw_splits(np.full(units, "train"), given, _strata(labels, units), None, seed)


def read_splits(path: str, units: int) -> Shaped[np.ndarray, "units"]:
    """The `split` column of a file: train, valid, test or nothing for each node or graph, in their order."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"data.splits: there is no file {path}")
    table = frames.read_frame(file, as_text=["split"])
    if "split" not in table.column_names:
        raise DataError(f"{path}: there is no column 'split' (it has: {', '.join(table.column_names)})")
    found = np.array([str(cell or "") for cell in table["split"].to_pylist()], dtype=str)
    if len(found) != units:
        raise DataError(
            f"{path}: {len(found):,} splits for {units:,} units; give train, valid or test for each, in their order"
        )
    wrong = np.flatnonzero(~np.isin(found, [*NAMES, ""]))
    if len(wrong):
        raise DataError(f"{path}: {str(found[wrong[0]])!r} in row {wrong[0]} is no split; expected train, valid or test")
    return found


def _strata(labels: Labels | None, units: int) -> Int[np.ndarray, "units"]:
    """What splits are drawn evenly from: the classes; one stratum for everything else."""
    if labels is None or labels.kind == "regression":
        return np.zeros(units, np.int64)
    return labels.values.astype(np.int64)
