"""Odd files load right, bad ones are refused in words: made ones, and each of a real collection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy

from manyviews.errors import DataError
from manyviews.plugins.note import Note
from manyviews_satellite.doctor import examine
from manyviews_satellite.source import TileSource
from manyviews_satellite.synth import write_scene


def noise(bands: int = 3, rows: int = 64, cols: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 4000, (bands, rows, cols)).astype(np.uint16)


def scene(path: Path, pixels: np.ndarray | None = None, **options: Any) -> Path:
    return write_scene(path, noise() if pixels is None else pixels, **{"names": ["red", "green", "blue"], **options})


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        TileSource(path=str(path), **{"tile": 16, **options})
    said = str(caught.value)
    assert len(said.splitlines()) <= 3
    return said


def test_a_truncated_file_is_named_before_training(tmp_path: Path) -> None:
    path = scene(tmp_path / "cut.tif", noise(3, 256, 256))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "cut.tif: cannot be read as an image" in refused(path)
    assert "seems truncated: copy or download it anew" in refused(path)
    path.write_bytes(whole)
    copy(path, tmp_path / "whole.tif", driver="COG", blocksize=128)  # whose index stands at its beginning
    path.write_bytes((tmp_path / "whole.tif").read_bytes()[:-9000])
    assert "cut.tif: truncated: its block at row" in refused(path)
    assert "copy or download it anew" in examine(path)[0]


def test_a_damaged_block_says_where(tmp_path: Path) -> None:
    path = scene(tmp_path / "hurt.tif")
    whole = bytearray(path.read_bytes())
    whole[300:4000] = b"\xff" * 3700
    path.write_bytes(bytes(whole))
    with pytest.raises(DataError, match=r"hurt.tif: cannot be read at rows 0 to 64, columns 0 to 64: its data are damaged"):
        TileSource(path=str(path), tile=16)
    assert "data are damaged" in examine(path)[0]


def test_neither_empty_nor_foreign_files_pass(tmp_path: Path) -> None:
    (tmp_path / "empty.tif").touch()
    assert "empty.tif: cannot be read as an image" in refused(tmp_path / "empty.tif")
    assert "0 bytes" in refused(tmp_path / "empty.tif")
    (tmp_path / "text.tif").write_text("no image")
    assert "text.tif: cannot be read as an image" in refused(tmp_path / "text.tif")
    (tmp_path / "notes.txt").write_text("no image")
    assert "notes.txt: neither an image (" in refused(tmp_path / "notes.txt")
    (tmp_path / "none").mkdir()
    assert "no image in this folder" in refused(tmp_path / "none")


def test_without_coordinates_the_recipe_is_asked(tmp_path: Path) -> None:
    path = scene(tmp_path / "lost.tif", crs=None)
    assert "lost.tif: has no coordinate system (CRS)" in refused(path)
    as_they_lie = TileSource(path=str(path), tile=16, crs="none")
    assert as_they_lie.spec.metres is None
    assert TileSource(path=str(path), tile=16, crs="EPSG:32632").spec.metres == 10.0


def test_no_data_is_never_taken_for_data(tmp_path: Path) -> None:
    pixels = noise().astype(np.int16)
    pixels[:, :32] = -9999
    path = scene(tmp_path / "half.tif", pixels, nodata=-9999)
    source = TileSource(path=str(path), tile=16, min_valid=0.0)
    assert min(source.spec.mean) > 0
    batch = source.batch(np.arange(len(source)))
    assert batch.valid is not None
    assert float(batch.valid.float().mean()) == 0.5
    assert not batch.standardised(source.spec).pixels[:, :, 0][~batch.valid].any()
    assert len(TileSource(path=str(path), tile=16)) == 8


def test_no_data_that_a_file_does_not_declare_is_found_by_the_doctor(tmp_path: Path) -> None:
    pixels = noise().astype(np.int16)
    pixels[:, :8] = -9999
    (finding,) = {line.partition("band ")[2].partition(": ")[2] for line in examine(scene(tmp_path / "a.tif", pixels))}
    assert finding == "12% of its pixels are -9999, which seems to mean no data; set data.nodata=-9999"
    source = TileSource(path=str(tmp_path / "a.tif"), tile=16, nodata=-9999.0)
    assert min(source.spec.mean) > 0


def test_nan_is_never_served(tmp_path: Path) -> None:
    pixels = noise().astype(np.float32)
    pixels[1, :20, :20] = np.nan
    source = TileSource(path=str(scene(tmp_path / "nan.tif", pixels)), tile=16, min_valid=0.0)
    batch = source.batch(np.arange(len(source)))
    assert batch.valid is not None
    assert int((~batch.valid).sum()) == 400
    assert batch.standardised(source.spec).pixels.isfinite().all()
    assert np.isfinite(source.spec.mean).all()


def test_an_empty_scene_is_refused(tmp_path: Path) -> None:
    path = scene(tmp_path / "void.tif", np.zeros((3, 64, 64), np.uint16), nodata=0)
    assert "void.tif: holds nothing: all of its pixels are no data (0)" in refused(path)


def test_too_little_that_is_valid_is_refused_with_the_most_there_is(tmp_path: Path) -> None:
    pixels = noise()
    pixels[:, :, 8:] = 0
    path = scene(tmp_path / "thin.tif", pixels, nodata=0)
    assert "none of its 16 tiles has 60% of valid pixels; the best has 50%" in refused(path, min_valid=0.6)


def test_scenes_smaller_than_a_tile_are_refused_or_padded(tmp_path: Path) -> None:
    path = scene(tmp_path / "small.tif", noise(3, 20, 40))
    assert "small.tif: 20 x 40 pixels are fewer than a tile of 32 x 32\nset data.tile=20 or less" in refused(path, tile=32)
    source = TileSource(path=str(path), tile=32, small="pad")
    batch = source.batch(np.arange(len(source)))
    assert batch.valid is not None
    assert int(batch.valid[0].sum()) == 20 * 32
    with rasterio.open(path) as file:
        assert np.array_equal(batch.pixels[0, 0, :, :20], file.read()[:, :, :32])


def test_bands_that_differ_are_named(tmp_path: Path) -> None:
    for name in "ab":
        scene(tmp_path / f"{name}.tif")
    scene(tmp_path / "c.tif", noise(2), names=["red", "green"])
    said = refused(tmp_path)
    assert "c.tif: its bands are red, green, those of the other scenes red, green, blue; choose common ones by data.use" in said
    assert TileSource(path=str(tmp_path), tile=16, use=["green", "red"]).spec.bands[0].name == "green"
    source = TileSource(path=str(tmp_path), tile=16, on_error="skip")
    assert len(source.skipped) == 1
    assert "c.tif" in source.describe()
    assert "c.tif: lacks band blue; it has red, green" in refused(tmp_path, use=["red", "blue"])


def test_an_order_that_nobody_tells_is_not_guessed(tmp_path: Path) -> None:
    path = scene(tmp_path / "stack.tif", noise(13), names=None)
    said = refused(path)
    assert "13 bands without names, and their order is not guessed" in said
    assert "data.bands=sentinel2_l1c or eurosat" in said
    assert TileSource(path=str(path), tile=16, bands="eurosat").spec.bands[-1].name == "B8A"
    assert "has 13 bands, and data.bands names 3" in refused(path, bands="rgb")
    assert "'eurosad' is no known order. Did you mean `eurosat`?" in refused(path, bands="eurosad")
    assert "names red twice" in refused(path, bands=["red", "red"])
    named = scene(tmp_path / "named.tif")
    assert "calls its bands red, green, blue, and data.bands has another order" in refused(
        named, bands=["blue", "green", "red"]
    )


def test_two_zones_stay_on_their_own_grids(tmp_path: Path) -> None:
    for number, zone in enumerate((32632, 32633)):
        scene(tmp_path / f"{zone}.tif", noise(seed=number), crs=f"EPSG:{zone}")
    source = TileSource(path=str(tmp_path), tile=16)
    batch = source.batch(np.arange(len(source)))
    assert batch.valid is None
    with rasterio.open(tmp_path / "32633.tif") as file:
        assert np.array_equal(batch.pixels[16, 0], file.read()[:, :16, :16])
    assert "zone 32N (1)" in source.describe()
    assert "zone 33N (1)" in source.describe()


def test_mixed_types_meet_in_one_that_holds_both(tmp_path: Path) -> None:
    one, two = noise(), noise(seed=1).astype(np.float32) + 0.5
    scene(tmp_path / "a.tif", one)
    scene(tmp_path / "b.tif", two)
    pixels = TileSource(path=str(tmp_path), tile=64).batch(np.arange(2)).pixels.numpy()
    assert pixels.dtype == np.float32
    assert np.array_equal(pixels[:, 0], np.stack([one.astype(np.float32), two]))


def test_files_that_state_other_scales_agree_in_physical_units(tmp_path: Path) -> None:
    pixels = noise()
    for name, scale, offset in (("a", 0.0001, 0.0), ("b", 0.0001, -0.1)):
        path = scene(tmp_path / f"{name}.tif", (pixels + (1000 if name == "b" else 0)).astype(np.uint16))
        with rasterio.open(path, "r+") as file:
            file.scales, file.offsets = (scale,) * 3, (offset,) * 3
    source = TileSource(path=str(tmp_path), tile=64)
    found = source.batch(np.arange(2)).standardised(source.spec).pixels
    assert np.allclose(found[0], found[1], atol=1e-4)


ODD: dict[str, dict[str, Any]] = {
    "RGB.byte.tif": {"bands": ("red", "green", "blue"), "metres": 300.04, "valid": (0.5, 0.75)},
    "RGB2.byte.tif": {"bands": ("red", "green", "blue"), "metres": 300.04},
    "cog_dateline.tif": {"bands": ("grey",), "metres": 100.01},
    "cog_gcps.tif": {"bands": ("grey",), "metres": None, "year": 2018.0},
    "cog_nodata_nan.tif": {"bands": ("VV",), "metres": 200.0, "valid": (0.5, 1.0), "year": 2020.0},
    "cog_nonearth.tif": {"bands": ("ir-9680",), "metres": 282.0, "valid": (0.5, 1.0)},
    "cogeo.tif": {"bands": ("red", "green", "blue"), "metres": 0.597164},
    "nocog.tif": {"bands": ("grey",), "metres": 100.01},
    "rgb1.tif": {"bands": ("red", "green", "blue"), "metres": 300.04, "valid": (0.5, 0.75)},
    "rgb1_fake_nir_epsg3857.tif": {"bands": ("nir",), "metres": 200.13, "valid": (0.5, 1.0)},
    "scene_band1.tif": {"bands": ("B1",), "metres": 200.0},
    "scene_band2.tif": {"bands": ("B2",), "metres": 200.0},
}
"""Odd files that load: what of them."""


@pytest.mark.realdata
@pytest.mark.parametrize("name", ODD)
def test_odd_files_load_right(images: Path, name: str) -> None:
    source = TileSource(path=str(images / "bad_and_odd" / name), tile=64)
    wanted = ODD[name]
    assert tuple(band.name for band in source.spec.bands) == wanted["bands"]
    assert source.spec.metres is None or source.spec.metres == pytest.approx(wanted["metres"], rel=1e-4)
    assert (source.spec.metres is None) == (wanted["metres"] is None)
    index = np.arange(min(len(source), 40))
    batch = source.batch(index)
    if "valid" in wanted:
        assert batch.valid is not None
        low, _ = wanted["valid"]
        assert all(low <= share <= 1 for share in batch.valid.float().mean((1, 2, 3)).tolist())
    else:
        assert batch.valid is None
    assert batch.standardised(source.spec).pixels.isfinite().all()
    assert np.isfinite([*source.spec.mean, *source.spec.std]).all()
    if "year" in wanted:
        assert float(batch.time[0, 0, 0]) == wanted["year"]
    scene_ = source._reader.scenes[0]
    with rasterio.open(images / "bad_and_odd" / name) as file:
        row, col = int(source._reader.tiles.row[0]), int(source._reader.tiles.col[0])
        window = rasterio.windows.Window(col, row, 64, 64)
        assert np.array_equal(batch.pixels[0, 0], file.read(window=window), equal_nan=batch.pixels.is_floating_point())
        assert (scene_.grid.rows, scene_.grid.cols) == file.shape


REFUSED: dict[str, str] = {
    "all-nodata.tif": "holds nothing: all of its pixels are no data (0)",
    "inverted_lat.tif": "holds nothing: all of its pixels are no data (-9999)",
    "corrupt.tif": "truncated: its block at row 512, column 512 ends at byte 307,086, and the file has 298,232",
    "cog_scale.tif": "2 bands without names, and their order is not guessed",
    "float_nan.tif": "has no coordinate system (CRS)",
    "rotated.tif": "has no coordinate system (CRS)",
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", REFUSED)
def test_bad_files_are_refused_in_words(images: Path, name: str) -> None:
    said = refused(images / "bad_and_odd" / name)
    assert name in said
    assert REFUSED[name] in said
    assert any(" ".join(REFUSED[name].split()[:2]).rstrip(":") in line for line in examine(images / "bad_and_odd" / name))


@pytest.mark.realdata
def test_every_file_of_the_collection_is_accounted_for(images: Path) -> None:
    names = {path.name for path in (images / "bad_and_odd").iterdir()}
    assert names == set(ODD) | set(REFUSED)
    source = TileSource(path=str(images / "bad_and_odd"), tile=64, on_error="skip")
    assert {Path(scene_.name).name for scene_ in source._reader.scenes} == {
        "RGB.byte.tif",
        "RGB2.byte.tif",
        "cogeo.tif",
        "rgb1.tif",
    }
    assert len(source.skipped) == 13  # band 1 and band 2 are one scene
    assert all("\n" not in line for line in source.skipped)


@pytest.mark.realdata
def test_what_is_refused_loads_once_the_recipe_says_how(images: Path) -> None:
    folder = images / "bad_and_odd"
    scaled = TileSource(path=str(folder / "cog_scale.tif"), tile=64, bands=["one", "two"])
    with rasterio.open(folder / "cog_scale.tif") as file:
        pixels = file.read(masked=True)
        wanted = [float((pixels[band] * file.scales[band] + file.offsets[band]).mean()) for band in (0, 1)]
    assert scaled.spec.mean == pytest.approx(wanted, rel=1e-5)
    rotated = TileSource(path=str(folder / "rotated.tif"), tile=10, crs="EPSG:32618")
    assert rotated.spec.metres == pytest.approx(np.sqrt(17.32051 * 8.66025 + 50), rel=1e-4)
    holes = TileSource(path=str(folder / "float_nan.tif"), tile=2, crs="none", min_valid=0.0)
    batch = holes.batch(np.arange(2))
    assert batch.valid is not None
    assert int((~batch.valid).sum()) == 1
    assert batch.standardised(holes.spec).pixels.isfinite().all()
    both = TileSource(path=str(folder / "scene_band*.tif"), tile=64)
    assert [band.name for band in both.spec.bands] == ["B1", "B2"]


class TestOtherSensors:
    """B2 is blue for Sentinel-2 and green for Landsat 7: bands of one name are not one band."""

    def scenes(self, folder: Path) -> Path:
        for name, count in (("LE07_a.tif", 2), ("LE07_b.tif", 2), ("S2A_c.tif", 2)):
            write_scene(folder / name, noise(count), names=["B2", "B3"])
        return folder

    def test_they_are_not_read_together(self, tmp_path: Path) -> None:
        assert "S2A_c.tif: its B2 lies at 0.49 µm (sentinel2), and at 0.56 µm (landsat7) that of the other scenes" in refused(
            self.scenes(tmp_path)
        )

    def test_those_whose_bands_agree_are(self, tmp_path: Path) -> None:
        for name in ("LC08_a.tif", "LC09_b.tif"):
            write_scene(tmp_path / name, noise(2), names=["B2", "B3"])
        assert len(TileSource(path=str(tmp_path), tile=16).scenes) == 2

    def test_an_encoder_reads_its_own_alone(self, tmp_path: Path) -> None:
        folder = self.scenes(tmp_path)
        spec = TileSource(path=str(folder / "LE07_a.tif"), tile=16).spec
        assert len(TileSource.reading(folder / "LE07_b.tif", spec)) == 16
        with pytest.raises(DataError, match=r"S2A_c.tif: its B2 lies at 0.49 µm .* that of the images that the encoder was"):
            TileSource.reading(folder / "S2A_c.tif", spec)

    def test_a_sensor_is_not_assumed_of_bands_that_it_has_not(self, tmp_path: Path) -> None:
        spec = TileSource(path=str(self.scenes(tmp_path) / "LE07_a.tif"), tile=16).spec
        plain = write_scene(tmp_path / "plain.tif", noise(2), names=["B2", "B3"])
        assert len(TileSource.reading(plain, spec)) == 16
        other = write_scene(tmp_path / "other.tif", noise(4), names=["B2", "B3", "B11", "ndvi"])
        with pytest.raises(DataError, match=r"other.tif: has band B11, which landsat7 has not"):
            TileSource.reading(other, spec)


def test_what_is_wrong_and_what_to_do_are_told_apart(tmp_path: Path) -> None:
    path = scene(tmp_path / "nowhere.tif", crs=None)
    assert examine(path) == [
        f"{path}: has no coordinate system (CRS); say data.crs=EPSG:<number> if you know it, or data.crs=none to take its "
        "pixels as they lie"
    ]


def test_arrays_are_told_of_and_damaged_ones_are_a_fault(tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", np.zeros((2, 20, 20, 13), np.float32))
    (told,) = examine(tmp_path / "stack.npy") or []
    assert isinstance(told, Note)
    assert "stack.npy: not looked at; what axes and bands are, a recipe says: data.axes=tyxb data.bands=" in told
    scene(tmp_path / "a.tif")
    np.save(tmp_path / "b.npy", np.zeros((20, 20, 13), np.float32))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "stack.npy").read_bytes()[:-100])
    fault, note = examine(tmp_path) or []
    assert "cut.npy: cannot be read as a .npy array" in fault
    assert not isinstance(fault, Note)
    assert f"{tmp_path}: 2 .npy files: not looked at" in note
    np.save(tmp_path / "table.npy", np.zeros((20, 4)))
    assert examine(tmp_path / "table.npy") is None
