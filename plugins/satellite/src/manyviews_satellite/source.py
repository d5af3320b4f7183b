"""Satellite and aerial images as a source: headers are read at the start, windows when a batch asks for them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from pydantic import Field, NonNegativeInt, PositiveInt

from manyviews.batch import Labelled
from manyviews.errors import DataError
from manyviews.labelling import TextKind
from manyviews.source import DenseLabels, Labels, Source
from manyviews_satellite.batch import TileBatch
from manyviews_satellite.dates import all_dates, paired_dates
from manyviews_satellite.describe import describe
from manyviews_satellite.example import example
from manyviews_satellite.features import image_statistics
from manyviews_satellite.ground import ground_blocks, straddling
from manyviews_satellite.labels import Target, labels_of, read_target, split_tiles
from manyviews_satellite.masks import Masks
from manyviews_satellite.reader import TileReader
from manyviews_satellite.reading.options import Clouds, Options, options
from manyviews_satellite.reading.scene import Scene
from manyviews_satellite.reading.scenes import find_scenes, unlike
from manyviews_satellite.spec import Sampling, TileSpec, Windows
from manyviews_satellite.statistics import statistics
from manyviews_satellite.survey import survey
from manyviews_satellite.targets import Map

if TYPE_CHECKING:
    import pandas as pd

BLOCK_TILES = 4
"""Side of a block of ground in tiles, where the recipe does not say."""
Share = Annotated[float, Field(ge=0, le=1)]


class TileSource(Source):
    """Tiles of images: GeoTIFF, COG, JPEG 2000, VRT, .npy stacks; one file a band or many; radar's complex numbers.

    Args:
        path: A file, a folder (searched through), a pattern, or a STAC item collection (.json).
        bands: Names of the bands in the order of the files, or a known order: sentinel2_l1c, sentinel2_l2a, sentinel2_satmae,
            eurosat (B8A last), landsat8, landsat7, landsat5, rgb, rgbn. Where the files tell, leave it out.
        sensor: sentinel1, sentinel2, landsat5 to landsat9; null: as file names tell.
        use: The bands to read; null: all.
        axes: Order of the axes of .npy stacks, such as tyxb (t dates, b bands, y rows, x columns); null: as the shape tells.
        nodata: What stored number is no data; null: as the files, else their sensor, say.
        scale: Stored number * scale + offset is in physical units; null: as the files say.
        offset: See `scale`.
        crs: Coordinate system of files that have none (EPSG:32632); `none`: take pixels as they lie.
        clouds: Whether pixels that a quality band (BQA, QA_PIXEL, SCL) calls cloud are valid.
        tile: Rows and columns of a tile.
        stride: Steps of a grid of tiles; null: `tile`. With a map as the target, pixels between labelled ones (null: 4).
        sampling: `grid`: tiles side by side; `blocks`: jittered crops of stored blocks, each block read once, the fastest;
            `random`: windows anywhere; `whole`: each scene is one sample, resampled to `tile` x `tile` pixels, as scene
            classification is compared, whatever size the encoder was trained on (so it may be said of labelled sets, too).
        tiles: With `random`, how many in all; null: as many as cover the area.
        crops: With `blocks`, how many of each region of blocks; null: as many as cover it.
        min_valid: Least share of valid pixels of a tile.
        small: What becomes of scenes smaller than a tile: refused, or padded with pixels that are not valid.
        dates: Images of one place that make a sample; other dates are read where a tile's pixels lie, from their own grids. New
            images for a trained encoder are read by as many, but for a scene alone, which is one.
        pairs: Names of two or more folders whose files of one name are the dates of a sample, such as [before, after]; files of
            other folders are not read.
        dense: The target is a class for every pixel, for segmentation and change: a map, or the name of a folder of masks
            beside that of the images.
        target: What probes predict: `folder` (that of a scene's file), a file of points, or a map; null: nothing.
        target_column: The column of points' labels.
        target_names: Names of the values of a map or of masks, such as `{1: water, 2: forest}`.
        target_kind: Classes, or numbers to regress on.
        ignore: Values of a map that are no label.
        splits: `folder`: folders called train, valid and test say; or shares drawn by blocks of ground, `{valid: .1, test: .2}`
            (the default where there is a target; else all tiles train).
        block: Side in pixels of a block of ground, which no split tears apart; null: four tiles.
        apart: Leave out training tiles that reach into a block that validates or tests.
        split_seed: Seed of drawn splits.
        fit_tiles: Most training tiles that means and deviations are taken of.
        memory: Gigabytes of read blocks kept.
        on_error: Raise at the first file that cannot be used, or `skip` such files and list them.
        seed: Of jittered crops, random windows, other dates, and the tiles fitted on.
        spec: A fitted spec: read the bands that it has, standardise as it says and fit nothing. What is said of the files
            (`bands`, `sensor`, `axes`, `nodata`, `scale`, `offset`, `crs`) goes before it, and tiles are cut as is said here.
    """

    spec: TileSpec
    served, served_also = ".tif", frozenset({".tiff", ".jp2", ".npy"})

    def __init__(
        self,
        *,
        path: str | Path,
        bands: str | list[str] | None = None,
        sensor: str | None = None,
        use: list[str] | None = None,
        axes: str | None = None,
        nodata: float | None = None,
        scale: float | None = None,
        offset: float | None = None,
        crs: str | None = None,
        clouds: Clouds = "keep",
        tile: PositiveInt = 96,
        stride: PositiveInt | None = None,
        sampling: Sampling = "grid",
        tiles: PositiveInt | None = None,
        crops: PositiveInt | None = None,
        min_valid: Share = 0.5,
        small: Literal["refuse", "pad"] = "refuse",
        dates: PositiveInt = 1,
        pairs: list[str] | None = None,
        dense: bool = False,
        target: str | None = None,
        target_column: str | None = None,
        target_names: dict[int, str] = {},  # noqa: B006 - read only
        target_kind: TextKind = "classes",
        ignore: list[float] = [],  # noqa: B006 - read only
        splits: str | dict[str, float] | None = None,
        block: PositiveInt | None = None,
        apart: bool = False,
        split_seed: NonNegativeInt = 0,
        fit_tiles: PositiveInt = 256,
        memory: Annotated[float, Field(ge=0)] = 0.25,
        on_error: Literal["raise", "skip"] = "raise",
        seed: NonNegativeInt = 0,
        spec: TileSpec | None = None,
    ) -> None:
        self._path = str(path)
        reading = options(
            bands=bands, sensor=sensor, use=use, axes=axes, nodata=nodata, scale=scale, offset=offset, crs=crs, clouds=clouds
        )
        windows = Windows(
            tile=tile, stride=stride, sampling=sampling, tiles=tiles, crops=crops, min_valid=min_valid, small=small,
            dates=len(pairs) if pairs else dates, pairs=tuple(pairs or ()), seed=seed,
        )  # fmt: skip
        if spec is not None:
            # What is said of other files (a labelled set) holds for those; which bands are read, the encoder says.
            files = reading.model_dump(include={"bands", "sensor", "axes", "nodata", "scale", "offset", "crs"})
            said = {key: value for key, value in files.items() if value is not None}
            reading = _as_trained(spec).model_copy(update=said)
            spec = spec.model_copy(update={"windows": windows})
        wanted = target or (spec.target if spec is not None and spec.target == "folder" else None)
        in_folder = dense and wanted is not None and not Path(wanted).expanduser().is_file()
        goal = None
        if wanted is not None and not in_folder:
            goal = read_target(wanted, target_kind, target_column, windows.stride or 4, ignore, target_names)
        if windows.sampling == "whole" and (dense or (goal is not None and goal.places is not None)):
            raise DataError(
                "data.sampling: a scene that is one sample has one label, its folder's (data.target=folder); points, maps and "
                "masks are for tiles that are cut"
            )
        over, goal = (goal, None) if dense else (None, goal)
        if in_folder:
            reading = reading.model_copy(update={"masks": wanted})
        reading = reading.model_copy(update={"folders": windows.pairs})
        scenes = find_scenes(path, reading)
        if windows.pairs and not scenes.scenes and not scenes.refused:
            raise DataError(f"data.pairs: {path} has no images in folders called {' or '.join(windows.pairs)}")
        found = survey(scenes.scenes, windows, goal.places.centres if goal is not None and goal.places is not None else None)
        self.skipped = _left_out([*scenes.refused, *found.refused], path, on_error, bool(found.scenes))
        self._unseen, seen = found.unseen, None
        if windows.dates > 1:
            if windows.pairs:
                enough, seen = paired_dates(found.scenes, found.tiles, windows.pairs)
            else:
                enough, seen = all_dates(found.scenes, found.tiles, windows.tile, windows.dates, windows.seed)
            found.tiles, found.labels = found.tiles.where(enough), found.labels[enough]
        self._labels = None if goal is None else labels_of(goal, found)
        self._masks = None if not dense else _masks(found.scenes, wanted, over, ignore, target_names)
        side = block or BLOCK_TILES * windows.tile
        self._blocks = ground_blocks(found.scenes, found.tiles, windows.tile, side)
        self._splits = split_tiles(found.scenes, found.tiles.scene, self._blocks, splits, goal is not None or dense, split_seed)
        if apart:
            kept = ~straddling(found.scenes, found.tiles, windows.tile, side, self._blocks, self._splits)
            found.tiles, self._blocks, self._splits = found.tiles.where(kept), self._blocks[kept], self._splits[kept]
            seen = None if seen is None else seen[kept]
            if self._labels is not None:
                self._labels = Labels(self._labels.name, self._labels.kind, self._labels.values[kept], self._labels.classes)
        self._blocks = np.unique(self._blocks, return_inverse=True)[1]  # a name for each tile would be most of what is kept
        drawn = splits != "folder" and (goal is not None or dense)
        if (spec is None or drawn) and not (self._splits == "train").any():
            blocks = len(np.unique(self._blocks))
            raise DataError(
                f"{path}: no tile is left to train on: all {blocks:,} blocks of ground, of {side} pixels, validate or test\n"
                "set data.block lower, or smaller shares as data.splits"
            )
        self._reader = TileReader(found.scenes, found.tiles, windows.tile, seen, round(memory * 1e9))
        self.blocks = found.tiles.counts().tolist() if windows.sampling != "random" and goal is None else None
        self._times = np.array([scene.time for scene in found.scenes], dtype=np.float32)
        self._metres = np.array([scene.grid.metres for scene in found.scenes], dtype=np.float32)
        self.spec = spec or self._fitted(reading, windows, wanted, fit_tiles)
        self._present = _present(self.spec, found.scenes[0])

    def _fitted(self, reading: Any, windows: Windows, target: str | None, fit_tiles: int) -> TileSpec:
        train = np.flatnonzero(self._splits == "train")
        chosen = np.sort(np.random.default_rng([windows.seed, 13]).permutation(train)[:fit_tiles])
        mean, std = statistics(self._reader, chosen)
        metres = float(np.median(self._metres[self._reader.tiles.scene[train]])) if len(train) else math.nan
        return TileSpec(
            bands=self._reader.scenes[0].bands,
            mean=mean,
            std=std,
            windows=windows,
            reading=reading,
            metres=None if math.isnan(metres) else round(metres, 6),
            target=target,
        )

    @classmethod
    def reading(cls, data: Any, spec: TileSpec) -> TileSource:  # type: ignore[override]  # this domain's own spec
        """New images, all of their ground: tiles side by side, whatever way training cut them; whole scenes stay whole.

        A scene alone is one date, though training compared several: an encoder that learned from seasons reads any one of them.
        """
        windows = spec.windows
        own: dict[str, Any] = {
            "sampling": "whole" if windows.sampling == "whole" else "grid",
            "pairs": list(windows.pairs) or None,
        }
        if windows.dates > 1 and not windows.pairs and len(find_scenes(data, _as_trained(spec)).scenes) == 1:
            own["dates"] = 1
        source = cls(path=data, spec=spec, **windows.model_dump() | own)
        source.spec = spec
        return source

    @property
    def scenes(self) -> list[Scene]:
        """What tiles are cut from; not what is seen of their other dates alone."""
        return [self._reader.scenes[number] for number in np.unique(self._reader.tiles.scene).tolist()]

    def scene(self, number: int) -> Scene:
        """The one that a tile is cut from; tiles of a scene stand together."""
        return self._reader.scenes[int(self._reader.tiles.scene[number])]

    def corner(self, number: int) -> tuple[int, int]:
        """Row and column of a tile's upper left pixel in its scene."""
        return int(self._reader.tiles.row[number]), int(self._reader.tiles.col[number])

    def name(self, number: int) -> str:
        """Where a tile is from: its scene, day and place."""
        scene = self.scene(number)
        year, month, _ = scene.time
        when = "" if math.isnan(year) else f", {year:.0f}-{month:02.0f}"
        row, col = self.corner(number)
        return f"{Path(scene.name).name[-70:]}{when}, row {row}, column {col}"

    def names(self, samples: Int[np.ndarray, "tiles"]) -> list[str]:
        return [self.name(number) for number in samples.tolist()]

    def __len__(self) -> int:
        return len(self._reader.tiles)

    def batch(self, index: Int[np.ndarray, "tiles"]) -> TileBatch:
        pixels, valid = self._reader.read(index)
        first = self._reader.tiles.scene[index]
        scenes = first[:, None] if self._reader.dates is None else self._reader.dates[index]
        scaling = np.array([scene.scaling for scene in self._reader.scenes], dtype=np.float32)[scenes]
        return TileBatch(
            torch.from_numpy(pixels),
            torch.from_numpy(scaling[:, :, 0]),
            torch.from_numpy(scaling[:, :, 1]),
            torch.from_numpy(self._times[scenes]),
            torch.from_numpy(self._metres[first]),
            self._present,
            None if valid is None else torch.from_numpy(valid),
        )

    def splits(self) -> Shaped[np.ndarray, "tiles"]:
        return self._splits

    def labels(self) -> Labels | None:
        return self._labels

    def dense_labels(self) -> DenseLabels | None:
        if self._masks is None:
            return None
        return DenseLabels("pixels", self._masks.classes, np.ones(len(self), dtype=bool))

    def labelled(self, index: Int[np.ndarray, "tiles"], generator: np.random.Generator | None) -> Labelled:
        """Tiles with a class for each pixel; a tile is what the encoder is trained on, so nothing is cut anew."""
        assert self._masks is not None
        tiles, side, maps = self._reader.tiles, self.spec.windows.tile, []
        for number in index.tolist():
            scene = int(tiles.scene[number])
            maps.append(self._masks(self._reader.scenes[scene], scene, (*self.corner(number), side, side)))
        return Labelled(self.batch(index), torch.from_numpy(np.stack(maps)))

    def whole(self, sample: int) -> tuple[TileBatch, tuple[int, ...]]:
        return self.batch(np.array([sample])), (self.spec.windows.tile,) * 2

    def groups(self) -> Shaped[np.ndarray, "tiles"]:
        """Blocks of ground, of all dates together."""
        return self._blocks

    def features(self, index: Int[np.ndarray, "tiles"]) -> Float[np.ndarray, "tiles features"]:
        """Image statistics: mean, deviation, least and largest number of each band over valid pixels."""
        return np.concatenate([image_statistics(self.batch(index[i : i + 64]), self.spec) for i in range(0, len(index), 64)])

    def example(self) -> pd.DataFrame | None:
        """A tile as a GeoTIFF; of several dates as a stack; None where dates are files of different folders."""
        return example(self.spec)

    def fingerprint(self) -> Mapping[str, Any]:
        told = [self._told(number) for number in range(len(self._reader.scenes))]
        digest = hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
        return {"path": self._path, "scenes": len(told), "tiles": len(self), "files": digest}

    def _told(self, number: int) -> str:
        """What tells a scene from another: sizes and times of change, since files of gigabytes are not hashed."""
        scene = self._reader.scenes[number]
        paths = dict.fromkeys(layer.header.path for layer in scene.layers)
        states = [Path(path).stat() for path in paths if Path(path).is_file()]
        return f"{Path(scene.name).name} {scene.grid.rows} {scene.grid.cols} " + " ".join(
            f"{state.st_size}:{state.st_mtime_ns}" for state in states
        )

    def describe(self) -> str:
        """What was found, in a few lines."""
        return describe(self._reader.scenes, self._splits, self.spec, self.skipped, self._unseen)


def _as_trained(spec: TileSpec) -> Options:
    """How an encoder's new images are read: its bands, as many of them as are there, its sensor where nothing tells another."""
    names = tuple(dict.fromkeys(band.name for band in spec.bands))
    return spec.reading.model_copy(update={"use": names, "partial": True, "assumed": spec.bands[0].sensor})


def _left_out(refused: list[str], path: str | Path, on_error: str, any_left: bool) -> list[str]:
    """What was refused, a line each.

    Raises:
        DataError: Where nothing is left, or the recipe does not allow leaving anything out.
    """
    if refused and on_error == "raise":
        more = f"\n{len(refused) - 1:,} more; data.on_error=skip leaves such files out" if len(refused) > 1 else ""
        raise DataError("\n".join(refused[0].splitlines()[: 2 if more else 3]) + more)
    if not any_left:
        raise DataError(f"{path}: no usable image: all were left out; the first: {_line(refused[0])}")
    return [_line(reason) for reason in refused]


def _masks(
    scenes: list[Scene], target: str | None, over: Target | None, ignore: list[float], names: Mapping[int, str]
) -> Masks:
    """A class for each pixel.

    Raises:
        DataError: The target is neither a map nor a folder of masks.
    """
    if target is None:
        raise DataError("data.dense: asks for a class for every pixel; name a map or a folder of masks as data.target")
    if over is None:
        return Masks.in_folder(scenes, target, ignore, names)
    if not isinstance(over.places, Map):
        raise DataError(f"data.target: {target} has no class for every pixel; name a map (.tif, .npy), or leave out data.dense")
    return Masks.of_map(over.places)


def _line(text: str) -> str:
    return "; ".join(" ".join(line.split()) for line in text.splitlines())


def _present(spec: TileSpec, scene: Scene) -> tuple[int, ...]:
    """Which of the spec's bands new data have, in their order.

    Raises:
        DataError: A band is not one of the spec's: whole numbers where parts of complex ones are expected, or another sensor's.
    """
    known = {band.label: number for number, band in enumerate(spec.bands)}
    if unknown := [band.label for band in scene.bands if band.label not in known]:
        raise DataError(f"{scene.name}: band {unknown[0]} is none of those trained on: {', '.join(known)}")
    if (other := unlike(scene.bands, spec.bands)) is not None:
        raise DataError(
            f"{scene.name}: {other} of the images that the encoder was trained on\n"
            "use an encoder that was trained on images of its sensor"
        )
    return tuple(known[band.label] for band in scene.bands)
