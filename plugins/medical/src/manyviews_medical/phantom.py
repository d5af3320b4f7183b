"""Volumes made by hand: bodies with organs of their own brightness and shape, and a grade that a probe can find."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
from jaxtyping import Float, UInt8

ORGANS = ("body", "liver", "spine", "kidney")


def phantom(
    number: int, size: Sequence[int] = (48, 48, 40), large: bool = False, pose: float = 0.0
) -> tuple[Float[np.ndarray, "x y z"], UInt8[np.ndarray, "x y z"]]:
    """A body and its organs: ellipsoids jittered from case to case.

    Args:
        number: Of the case; the same one is the same body.
        size: Voxels.
        large: Whether its liver is large.
        pose: How far bodies lie from the middle, in half sides of the volume; they differ in size by half as much.
    """
    random = np.random.default_rng([7, number])
    lies = pose * np.random.default_rng([8, number]).uniform(-1, 1, 4)
    middle, zoom = lies[:3], 1 + lies[3] / 2
    sides = [(np.linspace(-1, 1, side) - place) / zoom for side, place in zip(size, middle, strict=True)]
    axes = np.meshgrid(*sides, indexing="ij")
    label = np.zeros(size, np.uint8)
    volume = 0.03 * random.standard_normal(size)
    liver = (0.42, 0.36, 0.4) if large else (0.3, 0.26, 0.3)
    parts = [
        ((0.0, 0.0, 0.0), (0.85, 0.7, 0.92), 0.4),
        ((0.3, 0.1, 0.1), liver, 0.65),
        ((0.0, -0.42, 0.0), (0.14, 0.14, 0.8), 0.95),
        ((-0.4, -0.12, -0.1), (0.16, 0.2, 0.28), 0.8),
    ]
    for organ, (centre, radii, bright) in enumerate(parts):
        shift, stretch = 0.05 * random.standard_normal(3), 1 + 0.08 * random.standard_normal(3)
        distance = sum(
            ((axis - c - s) / (r * t)) ** 2 for axis, c, s, r, t in zip(axes, centre, shift, radii, stretch, strict=True)
        )
        inside = distance < 1
        volume[inside] = bright + 0.05 * random.standard_normal() + 0.04 * random.standard_normal(int(inside.sum()))
        label[inside] = organ + 1
    return volume, label


def write_phantoms(folder: Path, count: int = 24, size: Sequence[int] = (48, 48, 40), pose: float = 0.0) -> Path:
    """`count` volumes of half as many patients as NIfTI, with labels and a manifest. The brightness of each file is its
    own, as MR's is."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        large = bool(number // 2 % 2)
        volume, label = phantom(number, size, large, pose)
        scale = [100.0, 900.0, 4000.0][number % 3]
        affine = np.diag([1.5, 1.5, 2.0, 1.0])
        image = nibabel.Nifti1Image((scale * np.clip(volume, 0, None)).astype(np.int16), affine)
        nibabel.save(image, folder / f"case{number:03d}_image.nii.gz")
        nibabel.save(nibabel.Nifti1Image(label, affine), folder / f"case{number:03d}_label.nii.gz")
        rows.append(
            [
                f"case{number:03d}_image.nii.gz",
                f"case{number:03d}_label.nii.gz",
                f"p{number // 2}",
                "large" if large else "small",
            ]
        )
    manifest = folder / "scans.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["path", "label", "patient", "liver"], *rows])
    return manifest
