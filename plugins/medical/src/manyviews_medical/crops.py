"""Crops of stored volumes as batches, and their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from manyviews_medical.batch import VolumeBatch
from manyviews_medical.places import PLANES, crop_shape
from manyviews_medical.prepare import Volume
from manyviews_medical.scale import ends_of
from manyviews_medical.spec import VolumeSpec
from manyviews_medical.store import Maps

OFTEN = 1 / 3
"""Share of training crops that are laid around a labelled place of a class drawn at random, as nnU-Net (Isensee et al.
2021)."""


class Crops:
    """Reads boxes of volumes; slices are boxes of one voxel across the plane."""

    def __init__(self, volumes: Sequence[Volume], spec: VolumeSpec) -> None:
        self.volumes, self.spec, self.shape = volumes, spec, crop_shape(spec)
        self._ends = ends_of(volumes, spec.intensity)
        self._maps = Maps()
        self.dtype = _common([volume.image.dtype for volume in volumes])

    def read(self, numbers: Int[np.ndarray, "samples"], starts: Int[np.ndarray, "samples 3"]) -> VolumeBatch:
        """A crop of each of these volumes, its first voxel at `starts`."""
        voxels = np.empty((len(numbers), self.spec.channels, *self.shape), self.dtype)
        inside = np.zeros((len(numbers), *self.shape), bool)
        centre = np.empty((len(numbers), 3), np.float32)
        for row, number in enumerate(numbers.tolist()):
            volume, start = self.volumes[number], starts[row]
            centre[row] = (start + np.array(self.shape) / 2) / np.array(volume.image.shape)
            self._fill(volume, start.tolist(), voxels[row], inside[row])
        keep = [axis for axis in range(3) if self.spec.axes == 3 or axis != PLANES[self.spec.plane]]
        low, high = (torch.from_numpy(ends[numbers]) for ends in self._ends)
        known = None if inside.all() else self._flat(torch.from_numpy(inside), 1)
        places = torch.from_numpy(np.ascontiguousarray(centre[:, keep]))
        clip = self.spec.intensity.kind != "zscore"
        return VolumeBatch(
            self._flat(torch.from_numpy(voxels), 2), low, high, clip, known, places, torch.from_numpy(numbers.astype(np.int64))
        )

    def labels(
        self, numbers: Int[np.ndarray, "samples"], starts: Int[np.ndarray, "samples 3"]
    ) -> Int[Tensor, "samples *space"]:
        """The segmentation of the same crops; -1 beyond a volume's edge."""
        found = np.full((len(numbers), *self.shape), -1, np.int64)
        for row, number in enumerate(numbers.tolist()):
            label, begin = self.volumes[number].label, starts[row].tolist()
            assert label is not None
            marks = np.zeros((1, *self.shape), label.dtype)
            self._maps.read(label, begin, marks)
            within = _within(begin, self.shape, label.shape)
            found[row][within] = marks[0][within]
        return self._flat(torch.from_numpy(found), 1)

    def whole(self, number: int) -> VolumeBatch:
        """A whole volume, in space even where crops are slices, with its grid and its file's."""
        volume = self.volumes[number]
        voxels = np.empty((1, self.spec.channels, *volume.image.shape), self.dtype)
        self._maps.read(volume.image, (0, 0, 0), voxels[0])
        low, high = (torch.from_numpy(ends[[number]]) for ends in self._ends)
        clip = self.spec.intensity.kind != "zscore"
        return VolumeBatch(torch.from_numpy(voxels), low, high, clip, grids=(volume.grid, volume.original))

    def draw(self, number: int, generator: np.random.Generator) -> Int[np.ndarray, "3"]:
        """The first voxel of a training crop: anywhere, or around a labelled place."""
        volume = self.volumes[number]
        size, most = np.array(self.shape), np.array(volume.image.shape)
        start = generator.integers(0, np.maximum(most - size, 0) + 1)
        points = [] if volume.label is None else volume.label.about["points"]
        if points and generator.random() < OFTEN:
            of_class = points[generator.integers(len(points))]
            point = np.array(of_class[generator.integers(len(of_class))])
            start = np.clip(point - generator.integers(0, size), 0, np.maximum(most - size, 0))
        return np.where(most < size, (most - size) // 2, start)

    def _flat(self, x: Shaped[Tensor, "..."], before: int) -> Shaped[Tensor, "..."]:
        """Slices lose the axis that they were taken across."""
        return x if self.spec.axes == 3 else x.squeeze(before + PLANES[self.spec.plane])

    def _fill(
        self, volume: Volume, begin: list[int], voxels: Shaped[np.ndarray, "channels x y z"], inside: Bool[np.ndarray, "x y z"]
    ) -> None:
        inside[_within(begin, self.shape, volume.image.shape)] = True
        if not inside.all():
            voxels[:] = 0
        self._maps.read(volume.image, begin, voxels)
        if volume.mask is not None:
            mask = np.zeros((1, *self.shape), volume.mask.dtype)
            self._maps.read(volume.mask, begin, mask)
            inside &= mask[0] == 0


def _within(begin: Sequence[int], size: Sequence[int], volume: Sequence[int]) -> tuple[slice, ...]:
    """The part of a crop that lies in the volume."""
    each = zip(begin, size, volume, strict=True)
    return tuple(slice(max(-first, 0), max(min(side, most - first), 0)) for first, side, most in each)


def _common(dtypes: list[np.dtype[Any]]) -> np.dtype[Any]:
    """The smallest type that holds all, of those that tensors have; at most float32."""
    found = np.result_type(*dtypes)
    if found.kind == "f" or found.itemsize > 4:
        return np.dtype("float32")
    return np.dtype("int32") if found.name == "uint16" else found
