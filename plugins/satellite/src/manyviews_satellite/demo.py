"""The demo on images: made-up Sentinel-2 scenes, land cover to be told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from manyviews.demo import Demo
from manyviews_satellite.synth import REFLECTANCES, landscape, numbers, reflectances, write_scene


def prepare(folder: Path) -> Demo:
    """A scene of 512 x 512 pixels, and a map of what grows there."""
    ground = landscape(512, 512, len(REFLECTANCES), 0)
    scene = write_scene(folder / "S2A_20200601_scene.tif", numbers(reflectances(ground, 0)), nodata=0)
    (folder / "cover").mkdir(exist_ok=True)
    cover = write_scene(folder / "cover" / "landcover.tif", ground[None].astype(np.uint8), names=None)
    return Demo(
        "satellite/satmae",
        f"A made-up Sentinel-2 scene, and a map of its {len(REFLECTANCES)} kinds of ground: {scene}, {cover}",
        {
            "data": {"path": str(scene), "tile": 12, "target": str(cover), "stride": 16, "block": 64},
            "encoder": {"width": 64, "depth": 3, "patch": 4},
            "train": {"epochs": 12, "batch_size": 64, "threads": 1, "watch_every": 50},
            "evaluate": [{"task": "linear_probe", "every": 100}, {"task": "effective_rank"}, {"task": "spread"}],
        },
    )
