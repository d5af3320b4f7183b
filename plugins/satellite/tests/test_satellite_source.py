"""Tiles: how they are cut, what belongs together, what is fitted, what probes predict."""

from __future__ import annotations

import csv
import json
import sqlite3
import struct
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from torch.nn import functional as F

from manyviews.errors import DataError
from manyviews.view import View
from manyviews_satellite.ground import ground_blocks
from manyviews_satellite.reading.scenes import find_scenes
from manyviews_satellite.source import TileSource
from manyviews_satellite.synth import landscape, numbers, reflectances, write_scene
from manyviews_satellite.transformer import PatchTransformer


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A scene whose size no tile divides."""
    return write_scene(tmp_path / "S2A_20200601.tif", numbers(reflectances(landscape(150, 210, 5, 0), 0)))


def window(source: TileSource, number: int) -> tuple[int, int]:
    return int(source._reader.tiles.row[number]), int(source._reader.tiles.col[number])


@pytest.mark.parametrize("sampling", ["grid", "blocks", "random"])
def test_pixels_equal_bare_reads_however_tiles_are_cut(scene: Path, sampling: str) -> None:
    source = TileSource(path=str(scene), tile=32, sampling=sampling)
    index = np.random.default_rng(0).permutation(len(source))
    batch = source.batch(index)
    assert batch.pixels.dtype.itemsize == 2
    with rasterio.open(scene) as file:
        for place, number in enumerate(index.tolist()):
            row, col = window(source, number)
            assert np.array_equal(batch.pixels[place, 0], file.read(window=rasterio.windows.Window(col, row, 32, 32)))


def test_a_grid_covers_all_of_a_scene(scene: Path) -> None:
    source = TileSource(path=str(scene), tile=32)
    seen = np.zeros((150, 210), dtype=int)
    for number in range(len(source)):
        row, col = window(source, number)
        seen[row : row + 32, col : col + 32] += 1
    assert seen.min() == 1
    assert len(source) == 5 * 7
    assert source.blocks is not None
    assert sum(source.blocks) == len(source)


def test_crops_of_blocks_lie_within_their_blocks_and_repeat(scene: Path) -> None:
    one, two, other = (TileSource(path=str(scene), tile=32, sampling="blocks", seed=seed) for seed in (0, 0, 1))
    rows, cols = one._reader.tiles.row, one._reader.tiles.col
    whole = (rows < 128) & (cols < 192)
    assert np.array_equal(rows[whole] // 64, (rows[whole] + 31) // 64)
    assert np.array_equal(cols[whole] // 64, (cols[whole] + 31) // 64)
    assert (rows % 32 > 0).any()
    assert np.array_equal(rows, two._reader.tiles.row)
    assert not np.array_equal(rows, other._reader.tiles.row[: len(rows)])
    assert one.blocks == [4] * 6


def test_a_block_is_read_once_for_all_its_tiles(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = TileSource(path=str(scene), tile=32, sampling="blocks", fit_tiles=1)
    reads: list[object] = []
    read = type(source._reader.scenes[0]).read
    monkeypatch.setattr(type(source._reader.scenes[0]), "read", lambda self, w: reads.append(w) or read(self, w))
    for start in range(0, len(source), 4):
        source.batch(np.arange(start, start + 4))
    assert len(reads) <= 6
    bounded = TileSource(path=str(scene), tile=32, sampling="blocks", fit_tiles=1, memory=1e-4)
    bounded.batch(np.arange(len(bounded)))
    assert bounded._reader._room >= 0
    assert len(bounded._reader._kept) <= 2


def test_statistics_are_of_valid_training_pixels_alone(tmp_path: Path) -> None:
    pixels = numbers(reflectances(landscape(64, 64, 5, 0), 0))
    pixels[:, :20, :20] = 0
    path = write_scene(tmp_path / "a.tif", pixels, nodata=0)
    source = TileSource(path=str(path), tile=16, min_valid=0.0, splits={"valid": 0.2, "test": 0.2}, block=16)
    train = np.flatnonzero(source.splits() == "train")
    chosen = source.batch(train)
    assert chosen.valid is not None
    values = chosen.pixels[:, 0].permute(1, 0, 2, 3)[:, chosen.valid[:, 0]].double()
    assert source.spec.mean == pytest.approx(values.mean(1).tolist())
    assert source.spec.std == pytest.approx(values.std(1, unbiased=False).tolist())
    standard = chosen.standardised(source.spec).pixels[:, 0].permute(1, 0, 2, 3)[:, chosen.valid[:, 0]]
    assert float(standard.mean(1).abs().max()) < 1e-3
    assert float((standard.std(1) - 1).abs().max()) < 1e-3


def test_a_band_that_never_varies_is_left_at_its_level(tmp_path: Path) -> None:
    pixels = numbers(reflectances(landscape(32, 32, 5, 0), 0))[:2]
    pixels[1] = 7
    source = TileSource(path=str(write_scene(tmp_path / "a.tif", pixels, names=["red", "nir"])), tile=16)
    assert source.spec.std[1] == 1.0
    assert not source.batch(np.arange(4)).standardised(source.spec).pixels[:, :, 1].any()


def test_blocks_of_ground_hold_all_dates_of_a_place(tmp_path: Path) -> None:
    for month in (1, 6):
        pixels = numbers(reflectances(landscape(96, 96, 5, 0), month))
        write_scene(tmp_path / f"S2A_20200{month}01.tif", pixels[:, month:], corner=(600_000.0, 5_200_000.0 - 10 * month))
    source = TileSource(path=str(tmp_path), tile=16, block=32, splits={"valid": 0.2, "test": 0.3})
    splits, groups = source.splits(), source.groups()
    assert set(splits) == {"train", "valid", "test"}
    assert all(len(set(splits[groups == group])) == 1 for group in set(groups))
    tiles = source._reader.tiles
    assert all(len(set(tiles.scene[groups == group])) == 2 for group in list(set(groups))[:4])


def test_training_tiles_apart_from_held_out_ground(scene: Path) -> None:
    options = {"tile": 24, "stride": 8, "block": 48, "splits": {"valid": 0.1, "test": 0.3}}
    near, apart = (TileSource(path=str(scene), apart=apart, **options) for apart in (False, True))
    held = {(row, col) for number in np.flatnonzero(near.splits() != "train") for row, col in [window(near, number)]}
    # A block of 480 m begins where the ground's coordinates divide by it.
    named = ground_blocks(near.scenes, near._reader.tiles, 24, 48)
    assert len(set(zip(named, near.groups(), strict=True))) == len(set(named)) == len(set(near.groups()))
    blocks = {tuple(int(part) for part in name.split(":")[1:]) for name in set(named[near.splits() != "train"])}
    assert held
    assert len(apart) < len(near)
    for number in np.flatnonzero(apart.splits() == "train"):
        row, col = window(apart, number)
        x, y = 600_000 + 10 * (col + np.array([0, 23.9])), 5_200_000 - 10 * (row + np.array([0, 23.9]))
        touched = {(int(b // 480), int(a // 480)) for a in x for b in y}
        assert not touched & blocks


def test_folders_label_scenes(tmp_path: Path) -> None:
    for number, (split, kind) in enumerate((s, k) for s in ("train", "test") for k in ("Forest", "River")):
        (tmp_path / split / kind).mkdir(parents=True)
        pixels = numbers(reflectances(landscape(16, 16, 5, number), number))
        write_scene(tmp_path / split / kind / f"{number}.tif", pixels, corner=(6e5 + 1e4 * number, 5.2e6))
    source = TileSource(path=str(tmp_path), tile=16, target="folder", splits="folder", block=16)
    labels = source.labels()
    assert labels is not None
    assert labels.classes == ("Forest", "River")
    assert sorted(labels.values.tolist()) == [0, 0, 1, 1]
    assert (source.splits() == "test").sum() == 2
    (tmp_path / "train" / "River").rename(tmp_path / "River")
    with pytest.raises(DataError, match=r"data.splits=folder, and none of its folders is called"):
        TileSource(path=str(tmp_path / "River"), tile=16, splits="folder")
    with pytest.raises(DataError, match="'column' is neither `folder` nor shares"):
        TileSource(path=str(tmp_path), tile=16, splits="column")


def points(kind: str, folder: Path, rows: list[tuple[float, float, str]]) -> Path:
    path = folder / f"points.{kind}"
    if kind == "csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("x", "y", "cover"), *rows])
    elif kind == "geojson":
        features = [
            {"type": "Feature", "geometry": {"type": "Point", "coordinates": [x, y]}, "properties": {"cover": cover}}
            for x, y, cover in rows
        ]
        crs = {"type": "name", "properties": {"name": "EPSG:32632"}}
        path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    else:
        with sqlite3.connect(path) as base:
            base.execute("create table gpkg_geometry_columns (table_name, column_name, geometry_type_name, srs_id)")
            base.execute("insert into gpkg_geometry_columns values ('p', 'geom', 'POINT', 32632)")
            base.execute("create table p (fid, geom, cover)")
            for number, (x, y, cover) in enumerate(rows):
                blob = b"GP\x00\x01" + struct.pack("<i", 32632) + b"\x01" + struct.pack("<Idd", 1, x, y)
                base.execute("insert into p values (?, ?, ?)", (number, blob, cover))
    return path


@pytest.mark.parametrize("kind", ["gpkg", "geojson", "csv"])
def test_points_label_tiles_around_them(scene: Path, tmp_path: Path, kind: str) -> None:
    ground = landscape(150, 210, 5, 0)
    places = [(5, 5), (70, 100), (149, 209), (30, 160)]
    rows = [(600_000 + 10 * col + 3.0, 5_200_000 - 10 * row - 4.0, f"kind{ground[row, col]}") for row, col in places]
    path = points(kind, tmp_path, [*rows, (0.0, 0.0, "outside")])
    source = TileSource(path=str(scene), tile=9, target=str(path), target_column="cover", min_valid=0.0, block=30)
    labels = source.labels()
    assert labels is not None
    assert len(source) == 4
    for number in range(4):
        row, col = (start + 4 for start in window(source, number))
        assert (row, col) in places
        assert labels.classes[labels.values[number]] == f"kind{ground[row, col]}"
    batch = source.batch(np.arange(4))
    assert batch.valid is not None
    assert bool(batch.valid[:, 0, 4, 4].all())
    with pytest.raises(DataError, match=r"there is no column 'covr' \(it has: .*cover.*\) Did you mean `cover`"):
        TileSource(path=str(scene), tile=9, target=str(path), target_column="covr")
    with pytest.raises(DataError, match=r"say which is the label by data.target_column"):
        TileSource(path=str(scene), tile=9, target=str(path))


def test_maps_label_every_so_many_pixels(scene: Path, tmp_path: Path) -> None:
    ground = landscape(150, 210, 5, 0)
    cover = write_scene(tmp_path / "cover.tiff", ground[None].astype(np.uint8), names=None)
    np.save(tmp_path / "cover.npy", ground)
    for path in (cover, tmp_path / "cover.npy"):
        source = TileSource(
            path=str(scene),
            tile=8,
            target=str(path),
            stride=10,
            ignore=[0.0],
            min_valid=0.0,
            crs="none" if path.suffix == ".npy" else None,
        )
        labels = source.labels()
        assert labels is not None
        assert labels.classes == ("1", "2", "3", "4")
        assert len(source) == int((ground[5::10, 5::10] > 0).sum())
        for number in range(0, len(source), 20):
            row, col = (start + 4 for start in window(source, number))
            assert labels.classes[labels.values[number]] == str(ground[row, col])
    heights = TileSource(path=str(scene), tile=8, target=str(cover), target_kind="numbers", stride=30, min_valid=0.0).labels()
    assert heights is not None
    assert heights.kind == "regression"
    np.save(tmp_path / "small.npy", ground[:10])
    with pytest.raises(DataError, match="a map of 10 x 210 pixels without a place on the ground does not lie over"):
        TileSource(path=str(scene), tile=8, target=str(tmp_path / "small.npy"))
    with pytest.raises(DataError, match=r"data.target: there is no file"):
        TileSource(path=str(scene), tile=8, target="nothing.tif")


def test_new_images_are_read_as_the_spec_says(scene: Path, tmp_path: Path) -> None:
    trained = TileSource(path=str(scene), tile=32, use=["B4", "B8", "B2"])
    assert [band.name for band in trained.spec.bands] == ["B4", "B8", "B2"]
    fewer = numbers(reflectances(landscape(64, 64, 5, 1), 1))[[3, 2]]
    path = write_scene(tmp_path / "new.tif", fewer, names=["nir", "B4"], corner=(0.0, 0.0))
    read = TileSource.reading(str(path), trained.spec)
    assert read.spec == trained.spec
    batch = read.batch(np.arange(4))
    assert batch.bands == (0,)  # B4 alone is known by its name
    assert np.array_equal(batch.pixels[0, 0, 0], fewer[1, :32, :32])
    other = write_scene(tmp_path / "other.tif", fewer, names=["x", "y"])
    with pytest.raises(DataError, match="lacks bands B4, B8, B2; it has x, y"):
        TileSource.reading(str(other), trained.spec)


def test_features_are_statistics_of_valid_pixels(scene: Path) -> None:
    source = TileSource(path=str(scene), tile=32)
    batch = source.batch(np.arange(3)).standardised(source.spec).pixels[:, 0].flatten(2)
    found = source.features(np.arange(3)).reshape(3, 4, 6)
    for place, wanted in enumerate((batch.mean(2), batch.std(2, unbiased=False), batch.amin(2), batch.amax(2))):
        assert np.allclose(found[:, place], wanted, atol=1e-4)


def test_memory_does_not_grow_with_scenes(tmp_path: Path) -> None:
    import tracemalloc

    def most(scenes: int) -> int:
        folder = tmp_path / str(scenes)
        folder.mkdir()
        for number in range(scenes):
            write_scene(folder / f"{number}.tif", np.full((6, 256, 256), number + 1, np.uint16), corner=(5000.0 * number, 0.0))
        tracemalloc.start()
        source = TileSource(path=str(folder), tile=64, sampling="blocks", memory=0.002, fit_tiles=16)
        for start in range(0, len(source) - 8, 8):
            source.batch(np.arange(start, start + 8))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert most(24) < 1.5 * most(3)


@pytest.mark.realdata
def test_real_points_and_maps(images: Path) -> None:
    leipzig = TileSource(
        path=str(images / "leipzig" / "leipzig_raster.tif"), tile=16, sensor="sentinel2",
        target=str(images / "leipzig" / "leipzig_points.gpkg"), target_column="land_cover", block=40,
    )  # fmt: skip
    labels = leipzig.labels()
    assert labels is not None
    assert np.bincount(labels.values).tolist() == [28, 20, 36, 13]
    assert labels.classes == ("forest", "pasture", "urban", "water")
    centre = leipzig.batch(np.arange(97)).pixels[:, 0, :, 8, 8].double().numpy()
    with sqlite3.connect(f"file:{images}/leipzig/leipzig_points.gpkg?mode=ro&immutable=1", uri=True) as base:
        told = np.array(base.execute("select b02, b03, b04, b06, b07, b08, b11, ndvi from leipzig_points").fetchall())
    assert np.allclose(np.sort(centre[:, 0]), np.sort(told[:, 0]))
    assert {tuple(row[:7]) for row in centre.tolist()} == {tuple(row[:7]) for row in told.tolist()}
    scenes = find_scenes(images / "landsat7", leipzig.spec.reading.model_copy(update={"sensor": None, "use": None})).scenes
    assert [band.name for band in scenes[0].bands] == ["B1", "B2", "B3", "B4", "B5", "B7"]
    lulc = TileSource(
        path=str(images / "eolearn_s2" / "REFERENCE_SCENES.npy"), tile=16, bands="sentinel2_l1c",
        target=str(images / "eolearn_s2" / "LULC.npy"), ignore=[0.0],
    )  # fmt: skip
    truth = np.load(images / "eolearn_s2" / "LULC.npy")[..., 0]
    found = lulc.labels()
    assert found is not None
    tiles = lulc._reader.tiles
    assert [int(found.classes[value]) for value in found.values] == truth[tiles.row + 8, tiles.col + 8].tolist()


class TestWholeScenes:
    def test_each_scene_is_one_sample_of_the_size_asked_for(self, tmp_path: Path) -> None:
        for number, (kind, side) in enumerate((("forest", 16), ("river", 40), ("river", 24))):
            (tmp_path / kind).mkdir(exist_ok=True)
            pixels = numbers(reflectances(landscape(side, side, 5, number), number))
            write_scene(tmp_path / kind / f"S2A_{number}.tif", pixels, nodata=0)
        source = TileSource(path=str(tmp_path), tile=32, sampling="whole", target="folder", splits={"valid": 0.2}, block=1)
        labels = source.labels()
        assert labels is not None
        assert [labels.classes[value] for value in labels.values] == ["forest", "river", "river"]
        batch = source.batch(np.arange(3))
        assert batch.pixels.shape == (3, 1, 6, 32, 32)
        assert batch.pixels.dtype is torch.uint16
        torch.testing.assert_close(batch.metres, torch.tensor([5.0, 12.5, 7.5]))
        with rasterio.open(tmp_path / "forest" / "S2A_0.tif") as file:
            own = torch.from_numpy(file.read().astype(np.float32))
        expected = F.interpolate(own[None], size=(32, 32), mode="bilinear", antialias=True)[0]
        torch.testing.assert_close(batch.pixels[0, 0].float(), expected, atol=0.51, rtol=0)

    def test_what_is_not_valid_has_no_weight(self, tmp_path: Path) -> None:
        pixels = np.full((1, 20, 20), 100, np.int16)
        pixels[:, :, :8] = -9999
        write_scene(tmp_path / "a.tif", pixels, names=["VV"], nodata=-9999)
        for size in (10, 50):
            batch = TileSource(path=str(tmp_path), tile=size, sampling="whole").batch(np.arange(1))
            assert batch.valid is not None
            seen = batch.valid[0, 0]
            assert (batch.pixels[0, 0, 0][seen] == 100).all()
            assert seen.float().mean().item() == pytest.approx(0.6)

    def test_an_encoder_of_cut_tiles_is_judged_on_whole_scenes(self, scene: Path, tmp_path: Path) -> None:
        """As a labelled set of a recipe, laid over its data: the spec says how the run's tiles were cut, the set `whole`."""
        spec = TileSource(path=str(scene), tile=32).spec
        folder = tmp_path / "classes"
        for number, kind in enumerate(("forest", "river")):
            (folder / kind).mkdir(parents=True)
            pixels = numbers(reflectances(landscape(16, 16, 5, number), number))
            write_scene(folder / kind / f"S2A_{number}.tif", pixels, corner=(600_000.0 + 10_000 * number, 5_200_000.0))
        source = TileSource(path=str(folder), tile=32, sampling="whole", target="folder", block=16, spec=spec)
        assert source.batch(np.arange(2)).pixels.shape == (2, 1, 6, 32, 32)
        assert len(TileSource.reading(folder, source.spec.model_copy(
            update={"windows": spec.windows.model_copy(update={"sampling": "whole"})}
        ))) == 2  # fmt: skip
        with pytest.raises(DataError, match="16 x 16 pixels are fewer than a tile"):
            TileSource.reading(folder, spec)

    def test_a_labelled_set_may_have_its_bands_in_another_order(self, scene: Path, tmp_path: Path) -> None:
        spec = TileSource(path=str(scene), tile=32).spec
        pixels = numbers(reflectances(landscape(32, 32, 5, 0), 0))
        (tmp_path / "forest").mkdir()
        write_scene(tmp_path / "forest" / "a.tif", pixels[::-1], names=None)
        order = ["B12", "B11", "B8", "B4", "B3", "B2"]
        source = TileSource(
            path=str(tmp_path / "forest"), tile=32, bands=order, sampling="whole", target="folder", splits={}, spec=spec
        )
        batch = source.batch(np.arange(1))
        own = batch.pixels[0, 0, list(np.argsort(batch.bands))]
        assert np.array_equal(own, pixels)
        assert [spec.bands[band].name for band in sorted(batch.bands)] == ["B2", "B3", "B4", "B8", "B11", "B12"]

    def test_points_and_maps_are_for_tiles(self, scene: Path, tmp_path: Path) -> None:
        points = tmp_path / "points.csv"
        points.write_text("x,y,kind\n600100,5199900,a\n")
        with pytest.raises(DataError, match="has one label, its folder's"):
            TileSource(path=str(scene), tile=16, sampling="whole", target=str(points), target_column="kind")


class TestDatesOfATrainedEncoder:
    """Seasons are what an encoder learns from; what it is used on is mostly one image."""

    def series(self, folder: Path) -> Path:
        for month in (3, 6, 9):
            write_scene(folder / f"S2A_2020{month:02}01.tif", numbers(reflectances(landscape(48, 48, 5, 0), month)))
        return folder

    def test_a_scene_alone_is_one_date(self, tmp_path: Path) -> None:
        spec = TileSource(path=str(self.series(tmp_path)), tile=16, dates=3).spec
        one = TileSource.reading(tmp_path / "S2A_20200301.tif", spec)
        assert one.batch(np.arange(9)).dates == 1
        assert TileSource.reading(tmp_path, spec).batch(np.arange(2)).dates == 3
        encoder = PatchTransformer(spec, width=16, depth=1, heads=2, patch=4, times=True, pool="each")
        batch = one.batch(np.arange(2))
        assert encoder(View(batch, encoder.layout(batch))).pooled.shape == (2, encoder.pooled_width)

    def test_labelled_data_say_how_many_of_their_own(self, tmp_path: Path) -> None:
        spec = TileSource(path=str(self.series(tmp_path)), tile=16, dates=3).spec
        source = TileSource(path=str(tmp_path), tile=32, dates=1, spec=spec)
        assert source.batch(np.arange(2)).pixels.shape == (2, 1, 6, 32, 32)
        assert (source.spec.windows.dates, source.spec.windows.tile) == (1, 32)
        assert source.spec.mean == spec.mean


def test_blocks_that_leave_nothing_to_train_on_are_told_where_a_trained_encoder_reads_too(scene: Path) -> None:
    spec = TileSource(path=str(scene), tile=32).spec
    with pytest.raises(DataError, match=r"all 1 blocks of ground, of 1024 pixels, validate or test\nset data.block lower"):
        TileSource(path=str(scene), tile=32, target="folder", block=1024, spec=spec)
