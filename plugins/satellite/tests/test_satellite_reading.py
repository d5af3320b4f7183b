"""From paths to pixels: windows, bands in many files, stacks, catalogues, radar."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import rasterio

from manyviews.errors import DataError
from manyviews_satellite.reading import handles
from manyviews_satellite.reading.names import band_of, scene_of, time_of
from manyviews_satellite.reading.options import Options
from manyviews_satellite.reading.pixels import Window
from manyviews_satellite.reading.scene import Scene
from manyviews_satellite.reading.scenes import find_scenes
from manyviews_satellite.source import TileSource
from manyviews_satellite.synth import landscape, numbers, reflectances, write_scene, write_slc


@pytest.mark.parametrize(
    ("path", "band", "scene"),
    [
        ("x/LC08_L1TP_013032_20180131_B10.TIF", "B10", "x/LC08_L1TP_013032_20180131"),
        ("x/T32TQM_20170101T101411_B8A_20m.jp2", "B8A", "x/T32TQM_20170101T101411"),
        ("x/s1a-iw1-slc-vv-20210401t052624.tiff", "vv", "x/s1a_iw1_slc_20210401t052624"),
        ("x/LC09_SR_B4.tif", "B4", "x/LC09"),
        ("x/scene_band2.tif", "band2", "x/scene"),
        ("x/LC08_BQA.TIF", "BQA", "x/LC08"),
        ("x/mosaic.tif", None, "x/mosaic"),
    ],
)
def test_names_tell_bands_and_scenes(path: str, band: str | None, scene: str) -> None:
    assert band_of(path) == band
    assert scene_of(path) == scene


def test_names_and_tags_tell_times() -> None:
    assert time_of("LC08_L1TP_013032_20180131_20180207")[:2] == (2018.0, 1.0)
    assert time_of("2018:07:16 06:06:23") == (2018.0, 7.0, pytest.approx(6.1))
    assert time_of("2015-07-31T10:30:09Z") == (2015.0, 7.0, 10.5)
    assert np.isnan(time_of("scene 12345678")).all()
    assert np.isnan(time_of(None)).all()


@pytest.mark.parametrize("profile", [{}, {"tiled": False, "blockysize": 5}, {"interleave": "band", "compress": None}])
def test_windows_are_what_bare_reads_give(tmp_path: Path, profile: dict[str, object]) -> None:
    pixels = numbers(reflectances(landscape(80, 112, 5, 0), 0))
    path = write_scene(tmp_path / "a.tif", pixels, **profile)
    (scene,) = find_scenes(path, Options()).scenes
    for row, col, height, width in ((0, 0, 80, 112), (13, 7, 20, 50), (79, 111, 1, 1)):
        found, valid = scene.read((row, col, height, width))
        assert np.array_equal(found, pixels[:, row : row + height, col : col + width])
        assert valid.all()
    found, valid = scene.read((-4, 100, 10, 30))
    assert np.array_equal(found[:, 4:, :12], pixels[:, :6, 100:])
    assert not found[:, :4].any()
    assert valid.sum() == 6 * 12


def test_the_dates_of_a_stack_are_read_once_for_all_tiles_of_a_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(0).normal(size=(3, 20, 30, 3)).astype(np.float32)
    np.save(tmp_path / "stack.npy", array)
    source = TileSource(path=str(tmp_path / "stack.npy"), tile=10, stride=2, bands="rgb", dates=3)
    reads: list[str] = []
    plain = Scene.read

    def counted(self: Scene, window: Window) -> tuple[np.ndarray, np.ndarray]:
        reads.append(self.name)
        return plain(self, window)

    source._reader._kept.clear()
    monkeypatch.setattr(Scene, "read", counted)
    found = source.batch(np.arange(len(source))).pixels.numpy()
    regions = int(source._reader.tiles.region.max()) + 1
    assert len(reads) == 3 * regions < len(source)
    for number in range(len(source)):
        row, col = source.corner(number)
        assert np.array_equal(found[number], array[:, row : row + 10, col : col + 10].transpose(0, 3, 1, 2))


def test_bands_in_many_files_of_several_resolutions_are_one_scene(tmp_path: Path) -> None:
    fine = numbers(reflectances(landscape(64, 64, 5, 0), 0))
    for place, name in enumerate(("B2", "B3", "B10")):
        coarse = fine[place : place + 1, ::2, ::2] if name == "B10" else fine[place : place + 1]
        write_scene(tmp_path / f"S2A_20200101_{name}.tif", coarse, names=None, metres=20.0 if name == "B10" else 10.0)
    write_scene(tmp_path / "S2A_20200101_SCL.tif", np.full((1, 32, 32), 4, np.uint8), names=None, metres=20.0)
    (scene,) = find_scenes(tmp_path, Options()).scenes
    assert [band.name for band in scene.bands] == ["B2", "B3", "B10"]
    assert scene.bands[0].wavelength == 0.49
    assert scene.time[:2] == (2020.0, 1.0)
    found, valid = scene.read((10, 20, 16, 16))
    assert np.array_equal(found[0], fine[0, 10:26, 20:36])
    assert np.array_equal(found[2], fine[2, ::2, ::2].repeat(2, 0).repeat(2, 1)[10:26, 20:36])
    assert valid.all()


def test_quality_bands_take_pixels_out(tmp_path: Path) -> None:
    pixels = numbers(reflectances(landscape(32, 32, 5, 0), 0))[:1]
    quality = np.zeros((1, 32, 32), np.uint16)
    quality[:, :8] = 1  # fill
    quality[:, 8:16] = 1 << 4  # cloud
    write_scene(tmp_path / "LC08_20200101_B2.tif", pixels, names=None)
    write_scene(tmp_path / "LC08_20200101_BQA.tif", quality, names=None)
    kept, dropped = (
        find_scenes(tmp_path, Options(clouds=clouds)).scenes[0].read((0, 0, 32, 32))[1] for clouds in ("keep", "drop")
    )
    assert int(kept.sum()) == 24 * 32
    assert int(dropped.sum()) == 16 * 32
    assert [band.name for band in find_scenes(tmp_path, Options()).scenes[0].bands] == ["B2"]


def test_stacks_say_what_their_axes_are(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(2, 20, 30, 3)).astype(np.float32)
    np.save(tmp_path / "stack.npy", array)
    source = TileSource(path=str(tmp_path / "stack.npy"), tile=10, bands="rgb")
    assert len(source) == 12
    assert np.array_equal(source.batch(np.array([0])).pixels[0, 0], array[0, :10, :10].transpose(2, 0, 1))
    both = TileSource(path=str(tmp_path / "stack.npy"), tile=10, bands="rgb", dates=2)
    assert len(both) == 6  # a pair is one sample, whichever date it was cut from
    pair = both.batch(np.array([0])).pixels
    assert np.array_equal(pair[0, 1], array[1, :10, :10].transpose(2, 0, 1))
    with pytest.raises(DataError, match=r"shape \(2, 20, 30, 3\), whose axes cannot be told\nsay data.bands"):
        TileSource(path=str(tmp_path / "stack.npy"), tile=10)
    with pytest.raises(DataError, match=r"data.axes: 'yxbz' does not name the 4 axes"):
        TileSource(path=str(tmp_path / "stack.npy"), tile=10, axes="yxbz", bands="rgb")
    np.save(tmp_path / "square.npy", array[0, :3, :3])
    with pytest.raises(DataError, match="whose axes cannot be told for 3 bands"):
        TileSource(path=str(tmp_path / "square.npy"), tile=2, bands="rgb")
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    with pytest.raises(DataError, match=r"words.npy: holds <U1, expected numbers"):
        TileSource(path=str(tmp_path / "words.npy"), tile=2)
    (tmp_path / "bad.npy").write_bytes(b"not an array")
    with pytest.raises(DataError, match=r"bad.npy: cannot be read as a .npy array"):
        TileSource(path=str(tmp_path / "bad.npy"), tile=2)


def test_complex_numbers_are_two_bands(tmp_path: Path) -> None:
    path = write_slc(tmp_path / "S1A_VV_1.tif", np.ones((32, 32)), 0)
    source = TileSource(path=str(path), tile=16)
    assert [band.label for band in source.spec.bands] == ["VV.real", "VV.imaginary"]
    with rasterio.open(path) as file:
        whole = file.read(1)
    found = source.batch(np.array([0])).pixels[0, 0].numpy()
    assert np.array_equal(found[0] + 1j * found[1], whole[:16, :16])
    assert source.spec.std == pytest.approx([0.5**0.5] * 2, rel=0.1)


def test_a_catalogue_says_what_its_files_are(tmp_path: Path) -> None:
    pixels = numbers(reflectances(landscape(32, 32, 5, 0), 0)) + 1000
    for place in range(2):
        write_scene(tmp_path / f"asset{place}.tif", pixels[place : place + 1].astype(np.uint16), names=None)

    def asset(place: int, name: str) -> dict[str, object]:
        return {
            "href": f"./asset{place}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
            "eo:bands": [{"name": name}],
            "raster:bands": [{"scale": 0.0001, "offset": -0.1, "nodata": 0}],
        }

    item = {
        "type": "Feature",
        "id": "S2B_32TQM",
        "properties": {"datetime": "2022-06-01T10:30:00Z", "platform": "sentinel-2b"},
        "assets": {"B04": asset(0, "B04"), "B03": asset(1, "B03"), "thumb": {"href": "t.jpg", "roles": ["thumbnail"]}},
    }
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    source = TileSource(path=str(tmp_path / "items.json"), tile=16)
    assert [(band.name, band.wavelength) for band in source.spec.bands] == [("B3", 0.56), ("B4", 0.665)]
    batch = source.batch(np.array([0]))
    assert batch.time[0, 0].tolist() == [2022.0, 6.0, 10.5]
    assert source.spec.mean[1] == pytest.approx(float((pixels[0] * 0.0001 - 0.1).mean()), rel=1e-4)
    item["assets"] = {"thumb": {"href": "t.jpg", "roles": ["thumbnail"]}}
    (tmp_path / "none.json").write_text(json.dumps(item))
    with pytest.raises(DataError, match="none of its 1 items has an asset that is an image"):
        TileSource(path=str(tmp_path / "none.json"), tile=16)
    item["assets"] = {"B04": {**asset(0, "B04"), "href": "https://example.invalid/a.tif"}}
    (tmp_path / "far.json").write_text(json.dumps(item))
    with pytest.raises(DataError, match="a remote file needs a network"):
        TileSource(path=str(tmp_path / "far.json"), tile=16)


def test_misaligned_grids_give_the_nearest_pixels(tmp_path: Path) -> None:
    ground = numbers(reflectances(landscape(64, 64, 5, 0), 0))
    write_scene(tmp_path / "a_20200101.tif", ground)
    write_scene(tmp_path / "b_20200601.tif", ground[:, 3:, 5:], corner=(600_050.0, 5_199_970.0))
    source = TileSource(path=str(tmp_path), tile=16, dates=2)
    batch = source.batch(np.arange(len(source)))
    assert batch.valid is None
    assert np.array_equal(batch.pixels[:, 0], batch.pixels[:, 1])
    assert {tuple(sorted(each)) for each in batch.time[:, :, 1].tolist()} == {(1.0, 6.0)}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write_scene(elsewhere / "a_20200101.tif", ground)
    write_scene(elsewhere / "b_20200601.tif", ground, corner=(700_000.0, 5_200_000.0))
    with pytest.raises(DataError, match="no tile is seen on 2 dates; the most is 1"):
        TileSource(path=str(elsewhere), tile=16, dates=2)


def test_other_coordinate_systems_meet_on_the_ground(tmp_path: Path) -> None:
    """One place in two zones: what a pixel of the one shows lies within a pixel's diagonal in the other."""
    from rasterio.warp import transform

    rows, cols = np.mgrid[:64, :64]
    for zone in (32632, 32633):
        (x,), (y,) = transform("EPSG:4326", f"EPSG:{zone}", [12.0], [46.0])
        xs, ys = x - 320 + 10 * cols + 5, y + 320 - 10 * rows - 5
        east, north = transform(f"EPSG:{zone}", "EPSG:32632", xs.ravel(), ys.ravel())
        pixels = np.stack([np.array(east), np.array(north)]).reshape(2, 64, 64)
        write_scene(tmp_path / f"{zone}.tif", pixels, names=["x", "y"], crs=f"EPSG:{zone}", corner=(x - 320, y + 320))
    source = TileSource(path=str(tmp_path), tile=16, dates=2)
    batch = source.batch(np.arange(len(source)))
    apart = (batch.pixels[:, 0] - batch.pixels[:, 1]).norm(dim=1)
    assert len(source) > 4
    assert float(apart.max()) < 10 * 2**0.5 / 2 + 1


@pytest.mark.realdata
def test_a_scene_of_gigabytes_is_never_loaded(images: Path) -> None:
    path = images / "s1_slc_sparse" / "s1a-s3-slc-vh-20210401t152855-20210401t152914-037258-04638e-001.tiff"
    tracemalloc.start()
    source = TileSource(path=str(path), tile=64, sampling="random", tiles=20, fit_tiles=2, nodata=-1.0)
    source.batch(np.arange(4))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    scene = source._reader.scenes[0]
    assert (scene.grid.rows, scene.grid.cols) == (36895, 18998)
    assert most < 40e6
    assert source.batch(np.arange(4)).pixels.dtype.is_signed
    assert "too large" not in source.describe() or scene.checked


@pytest.mark.realdata
def test_a_real_series_lies_on_many_grids(images: Path) -> None:
    found = find_scenes(images / "landsat8_series", Options(use=("B2", "B3", "B4", "B5")))
    assert len(found.scenes) == 19
    assert not found.refused
    assert len({scene.grid for scene in found.scenes}) > 10
    assert all(scene.sensor == "landsat8" and scene.quality is not None for scene in found.scenes)
    shares = [scene.read((0, 0, scene.grid.rows, scene.grid.cols))[1].mean() for scene in found.scenes]
    assert all(0.6 < share < 0.75 for share in shares)
    source = TileSource(path=str(images / "landsat8_series"), tile=16, dates=3, min_valid=0.9, use=["B4"])
    batch = source.batch(np.arange(8))
    assert batch.pixels.shape == (8, 3, 1, 16, 16)
    first = source._reader.scenes[int(source._reader.tiles.scene[0])]
    with rasterio.open(first.layers[0].header.path) as file:
        window = rasterio.windows.Window(int(source._reader.tiles.col[0]), int(source._reader.tiles.row[0]), 16, 16)
        date = source._reader.dates[0].tolist().index(int(source._reader.tiles.scene[0]))
        assert np.array_equal(batch.pixels[0, date], file.read(window=window))
    assert (batch.time[:, 1:, 1] >= batch.time[:, :-1, 1]).all()


def test_open_files_hold_no_more_than_they_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block as stored and one decoded stay in memory with each open file: 6 bands of uint16."""
    monkeypatch.setattr(handles, "_OPEN", handles._Open())
    for number in range(5):
        write_scene(tmp_path / f"S2A_{number}.tif", np.full((6, 32, 32), number, np.uint16))
    files = sorted(tmp_path.iterdir())
    with handles.once(str(files[0])) as file:
        rows, cols = file.block_shapes[0]
    monkeypatch.setattr(handles, "BUFFERS", 3 * 2 * rows * cols * 6 * 2)
    opens = [handles.opened(str(path)) for path in files]
    assert [file.closed for file in opens] == [True, True, False, False, False]
    assert handles.opened(str(files[4])) is opens[4]
    files[3].unlink()
    again = handles.opened(str(files[0]))
    assert [file.closed for file in opens[2:]] == [False, True, False], "what is gone is closed first"
    assert (again.read() == 0).all()


def test_a_stack_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "stack.npy"
    for value, size in ((1, 16), (2, 24)):
        np.save(path, np.full((size, 16), value, np.uint8))
        source = TileSource(path=str(path), tile=16)
        assert (source.batch(np.arange(1)).pixels == value).all()


def test_the_files_of_a_series_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One a band and date, as Landsat's are: a file that is opened anew for each tile costs a hundred reads."""
    monkeypatch.setattr(handles, "_OPEN", handles._Open())
    for day in range(1, 16):
        for band in ("B2", "B3", "B4"):
            path = tmp_path / f"LC08_L1TP_014032_202006{day:02}_{band}.TIF"
            write_scene(path, np.random.default_rng(day).integers(1, 99, (1, 20, 20)).astype(np.uint16), names=None)
    source = TileSource(path=str(tmp_path), tile=16, dates=3)
    source.batch(np.arange(len(source)))
    told: list[str] = []
    own = handles.once
    monkeypatch.setattr(handles, "once", lambda path: (told.append(path), own(path))[1])
    source.batch(np.arange(len(source)))
    assert told == []


def test_so_many_files_are_open_as_the_system_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    for allowed, most in ((256, 64), (1024, 240), (resource.RLIM_INFINITY, 240), (2, 1)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, allowed=allowed: (allowed, allowed))
        handles._most.cache_clear()
        assert handles._most() == most
    handles._most.cache_clear()
