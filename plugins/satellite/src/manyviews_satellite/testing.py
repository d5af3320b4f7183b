"""Small images of every kind, and the sizes at which the package's parts are tried on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from manyviews.testing.trial import Trial


def scenes(folder: Path) -> dict[str, Any]:
    """Two Sentinel-2 scenes in two folders, which are their labels; a corner without data."""
    from manyviews_satellite.synth import landscape, numbers, reflectances, write_scene

    for number, kind in enumerate(("north", "south")):
        (folder / kind).mkdir()
        pixels = numbers(reflectances(landscape(96, 96, 5, number), number))
        pixels[:, :8, :24] = 0
        write_scene(folder / kind / "S2A_20200401_scene.tif", pixels, corner=(600_000.0 + 20_000 * number, 5_200_000.0))
    data = {"source": "tiles", "path": str(folder), "tile": 16, "stride": 8, "target": "folder", "block": 16}
    return {"data": data}


def dates(folder: Path) -> dict[str, Any]:
    """Three dates of one place, of which a sample has two."""
    from manyviews_satellite.synth import landscape, numbers, reflectances, write_scene

    ground = landscape(64, 64, 5, 0)
    for month in (1, 4, 7):
        pixels = numbers(reflectances(ground, month, season=month / 12))
        write_scene(folder / f"S2A_20200{month}01_scene.tif", pixels, corner=(600_000.0 + 10 * month, 5_200_000.0))
    return {"data": {"source": "tiles", "path": str(folder), "tile": 16, "dates": 3, "min_valid": 0.9}}


def radar(folder: Path) -> dict[str, Any]:
    """Single-look complex images of two sizes."""
    from manyviews_satellite.synth import landscape, reflectances, write_slc

    for number in range(2):
        ground = reflectances(landscape(64, 64 + 16 * number, 5, number), number)[3]
        write_slc(folder / f"S1A_VV_{number}.tif", 100 * ground, number)
    return {"data": {"source": "tiles", "path": str(folder), "tile": 16}}


def changes(folder: Path) -> dict[str, Any]:
    """Pairs of images, in the second of which towns have grown, with masks of those."""
    import numpy as np

    from manyviews_satellite.synth import landscape, numbers, reflectances, write_scene

    for name in ("before", "after", "changed"):
        (folder / name).mkdir()
    for number in range(3):
        ground = landscape(32, 32, 4, number)
        later = ground.copy()
        later[8 + number : 24, 4:20] = 4
        for name, classes in (("before", ground), ("after", later)):
            pixels = numbers(reflectances(classes, number, season=0.3 * (name == "after")))
            write_scene(folder / name / f"{number}.tif", pixels, corner=(600_000.0 + 1000 * number, 5_200_000.0))
        mask = (later != ground)[None].astype(np.uint8)
        write_scene(folder / "changed" / f"{number}.tif", mask, names=None, corner=(600_000.0 + 1000 * number, 5_200_000.0))
    data = {"pairs": ["before", "after"], "dense": True, "target": "changed", "block": 32, "splits": {"valid": 0.3}}
    return {"data": {"source": "tiles", "path": str(folder), "sensor": "sentinel2", "tile": 16, **data}}


SMALL = {"width": 16, "depth": 1, "heads": 2}
UNLABELLED = ("scenes", "dates", "radar")
TRIAL = Trial(
    data={"scenes": scenes, "dates": dates, "radar": radar, "changes": changes},
    parts={
        "satellite/transformer": {**SMALL, "patch": 8},
        "satellite/resnet": {"width": 16, "stages": 2, "blocks": 1},
        "satellite/rcf": {"width": 16},
        "satellite/seco": {"queue": 64, "out": 8},
        "satellite/unet": {"channels": 4, "pools": 2, "width": 8},
    },
    variants={
        "satellite/transformer": {
            "replacing": {"hide": "replace", "groups": "all", "pool": "centre"},
            "timed": {"times": True, "positions": "metres", "groups": "each"},
            "wavelengths": {"kernels": "wavelength"},
        },
        "satellite/augment": {
            "local": {"locals": 1, "local_size": 8, "drop_bands": 0.4},
            "styled": {"style": [0.1, 0.3], "frequencies": [8, 12, 16], "growing": True, "dates": "one"},
        },
        "satellite/group_mask": {"groups": {"by": "group", "share": 0.5}},
    },
    on={
        "satellite/resnet": UNLABELLED,
        "satellite/rcf": UNLABELLED,
        "satellite/augment": UNLABELLED,
        "satellite/group_mask": UNLABELLED,
        "satellite/change": ("changes",),
        "satellite/segmentation": ("changes",),
        "satellite/merlin": ("radar",),
        "satellite/merlin_parts": ("radar",),
        "satellite/satmae_temporal": ("dates",),
        "satellite/seasonal_simclr": ("dates",),
        "satellite/seasons": ("dates",),
        "satellite/seco": ("dates",),
        "satellite/unet": ("radar", "dates"),
    },
)
"""What the conformance kit runs this package on."""
