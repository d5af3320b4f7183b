"""The recipes that `gpu.py` measures, at a realistic size and at a toy one, on data that it makes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Sections = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A recipe at a size."""

    recipe: str
    needs: str
    """Module without which the case is left out."""
    data: Callable[[Path, bool], Sections]
    """Puts data into a folder (a toy's worth or not) and returns the recipe's `data`."""
    real: Sections
    toy: Sections
    sparse: bool = False
    """Whether it multiplies sparse matrices, whose operations PyTorch's counter takes for dense ones: not counted then."""
    plain: bool = False
    """Whether it is an MAE over a dense set of patches, which `_plain_mae.py` writes out by hand."""

    def there(self) -> bool:
        """Whether the domain and its library are installed."""
        domain = self.recipe.partition("/")[0]
        return all(importlib.util.find_spec(name) for name in (f"manyviews_{domain}", self.needs))


def table(folder: Path, toy: bool) -> Sections:
    """Numbers and categories that hang together."""
    import pandas as pd

    random, rows = np.random.default_rng(0), 2_000 if toy else 300_000
    hidden = random.normal(size=(rows, 4))
    numbers = hidden @ random.normal(size=(4, 24)) + 0.3 * random.normal(size=(rows, 24))
    levels = np.abs(hidden @ random.normal(size=(4, 16)) * 3).astype(int) % 12
    frame = pd.DataFrame({f"n{i}": numbers[:, i].astype(np.float32) for i in range(24)})
    for i in range(16):
        frame[f"c{i}"] = pd.Categorical.from_codes(levels[:, i], [f"level{k}" for k in range(12)])
    frame.to_parquet(folder / "rows.parquet", row_group_size=65_536)
    return {"path": str(folder / "rows.parquet")}


def graph(folder: Path, toy: bool) -> Sections:
    """One graph with edges at random and dense features."""
    random, nodes, edges, width = np.random.default_rng(0), *((300, 1_500, 16) if toy else (50_000, 400_000, 256))
    np.savez(
        folder / "graph.npz",
        edge_index=random.integers(0, nodes, size=(2, edges)),
        x=random.normal(size=(nodes, width)).astype(np.float32),
    )
    return {"path": str(folder / "graph.npz")}


def sounds(folder: Path, toy: bool) -> Sections:
    """Noise in clips of 2 to 10 seconds."""
    import soundfile

    random = np.random.default_rng(0)
    for number in range(12 if toy else 400):
        seconds = 0.5 if toy else random.uniform(2, 10)
        wave = 0.1 * random.normal(size=int(16_000 * seconds)).cumsum() / 100
        soundfile.write(folder / f"{number:04d}.wav", np.clip(wave, -1, 1).astype(np.float32), 16_000)
    return {"path": str(folder), "rate": 16_000}


WIDE = {"width": 768, "depth": 12, "heads": 12}
SMALL = {"width": 32, "depth": 1, "heads": 2}
CASES = {
    "tables": Case(
        "tabular/masked_values",
        "pandas",
        table,
        {"encoder": {"width": 256, "depth": 8, "heads": 8}, "train": {"batch_size": 4096, "workers": 4}},
        {"encoder": SMALL, "train": {"batch_size": 64}},
    ),
    "graphs": Case("graphs/graphmae", "torch_geometric", graph, {}, {"encoder": {"width": 32}, "objective": {"width": 32}}),
    "speech, HuBERT on waveforms": Case(
        "speech/hubert",
        "soundfile",
        sounds,
        {"encoder": {**WIDE, "channels": 512}, "train": {"batch_total": 320.0, "workers": 8}},
        {"encoder": {**SMALL, "channels": 8}, "objective": {"codes": 8}, "train": {"batch_size": 4, "batch_total": 4.0}},
    ),
    "speech, AudioMAE": Case(
        "speech/audio_mae",
        "soundfile",
        sounds,
        {
            "encoder": WIDE,
            "objective": {"width": 512, "depth": 8, "heads": 16},
            "train": {"batch_size": 128, "batch_total": 1280.0, "workers": 8},
        },
        {
            "encoder": SMALL,
            "objective": {"width": 16, "depth": 1, "heads": 2},
            "train": {"batch_size": 4, "batch_total": 4.0},
        },
    ),
}
