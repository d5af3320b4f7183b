"""The survey before training: scenes looked at, tiles cut, what is too small, empty or damaged refused with its reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int

from manyviews.errors import DataError
from manyviews_satellite.reading.scene import Scene, Valid
from manyviews_satellite.reading.whole import whole
from manyviews_satellite.spec import Windows
from manyviews_satellite.tiles import Numbers, Tiles, cut, regions_of
from manyviews_satellite.validity import valid_mask, valid_shares

Centres = Callable[[Scene], tuple[Numbers, Numbers, Numbers]]
"""Rows and columns of the pixels of a scene that are labelled, and a number for each: which label."""


@dataclass
class Survey:
    """What was found."""

    scenes: list[Scene] = field(default_factory=list)
    tiles: Tiles = field(default_factory=lambda: Tiles.of([]))
    labels: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))
    """Of each tile that was cut around a labelled pixel, which label."""
    refused: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    """Scenes too large to be looked at for valid pixels: all their tiles are taken."""


def survey(scenes: Sequence[Scene], windows: Windows, centres: Centres | None) -> Survey:
    """Cut the tiles of all scenes; around labelled pixels where `centres` names some."""
    found, parts, labels = Survey(), [], []
    area = sum(scene.grid.rows * scene.grid.cols for scene in scenes)
    for number, scene in enumerate(scenes):
        random = np.random.default_rng([windows.seed, 11, number])
        try:
            scene = whole(scene, windows.tile) if windows.sampling == "whole" else scene
            row, col, region, label = _tiles(scene, windows, random, area, centres)
            mask = valid_mask(scene) if scene.checked or _reaches_out(scene, row, col, windows.tile) else None
            if mask is None and scene.checked:
                found.unseen.append(scene.name)
            kept = _kept(scene, windows, mask, row, col)
        except DataError as error:
            found.refused.append(str(error))
            continue
        order = np.argsort(region[kept], kind="stable")
        parts.append((len(found.scenes), row[kept], col[kept], region[kept]))
        labels.append(label[kept][order])
        found.scenes.append(scene)
    found.tiles, found.labels = Tiles.of(parts), np.concatenate([*labels, np.zeros(0, np.int64)])
    return found


def _tiles(
    scene: Scene, windows: Windows, random: np.random.Generator, area: int, centres: Centres | None
) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    tile = windows.tile
    if centres is not None:
        row, col, label = centres(scene)
        if not len(row):
            raise DataError(f"{scene.name}: none of the labelled places lies in it")
        row, col = row - tile // 2, col - tile // 2
        return row, col, regions_of(scene, tile, row, col), label
    if windows.small == "refuse" and min(scene.grid.rows, scene.grid.cols) < tile:
        raise DataError(
            f"{scene.name}: {scene.grid.rows} x {scene.grid.cols} pixels are fewer than a tile of {tile} x {tile}\n"
            f"set data.tile={min(scene.grid.rows, scene.grid.cols)} or less, or data.small=pad"
        )
    row, col, region = cut(scene, windows, random, area)
    return row, col, region, np.zeros(len(row), np.int64)


def _reaches_out(scene: Scene, row: Numbers, col: Numbers, tile: int) -> bool:
    low, high = min(int(row.min()), int(col.min())), max(int(row.max()) - scene.grid.rows, int(col.max()) - scene.grid.cols)
    return low < 0 or high + tile > 0


def _kept(scene: Scene, windows: Windows, mask: Valid | None, row: Numbers, col: Numbers) -> Int[np.ndarray, "kept"]:
    """The tiles with enough valid pixels."""
    if mask is None:
        return np.arange(len(row))
    if not mask.any():
        nodata = {layer.nodata for layer in scene.layers if layer.nodata is not None}
        why = f"no data ({', '.join(f'{value:g}' for value in sorted(nodata))})" if nodata else "NaN or masked"
        raise DataError(f"{scene.name}: holds nothing: all of its pixels are {why}")
    shares = valid_shares(mask, scene, row, col, windows.tile)
    kept = np.flatnonzero(shares >= windows.min_valid)
    if not len(kept):
        raise DataError(
            f"{scene.name}: none of its {len(row):,} tiles has {windows.min_valid:.0%} of valid pixels; the best has "
            f"{shares.max():.0%}\nlower data.min_valid or data.tile"
        )
    return kept
