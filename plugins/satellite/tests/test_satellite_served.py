"""A trained encoder that is sent scenes: GeoTIFFs as bytes, and everything that is none."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio

from manyviews.cli.main import run as command
from manyviews.engine.load import Trained, load_trained
from manyviews.engine.pretrain import pretrain
from manyviews.source import FILE, NAME
from manyviews.testing.servers import post, serving
from manyviews.track.served import RequestError, Served
from manyviews_satellite.source import TileSource
from manyviews_satellite.synth import landscape, numbers, reflectances, write_scene, write_slc

SMALL = {"encoder": {"width": 16, "depth": 1, "heads": 2, "patch": 8}, "objective": {"width": 16, "depth": 1, "heads": 2}}


@dataclass(frozen=True)
class Place:
    """A trained encoder, and a scene of 32 x 48 pixels."""

    trained: Trained
    run: Path
    scene: Path
    store: str


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("served")
    pixels = numbers(reflectances(landscape(64, 64, 5, 0), 0))
    scene = write_scene(folder / "S2A_20200401_scene.tif", pixels[:, :32, :48], nodata=0)
    (folder / "train").mkdir()
    write_scene(folder / "train" / "S2A_20200401_scene.tif", pixels, nodata=0)
    store = f"sqlite:///{folder / 'mlflow.db'}"
    made = pretrain(
        "satellite/satmae",
        data={"path": str(folder / "train"), "tile": 16},
        **SMALL,
        train={"steps": 1, "epochs": None, "batch_size": 4, "folder": str(folder / "runs")},
        evaluate=[],
        track={"uri": store, "experiment": "served"},
    )
    return Place(load_trained(made.folder), made.folder, scene, store)


def test_a_scene_is_answered_by_the_mean_of_its_tiles(place: Place) -> None:
    served, content = Served(place.trained), place.scene.read_bytes()
    tiles = place.trained.predict(str(place.scene))
    assert len(tiles) == 6
    text = base64.b64encode(content).decode()
    found = served.predict(pd.DataFrame({FILE: [content, text], NAME: [None, "L1C/../S2B_20200402.TIFF"]}))
    np.testing.assert_allclose(found, np.stack([tiles.mean(0)] * 2), rtol=1e-5, atol=1e-6)


def test_what_is_no_scene_is_refused_in_a_sentence(place: Place, tmp_path: Path) -> None:
    served, content = Served(place.trained), place.scene.read_bytes()
    small = write_scene(tmp_path / "small.tif", np.ones((6, 8, 8), np.uint16))
    empty = write_scene(tmp_path / "empty.tif", np.zeros((6, 16, 16), np.uint16), nodata=0)
    strange = write_scene(tmp_path / "strange.tif", np.ones((1, 16, 16), np.uint16), names=["VV"])
    list_of_files = (
        f'<VRTDataset rasterXSize="48" rasterYSize="32"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        f"<SourceFilename>{place.scene}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    ).encode()
    for sent, name, words in (
        (b"", None, "row 0: cannot be read as an image.*empty"),
        (b"hello", None, "row 0: cannot be read as an image"),
        (content[:3000], None, "row 0: (cannot be read|truncated)"),
        (small.read_bytes(), None, "row 0: 8 x 8 pixels are fewer than a tile of 16 x 16"),
        (empty.read_bytes(), None, "row 0: holds nothing"),
        (strange.read_bytes(), None, "row 0: .*VV"),
        (list_of_files, None, "row 0: cannot be read as an image"),
        (list_of_files, "a.vrt", "row 0: `name` is 'a.vrt'; files that are read here end in .tif, .jp2, .npy, .tiff"),
        (b"{}", "a.json", "files that are read here end in"),
    ):
        with pytest.raises(RequestError, match=words):
            served.predict(pd.DataFrame({FILE: [sent], NAME: [name]}))


def test_a_small_file_that_claims_to_be_a_huge_image_is_refused(place: Place, tmp_path: Path) -> None:
    huge = tmp_path / "huge.tif"
    profile = {"driver": "GTiff", "count": 6, "dtype": "uint8", "tiled": True, "compress": "deflate", "sparse_ok": True}
    profile |= {"BIGTIFF": "YES", "crs": "EPSG:32632"}
    ground = rasterio.Affine(10, 0, 6e5, 0, -10, 5e6)
    for size, words in ((100_000, "tiles, and 20,000,000 are the most"), (2048, "is cut into 16,384 samples")):
        form = {**profile, "width": size, "height": size, "blockxsize": 1024, "blockysize": 1024, "transform": ground}
        with rasterio.open(huge, "w", **form) as file:
            if size < 10_000:
                file.write(np.ones((6, size, size), np.uint8))
            file.descriptions = tuple(band.name for band in place.trained.spec.bands)  # type: ignore[attr-defined]
        content = huge.read_bytes()
        assert len(content) < 1e6
        with pytest.raises(RequestError, match=words):
            Served(place.trained).predict(pd.DataFrame({FILE: [content]}))


def test_the_sensor_is_that_of_the_training_data_where_a_name_tells_none(place: Place, tmp_path: Path) -> None:
    """Sentinel-2's 0 is no data, whatever the file is called; nothing but the name of the training files said so."""
    pixels = numbers(reflectances(landscape(16, 16, 5, 0), 0))
    pixels[:, :4] = 0
    scene = write_scene(tmp_path / "mine.tif", pixels)
    batch = TileSource.reading(scene, place.trained.spec).batch(np.arange(1))  # type: ignore[arg-type]
    assert batch.valid is not None
    assert batch.valid[0, 0, :4].sum() == 0


@pytest.mark.parametrize("kind", ["radar", "stack", "pairs", "scaled"])
def test_examples_are_made_for_every_kind_of_data(kind: str, tmp_path: Path) -> None:
    ground = reflectances(landscape(32, 32, 5, 0), 0)
    match kind:
        case "radar":
            write_slc(tmp_path / "S1A_VV_0.tif", 100 * ground[3], 0)
            source = TileSource(path=str(tmp_path), tile=16)
        case "stack":
            np.save(tmp_path / "dates.npy", np.stack([numbers(ground)] * 3).transpose(0, 2, 3, 1))
            source = TileSource(path=str(tmp_path), bands=["B2", "B3", "B4", "B8", "B11", "B12"], use=["B4", "B3"], axes="tyxb",
                                sensor="sentinel2", dates=2, tile=16)  # fmt: skip
        case "scaled":
            write_scene(tmp_path / "S2A_20200401.tif", numbers(ground))
            source = TileSource(path=str(tmp_path), scale=1e-4, offset=-0.1, tile=16)
        case _:
            for name in ("before", "after"):
                (tmp_path / name).mkdir()
                write_scene(tmp_path / name / "S2A_1.tif", numbers(ground))
            source = TileSource(path=str(tmp_path), pairs=["before", "after"], tile=16)
    example = source.example()
    if kind == "pairs":
        assert example is None
        return
    assert example is not None
    path = tmp_path / (example[NAME][0] if kind == "stack" else "example.tif")
    path.write_bytes(example[FILE][0])
    again = TileSource.reading(path, source.spec)
    batch = again.batch(np.arange(1))
    assert len(again) == 1
    assert batch.pixels.shape == (1, source.spec.windows.dates, len(source.spec.bands), 16, 16)
    standard = batch.standardised(source.spec).pixels
    assert abs(float(standard.mean())) < 0.3
    assert 0.8 < float(standard.std()) < 1.2


@pytest.mark.slow
@pytest.mark.xdist_group("server")
def test_mlflow_serves_it(place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["runs", "register", str(place.run), "--name", "scenes", "--alias", "champion"]) == 0
    assert capsys.readouterr().out.split() == ["models:/scenes@champion"]
    expected = place.trained.predict(str(place.scene)).mean(0)
    with serving("models:/scenes@champion", place.store, tmp_path) as server:

        def ask(content: bytes, **more: str) -> tuple[int, str]:
            row = {FILE: base64.b64encode(content).decode(), **more}
            return post(f"{server.url}/invocations", json.dumps({"dataframe_records": [row]}).encode())

        for more in ({}, {NAME: place.scene.name}):
            status, text = ask(place.scene.read_bytes(), **more)
            assert status == 200, text
            np.testing.assert_allclose(json.loads(text)["predictions"][0], expected, rtol=1e-4, atol=1e-5)
        for content, more, words in (
            (b"hello", {}, "row 0: cannot be read as an image"),
            (place.scene.read_bytes(), {NAME: "a.vrt"}, "files that are read here end in"),
        ):
            status, text = ask(content, **more)
            assert (status, words in text) == (400, True), text[-500:]
            assert "Traceback" not in text
