"""The demo on graphs: scikit-learn's digits, each linked to the ten most like it, or Cora where it lies at hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neighbors import kneighbors_graph

from manyviews.demo import Demo

NEIGHBOURS = 10


def prepare(folder: Path) -> Demo:
    """Cora from `$MANYVIEWS_DATA/graphs` if it is there, else a graph of handwritten digits, as arrays in a file."""
    cora = Path(os.environ.get("MANYVIEWS_DATA", "")) / "graphs" / "planetoid" / "Cora"
    if os.environ.get("MANYVIEWS_DATA") and cora.is_dir():
        about = f"Cora, 2,708 papers that cite one another x 1,433 words, 140 labels to train probes on: {cora}"
        return Demo(
            "graphs/dgi",
            about,
            _settings(cora, steps=300, width=512) | {"evaluate": [{"task": "node_classification"}, *_unlabelled()]},
        )
    file = folder / "digits.npz"
    digits = load_digits()
    links = kneighbors_graph(digits.data, NEIGHBOURS)
    links = links.maximum(links.T).tocoo()
    pixels = (digits.data / 16).astype(np.float32)
    np.savez(file, edge_index=np.stack([links.row, links.col]), x=pixels, y=digits.target)
    few = {"task": "linear_probe", "name": "linear_probe_30_labels", "labels": 30, "draws": 10}
    return Demo(
        "graphs/dgi",
        f"{len(pixels):,} handwritten digits of 8 x 8 pixels (scikit-learn), linked to the {NEIGHBOURS} most alike: {file}",
        _settings(file, steps=300, width=256) | {"evaluate": [few, *_unlabelled()]},
    )


def _settings(path: Path, *, steps: int, width: int) -> dict[str, Any]:
    return {
        "data": {"path": str(path)},
        "encoder": {"width": width},
        "train": {"steps": steps, "watch_every": 100, "threads": 1},
    }


def _unlabelled() -> list[dict[str, Any]]:
    """What needs no labels to be told: the classes only judge the clusters."""
    return [{"task": "clustering"}, {"task": "effective_rank", "every": 100}, {"task": "spread"}]
