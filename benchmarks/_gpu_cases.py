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


def volumes(folder: Path, toy: bool) -> Sections:
    """Smooth noise in scans of 1 mm."""
    import nibabel
    from scipy.ndimage import gaussian_filter

    random, size = np.random.default_rng(0), 24 if toy else 144
    for number in range(4 if toy else 12):
        scan = 1000 + 4000 * gaussian_filter(random.normal(size=(size, size, size)).astype(np.float32), 3)
        nibabel.save(nibabel.Nifti1Image(scan.astype(np.int16), np.eye(4)), folder / f"scan{number:02d}.nii.gz")
    return {"path": str(folder)}


def scene(folder: Path, toy: bool) -> Sections:
    """One scene of Sentinel-2's bands at 10 m."""
    import rasterio
    from rasterio.transform import from_origin

    random, size = np.random.default_rng(0), 64 if toy else 3072
    names = ["B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12"]
    shape = {"height": size, "width": size, "count": len(names), "dtype": "uint16"}
    ground = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_600_000, 10, 10)}
    tiled = {} if toy else {"tiled": True, "blockxsize": 512, "blockysize": 512}
    with rasterio.open(folder / "scene.tif", "w", driver="GTiff", **shape, **ground, **tiled) as file:
        for number, name in enumerate(names, 1):
            file.write(random.integers(200, 4000, size=(size, size), dtype=np.uint16), number)
            file.set_band_description(number, name)
    return {"path": str(folder / "scene.tif")}


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
    "medical, MAE": Case(
        "medical/mae",
        "nibabel",
        volumes,
        {
            "data": {"crop": 96, "crops": 64},
            "encoder": {**WIDE, "patch": 16},
            "objective": {"width": 512, "depth": 8, "heads": 16},
            "train": {"batch_size": 32, "workers": 8},
        },
        {
            "data": {"crop": 16, "crops": 8},
            "encoder": SMALL,
            "objective": {"width": 16, "depth": 1, "heads": 2},
            "train": {"batch_size": 4},
        },
        plain=True,
    ),
    "satellite, SatMAE": Case(
        "satellite/satmae",
        "rasterio",
        scene,
        {
            "encoder": WIDE,
            "objective": {"width": 512, "depth": 8, "heads": 16},
            "train": {"batch_size": 128, "workers": 8},
        },
        {
            "data": {"tile": 16},
            "encoder": SMALL,
            "objective": {"width": 16, "depth": 1, "heads": 2},
            "train": {"batch_size": 4},
        },
    ),
}
