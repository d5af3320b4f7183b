"""Blocks of ground: tiles of one block are never torn apart by a split, whatever date or scene they are of.

Neighbouring pixels are alike: a test pixel beside a training pixel tells nothing of other places.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Shaped

from manyviews_satellite.reading.scene import Scene
from manyviews_satellite.tiles import Tiles

Down = Float[np.ndarray, "tiles"]


def blocks_of(scenes: Sequence[Scene], tiles: Tiles, side: int, down: Down, across: Down) -> Shaped[np.ndarray, "tiles"]:
    """The block that a pixel of each tile's scene lies in.

    Args:
        scenes: The scenes.
        tiles: Tiles of theirs.
        side: Side of a block, in pixels of the first scene of each coordinate system.
        down: Row of the pixel.
        across: Its column.
    """
    names = np.empty(len(tiles), dtype=object)
    sizes: dict[str, tuple[int, float]] = {}
    for number in np.unique(tiles.scene).tolist():
        scene, own = scenes[number], np.flatnonzero(tiles.scene == number)
        if scene.grid.crs is None:
            space, x, y, size = scene.place or scene.name, across[own], down[own], float(side)
        else:
            pixel = abs(scene.grid.affine.determinant) ** 0.5
            known, size = sizes.setdefault(scene.grid.crs, (len(sizes), side * pixel))
            space = f"crs{known}"
            x, y = scene.grid.points(down[own], across[own])
        places = zip(np.floor(y / size).astype(int).tolist(), np.floor(x / size).astype(int).tolist(), strict=True)
        names[own] = [f"{space}:{row}:{col}" for row, col in places]
    return names.astype(str)


def ground_blocks(scenes: Sequence[Scene], tiles: Tiles, tile: int, side: int) -> Shaped[np.ndarray, "tiles"]:
    """The block that each tile's centre lies in."""
    return blocks_of(scenes, tiles, side, tiles.row + tile / 2, tiles.col + tile / 2)


def straddling(
    scenes: Sequence[Scene],
    tiles: Tiles,
    tile: int,
    side: int,
    blocks: Shaped[np.ndarray, "tiles"],
    splits: Shaped[np.ndarray, "tiles"],
) -> Bool[np.ndarray, "tiles"]:
    """Training tiles that reach into a block whose tiles validate or test."""
    held = set(np.unique(blocks[splits != "train"]).tolist())
    found = np.zeros(len(tiles), dtype=bool)
    steps = np.linspace(0, tile, 2 + tile // side)  # no block lies between two of these unseen
    for down in steps:
        for across in steps:
            touched = blocks_of(scenes, tiles, side, tiles.row + down, tiles.col + across)
            found |= np.isin(touched, list(held))
    return found & (splits == "train")
