"""Turn and resample volumes, and bring what was found on the new grid back to the old one.

Grids are resampled edge to edge: the field of view stays, which is `align_corners=False` of torch's interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass

import nibabel
import numpy as np
import torch
from jaxtyping import Float, Shaped
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from manyviews_medical.reading.scan import Scan


@dataclass(frozen=True)
class Grid:
    """Where voxels lie: as many along each axis, and the affine to millimetres."""

    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between voxels along each axis."""
        x, y, z = np.linalg.norm(np.array(self.affine)[:3, :3], axis=0).tolist()
        return x, y, z

    @classmethod
    def of(cls, scan: Scan) -> Grid:
        """The grid of a scan of (channels, x, y, z)."""
        x, y, z = scan.voxels.shape[1:]
        return cls((x, y, z), tuple(map(tuple, scan.affine.tolist())))


def turned(scan: Scan, axes: str) -> Scan:
    """Axes flipped and exchanged so that they point as `axes` says (`RAS`: right, anterior, superior); no number changes."""
    turn = _turn(scan.affine, axes)
    voxels = np.stack([nibabel.apply_orientation(one, turn) for one in scan.voxels])
    affine = scan.affine @ nibabel.orientations.inv_ornt_aff(turn, scan.voxels.shape[1:])
    return Scan(scan.path, np.ascontiguousarray(voxels), affine, scan.slope, scan.intercept, scan.modality, scan.patient)


def resampled(scan: Scan, spacing: tuple[float, float, float], *, label: bool = False) -> Scan:
    """The same field of view at (nearly) another spacing, linearly, smoothed first where it becomes coarser; labels by
    the nearest."""
    old = np.array(scan.voxels.shape[1:])
    new = np.maximum(np.rint(old * np.array(scan.spacing) / np.array(spacing)), 1).astype(int)
    if (new == old).all():
        return scan
    factor = old / new
    affine = scan.affine.copy()
    affine[:3, :3] = scan.affine[:3, :3] * factor
    affine[:3, 3] += scan.affine[:3, :3] @ ((factor - 1) / 2)
    voxels = np.stack([_nearest(one, new) if label else _linear(one, new, factor) for one in scan.voxels])
    return Scan(scan.path, voxels, affine, scan.slope, scan.intercept, scan.modality, scan.patient)


def back(
    scores: Float[Tensor, "classes x y z"], now: Grid, before: Grid
) -> Float[Tensor, "classes before_x before_y before_z"]:
    """Scores of classes on a turned and resampled grid, on the grid of the file."""
    turn = nibabel.orientations.ornt_transform(_axes(np.array(now.affine)), _axes(np.array(before.affine)))
    order = [int(axis) for axis in np.argsort(turn[:, 0])]
    scores = scores.permute(0, *(1 + axis for axis in order))
    flipped = [1 + place for place, axis in enumerate(order) if turn[axis, 1] < 0]
    scores = scores.flip(flipped) if flipped else scores
    if tuple(scores.shape[1:]) != before.shape:
        scores = F.interpolate(scores[None], size=before.shape, mode="trilinear", align_corners=False)[0]
    return scores


def _axes(affine: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "3 2"]:
    axes: np.ndarray = nibabel.io_orientation(affine)
    return axes


def _turn(affine: Float[np.ndarray, "4 4"], axes: str) -> Float[np.ndarray, "3 2"]:
    turn: np.ndarray = nibabel.orientations.ornt_transform(_axes(affine), nibabel.orientations.axcodes2ornt(tuple(axes)))
    return turn


def _linear(
    volume: Shaped[np.ndarray, "x y z"], new: np.ndarray, factor: np.ndarray
) -> Shaped[np.ndarray, "new_x new_y new_z"]:
    numbers = volume.astype(np.float32)
    if (factor > 1).any():
        numbers = ndimage.gaussian_filter(numbers, np.maximum((factor - 1) / 2, 0), mode="nearest")
    size = [int(number) for number in new]
    made = F.interpolate(torch.from_numpy(numbers)[None, None], size=size, mode="trilinear", align_corners=False)[0, 0].numpy()
    return made if volume.dtype.kind == "f" else np.rint(made).astype(volume.dtype)


def _nearest(volume: Shaped[np.ndarray, "x y z"], new: np.ndarray) -> Shaped[np.ndarray, "new_x new_y new_z"]:
    places = [((np.arange(n) + 0.5) * o / n).astype(int) for n, o in zip(new.tolist(), volume.shape, strict=True)]
    return np.ascontiguousarray(volume[np.ix_(*places)])
