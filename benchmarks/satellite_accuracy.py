"""What pretraining brings on satellite images, beside image statistics, random convolutional features and untrained nets.

    python benchmarks/satellite_accuracy.py --data DATA/satellite --out results.jsonl [--cases lulc leipzig merlin]
    python benchmarks/satellite_accuracy.py --device cuda --jobs 14 --seeds 1 --steps 1000
    python benchmarks/satellite_accuracy.py --quick

Land cover of pixels (`lulc`: eo-learn's Sentinel-2 stack, five dates together, and its map; `leipzig`: Sentinel-2 and 97
points): a tile around each labelled pixel is embedded, and a linear probe says what grows there. Pretraining sees all of the
scene and no label. Splits are drawn by blocks of ground, anew for each of `--splits` seeds; in `lulc` training tiles that
reach into held-out blocks are left out. Each method has the tile size and the pooling that are best on the validation
splits; test splits choose nothing.

Speckle (`merlin`): single-look speckle is simulated over five bands of a Landsat scene as the training set, and over a
sixth, near infrared, as the test: PSNR, SSIM, ratio image, ENL of the most homogeneous square.

A line is written for each finished piece; prints a Markdown table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _measure import shared_data

TILES = (8, 16)
BASELINES = ("statistics", "rcf", "untrained")
RECIPES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "satmae": ("satellite/satmae", {"objective": {"width": 64, "depth": 2}}),
    "vicreg": ("satellite/vicreg", {"views": {"crop": [0.5, 1.0]}}),
    "jepa": ("satellite/jepa", {"objective": {"width": 64, "depth": 2}}),
}
PLACES = 4
"""Rows and columns of patches of a tile."""
ENCODER = {"name": "transformer", "width": 128, "depth": 4, "heads": 4}


def scene_of(case: str, data: Path) -> dict[str, Any]:
    """How the scene of a case is read."""
    if case == "lulc":
        return {"path": str(data / "eolearn_s2" / "REFERENCE_SCENES.npy"), "bands": "sentinel2_l1c", "dates": 5}
    return {"path": str(data / "leipzig" / "leipzig_raster.tif"), "sensor": "sentinel2"}


def labels_of(case: str, data: Path, split: int) -> dict[str, Any]:
    """How its labelled pixels are read and split."""
    if case == "lulc":
        target = {"target": str(data / "eolearn_s2" / "LULC.npy"), "ignore": [0.0, 1.0], "stride": 3, "apart": True}
        return {**target, "block": 20, "splits": {"valid": 0.2, "test": 0.3}, "split_seed": split}
    target = {"target": str(data / "leipzig" / "leipzig_points.gpkg"), "target_column": "land_cover"}
    return {**target, "block": 25, "splits": {"valid": 0.2, "test": 0.3}, "split_seed": split}


def land_cover(job: Mapping[str, Any], data: Path, device: str) -> list[dict[str, Any]]:
    """One method with one tile size and one seed: pretrain where it is to be, then probe on every split."""
    import torch

    import manyviews as mv
    from manyviews.engine.load import load_trained
    from manyviews.engine.parts import build_encoder
    from manyviews.recipe.load import load_recipe
    from manyviews_satellite.encoder import TileEncoder
    from manyviews_satellite.source import TileSource

    case, method, tile, seed = job["case"], job["method"], job["tile"], job["seed"]
    scene = scene_of(case, data)
    begun = time.process_time()
    whole = TileSource(**scene, tile=tile, stride=2, min_valid=0.9)
    encoder, seconds = None, 0.0
    if method in ("rcf", "untrained"):
        form = (
            {"name": "rcf", "width": 512, "patch": tile // PLACES} if method == "rcf" else {**ENCODER, "patch": tile // PLACES}
        )
        keys = {f"encoder.{key}": value for key, value in form.items()}
        recipe = load_recipe("satellite/satmae", {"data.path": "-", "train.seed": seed, **keys})
        encoder = build_encoder(recipe, whole.spec).eval()
    elif method != "statistics":
        name, more = RECIPES[method]
        with tempfile.TemporaryDirectory() as folder:
            run = mv.pretrain(
                name,
                source=whole,
                data={**scene, "tile": tile, "stride": 2, "min_valid": 0.9},
                **{**more, "encoder": {**ENCODER, "patch": tile // PLACES}},
                optim={"lr": 1e-3},
                train={"steps": job["steps"], "batch_size": 128, "seed": seed, "folder": folder, "device": device,
                       "log_every": 200, "watch_every": 10_000, "checkpoint_every": 10**6},
                evaluate=[],
                track=None,
            )  # fmt: skip
            seconds = time.process_time() - begun
            encoder = load_trained(run.folder, device=device).encoder
    if encoder is not None:
        encoder = encoder.to(torch.device("cuda" if device == "cuda" else "cpu"))
    told = []
    for split in range(job["splits"]):
        source = TileSource(path=scene["path"], spec=whole.spec, min_valid=0.0, **labels_of(case, data, split))
        for pool in ("mean",) if encoder is None else ("mean", "centre"):
            if isinstance(encoder, TileEncoder):
                encoder.pool = pool
            told.append({**job, "split": split, "pool": pool, **judged(encoder, source), "cpu_s": round(seconds)})
    return told


def judged(encoder: Any, source: Any) -> dict[str, Any]:
    """Of a linear probe: on the validation split, fitted and chosen on training units alone, and on the test split."""
    from manyviews.evaluate.embed import embed
    from manyviews.evaluate.linear_probe import LinearProbe
    from manyviews.evaluate.task import Embedded

    index = np.arange(len(source))
    x = source.features(index) if encoder is None else embed(encoder, source, index)
    labels, splits, groups = source.labels(), source.splits(), source.groups()
    known = labels.values >= 0
    scores: dict[str, Any] = {}
    for name, kept in (("valid", known & (splits != "test")), ("test", known)):
        told = LinearProbe()(Embedded(x[kept], splits[kept], replace(labels, values=labels.values[kept]), groups[kept])).metrics
        scores |= {f"{name}_{key}": round(float(told[key]), 5) for key in ("accuracy", "balanced_accuracy", "macro_f1")}
    return {**scores, "train": int((splits == "train").sum()), "test": int((splits == "test").sum())}


def merlin(job: Mapping[str, Any], data: Path, device: str) -> list[dict[str, Any]]:
    """Train on speckle over five bands, despeckle a sixth."""
    import rasterio

    import manyviews as mv
    from manyviews.engine.load import load_trained
    from manyviews_satellite.radar.despeckle import Despeckler
    from manyviews_satellite.radar.measures import enl, psnr, ratio_mean, ssim
    from manyviews_satellite.reading.options import Options
    from manyviews_satellite.reading.scenes import find_scenes
    from manyviews_satellite.synth import write_slc

    with rasterio.open(data / "landsat7" / "L7_ETMs.tif") as file:
        bands = file.read().astype(np.float64)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "train").mkdir()
        for number, band in enumerate(bands[[0, 1, 2, 4, 5]]):
            for draw in range(job["draws"]):
                write_slc(folder / "train" / f"S1A_VV_{number}{draw}.tif", band**2, 1000 * job["seed"] + 10 * number + draw)
        clean = bands[3]
        test = write_slc(folder / "S1A_VV_test.tif", clean**2, 77)
        begun = time.process_time()
        run = mv.pretrain(
            "satellite/merlin",
            data={"path": str(folder / "train"), "tile": job["tile"], "crops": 8},
            encoder={"channels": job["channels"], "pools": job["pools"]},
            optim={"lr": job["lr"]},
            train={"steps": job["steps"], "batch_size": job["batch"], "seed": job["seed"], "folder": name, "device": device,
                   "precision": "tf32" if device == "cuda" else "32", "log_every": 100, "watch_every": 10_000,
                   "checkpoint_every": 10**6},
            track=None,
        )  # fmt: skip
        seconds = time.process_time() - begun
        encoder = load_trained(run.folder, device=device).encoder
        scene = find_scenes(test, Options()).scenes[0]
        found = np.zeros_like(clean)
        for (row, col, height, width), part in Despeckler(encoder).scene(scene):  # type: ignore[arg-type]
            found[row : row + height, col : col + width] = part[0]
        with rasterio.open(test) as file:
            noisy = np.abs(file.read(1)).astype(np.float64)
    row, col = homogeneous(clean)
    area = slice(row, row + SQUARE), slice(col, col + SQUARE)
    amplitude = np.sqrt(found)
    scores = {"ratio_mean": ratio_mean(noisy**2, found), "enl_clean": enl(clean[area] ** 2)}
    for name, image in (("_noisy", noisy), ("", amplitude)):
        own = {"psnr": psnr(image, clean), "ssim": ssim(image, clean), "enl": enl(image[area] ** 2)}
        scores |= {f"{key}{name}": value for key, value in own.items()}
    return [{**job, **{key: round(float(value), 4) for key, value in scores.items()}, "cpu_s": round(seconds)}]


SQUARE = 24


def homogeneous(clean: np.ndarray) -> tuple[int, int]:
    """The corner of the square whose amplitude varies least for its mean."""
    places = [(row, col) for row in range(0, clean.shape[0] - SQUARE, 4) for col in range(0, clean.shape[1] - SQUARE, 4)]

    def variation(place: tuple[int, int]) -> float:
        part = clean[place[0] : place[0] + SQUARE, place[1] : place[1] + SQUARE]
        return float(part.std() / part.mean())

    return min(places, key=variation)


def jobs_of(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The pieces of work."""
    quick = arguments.quick
    made: list[dict[str, Any]] = []
    for case in arguments.cases:
        if case == "merlin":
            size = {"channels": 8, "pools": 2, "tile": 64, "steps": 60, "batch": 4, "draws": 1, "lr": 3e-3}
            full = {
                "channels": 48,
                "pools": 5,
                "tile": 128,
                "steps": arguments.merlin_steps,
                "batch": 12,
                "draws": 3,
                "lr": 1e-3,
            }
            small = {
                "channels": 16,
                "pools": 3,
                "tile": 64,
                "steps": arguments.merlin_steps,
                "batch": 8,
                "draws": 2,
                "lr": 2e-3,
            }
            made.append({"case": case, "seed": 0, **(size if quick else small if arguments.small else full)})
            continue
        splits = 2 if quick else arguments.splits
        for tile in TILES[:1] if quick else TILES:
            made += [{"case": case, "method": method, "tile": tile, "seed": 0, "splits": splits} for method in BASELINES]
            for method in ("satmae",) if quick else arguments.methods:
                made += [
                    {
                        "case": case,
                        "method": method,
                        "tile": tile,
                        "seed": seed,
                        "splits": splits,
                        "steps": 20 if quick else arguments.steps,
                    }
                    for seed in range(1 if quick else arguments.seeds)
                ]
    return made


def work(job: Mapping[str, Any], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """One piece in a process of its own; what fails or takes too long has a line that says so."""
    words = [sys.executable, __file__, "--data", str(arguments.data), "--device", arguments.device, "--one", json.dumps(job)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=arguments.limit, env=environment)
    except subprocess.TimeoutExpired:
        return [{**job, "error": f"took longer than {arguments.limit:g} s"}]
    if done.returncode:
        return [{**job, "error": (done.stderr.strip().splitlines() or ["?"])[-1]}]
    lines: list[dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    return lines


def summary(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """For each method the tile size that is best on the validation splits, and its test scores over splits."""
    told: dict[str, Any] = {}
    for case in dict.fromkeys(line["case"] for line in lines if "method" in line):
        for method in dict.fromkeys(line["method"] for line in lines if line.get("method") and line["case"] == case):
            own = [line for line in lines if line["case"] == case and line.get("method") == method and "error" not in line]
            if not own:
                continue
            best = max(sorted({(line["tile"], line["pool"]) for line in own}), key=lambda form: _valid(own, form))
            chosen = [line for line in own if (line["tile"], line["pool"]) == best]
            entry: dict[str, Any] = {"tile": best[0], "pool": best[1], "runs": len(chosen)}
            for key in ("test_accuracy", "test_balanced_accuracy", "test_macro_f1"):
                values = np.array([line[key] for line in chosen])
                splits = {line["split"] for line in chosen}
                by_split = [np.mean([line[key] for line in chosen if line["split"] == split]) for split in splits]
                entry[key] = round(100 * float(values.mean()), 2)
                entry[f"{key}_std"] = round(100 * float(np.std(by_split, ddof=1)) if len(by_split) > 1 else 0.0, 2)
            told[f"{case}/{method}"] = entry
    for line in lines:
        if line["case"] == "merlin" and "error" not in line:
            told["merlin"] = {key: line[key] for key in line if key not in ("case", "seed")}
            told["merlin"]["psnr_gain"] = round(line["psnr"] - line["psnr_noisy"], 2)
            told["merlin"]["enl_gain"] = round(line["enl"] / line["enl_noisy"], 1)
    return told


def _valid(lines: Sequence[Mapping[str, Any]], form: tuple[int, str]) -> float:
    return float(np.mean([line["valid_balanced_accuracy"] for line in lines if (line["tile"], line["pool"]) == form]))


def table(told: Mapping[str, Any]) -> str:
    """Markdown."""
    lines = ["| case | tile, pooling | accuracy | balanced accuracy | macro F1 |", "|---|---|---|---|---|"]
    for name, entry in told.items():
        if name != "merlin":
            scores = " | ".join(
                f"{entry[key]:.1f} ± {entry[key + '_std']:.1f}"
                for key in ("test_accuracy", "test_balanced_accuracy", "test_macro_f1")
            )
            lines.append(f"| {name} | {entry['tile']}, {entry['pool']} | {scores} |")
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--data", type=Path, default=shared_data("satellite"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cases", nargs="+", default=["lulc", "leipzig", "merlin"], choices=["lulc", "leipzig", "merlin"])
    parser.add_argument("--methods", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--merlin-steps", type=int, default=1500)
    parser.add_argument("--small", action="store_true", help="MERLIN's net smaller than published, for CPUs")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds of a piece")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        job = json.loads(arguments.one)
        lines = (
            merlin(job, arguments.data, arguments.device)
            if job["case"] == "merlin"
            else land_cover(job, arguments.data, arguments.device)
        )
        print(json.dumps(lines))
        return
    lines = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for told in pool.map(
            lambda job: work(job, arguments), sorted(jobs_of(arguments), key=lambda job: job["case"] != "merlin")
        ):
            lines += told
            if arguments.out is not None:
                with arguments.out.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(line) + "\n" for line in told)
    found = summary(lines)
    print(table(found))
    for line in lines:
        if "error" in line:
            print(f"failed: {line}", file=sys.stderr)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
