"""Several dates of a place: which other scenes a tile can be seen in. Scenes stay on their own grids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
from jaxtyping import Bool, Int

from manyviews.errors import DataError
from manyviews_satellite.reading.scene import Scene
from manyviews_satellite.tiles import Tiles


def all_dates(
    scenes: Sequence[Scene], tiles: Tiles, tile: int, dates: int, seed: int
) -> tuple[Bool[np.ndarray, "tiles"], Int[np.ndarray, "kept dates"]]:
    """Which tiles are seen on so many dates, and for those the scenes: their own and others drawn for each, ordered by time.

    Of a stack, whose dates lie on one grid, the same dates of the same place are one sample, whichever they were cut from.

    Raises:
        DataError: No place is seen so often.
    """
    random = np.random.default_rng([seed, 12])
    drawn = random.random((len(tiles), len(scenes)))
    seen = np.zeros((len(tiles), len(scenes)), dtype=bool)
    for number in np.unique(tiles.scene).tolist():
        own = tiles.scene == number
        seen[own] = _covering(scenes, number, tiles.row[own], tiles.col[own], tile)
    enough = seen.sum(1) >= dates - 1
    if not enough.any():
        raise DataError(
            f"data.dates: no tile is seen on {dates} dates; the most is {int(seen.sum(1).max(initial=0)) + 1}\n"
            "scenes must overlap by whole tiles: set data.dates or data.tile lower"
        )
    drawn[~seen] = np.inf
    own = tiles.scene[enough]
    chosen = np.concatenate([own[:, None], drawn[enough].argsort(1)[:, : dates - 1]], axis=1)
    rank = np.empty(len(scenes), np.int64)
    rank[sorted(range(len(scenes)), key=lambda number: (_order(scenes[number]), number))] = np.arange(len(scenes))
    chosen = np.take_along_axis(chosen, rank[chosen].argsort(1), 1)
    first = _first_of_each(scenes, own, chosen, tiles.row[enough], tiles.col[enough])
    enough[np.flatnonzero(enough)[~first]] = False
    return enough, chosen[first]


def _first_of_each(
    scenes: Sequence[Scene], own: np.ndarray, chosen: np.ndarray, row: np.ndarray, col: np.ndarray
) -> Bool[np.ndarray, "kept"]:
    """False for a tile of a stack whose dates and place an earlier one has."""
    stacked = np.array([bool(scene.place) for scene in scenes])[own]
    keys = np.concatenate([np.where(stacked, -1, np.arange(len(own)))[:, None], chosen, row[:, None], col[:, None]], axis=1)
    first = np.zeros(len(own), dtype=bool)
    first[np.unique(keys, axis=0, return_index=True)[1]] = True
    return first


def paired_dates(
    scenes: Sequence[Scene], tiles: Tiles, folders: Sequence[str]
) -> tuple[Bool[np.ndarray, "tiles"], Int[np.ndarray, "kept dates"]]:
    """The tiles of the first folder's scenes, and for those the scenes of the same name in all folders.

    Raises:
        DataError: A scene has no partner, or one of another size, or there is no such folder.
    """
    known = {(PurePath(scene.name).parent, PurePath(scene.name).stem): number for number, scene in enumerate(scenes)}
    partners: dict[int, list[int]] = {}
    for (folder, stem), number in known.items():
        if folder.name != folders[0]:
            continue
        others = [known.get((folder.parent / name, stem)) for name in folders[1:]]
        if None in others:
            lacking = folder.parent / folders[1 + others.index(None)]
            raise DataError(f"{scenes[number].name}: has no partner of its name in {lacking} (data.pairs={list(folders)})")
        partners[number] = [other for other in others if other is not None]
        for other in partners[number]:
            one, two = scenes[number].grid, scenes[other].grid
            if one.crs is None and (one.rows, one.cols) != (two.rows, two.cols):
                own = f"{one.rows} x {one.cols}"
                raise DataError(f"{scenes[other].name}: {two.rows} x {two.cols} pixels, and {scenes[number].name} has {own}")
    if not partners:
        raise DataError(f"data.pairs: no images in folders called {folders[0]!r}")
    first = np.isin(tiles.scene, list(partners))
    return first, np.array([[number, *partners[number]] for number in tiles.scene[first].tolist()]).reshape(-1, len(folders))


def _order(scene: Scene) -> float:
    year, month, hour = np.nan_to_num(np.array(scene.time))
    return float(year * 12 + month + hour / 1000)


def _covering(
    scenes: Sequence[Scene], number: int, row: np.ndarray, col: np.ndarray, tile: int
) -> Bool[np.ndarray, "tiles scenes"]:
    """Which other scenes hold all four corners of each tile."""
    own = scenes[number]
    rows, cols = (np.stack([start, start, start + tile, start + tile]) + 0.0 for start in (row, col))
    cols[[1, 2]] = cols[[2, 1]]
    x, y = own.grid.points(rows.ravel(), cols.ravel())
    found = np.zeros((len(row), len(scenes)), dtype=bool)
    for other, scene in enumerate(scenes):
        if other == number or not _comparable(own, scene):
            continue
        down, across = (part.reshape(4, -1) for part in scene.grid.pixels(x, y, own.grid.crs))
        inside = (down > -0.5) & (across > -0.5) & (down < scene.grid.rows + 0.5) & (across < scene.grid.cols + 0.5)
        found[:, other] = inside.all(0)
    return found


def _comparable(one: Scene, two: Scene) -> bool:
    """On the ground both, or dates of one stack."""
    if one.grid.crs is not None and two.grid.crs is not None:
        return True
    return bool(one.place) and one.place == two.place
