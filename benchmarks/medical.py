"""Volumes: crops a second beside MONAI's datasets on the same files, and the step of an MAE beside MONAI's.

    OMP_NUM_THREADS=1 python benchmarks/medical.py [--data FOLDER] [--epochs 6] [--rounds 12]
    OMP_NUM_THREADS=1 python benchmarks/medical.py --quick

Crops of 32³ of up to 120 volumes, scaled by robust percentiles, flipped along each axis, half of them turned and stretched,
half of them with noise, in batches of 16 without workers: with MONAI's Dataset, CacheDataset and PersistentDataset and
their usual transforms, and with manyviews, each in a process of its own; cold (from the files, nothing prepared) and warm
(the epochs after that). First the deterministic part is compared: the same box of the same volume, scaled, to 1e-4. Memory
is what the process's own pages grew by since the imports; files that are mapped are not among them. Then, in turns in one
process: steps of an MAE of equal width, depth, decoder and share of tokens kept. CPU time of the process. The last line is
one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from _measure import interleaved, ratio, shared_data

SIDE, BATCH = 32, 16
PIPELINES = ("monai Dataset", "monai CacheDataset", "monai PersistentDataset", "manyviews")
LOW, HIGH = 0.5, 99.5
DEGREES, STRETCH, NOISE = 15.0, 0.1, 0.1


def monai_epochs(name: str, files: list[str], place: Path) -> Iterator[torch.Tensor | None]:
    """Batches; None behind each epoch."""
    from monai.data import CacheDataset, DataLoader, Dataset, PersistentDataset

    transform, items = monai_transforms(), [{"image": path} for path in files]
    if name == "monai CacheDataset":
        data = CacheDataset(items, transform, num_workers=0, progress=False)
    elif name == "monai PersistentDataset":
        data = PersistentDataset(items, transform, cache_dir=place / "monai")
    else:
        data = Dataset(items, transform)
    while True:
        for batch in DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=0):
            yield batch["image"].as_tensor()
        yield None


def monai_transforms() -> Any:
    """Reading, scaling, padding; then what is random."""
    from monai import transforms as t

    turn = DEGREES * np.pi / 180
    fixed = [
        t.LoadImaged("image", image_only=True, ensure_channel_first=True, dtype=np.float32),
        t.Orientationd("image", axcodes="RAS", labels=None),
        t.ScaleIntensityRangePercentilesd("image", LOW, HIGH, 0, 1, clip=True),
        t.SpatialPadd("image", (SIDE,) * 3),
    ]
    chance = [
        t.RandSpatialCropd("image", (SIDE,) * 3, random_size=False),
        *(t.RandFlipd("image", prob=0.5, spatial_axis=axis) for axis in range(3)),
        t.RandAffined(
            "image", prob=0.5, rotate_range=(turn,) * 3, scale_range=(STRETCH,) * 3, padding_mode="zeros", cache_grid=True
        ),
        t.RandGaussianNoised("image", prob=0.5, std=NOISE),
    ]
    return t.Compose([*fixed, *chance])


def our_epochs(files: list[str], place: Path) -> Iterator[torch.Tensor | None]:
    """The same with manyviews: crops from chunks, changes for a whole batch."""
    from manyviews_medical.source import VolumeSource
    from manyviews_medical.views import intensity
    from manyviews_medical.views.moves import Moves, moved

    source = VolumeSource(path=listed(files, place), crop=SIDE, crops=64, cache=str(place / "manyviews"))
    count, random, generator = len(files), np.random.default_rng(0), torch.Generator().manual_seed(0)
    turned, plain = Moves(rotate=DEGREES, scale=(1 - STRETCH, 1 + STRETCH)), Moves()

    def views(batch: Any) -> torch.Tensor:
        half = len(batch) // 2  # the order is random, so that any half will do
        halves = zip(split(batch, half), (turned, plain), strict=True)
        x = torch.cat([moved(part, moves, generator).voxels for part, moves in halves])
        return intensity.sometimes(x, intensity.noisy(x, NOISE, generator), 0.5, generator)

    while True:
        order = random.permutation(count) + count * random.integers(0, 64, count)
        for start in range(0, count, BATCH):
            yield views(source.batch(order[start : start + BATCH]).scaled())
        yield None


def split(batch: Any, half: int) -> tuple[Any, Any]:
    """A batch in two."""
    from dataclasses import replace

    def part(rows: slice) -> Any:
        known = None if batch.known is None else batch.known[rows]
        return replace(batch, voxels=batch.voxels[rows], known=known, centre=None, volume=None)

    return part(slice(None, half)), part(slice(half, None))


def listed(files: list[str], place: Path) -> Path:
    """A manifest of the files."""
    path = place / "files.csv"
    path.write_text("path\n" + "".join(f"{file}\n" for file in files))
    return path


def measure(name: str, files: list[str], place: Path, epochs: int) -> dict[str, float]:
    """Crops a CPU second in the first epoch and in the others, and the peak of memory, in this process."""
    imports()
    base = memory()
    begun = time.process_time()
    batches = our_epochs(files, place) if name == "manyviews" else monai_epochs(name, files, place)
    seconds = []
    for _ in range(epochs):
        while (batch := next(batches)) is not None:
            assert tuple(batch.shape[1:]) == (1, SIDE, SIDE, SIDE)
        now = time.process_time()
        seconds.append(now - begun)
        begun = now
    warm = median(seconds[1:])
    return {"cold": len(files) / seconds[0], "warm": len(files) / warm, "megabytes": memory() - base}


def imports() -> None:
    """What all need, before anything is measured."""
    import monai.data
    import monai.transforms  # noqa: F401

    import manyviews_medical.source  # noqa: F401


def memory() -> float:
    """Megabytes of this process's own pages, files that are mapped left out."""
    rows = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(rows["RssAnon"].split()[0]) / 1000


def equal(files: list[str], place: Path) -> float:
    """The largest difference between MONAI's scaled volume and ours, in the same box."""
    from monai import transforms as t

    from manyviews_medical.source import VolumeSource

    source = VolumeSource(path=listed(files, place), crop=SIDE, crops=2, cache=str(place / "manyviews"))
    fixed = t.Compose(monai_transforms().transforms[:3])
    worst = 0.0
    for number, path in enumerate(files):
        for sample in (number, number + len(files)):
            start = source.place(sample)
            whole = fixed({"image": path})["image"].as_tensor()[0]
            if min(whole.shape) < SIDE:
                continue  # MONAI pads behind first, manyviews before
            box = tuple(slice(int(low), int(low) + SIDE) for low in start)
            worst = max(worst, float((source.batch(np.array([sample])).scaled().voxels[0, 0] - whole[box]).abs().max()))
    return worst


def steps(rounds: int, batch: int = 8) -> dict[str, float]:
    """Milliseconds of a step of either MAE: 32³, patch 8, width 192, depth 6, a quarter of the tokens kept, decoder 96 x 2."""
    from monai.networks.nets.masked_autoencoder_vit import MaskedAutoEncoderViT

    from manyviews.engine.learner import Step
    from manyviews.engine.model import Model, Part
    from manyviews.objectives.masked_reconstruction import MaskedReconstruction
    from manyviews.views.random_mask import RandomMask
    from manyviews_medical.batch import VolumeBatch
    from manyviews_medical.patches import cut
    from manyviews_medical.spec import VolumeSpec
    from manyviews_medical.transformer import PatchTransformer

    torch.manual_seed(0)
    x = torch.rand(batch, 1, SIDE, SIDE, SIDE)
    spec = VolumeSpec(crop=(SIDE,) * 3, channels=1)
    loss = MaskedReconstruction(width=96, depth=2, heads=4)
    ours = Model(PatchTransformer(spec, width=192, depth=6, heads=6), [Part(RandomMask(share=0.75), loss)], "sample")
    theirs = MaskedAutoEncoderViT(
        in_channels=1,
        img_size=(SIDE,) * 3,
        patch_size=(8,) * 3,
        hidden_size=192,
        mlp_dim=768,
        num_layers=6,
        num_heads=6,
        masking_ratio=0.75,
        decoder_hidden_size=96,
        decoder_mlp_dim=384,
        decoder_num_layers=2,
        decoder_num_heads=4,
    )
    generator = torch.Generator().manual_seed(0)

    def our_loss() -> torch.Tensor:
        value: torch.Tensor = ours(Step(VolumeBatch(x, None, None), generator, lambda metrics: None))
        return value

    def their_loss() -> torch.Tensor:
        said, hidden = theirs(x)
        wanted = cut(x, 8).reshape(batch, -1, 512)
        return ((said - wanted).square().mean(-1) * hidden).sum() / hidden.sum()

    works = {"manyviews": worker(ours, our_loss), "monai": worker(theirs, their_loss)}
    for work in works.values():
        work(0)
    seconds = interleaved(works, rounds)
    return {
        **{f"{name} ms": round(1000 * median(each), 1) for name, each in seconds.items()},
        "times monai": round(ratio(seconds["manyviews"], seconds["monai"]), 3),
    }


def worker(model: torch.nn.Module, loss: Callable[[], torch.Tensor]) -> Callable[[int], None]:
    """One optimiser step."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)

    def work(number: int) -> None:
        optimizer.zero_grad()
        torch.autograd.backward(loss())
        optimizer.step()

    return work


def found(data: Path, place: Path, quick: bool) -> list[str]:
    """Volumes on disk; phantoms where there are none."""
    files = sorted(str(path.resolve()) for path in (data / "imagesTr").glob("*.nii.gz")) if data.is_dir() else []
    if not files:
        from manyviews_medical.phantom import write_phantoms

        write_phantoms(place / "phantoms", 24 if quick else 120, (36, 50, 36))
        files = sorted(map(str, (place / "phantoms").glob("*_image.nii.gz")))
    return files[: 24 if quick else 120]


def main() -> None:
    """All pipelines, each in its own process, and the steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=shared_data("medical", "msd_hippocampus"))
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--job", nargs=3)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    if given.job:
        name, files, place = given.job
        print(json.dumps(measure(name, json.loads(Path(files).read_text()), Path(place), given.epochs)))
        return
    epochs, rounds = (3, 3) if given.quick else (given.epochs, given.rounds)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        files = found(given.data, place, given.quick)
        (place / "check").mkdir()
        worst = equal(files[:12], place / "check")
        assert worst < 1e-4, f"the same box of the same volume differs by {worst}"
        names = place / "files.json"
        names.write_text(json.dumps(files))
        rows = {}
        for number, name in enumerate(PIPELINES):
            own = place / str(number)
            own.mkdir()
            words = [sys.executable, __file__, "--epochs", str(epochs), "--job", name, str(names), str(own)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            rows[name] = json.loads(done.stdout.splitlines()[-1])
    table(rows)
    best = max(row["warm"] for name, row in rows.items() if name != "manyviews")
    told = {
        "benchmark": "medical",
        "volumes": len(files),
        "largest difference": worst,
        "crops per CPU second": {name: {key: round(value, 1) for key, value in row.items()} for name, row in rows.items()},
        "warm, times the best of MONAI": round(rows["manyviews"]["warm"] / best, 2),
        "MAE step": steps(rounds),
    }
    print(json.dumps(told))


def table(rows: dict[str, dict[str, float]]) -> None:
    """As Markdown."""
    print("| | cold | warm | megabytes |\n| :-- | --: | --: | --: |")
    for name, row in rows.items():
        print(f"| {name} | {row['cold']:,.0f} | {row['warm']:,.0f} | {row['megabytes']:.0f} |")


if __name__ == "__main__":
    main()
