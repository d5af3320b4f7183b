"""How fast tiles come out of large scenes, beside a bare rasterio loop and, where it is installed, torchgeo.

    python benchmarks/satellite.py [--quick] [--size 10980] [--tile 256] [--seconds 2.5]

The scene: four bands of uint16, deflate, blocks of 512, as Sentinel-2's 10 m bands come. GDAL's cache is pinned to 64 MB,
threads to one. Tiles a CPU-second (this process; no workers): block-local crops, windows anywhere, a grid; ours with
everything a training loop pays for (mask, collation into a batch), the bare loop without. All take turns. Pixels are
compared with bare reads. Memory is measured at 1 scene and at 10 and 100 that are smaller: GDAL's cache, open files and
kept regions are filled by each of these, so what is more comes from their number. Prints one JSON object as its last line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

# Pinned; the quick run's small scene would else lie in the cache whole.
os.environ.setdefault("GDAL_CACHEMAX", "8" if "--quick" in sys.argv else "64")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import rasterio
import torch
from rasterio.transform import Affine
from rasterio.windows import Window

from manyviews.engine.loader import Order
from manyviews_satellite.source import TileSource

BATCH = 32
BANDS = ("B2", "B3", "B4", "B8")


def write(path: Path, size: int, seed: int = 0, compress: str | None = "deflate") -> Path:
    """A scene whose pixels compress about as those of a satellite do: smooth ground, a little noise."""
    random = np.random.default_rng(seed)
    profile: dict[str, Any] = {
        "driver": "GTiff", "count": 4, "height": size, "width": size, "dtype": "uint16", "crs": "EPSG:32632", "tiled": True,
        "blockxsize": 512, "blockysize": 512, "transform": Affine(10.0, 0.0, 600_000.0, 0.0, -10.0, 5_200_000.0),
    }  # fmt: skip
    with rasterio.open(path, "w", compress=compress, **profile) as file:
        file.descriptions = BANDS
        for row in range(0, size, 512):
            rows = min(512, size - row)
            y, x = np.mgrid[row : row + rows, :size]
            ground = 1500 + 600 * np.sin(x / 90) * np.cos(y / 70)
            bands = [ground * (1 + 0.2 * band) + random.integers(0, 64, ground.shape) for band in range(4)]
            file.write(np.stack(bands).astype(np.uint16), window=Window(0, row, size, rows))
    return path


def ours(path: Path, tile: int, sampling: str) -> Iterator[int]:
    """Batches in training's order; how many tiles each has."""
    # Windows anywhere are never met again; of blocks, as many are kept as a shuffle's window has, 16.
    memory = {"blocks": 0.04, "grid": 0.04, "random": 0.0}[sampling]
    source = TileSource(path=str(path), tile=tile, sampling=sampling, fit_tiles=8, memory=memory, seed=1)
    order = Order(np.arange(len(source)), BATCH, seed=0, blocks=source.blocks, window=16)
    number = 0
    while True:
        for index in order.batches(number, number + 1):
            yield len(source.batch(index))
        number += 1


def bare(path: Path, tile: int, sampling: str) -> Iterator[int]:
    """What a loop of one's own does: one window after another, made a tensor."""
    random = np.random.default_rng(0)
    with rasterio.open(path) as file:
        size = file.width
        places = [(row, col) for row in range(0, size - tile + 1, tile) for col in range(0, size - tile + 1, tile)]
        number = 0
        while True:
            batch = []
            for _ in range(BATCH):
                row, col = places[number % len(places)] if sampling == "grid" else random.integers(0, size - tile, 2).tolist()
                batch.append(torch.from_numpy(file.read(window=Window(col, row, tile, tile))))
                number += 1
            yield len(torch.stack(batch))


def torchgeo(path: Path, tile: int, sampling: str) -> Iterator[int]:
    """torchgeo's dataset and sampler, as its tutorials have them."""
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler, RandomGeoSampler

    class Scene(RasterDataset):  # type: ignore[misc]
        filename_glob = path.name

    data = Scene(str(path.parent))
    sampler = (
        GridGeoSampler(data, size=tile, stride=tile) if sampling == "grid" else RandomGeoSampler(data, size=tile, length=10**5)
    )
    while True:
        for batch in DataLoader(data, batch_size=BATCH, sampler=sampler, collate_fn=stack_samples):
            yield len(batch["image"])


def rate(batches: Iterator[int], seconds: float) -> float:
    """Tiles a CPU-second."""
    next(batches)
    begun, count = time.process_time(), 0
    while time.process_time() - begun < seconds:
        count += next(batches)
    return count / (time.process_time() - begun)


def equal_to_bare_reads(path: Path, tile: int) -> bool:
    """Some tiles of each way of cutting, pixel by pixel."""
    with rasterio.open(path) as file:
        for sampling in ("grid", "blocks", "random"):
            source = TileSource(path=str(path), tile=tile, sampling=sampling, fit_tiles=4)
            index = np.random.default_rng(0).permutation(len(source))[:24]
            tiles = source._reader.tiles
            for place, number in enumerate(index.tolist()):
                window = Window(int(tiles.col[number]), int(tiles.row[number]), tile, tile)
                if not np.array_equal(source.batch(index).pixels[place, 0], file.read(window=window)):
                    return False
    return True


MEMORY = """
import sys
import numpy as np
from manyviews_satellite.source import TileSource
source = TileSource(path=sys.argv[1], tile=64, sampling="blocks", fit_tiles=32, memory=0.02)
random = np.random.default_rng(0)
for _ in range(60):
    source.batch(random.permutation(len(source))[:32])
# Not ru_maxrss, which a process has of the one that started it.
print(int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024)
"""


def memory(folder: Path, scenes: int, size: int) -> float:
    """MB at most, of a process that reads from so many scenes."""
    folder.mkdir()
    first = write(folder / "0.tif", size)
    for number in range(1, scenes):
        (folder / f"{number}.tif").write_bytes(first.read_bytes())
    done = subprocess.run([sys.executable, "-c", MEMORY, str(folder)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def has_torchgeo() -> bool:
    """Whether it can be imported here."""
    try:
        import torchgeo.datasets  # noqa: F401
    except ImportError:
        return False
    return True


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--size", type=int, default=10980)
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=2.5, help="CPU seconds of each way in each round")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    size, seconds, rounds = (2560, 0.7, 1) if given.quick else (given.size, given.seconds, given.rounds)
    torch.set_num_threads(1)
    others: dict[str, Callable[[Path, int, str], Iterator[int]]] = {"rasterio": bare}
    if has_torchgeo():
        others["torchgeo"] = torchgeo
    found: dict[str, Any] = {"scene": size, "tile": given.tile, "torchgeo": "torchgeo" in others}
    with tempfile.TemporaryDirectory() as name:
        for compress in ("deflate", None):
            path = write(Path(name) / f"{compress}.tif", size, compress=compress)
            ways = {f"ours {sampling}": ours(path, given.tile, sampling) for sampling in ("blocks", "random", "grid")}
            for other, make in others.items():
                ways |= {f"{other} {sampling}": make(path, given.tile, sampling) for sampling in ("random", "grid")}
            rates: dict[str, list[float]] = {way: [] for way in ways}
            for number in range(rounds):
                for way in list(ways)[:: -1 if number % 2 else 1]:
                    rates[way].append(rate(ways[way], seconds))
            found[compress or "uncompressed"] = {way: round(median(each), 1) for way, each in rates.items()}
        found["equal_to_bare_reads"] = equal_to_bare_reads(Path(name) / "deflate.tif", given.tile)
        sizes = {1: 2560, 10: 1024} if given.quick else {1: 2560, 10: 1024, 100: 640, 400: 640}
        found["memory_mb"] = {many: round(memory(Path(name) / f"{many}", many, side)) for many, side in sizes.items()}
    base = "torchgeo" if "torchgeo" in others else "rasterio"
    rates_of = found["deflate"]
    found["blocks_over_random"] = {other: round(rates_of["ours blocks"] / rates_of[f"{other} random"], 2) for other in others}
    found["random_over_random"] = {other: round(rates_of["ours random"] / rates_of[f"{other} random"], 2) for other in others}
    found["measured_against"] = base
    for compress in ("deflate", "uncompressed"):
        print(compress, *(f"{way}: {value:.0f}" for way, value in found[compress].items()), sep="\n  ")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
