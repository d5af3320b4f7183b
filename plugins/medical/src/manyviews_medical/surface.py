"""How far apart two segmentations' surfaces are, in millimetres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy import ndimage


def surface_scores(
    said: Integer[np.ndarray, "x y z"],
    truth: Integer[np.ndarray, "x y z"],
    classes: Sequence[str],
    spacing: tuple[float, float, float],
    tolerance: float,
) -> dict[str, float]:
    """`hd95/<class>` and `nsd/<class>` of each class but the background.

    A class that is in neither is left out; one that is in one alone has no distance, and none of its surface is near: nsd 0.
    """
    found: dict[str, float] = {}
    for number, name in enumerate(classes[1:], start=1):
        mine, theirs = said == number, (truth == number)
        if not mine.any() and not theirs.any():
            continue
        if not mine.any() or not theirs.any():
            found[f"nsd/{name}"] = 0.0
            continue
        to_theirs, to_mine = surface_distances(mine, theirs, spacing)
        near = (to_theirs <= tolerance).sum() + (to_mine <= tolerance).sum()
        found[f"nsd/{name}"] = float(near / (len(to_theirs) + len(to_mine)))
        found[f"hd95/{name}"] = float(max(np.percentile(to_theirs, 95), np.percentile(to_mine, 95)))
    return found


def surface_distances(
    one: Bool[np.ndarray, "x y z"], two: Bool[np.ndarray, "x y z"], spacing: tuple[float, float, float]
) -> tuple[Float[np.ndarray, "of_one"], Float[np.ndarray, "of_two"]]:
    """From each border voxel of either to the nearest border voxel of the other; within the box that holds both."""
    box = ndimage.find_objects((one | two).astype(np.int8))[0]
    edges = [_border(np.pad(part[box], 1)) for part in (one, two)]
    away = [ndimage.distance_transform_edt(~edge, sampling=spacing) for edge in edges]
    return away[1][edges[0]], away[0][edges[1]]


def _border(inside: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    return inside & ~ndimage.binary_erosion(inside)
