"""Small volumes of every kind, and the sizes at which the package's parts are tried on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from manyviews.testing.trial import Trial


def volumes(folder: Path) -> dict[str, Any]:
    """Phantoms of MR, in files of other brightness; two scans of each patient."""
    from manyviews_medical.phantom import write_phantoms

    manifest = write_phantoms(folder, 40, (20, 20, 18))
    data = {
        "source": "volumes",
        "path": str(manifest),
        "target": "liver",
        "crop": 16,
        "crops": 2,
        "cache": str(folder / "cache"),
    }
    return {"data": data}


def real_numbers(folder: Path) -> dict[str, Any]:
    """Volumes of floating point with two channels, smaller than the crop along an axis, a part of them made unrecognisable."""
    import csv

    import nibabel
    import numpy as np

    from manyviews_medical.phantom import phantom

    rows = [["t1", "t2", "mask", "patient"]]
    for number in range(12):
        volume, label = phantom(number, (18, 16, 12))
        affine = np.diag([-1.0, 1.0, 1.0, 1.0])
        mask = np.zeros(volume.shape, np.uint8)
        mask[:4, :4, :4] = 1
        for name, image in {"t1": volume, "t2": volume * (1 + label), "mask": mask}.items():
            kept = image.astype(np.uint8 if name == "mask" else np.float32)
            nibabel.save(nibabel.Nifti1Image(kept, affine), folder / f"{number}_{name}.nii.gz")
        rows.append([f"{number}_t1.nii.gz", f"{number}_t2.nii.gz", f"{number}_mask.nii.gz", str(number)])
    with (folder / "scans.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    columns = {"path_column": ["t1", "t2"], "intensity": {"kind": "zscore"}}
    return {
        "data": {"source": "volumes", "path": str(folder / "scans.csv"), "crop": 16, "cache": str(folder / "cache"), **columns}
    }


def slices(folder: Path) -> dict[str, Any]:
    """Slices of the same phantoms."""
    given = volumes(folder)["data"]
    return {"data": {**given, "crop": [32, 32], "crops": 3, "plane": "coronal"}}


SMALL = {"width": 16, "depth": 1, "heads": 2}
TRIAL = Trial(
    data={"volumes": volumes, "real_numbers": real_numbers, "slices": slices},
    parts={
        "medical/transformer": {"width": 24, "depth": 2, "heads": 2, "patch": 8},
        "medical/segresnet": {"width": 16, "channels": 8, "blocks_down": [1, 1, 1, 1], "blocks_up": [1, 1, 1]},
        "medical/swin_unetr": {
            "width": 16,
            "channels": 8,
            "patch": 1,
            "depths": [1, 1, 1, 1],
            "heads": [2, 2, 2, 2],
            "window": 4,
        },
        "medical/vit": {"width": 24, "depth": 2, "heads": 2, "patch": 8},
        "medical/global_local": {"width": 4, "out": 8, "local_out": 4, "region": 8},
        "medical/alice": {"out": 32, "bottleneck": 8, "hidden": 16, **SMALL},
        "medical/graph_matching": {"out": 8, "near": 2, "regions": 4, "best": 2},
        "medical/voco": {"hidden": 16, "out": 8},
        "medical/partitions": {"parts": 2},
        "medical/unet": {"width": 16, "channels": 4, "levels": 4, "blocks": 1},
        "medical/fusion": {"block": [2, 8]},
        "medical/volume_fusion": {"width": 4},
        "medical/swin_ssl": {"width": 4, "out": 8},
        "jepa": SMALL,
        "masked_reconstruction": SMALL,
        "masked_codes": {**SMALL, "codes": 6, "out": 8},
        "random_codes": {**SMALL, "codes": 12, "code_width": 4},
        "dino": {"hidden": 32, "bottleneck": 16, "out": 64},
    },
    variants={
        "medical/transformer": {"replacing": {"hide": "replace"}},
        "medical/augment": {
            "locals": {"locals": 1, "looks": {"bias": 0.3, "invert": 0.5, "cutout": 2}},
            "turned": {"moves": {"rotate": 20.0, "scale": [0.8, 1.2], "quarter": True}},
            "aligned": {"aligned": True},
        },
        "medical/fusion": {
            "boxes": {"mixing": "boxes", "boxes": [3, 5]},
            "other": {"other": "volume", "looks": {"noise": 0.1}},
        },
        "medical/masked": {"cropped": {"moves": {"size": 8, "quarter": True}, "looks": {"noise": 0.1}, "share": 0.5}},
    },
    on={"medical/swin_ssl": ("slices",), "medical/voco": ("slices",), "medical/alice": ("slices",)},
)
