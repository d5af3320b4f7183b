"""The demo on images: made-up Sentinel-2 scenes in different weather, land cover to be told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from manyviews.demo import Demo
from manyviews_satellite.synth import REFLECTANCES, landscape, numbers, reflectances, weathered, write_scene

SCENES, SIDE = 6, 224
LEFT, TOP, METRES = 600_000.0, 5_200_000.0, 10.0


def prepare(folder: Path) -> Demo:
    """Scenes side by side, each of another month, sun and haze, and one map of what grows there."""
    (folder / "scenes").mkdir(exist_ok=True)
    grounds = [landscape(SIDE, SIDE, len(REFLECTANCES), number) for number in range(SCENES)]
    for number, ground in enumerate(grounds):
        light = weathered(reflectances(ground, number, season=number / SCENES / 2), number)
        corner = (LEFT + METRES * SIDE * number, TOP)
        write_scene(folder / "scenes" / f"S2A_2020{number + 4:02}01.tif", numbers(light), nodata=0, corner=corner)
    whole = np.concatenate(grounds, axis=1)[None].astype(np.uint8)
    cover = write_scene(folder / "landcover.tif", whole, names=None, corner=(LEFT, TOP))
    return Demo(
        "satellite/satmae",
        f"{SCENES} made-up Sentinel-2 scenes in different weather ({folder / 'scenes'}), and a map of what grows there\n"
        f"({cover}). A pixel's kind is to be read off the tile around it, in blocks of ground that no probe was fitted on.",
        {
            "data": {
                "path": str(folder / "scenes"),
                "tile": 16,
                "target": str(cover),
                "target_names": dict(enumerate(REFLECTANCES)),
                "stride": 12,
                "block": 64,
            },
            "encoder": {"width": 64, "depth": 3, "patch": 4, "pool": "centre"},
            "objective": {"width": 48, "depth": 1},
            "optim": {"lr": 2.0e-3},
            "train": {"epochs": None, "steps": 900, "batch_size": 128, "threads": 1, "watch_every": 100},
            "evaluate": [{"task": "linear_probe", "folds": 5}, {"task": "effective_rank"}, {"task": "spread"}],
        },
    )
