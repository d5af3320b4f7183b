"""How much memory a source takes as its data grow 1, 10 and 100 times: read as a run reads it, shuffled, for as many batches.

Memory is what belongs to the process alone (RssAnon), sampled from the start of the source to the last batch, in a process of
its own; mapped files are not counted, since the system takes their pages back. What the imports took is taken off.

python benchmarks/memory.py [--quick] [--only DOMAIN] [--plot FILE.svg]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TIMES = (1, 10, 100)
BATCHES = 150
MEGA = 10**6


def tables(folder: Path, times: int) -> None:
    """20,000 rows of 16 numbers in each file, in two row groups."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    for number in range(times):
        values = np.random.default_rng(number).normal(size=(16, 20_000)).astype(np.float32)
        table = pa.table({f"x{column}": row for column, row in enumerate(values)})
        parquet.write_table(table, folder / f"{number:05d}.parquet", row_group_size=10_000)


def volumes(folder: Path, times: int) -> None:
    """Volumes of 64³ numbers of 16 bits, four at a time."""
    import nibabel
    import numpy as np

    for number in range(4 * times):
        voxels = np.random.default_rng(number).integers(0, 1000, (64, 64, 64), np.int16)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / f"{number:05d}.nii")


def scenes(folder: Path, times: int) -> None:
    """Scenes of 256 x 256 pixels and 6 bands of 16 bits, four at a time, each beside the last."""
    import numpy as np

    from manyviews_satellite.synth import write_scene

    for number in range(4 * times):
        pixels = np.random.default_rng(number).integers(1, 5000, (6, 256, 256), np.uint16)
        east, north = 600_000.0 + 2560 * (number % 20), 5_200_000.0 + 2560 * (number // 20)
        write_scene(folder / f"S2A_20200401_{number:05d}.tif", pixels, corner=(east, north))


def recordings(folder: Path, times: int) -> None:
    """Recordings of 4 seconds at 16 kHz, sixteen at a time."""
    import numpy as np
    import soundfile

    for number in range(16 * times):
        wave = np.random.default_rng(number).normal(scale=0.1, size=64_000)
        soundfile.write(folder / f"{number:05d}.wav", wave, 16_000, "PCM_16")


def graph(folder: Path, times: int) -> None:
    """One graph: 2,000 nodes of 256 numbers and 10,000 edges at a time."""
    import numpy as np

    rng, nodes = np.random.default_rng(0), 2000 * times
    x = rng.normal(size=(nodes, 256)).astype(np.float32)
    np.savez(folder / "graph.npz", x=x, edge_index=rng.integers(0, nodes, (2, 10_000 * times)), y=np.arange(nodes) % 3)


@dataclass(frozen=True)
class Case:
    """What is read."""

    write: Callable[[Path, int], None]
    recipe: str
    data: Mapping[str, Any]
    """Parameters of the source; caches are made small, or they would hold the smaller data and not the larger."""
    needs: str
    name: str = ""
    """Of the file, where the source is not given the folder."""
    batch: int = 16
    train: Mapping[str, Any] = field(default_factory=dict)


CASES = {
    "tables": Case(
        tables,
        "tabular/masked_values",
        {"memory": 0.0, "fit_rows": 20_000, "cached_groups": 2},
        "pyarrow",
        batch=256,
        train={"shuffle_blocks": 2},
    ),
    "volumes": Case(volumes, "medical/mae", {"crop": 32, "crops": 4}, "nibabel"),
    "scenes": Case(scenes, "satellite/satmae", {"tile": 64, "memory": 0.02}, "rasterio"),
    "recordings": Case(recordings, "speech/tera", {"memory": 0.01}, "soundfile"),
    "graph": Case(graph, "graphs/graphmae_sampled", {}, "manyviews_graphs", "graph.npz", batch=64),
}


def measure(name: str, folder: Path) -> dict[str, float]:
    """In a process of its own: megabytes before anything is read, and at most from then on."""
    from manyviews.engine.loader import Samples, read
    from manyviews.engine.parts import build_source
    from manyviews.engine.pretrain import order_of
    from manyviews.recipe.load import load_recipe

    case = CASES[name]
    given = {f"data.{key}": value for key, value in case.data.items()}
    path = {"data.path": str(folder / "data" / case.name)}
    cache = {"data.cache": str(folder / "cache")} if name == "volumes" else {}
    train = {"train.batch_size": case.batch, "train.batch_total": None}
    train |= {f"train.{key}": value for key, value in case.train.items()}
    recipe = load_recipe(case.recipe, {**path, **given, **cache, **train})
    __import__(case.needs)
    before, peak = anonymous(), Peak()
    with peak:
        source = build_source(recipe)
        order = order_of(recipe, source)
        for _ in read(Samples(source), order, 0, BATCHES, 0):
            pass
    return {"before": before, "peak": peak.megabytes, "samples": len(source)}


def anonymous() -> float:
    """Megabytes of memory that belong to this process alone."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 / MEGA for line in lines if line.startswith("RssAnon"))


class Peak:
    """The most of it while entered, sampled every two milliseconds."""

    def __enter__(self) -> Peak:
        self.megabytes, self._done = anonymous(), threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.megabytes = max(self.megabytes, anonymous())

    def _sample(self) -> None:
        while not self._done.wait(0.002):
            self.megabytes = max(self.megabytes, anonymous())


def run(name: str, times: Sequence[int]) -> list[dict[str, float]]:
    """One kind of data, in growing sizes."""
    found = []
    for factor in times:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            (folder / "data").mkdir()
            CASES[name].write(folder / "data", factor)
            size = sum(path.stat().st_size for path in (folder / "data").rglob("*") if path.is_file()) / MEGA
            begun = time.monotonic()
            said = subprocess.run(
                [sys.executable, "-W", "ignore", __file__, "--one", name, place], capture_output=True, text=True, check=False
            )
            if said.returncode:
                raise SystemExit(f"{name} x {factor}: {said.stderr[-2000:]}")
            found.append({"times": factor, "size": size, **json.loads(said.stdout.splitlines()[-1])})
            print(f"{name} x {factor}: {found[-1]} in {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return found


def plot(results: Mapping[str, Sequence[Mapping[str, float]]], path: Path) -> None:
    """What each kind of data took beyond the imports, over the size of the data."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.4))
    for name, rows in results.items():
        axes.plot([row["size"] for row in rows], [row["peak"] - row["before"] for row in rows], "o-", label=name)
    axes.plot([1, 1000], [1, 1000], ":", color="grey", label="all in memory")
    axes.set(xscale="log", yscale="log", xlabel="data, MB", ylabel="memory beyond imports, MB")
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=sorted(CASES))
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("CASE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one[0], Path(options.one[1]))))
        return
    times = TIMES[:2] if options.quick else TIMES
    there = [name for name, case in CASES.items() if importlib.util.find_spec(case.needs) and options.only in (None, name)]
    results = {name: run(name, times) for name in there}
    print("| data | size, MB | samples | memory beyond imports, MB |\n|---|---|---|---|")
    for name, rows in results.items():
        beyond = [{**row, "beyond": row["peak"] - row["before"]} for row in rows]
        cells = [" / ".join(f"{row[key]:,.0f}" for row in beyond) for key in ("size", "samples", "beyond")]
        print(f"| {name} | {' | '.join(cells)} |")
    if options.plot:
        plot(results, options.plot)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
