"""What pretraining brings on satellite images, beside image statistics, random convolutional features and untrained nets.

    python benchmarks/satellite_accuracy.py --data DATA/satellite --out results.jsonl [--cases lulc leipzig merlin]
    python benchmarks/satellite_accuracy.py --device cuda --jobs 12
    python benchmarks/satellite_accuracy.py --quick

Pieces of work (a method, a tile size, a seed) are shared out to `--jobs` processes; a piece's line is written when it is
finished, the longest are begun first, and a piece that has its line in `--out` is not done again: the same command goes on
after an interruption, also with more seeds or methods.
A piece that failed has a line that says why, and is done again.

Land cover of pixels (`lulc`: eo-learn's Sentinel-2 stack, five dates together, and its map; `leipzig`: Sentinel-2 and 97
points): a tile around each labelled pixel is embedded, once for all splits and poolings, and a linear probe says what grows
there. Pretraining sees all of the scene and no label. Splits are drawn by blocks of ground, anew for each of a case's seeds
(`--splits`); in `lulc` training pixels whose largest tile reaches into held-out blocks are left out, for all methods alike.
Each method has the tile size and the pooling that are best on the validation splits, and so has `chosen` its method; test
splits choose nothing. Image statistics choose among single pixels too. Differences from each baseline are taken split by split.

The key of a piece knows no device: baselines may be run on a CPU first, and a run on a GPU with the same `--out` adds the rest.
`--methods` without a name runs the baselines alone.

Speckle (`merlin`): single-look speckle is simulated over five bands of the upper part of a Landsat scene as the training set,
and over the sixth band, near infrared, of the rest as the test: PSNR, SSIM, ENL of the most homogeneous square, the ratio
image's mean over all of the image and over that square, with the calibration by the ratio that training saw and without. On
rows between those of training and test the training bands' ratio image says the same, for which no clean image is needed.
Beside it the mean over a square of pixels, of the size that has the best PSNR on the test itself.

Prints a Markdown table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import _pieces
import numpy as np
from _measure import shared_data

TILES = (4, 8)
SMALLER = (1,)
"""Tiles of image statistics alone: encoders see four patches a side."""
BASELINES = ("statistics", "rcf", "untrained")
RECIPES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    # What a patch of few pixels is, its mean says: targets keep it.
    "satmae": ("satellite/satmae", {"objective": {"width": 64, "depth": 2, "normalize_targets": False}}),
    "satmae_places": (
        "satellite/satmae",
        {"views": {"name": "group_mask"}, "objective": {"width": 64, "depth": 2, "normalize_targets": False}},
    ),
    "vicreg": ("satellite/vicreg", {"encoder": {"groups": "all"}, "views": {"crop": [0.5, 1.0]}}),
    "vicreg_gentle": (
        "satellite/vicreg",
        {"encoder": {"groups": "all"}, "views": {"crop": [0.5, 1.0], "jitter": 0.05, "drop_bands": 0.0, "style": None}},
    ),
    "jepa": ("satellite/jepa", {"encoder": {"groups": "all"}, "objective": {"width": 64, "depth": 2}}),
}
"""Each method's recipe and what is changed in it; validation splits choose among them."""
SPLITS: Mapping[str, int] = {"lulc": 5, "leipzig": 10}
"""Of few points each split is another story."""
PLACES = 4
"""Rows and columns of patches of a tile."""
ENCODER = {"name": "transformer", "width": 128, "depth": 4, "heads": 4}
UNTRAINED: Mapping[str, Mapping[str, Any]] = {"rcf": {"name": "rcf", "width": 512}, "untrained": ENCODER}
POOLS = ("mean", "centre", "centre_mean", "each")


def scene_of(case: str, data: Path) -> dict[str, Any]:
    """How the scene of a case is read."""
    if case == "lulc":
        return {"path": str(data / "eolearn_s2" / "REFERENCE_SCENES.npy"), "bands": "sentinel2_l1c", "dates": 5}
    return {"path": str(data / "leipzig" / "leipzig_raster.tif"), "sensor": "sentinel2"}


def labels_of(case: str, data: Path, split: int) -> dict[str, Any]:
    """How its labelled pixels are read and split."""
    if case == "lulc":
        target = {"target": str(data / "eolearn_s2" / "LULC.npy"), "ignore": [0.0, 1.0], "stride": 2, "apart": True}
        return {**target, "block": 20, "splits": {"valid": 0.2, "test": 0.3}, "split_seed": split}
    target = {"target": str(data / "leipzig" / "leipzig_points.gpkg"), "target_column": "land_cover"}
    return {**target, "block": 25, "splits": {"valid": 0.2, "test": 0.3}, "split_seed": split}


def land_cover(job: Mapping[str, Any], data: Path, device: str) -> list[dict[str, Any]]:
    """One method with one tile size and one seed: pretrain where it is to be, embed once, then probe on every split."""
    from manyviews_satellite.source import TileSource

    case, tile, begun = job["case"], job["tile"], time.process_time()
    scene = scene_of(case, data)
    whole = TileSource(**scene, tile=tile, stride=2, min_valid=0.9)
    encoder = encoder_of(job, whole, data, device)
    seconds = round(time.process_time() - begun)
    labels = {**labels_of(case, data, 0), "apart": False}
    labelled = TileSource(**scene, tile=tile, spec=whole.spec, min_valid=0.0, **labels)
    place = {corner: number for number, corner in enumerate(middles(labelled))}
    features = features_of(encoder, labelled)
    told = []
    for split in range(job["splits"]):
        # All methods and tile sizes are judged on the units of the largest tile, each of them.
        units = TileSource(**scene, tile=max(TILES), spec=whole.spec, min_valid=0.0, **labels_of(case, data, split))
        rows = np.array([place[middle] for middle in middles(units)])
        for pool, x in features.items():
            told.append({"split": split, "pool": pool, **judged(x[rows], units), "cpu_s": seconds})
    return told


def encoder_of(job: Mapping[str, Any], whole: Any, data: Path, device: str) -> Any:
    """The encoder of a piece, trained where it is to be; None: image statistics."""
    import torch

    import manyviews as mv
    from manyviews.engine.load import load_trained
    from manyviews.engine.parts import build_encoder
    from manyviews.recipe.load import load_recipe

    method, patch, seed = job["method"], job["tile"] // PLACES, job["seed"]
    if method == "statistics":
        return None
    if method in UNTRAINED:
        keys = {f"encoder.{key}": value for key, value in {**UNTRAINED[method], "patch": patch}.items()}
        recipe = load_recipe("satellite/satmae", {"data.path": "-", "train.seed": seed, **keys})
        return build_encoder(recipe, whole.spec).to(torch.device(device))
    name, more = RECIPES[method]
    with tempfile.TemporaryDirectory() as folder:
        run = mv.pretrain(
            name,
            source=whole,
            data={**scene_of(job["case"], data), "tile": job["tile"], "stride": 2, "min_valid": 0.9},
            **{**more, "encoder": {**ENCODER, "patch": patch, **more.get("encoder", {})}},
            optim={"lr": 1e-3},
            train={"steps": job["steps"], "batch_size": 128, "seed": seed, "folder": folder, "device": device,
                   "log_every": 200, "watch_every": 10_000, "checkpoint_every": 10**6},
            evaluate=[],
            track=None,
        )  # fmt: skip
        return load_trained(run.folder, device=device).encoder


def middles(source: Any) -> list[tuple[int, int]]:
    """The labelled pixel of each tile."""
    half = source.spec.windows.tile // 2
    return [(row + half, col + half) for row, col in map(source.corner, range(len(source)))]


def features_of(encoder: Any, source: Any) -> dict[str, np.ndarray]:
    """Of all tiles in each form; those of an encoder all from one pass."""
    from manyviews.evaluate.embed import device_of, evaluating
    from manyviews.view import View

    index = np.arange(len(source))
    if encoder is None:
        return {"mean": source.features(index)}
    parts: dict[str, list[np.ndarray]] = {pool: [] for pool in POOLS}
    with evaluating(encoder):
        for some in np.array_split(index, max(len(index) // 128, 1)):
            batch = source.batch(some).to(device_of(encoder))
            tokens = encoder(view := View(batch, encoder.layout(batch))).tokens
            for pool in POOLS:
                encoder.pool = pool
                parts[pool].append(encoder.pooled(tokens, None, view.layout.lengths, batch).float().cpu().numpy())
    return {pool: np.concatenate(arrays) for pool, arrays in parts.items()}


def judged(x: np.ndarray, source: Any) -> dict[str, Any]:
    """Of a linear probe: on the validation split, fitted and chosen on training units alone, and on the test split."""
    from manyviews.evaluate.linear_probe import LinearProbe
    from manyviews.evaluate.task import Embedded

    labels, splits, groups = source.labels(), source.splits(), source.groups()
    known = labels.values >= 0
    scores: dict[str, Any] = {}
    for name, kept in (("valid", known & (splits != "test")), ("test", known)):
        told = LinearProbe()(Embedded(x[kept], splits[kept], replace(labels, values=labels.values[kept]), groups[kept])).metrics
        scores |= {f"{name}_{key}": round(float(told[key]), 5) for key in ("accuracy", "balanced_accuracy", "macro_f1")}
    return {**scores, "train": int((splits == "train").sum()), "test": int((splits == "test").sum())}


def merlin(job: Mapping[str, Any], data: Path, device: str) -> list[dict[str, Any]]:
    """Train on speckle over five bands, despeckle the sixth on other ground."""
    import rasterio
    from scipy.ndimage import uniform_filter

    import manyviews as mv
    from manyviews.engine.load import load_trained
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
                seed = 10_000 * job["seed"] + 1_000 * number + draw  # no two files share a draw
                write_slc(folder / "train" / f"S1A_VV_{number}{draw}.tif", band[:TRAINED_ROWS] ** 2, seed)
        held = [
            write_slc(folder / f"S1A_VV_held{number}.tif", band[TRAINED_ROWS:VALID_ROWS] ** 2, 555_000 + number)
            for number, band in enumerate(bands[[0, 1, 2, 4, 5]])
        ]
        clean = bands[3, VALID_ROWS:]
        test = write_slc(folder / "S1A_VV_test.tif", clean**2, 777_000 + job["seed"])
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
        shown = [find_scenes(path, Options()).scenes[0] for path in held]
        scores = {f"ratio_valid{name}": ratio_of(encoder, shown, how) for name, how in CALIBRATE.items()}
        scene = find_scenes(test, Options()).scenes[0]
        scores |= parts_of(encoder, scene)
        found = {name: despeckled(encoder, scene, how) for name, how in CALIBRATE.items()}
    noisy = np.sqrt(found[""][0])
    row, col = homogeneous(clean)
    area = slice(row, row + SQUARE), slice(col, col + SQUARE)
    scores["enl_clean"] = enl(clean[area] ** 2)
    images = {"_noisy": noisy}
    for name, (_, after) in found.items():
        images[name] = np.sqrt(after)
        scores[f"ratio_mean{name}"] = ratio_mean(noisy**2, after)
        scores[f"ratio_square{name}"] = ratio_mean(noisy[area] ** 2, after[area])
    boxes = [np.sqrt(uniform_filter(noisy**2, size)) for size in (3, 5, 7, 9)]
    images["_box"] = max(boxes, key=lambda image: psnr(image, clean))
    for name, image in images.items():
        own = {"psnr": psnr(image, clean), "ssim": ssim(image, clean), "enl": enl(image[area] ** 2)}
        scores |= {f"{key}{name}": value for key, value in own.items()}
    return [{**{key: round(float(value), 4) for key, value in scores.items()}, "cpu_s": round(seconds)}]


CALIBRATE = {"": True, "_uncalibrated": False}
"""With the ratio that training saw, and without."""


def despeckled(encoder: Any, scene: Any, calibrate: bool) -> tuple[np.ndarray, np.ndarray]:
    """Intensity of a scene's one band, as measured and despeckled."""
    from manyviews_satellite.radar.despeckle import Despeckler

    both = np.zeros((2, scene.grid.rows, scene.grid.cols))
    for (row, col, height, width), before, after in Despeckler(encoder, calibrate=calibrate).scene(scene):
        both[:, row : row + height, col : col + width] = before[0], after[0]
    return both[0], both[1]


def ratio_of(encoder: Any, scenes: Sequence[Any], calibrate: bool) -> float:
    """Mean of the ratio images of several scenes."""
    pairs = [despeckled(encoder, scene, calibrate) for scene in scenes]
    return float(np.mean([np.mean(before / after) for before, after in pairs]))


def parts_of(encoder: Any, scene: Any) -> dict[str, float]:
    """Where the ratio comes from: the mean of 2 b^2 / R_a, which the likelihood brings to 1, and that of 2 a^2 / R_a, which is
    below 1 as far as R_a follows a."""
    from manyviews_satellite.radar.despeckle import Despeckler, batch_of

    step = 2**encoder.pools
    window = (0, 0, scene.grid.rows // step * step, scene.grid.cols // step * step)
    told = Despeckler(encoder).parts(batch_of(scene, *scene.read(window)))
    means = {"ratio_cross": [2 * part.other**2 / found for part, found in told]}
    means["ratio_own"] = [2 * part.own**2 / found for part, found in told]
    return {name: float(np.mean([float(value.double().mean()) for value in values])) for name, values in means.items()}


TRAINED_ROWS, VALID_ROWS = 184, 216
"""Of 352: ground up to the first is trained on, up to the second validated on, and the rest is tested on."""
SQUARE = 24


def homogeneous(clean: np.ndarray) -> tuple[int, int]:
    """The corner of the square whose amplitude varies least for its mean."""
    places = [(row, col) for row in range(0, clean.shape[0] - SQUARE, 4) for col in range(0, clean.shape[1] - SQUARE, 4)]

    def variation(place: tuple[int, int]) -> float:
        part = clean[place[0] : place[0] + SQUARE, place[1] : place[1] + SQUARE]
        return float(part.std() / part.mean())

    return min(places, key=variation)


Job = dict[str, Any]
Line = Mapping[str, Any]


def jobs_of(arguments: argparse.Namespace) -> list[Job]:
    """The pieces of work, the longest first."""
    quick, made = arguments.quick, []
    seeds = 1 if quick else arguments.seeds
    for case in arguments.cases:
        if case == "merlin":
            size = MERLIN["quick" if quick else "small" if arguments.small else "full"]
            steps = {} if quick else {"steps": arguments.merlin_steps}
            made += [{"case": case, "seed": seed, **size, **steps} for seed in range(1 if quick else arguments.merlin_seeds)]
            continue
        splits = 2 if quick else arguments.splits or SPLITS[case]
        for tile in TILES[:1] if quick else TILES:
            own = {"case": case, "tile": tile, "splits": splits}
            steps = {"steps": 20 if quick else arguments.steps}
            for method in ("satmae",) if quick else arguments.methods:
                made += [{**own, "method": method, "seed": seed, **steps} for seed in range(seeds)]
            made += [{**own, "method": method, "seed": seed} for method in ("rcf", "untrained") for seed in range(seeds)]
        tiles = TILES[:1] if quick else SMALLER + TILES
        made += [{"case": case, "tile": tile, "splits": splits, "method": "statistics", "seed": 0} for tile in tiles]
    return sorted(made, key=_length)


MERLIN: Mapping[str, Mapping[str, Any]] = {
    "full": {"channels": 48, "pools": 5, "tile": 128, "batch": 12, "draws": 40, "lr": 1e-3},
    "small": {"channels": 16, "pools": 3, "tile": 64, "batch": 8, "draws": 20, "lr": 2e-3},
    "quick": {"channels": 8, "pools": 2, "tile": 64, "batch": 4, "draws": 1, "lr": 3e-3, "steps": 60},
}
"""`draws` of speckle of every band: few, seen hundreds of times, are learnt by heart (their likelihood has no bound), and other
ground then comes out as noise."""


def _length(job: Line) -> tuple[bool, bool, bool, int]:
    """What is longer sorts before: speckle, then what trains, five dates before one, large tiles before small."""
    return job["case"] != "merlin", "steps" not in job, job["case"] != "lulc", -job["tile"]


def work(job: Job, data: Path, device: str) -> list[dict[str, Any]]:
    """One piece."""
    return (merlin if job["case"] == "merlin" else land_cover)(job, data, device)


def summary(records: Sequence[Line]) -> dict[str, Any]:
    """For each method the form that is best on the validation splits; `chosen`: the pretrained method that is."""
    told: dict[str, Any] = {}
    for case in dict.fromkeys(record["case"] for record in records if "method" in record):
        forms: dict[str, dict[tuple[int, str], list[Line]]] = {}
        for record in records:
            if record["case"] == case:
                forms.setdefault(record["method"], {}).setdefault((record["tile"], record["pool"]), []).append(record)
        best = {method: max(own, key=lambda form: (_valid(own[form]), form)) for method, own in sorted(forms.items())}
        trained = [method for method in best if method not in BASELINES]
        for method, form in best.items():
            told[f"{case}/{method}"] = _scores(form, forms[method][form])
        if trained:
            method = max(trained, key=lambda name: _valid(forms[name][best[name]]))
            found = forms[method][best[method]]
            over = {name: _beside(found, forms[name][best[name]]) for name in BASELINES if name in best}
            told[f"{case}/chosen"] = {"method": method, **_scores(best[method], found), "over": over}
    speckle = [record for record in records if record["case"] == "merlin"]
    if speckle:
        keys = [key for key in speckle[0] if key.partition("_")[0] in ("psnr", "ssim", "enl", "ratio", "cpu")]
        entry = {key: round(float(np.mean([record[key] for record in speckle])), 3) for key in keys}
        gains = [record["psnr"] - record["psnr_noisy"] for record in speckle]
        told["merlin"] = {"runs": len(speckle), **entry, "psnr_gain": round(float(np.mean(gains)), 2)}
        told["merlin"]["enl_gain"] = round(float(np.mean([record["enl"] / record["enl_noisy"] for record in speckle])), 1)
    return told


SCORES = ("test_accuracy", "test_balanced_accuracy", "test_macro_f1")


def _valid(records: Sequence[Line]) -> float:
    return float(np.mean([record["valid_balanced_accuracy"] for record in records]))


def _by_split(records: Sequence[Line], score: str) -> dict[int, float]:
    """In percent, of all seeds together."""
    splits = sorted({record["split"] for record in records})
    return {split: 100 * float(np.mean([one[score] for one in records if one["split"] == split])) for split in splits}


def _spread(values: Sequence[float]) -> tuple[float, float]:
    return round(float(np.mean(values)), 2), round(float(np.std(values, ddof=1)) if len(values) > 1 else 0.0, 2)


def _scores(form: tuple[int, str], records: Sequence[Line]) -> dict[str, Any]:
    entry: dict[str, Any] = {"tile": form[0], "pool": form[1], "runs": len(records), "valid": round(100 * _valid(records), 2)}
    for score in SCORES:
        entry[score], entry[f"{score}_std"] = _spread(list(_by_split(records, score).values()))
    return entry


def _beside(records: Sequence[Line], baseline: Sequence[Line]) -> dict[str, Any]:
    """How much better in balanced accuracy, split by split: mean and deviation, and in how many splits of those there are."""
    score = "test_balanced_accuracy"
    one, other = _by_split(records, score), _by_split(baseline, score)
    gains = [one[split] - other[split] for split in one if split in other]
    gain, deviation = _spread(gains)
    return {"gain": gain, "std": deviation, "better": sum(each > 0 for each in gains), "of": len(gains)}


def table(told: Line) -> str:
    """Markdown."""
    lines = ["| case | tile, pooling | accuracy | balanced accuracy | macro F1 |", "|---|---|---|---|---|"]
    for name, entry in told.items():
        if name != "merlin":
            scores = " | ".join(f"{entry[key]:.1f} ± {entry[key + '_std']:.1f}" for key in SCORES)
            lines.append(f"| {name} | {entry['tile']}, {entry['pool']} | {scores} |")
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=shared_data("satellite"))
    parser.add_argument("--out", type=Path, default=Path("satellite_accuracy.jsonl"), help="JSON, a line a piece")
    parser.add_argument("--cases", nargs="+", default=["lulc", "leipzig", "merlin"], choices=["lulc", "leipzig", "merlin"])
    parser.add_argument("--methods", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--jobs", type=int, default=1, help="pieces at a time")
    parser.add_argument("--seeds", type=int, default=2, help="of encoders, trained or not")
    parser.add_argument("--splits", type=int, help="other than those of each case")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--merlin-seeds", type=int, default=1)
    parser.add_argument("--merlin-steps", type=int, default=600)
    parser.add_argument("--small", action="store_true", help="MERLIN's net smaller than published, for CPUs")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "quick.jsonl" if arguments.quick else arguments.out
        jobs, do = jobs_of(arguments), partial(work, data=arguments.data, device=arguments.device)
        lines = _pieces.conduct(lambda lines: jobs, do, out, jobs=arguments.jobs, still=lambda line: line["job"] in jobs)
    found = summary([{**line["job"], **record} for line in lines for record in line.get("records", [])])
    print(table(found))
    print(json.dumps({"errors": [line for line in lines if "error" in line], "results": found}))


if __name__ == "__main__":
    main()
