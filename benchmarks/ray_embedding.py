"""Rows of a table and tiles of a scene, embedded by one process and by Ray on this machine: whether the bytes are the same, and
how many a second of wall clock and of CPU time.

CPU time is that of the command and of all processes that it starts, Ray's own among them, read from /proc five times a second.

python benchmarks/ray_embedding.py [--quick] [--rows 5000000] [--pixels 10000] [--only rows|scene]
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from _cpu_time import timed
from pyarrow import parquet

from manyviews.engine.pretrain import pretrain

ROWS, QUICK_ROWS = 5_000_000, 20_000
PIXELS, QUICK_PIXELS = 10_000, 512
TILE, STRIP = 64, 512
AT_ONCE = 100_000
MAIN = "from manyviews.cli.main import main; main()"
ENCODERS: dict[str, dict[str, Any]] = {
    "rows": {"name": "tabular/mlp", "width": 32, "depth": 2, "column_width": 8},
    "scene": {"name": "satellite/resnet", "width": 32, "stages": 3, "blocks": 1},
}
"""Small ones: what stands around the encoder weighs the more."""


def write_rows(path: Path, rows: int) -> None:
    """Ten numbers and a category, in row groups."""
    rng, writer = np.random.default_rng(0), None
    for start in range(0, rows, AT_ONCE):
        count = min(AT_ONCE, rows - start)
        table = pa.table(
            {f"x{column}": rng.normal(size=count).astype(np.float32) for column in range(10)}
            | {"kind": rng.choice(list("abcd"), count)}
        )
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def write_scene(path: Path, pixels: int) -> None:
    """Three bands of 16 bits, blocks of 256 x 256 in deflate; fields of some brightness, with noise."""
    import rasterio

    rng = np.random.default_rng(0)
    profile = {
        "driver": "GTiff", "count": 3, "height": pixels, "width": pixels, "dtype": "uint16", "crs": "EPSG:32632",
        "transform": rasterio.Affine(10, 0, 600_000, 0, -10, 5_200_000), "tiled": True, "blockxsize": 256, "blockysize": 256,
        "compress": "deflate", "zlevel": 1,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.descriptions = ("B2", "B3", "B4")
        for start in range(0, pixels, STRIP):
            rows = min(STRIP, pixels - start)
            fields = rng.integers(500, 3000, (3, -(-rows // STRIP) * 8, -(-pixels // STRIP) * 8), np.uint16)
            strip = fields.repeat(TILE, 1).repeat(TILE, 2)[:, :rows, :pixels]
            strip = strip + rng.integers(0, 256, strip.shape, np.uint16)
            file.write(strip, window=rasterio.windows.Window(0, start, pixels, rows))


@dataclass(frozen=True)
class Case:
    """What is embedded."""

    recipe: str
    needs: str
    few: Path
    """Data that its encoder is made for, five steps long."""
    many: Path
    samples: int
    output: str
    words: tuple[str, ...] = ()


def cases(folder: Path, rows: int, pixels: int) -> dict[str, Case]:
    """By name; their data are not written yet."""
    table = Case(
        "tabular/scarf", "manyviews_tabular", folder / "few.parquet", folder / "rows.parquet", rows, "npy",
        ("--batch-size", "1024"),
    )  # fmt: skip
    tiles = (pixels // TILE) ** 2
    scene = Case(
        "satellite/vicreg", "manyviews_satellite", folder / "S2A_few.tif", folder / "S2A_scene.tif", tiles, "tif",
        ("--batch-size", "64", "--tokens"),
    )  # fmt: skip
    return {"rows": table, "scene": scene}


def trained(name: str, case: Case, folder: Path) -> Path:
    """A run of five steps."""
    train = {"steps": 5, "epochs": None, "batch_size": 16, "folder": str(folder / "runs"), "device": "cpu"}
    data: dict[str, Any] = {"path": str(case.few)} | ({"tile": TILE} if name == "scene" else {})
    return pretrain(case.recipe, data=data, encoder=ENCODERS[name], train=train, evaluate=[], track=None).folder


def embed(run: Path, case: Case, output: Path, engine: str) -> dict[str, float]:
    """Seconds of wall clock and of CPU time, starts included."""
    words = ["embed", str(run), str(case.many), "-o", str(output), *case.words, "--engine", engine, "--device", "cpu"]
    return timed([sys.executable, "-W", "ignore", "-c", MAIN, *words], os.environ | {"RAY_ADDRESS": "local"})


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compare(name: str, case: Case, folder: Path) -> dict[str, Any]:
    """By one process and by Ray."""
    run = trained(name, case, folder)
    found: dict[str, Any] = {"samples": case.samples, "MB": case.many.stat().st_size / 1e6}
    for engine in ("local", "ray"):
        output = folder / f"{engine}.{case.output}"
        found[engine] = embed(run, case, output, engine)
        found[f"{engine} sha256"], found["output MB"] = digest(output), output.stat().st_size / 1e6
        output.unlink()
        rates = {key: case.samples / seconds for key, seconds in found[engine].items()}
        print(
            f"{name}, {engine}: {case.samples:,} in {found[engine]['wall']:.0f} s, {found[engine]['cpu']:.0f} s of CPU: "
            f"{rates['wall']:,.0f} a second, {rates['cpu']:,.0f} a CPU-second; sha256 {found[f'{engine} sha256'][:12]}",
            file=sys.stderr,
        )
    found["same bytes"] = found["local sha256"] == found["ray sha256"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--pixels", type=int)
    parser.add_argument("--only", choices=sorted(ENCODERS))
    options = parser.parse_args()
    if importlib.util.find_spec("ray") is None:
        print(json.dumps({"skipped": "Ray is not installed"}))
        return
    rows = options.rows or (QUICK_ROWS if options.quick else ROWS)
    pixels = options.pixels or (QUICK_PIXELS if options.quick else PIXELS)
    results: dict[str, Any] = {"ray": version("ray"), "load": os.getloadavg()}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, case in cases(folder, rows, pixels).items():
            if options.only in (None, name) and importlib.util.find_spec(case.needs):
                write = write_rows if name == "rows" else write_scene
                write(case.few, 2000 if name == "rows" else QUICK_PIXELS)
                write(case.many, rows if name == "rows" else pixels)
                results[name] = compare(name, case, folder)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
