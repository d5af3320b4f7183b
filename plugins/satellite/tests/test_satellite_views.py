"""Views of tiles: crops, colours, bands left out, seasons, masks over groups; SeCo's equation; rasters of embeddings."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from manyviews.cli.main import run as command
from manyviews.engine.load import load_trained
from manyviews.engine.pretrain import pretrain
from manyviews.errors import UserError
from manyviews.look.style import drawing, figure
from manyviews.mask import Mask
from manyviews.renderer import Shown
from manyviews.view import View
from manyviews.writer import About, Rows
from manyviews_satellite.batch import TileBatch
from manyviews_satellite.reading.options import Options
from manyviews_satellite.renderer import TileRenderer
from manyviews_satellite.seco import SeCo, seasonal_contrast
from manyviews_satellite.source import TileSource
from manyviews_satellite.spec import Band, TileSpec, Windows
from manyviews_satellite.synth import landscape, numbers, reflectances, write_scene
from manyviews_satellite.transformer import PatchTransformer
from manyviews_satellite.views.augment import Augment, jittered
from manyviews_satellite.views.crops import cropped
from manyviews_satellite.views.group_mask import GroupMask
from manyviews_satellite.views.seasons import Season, Seasons
from manyviews_satellite.writer import GeoTiffFolderWriter, GeoTiffWriter


def spec(dates: int = 1, metres: float | None = 10.0) -> TileSpec:
    bands = tuple(Band(name=name, sensor="sentinel2") for name in ("B2", "B3", "B4", "B11"))
    return TileSpec(
        bands=bands, mean=(0.0,) * 4, std=(1.0,) * 4, windows=Windows(tile=16, dates=dates), reading=Options(), metres=metres
    )


def batch(tiles: int = 4, dates: int = 1, valid: bool = False) -> TileBatch:
    pixels = torch.randn(tiles, dates, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    ones = torch.ones(tiles, dates, 4)
    mask = torch.ones(tiles, dates, 16, 16, dtype=torch.bool)
    mask[:, :, :4] = False
    time = torch.arange(12.0).reshape(1, 4, 3)[:, :dates].expand(tiles, -1, -1)
    return TileBatch(pixels, ones, 0 * ones, time, torch.full((tiles,), 10.0), (0, 1, 2, 3), mask if valid else None, True)


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def test_a_crop_of_all_is_the_tile_in_one_of_its_eight_positions() -> None:
    tiles = batch(32)
    same = cropped(tiles, 16, torch.ones(32), False, seed())
    assert_close(same.pixels, tiles.pixels, atol=1e-5, rtol=1e-5)
    turned = cropped(tiles, 16, torch.ones(32), True, seed()).pixels[:, 0]
    found = set()
    for one, whole in zip(turned, tiles.pixels[:, 0], strict=True):
        forms = [torch.rot90(form, k, (1, 2)) for form in (whole, whole.flip(2)) for k in range(4)]
        distances = [float((one - form).abs().max()) for form in forms]
        assert min(distances) < 1e-4
        found.add(int(np.argmin(distances)))
    assert len(found) == 8


def test_a_crop_is_a_part_of_its_tile_at_its_own_resolution() -> None:
    tiles = batch()
    part = cropped(tiles, 8, torch.full((4,), 0.5), False, seed())
    assert part.pixels.shape == (4, 1, 4, 8, 8)
    assert_close(part.metres, torch.full((4,), 10.0))
    assert_close(cropped(tiles, 16, torch.full((4,), 0.5), False, seed()).metres, torch.full((4,), 5.0))
    assert float(part.pixels.abs().max()) <= float(tiles.pixels.abs().max())


def test_what_was_not_seen_stays_unseen_in_every_view() -> None:
    tiles = batch(valid=True)
    tiles = replace(tiles, pixels=torch.where(tiles.valid[:, :, None], tiles.pixels, torch.zeros(())))  # type: ignore[index]
    views = Augment(spec(), crop=(0.9, 1.0), jitter=0.5, noise=0.5)
    encoder = PatchTransformer(spec(), width=16, depth=1, heads=2, patch=4)
    views.bind(encoder.layout)
    for view in views(tiles, encoder.layout(tiles), seed()):
        assert view.batch.valid is not None
        assert not view.batch.pixels.permute(0, 1, 3, 4, 2)[~view.batch.valid].any()
        assert 0.6 < float(view.batch.valid.float().mean()) < 0.8


def test_jitter_is_one_gain_and_offset_for_each_band_of_each_image() -> None:
    pixels = torch.randn(3, 2, 4, 8, 8, dtype=torch.float64)
    changed = jittered(pixels, 0.3, 0.0, seed())
    for one, other in zip(changed.flatten(0, 2), pixels.flatten(0, 2), strict=True):
        slope = (one - one.mean()).flatten() @ (other - other.mean()).flatten() / (other - other.mean()).square().sum()
        assert_close(one - one.mean(), slope * (other - other.mean()))
    assert jittered(pixels, 0.0, 0.0, seed()) is pixels
    assert float((jittered(pixels, 0.0, 0.1, seed()) - pixels).std()) == pytest.approx(0.1, rel=0.05)


def test_views_leave_bands_out_and_take_other_dates() -> None:
    encoder = PatchTransformer(spec(3), width=16, depth=1, heads=2, patch=4)
    views = Augment(spec(3), globals=3, drop_bands=0.5, dates="one")
    views.bind(encoder.layout)
    tiles = batch(dates=3)
    made = views(tiles, encoder.layout(tiles), seed(1))
    assert {int(view.batch.time[0, 0, 0]) for view in made} == {0, 3, 6}
    assert len({view.batch.bands for view in made}) > 1
    assert all(view.batch.dates == 1 and view.batch.bands for view in made)


def test_crops_in_metres_are_as_large_on_the_ground_whatever_the_resolution() -> None:
    tiles = replace(batch(64), metres=torch.tensor([10.0, 20.0]).repeat(32))
    views = Augment(spec(), metres=(80.0, 120.0))
    sides = views._sides(tiles, "global", (0.4, 1.0), seed()) * tiles.metres * 16
    assert float(sides.min()) >= 80
    assert float(sides.max()) <= 120
    with pytest.raises(UserError, match=r"views.metres: these images have no place on the ground"):
        Augment(spec(metres=None), metres=(80.0, 120.0))


def test_masks_cover_the_same_places_of_all_groups_or_whole_groups() -> None:
    encoder = PatchTransformer(spec(), width=16, depth=1, heads=2, patch=4, groups="each")
    tiles = batch()
    layout = encoder.layout(tiles)
    (places,) = GroupMask(share=0.75)(tiles, layout, seed())
    (groups,) = GroupMask(share=0.5, by="group")(tiles, layout, seed())
    assert places.hidden is not None
    assert groups.hidden is not None
    where = places.hidden.where[0].reshape(4, 4, 16)
    assert bool((where == where[:, :1]).all())
    assert where[:, 0].sum(1).tolist() == [12] * 4
    assert places.hidden.each == 48
    where = groups.hidden.where[0].reshape(4, 4, 16)
    assert bool((where == where[:, :, :1]).all())
    assert where[:, :, 0].sum(1).tolist() == [2] * 4
    assert len({tuple(row) for row in where[:, :, 0].tolist()}) > 1


def test_seasons_are_a_query_and_three_kinds_of_keys() -> None:
    encoder = PatchTransformer(spec(3), width=16, depth=1, heads=2, patch=4)
    views = Seasons(spec(3))
    views.bind(encoder.layout)
    tiles = batch(dates=3)
    query, both, season, augmented = views(tiles, encoder.layout(tiles), seed())
    assert [view.target for view in (query, both, season, augmented)] == [
        Season(False, False), Season(True, True), Season(True, False), Season(False, True)
    ]  # fmt: skip
    times = [int(view.batch.time[0, 0, 0]) for view in (query, both, season, augmented)]
    assert times[0] == times[3]
    assert len(set(times)) == 3
    assert_close(query.batch.pixels[:, 0], tiles.pixels[:, times[0] // 3])
    assert not torch.allclose(augmented.batch.pixels, query.batch.pixels)
    with pytest.raises(UserError, match=r"a sample has one: set data.dates=3"):
        Seasons(spec(1))


def test_seasonal_contrast_is_infonce_in_three_spaces() -> None:
    """Longhand: space 0 against the queue alone, spaces 1 and 2 against the other keys of the place, too."""
    torch.manual_seed(0)
    unit = F.normalize(torch.randn(2, 3, 5, dtype=torch.float64), dim=-1)
    keys = F.normalize(torch.randn(2, 3, 3, 5, dtype=torch.float64), dim=-1)
    queue = F.normalize(torch.randn(3, 7, 5, dtype=torch.float64), dim=-1)
    found = seasonal_contrast(unit, keys, queue, 0.07)
    for b in range(2):
        for s in range(3):
            positive = float(unit[b, s] @ keys[b, s, s]) / 0.07
            negatives = [float(unit[b, s] @ queue[s, q]) / 0.07 for q in range(7)]
            negatives += [float(unit[b, s] @ keys[b, s, k]) / 0.07 for k in range(3) if s > 0 and k != s]
            wanted = -math.log(math.exp(positive) / (math.exp(positive) + sum(map(math.exp, negatives))))
            assert float(found[b, s]) == pytest.approx(wanted)
    same = F.normalize(torch.ones(2, 3, 5, dtype=torch.float64), dim=-1)
    collapsed = seasonal_contrast(
        same, same[:, :, None].expand(-1, -1, 3, -1), same[:1, :, None].expand(-1, -1, 7, -1)[0], 0.07
    )
    assert_close(collapsed, torch.tensor([[8.0, 10.0, 10.0]] * 2, dtype=torch.float64).log())


def test_the_oldest_keys_make_room() -> None:
    loss = SeCo(queue=5, out=2)
    for number in range(1, 4):
        loss._remember(torch.full((2, 2, 3), float(number)))
    assert loss.get_buffer("queue")[0, :, 0].tolist() == [3.0, 1.0, 2.0, 2.0, 3.0]
    assert int(loss.get_buffer("place")) == 1
    loss._remember(torch.arange(14.0)[:, None, None].expand(14, 2, 3))
    assert sorted(loss.get_buffer("queue")[0, :, 0].tolist()) == [9.0, 10.0, 11.0, 12.0, 13.0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run on a scene without data in one corner."""
    folder = tmp_path_factory.mktemp("run")
    pixels = numbers(reflectances(landscape(72, 56, 5, 0), 0))
    pixels[:, :32, :32] = 0
    write_scene(folder / "S2A_20200601.tif", pixels, nodata=0)
    trained = pretrain(
        "satellite/satmae",
        data={"path": str(folder / "S2A_20200601.tif"), "tile": 16, "sampling": "blocks", "crops": 8},
        encoder={"width": 16, "depth": 1, "heads": 2, "patch": 8},
        objective={"width": 16, "depth": 1},
        train={"steps": 1, "batch_size": 4, "folder": str(folder / "runs"), "device": "cpu"},
        evaluate=[],
        track=None,
    )
    return trained.folder


@pytest.mark.parametrize("tokens", [False, True])
def test_embeddings_become_a_raster_on_the_scenes_grid(run: Path, tmp_path: Path, tokens: bool) -> None:
    scene = run.parents[1] / "S2A_20200601.tif"
    words = ["embed", str(run), str(scene), "-o", str(tmp_path / "vectors.tif"), "--device", "cpu", *["--tokens"] * tokens]
    assert command(words) == 0
    trained = load_trained(run, device="cpu")
    source = trained.reading(str(scene))
    step = 8 if tokens else 16
    with rasterio.open(tmp_path / "vectors.tif") as file, rasterio.open(scene) as ground:
        assert file.crs == ground.crs
        assert file.res == (10.0 * step, 10.0 * step)
        assert (file.bounds.left, file.bounds.top) == (ground.bounds.left, ground.bounds.top)
        assert file.count == 16
        assert file.shape == (-(-72 // step), -(-56 // step))
        vectors = file.read()
    assert np.isnan(vectors[:, : 32 // step, : 32 // step]).all()
    assert np.isfinite(vectors[:, -1]).all()
    if not tokens:
        wanted = trained.predict(str(scene))
        for number in range(len(source)):
            row, col = source.corner(number)  # type: ignore[attr-defined]
            assert np.allclose(vectors[:, -(-row // 16), -(-col // 16)], wanted[number], atol=1e-4)


def test_a_raster_is_of_one_scene(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        write_scene(tmp_path / f"S2A_2020060{number}.tif", numbers(reflectances(landscape(32, 32, 5, 0), number)))
    assert command(["embed", str(run), str(tmp_path), "-o", str(tmp_path / "x.tif"), "--device", "cpu"]) != 0
    assert "a GeoTIFF is of one scene, and these data hold 2" in capsys.readouterr().err
    assert not (tmp_path / "x.tif").exists()
    assert command(["embed", str(run), str(tmp_path), "-o", str(tmp_path / "x.geotiff"), "--device", "cpu"]) == 0
    for number in range(2):
        one = tmp_path / f"S2A_2020060{number}.tif"
        assert command(["embed", str(run), str(one), "-o", str(tmp_path / "one.tif"), "--device", "cpu"]) == 0
        with rasterio.open(tmp_path / "one.tif") as alone, rasterio.open(tmp_path / "x.geotiff" / one.name) as among:
            assert np.allclose(alone.read(), among.read(), atol=1e-5)
            assert alone.transform == among.transform


def test_files_of_a_folder_have_one_name_each(tmp_path: Path) -> None:
    for month in ("may", "june"):
        (tmp_path / month).mkdir()
        write_scene(tmp_path / month / "S2A_1.tif", numbers(reflectances(landscape(32, 32, 5, 0), 0)))
    with pytest.raises(UserError, match=r"2 of these scenes are called 'S2A_1', and files of a folder have one name each"):
        GeoTiffFolderWriter().check(TileSource(path=str(tmp_path), tile=16))


class TestCurriculum:
    def views(self, **more: object) -> tuple[Augment, PatchTransformer]:
        views = Augment(spec(), frequencies=(8, 12, 16), stages=(0.5, 0.75), **more)  # type: ignore[arg-type]
        encoder = PatchTransformer(spec(), width=16, depth=1, heads=2, patch=4)
        views.bind(encoder.layout)
        return views, encoder

    @pytest.mark.parametrize(("share", "side"), [(0.0, 8), (0.49, 8), (0.5, 12), (0.75, 16), (0.99, 16)])
    def test_views_are_shown_on_ever_more_pixels(self, share: float, side: int) -> None:
        views, encoder = self.views(locals=1, local_size=8)
        tiles = batch(valid=True)
        views.progress(share)
        one, _, local = views(tiles, encoder.layout(tiles), seed())
        assert one.batch.pixels.shape[-2:] == (side, side)
        assert one.layout.grid[-2:] == (side // 4, side // 4)  # type: ignore[index]
        assert local.batch.pixels.shape[-1] == 8, "crops of a student alone are small already"
        assert one.batch.valid is not None
        assert not one.batch.pixels.permute(0, 1, 3, 4, 2)[~one.batch.valid].any()

    def test_augmentations_grow_from_nothing(self) -> None:
        views, encoder = self.views(growing=True, crop=(1.0, 1.0), turn=False, jitter=0.5, noise=0.1)
        tiles = batch()
        views.curriculum = ()
        distances = []
        for share in (0.0, 0.3, 1.0):
            views.progress(share)
            seen = views(tiles, encoder.layout(tiles), seed())[0].batch.pixels
            distances.append(float((seen - tiles.pixels).abs().mean()))
        assert distances[0] < 1e-6
        assert distances[0] < distances[1] < distances[2]

    def test_a_run_tells_its_views_how_far_it_is_and_tries_all_stages_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scene = write_scene(tmp_path / "S2A_20200601.tif", numbers(reflectances(landscape(48, 48, 5, 0), 0)))
        told: list[float] = []
        own = Augment.progress
        monkeypatch.setattr(Augment, "progress", lambda views, share: (told.append(share), own(views, share)))
        sections = {
            "data": {"path": str(scene), "tile": 16},
            "encoder": {"width": 8, "stages": 2, "blocks": 1},
            "train": {"steps": 4, "epochs": None, "batch_size": 4, "folder": str(tmp_path / "runs")},
            "evaluate": [],
            "track": None,
        }
        pretrain("satellite/vicreg_curriculum", **sections, views={"frequencies": [8, 12, 16]})
        assert told == [0.0, 0.6, 0.8, 0.0, 0.25, 0.5, 0.75]
        with pytest.raises(UserError, match=r"views.*10 x 10"):
            pretrain("satellite/vicreg_curriculum", **sections, views={"frequencies": [8, 10, 16]})

    def test_stages_and_sizes_must_agree(self) -> None:
        with pytest.raises(UserError, match=r"2 sizes need 1 ascending shares of the run as views.stages.*0.6, 0.8"):
            Augment(spec(), frequencies=(8, 12))


class TestRasters:
    """Where vectors of tiles and tokens lie on the ground, of tiles that overlap."""

    def written(self, folder: Path, source: TileSource, values: np.ndarray, grid: tuple[int, ...] | None) -> Path:
        counts = np.full(len(source), 1 if grid is None else math.prod(grid))
        rows = Rows(np.arange(len(source)), counts, values, grid)
        GeoTiffWriter().write(iter([rows]), About(source, "embedding", len(values), values.shape[1:]), folder / "out.tif")
        return folder / "out.tif"

    def source(self, folder: Path) -> TileSource:
        path = write_scene(folder / "S2A_20200601.tif", numbers(reflectances(landscape(50, 42, 5, 0), 0)))
        return TileSource.reading(path, TileSource(path=str(path), tile=16, stride=4).spec)

    def test_a_tiles_pixel_is_its_middle(self, tmp_path: Path) -> None:
        source = self.source(tmp_path)
        corners = np.array([source.corner(number) for number in range(len(source))], np.float32)
        with rasterio.open(self.written(tmp_path, source, corners, None)) as file:
            found = file.read()
            assert np.isfinite(found).all(), "as many pixels as there are tiles"
            for row, col in ((0, 0), (3, 5)):
                x, y = file.xy(row, col)
                assert ((5_200_000.0 - y) / 10, (x - 600_000.0) / 10) == (found[0, row, col] + 8, found[1, row, col] + 8)

    def test_of_overlapping_tiles_the_one_stands_whose_border_is_farthest(self, tmp_path: Path) -> None:
        source = self.source(tmp_path)
        tokens = np.tile(np.arange(16, dtype=np.float32)[:, None], (len(source), 1))  # a token's place in its tile
        with rasterio.open(self.written(tmp_path, source, tokens, (4, 4))) as file:
            found = file.read(1)
            assert (file.transform[2], file.transform[5]) == (600_000.0, 5_200_000.0)
        inside = found[2:-3, 2:-3]
        assert set(np.unique(inside)) <= {5.0, 6.0, 9.0, 10.0}, "tokens in the middle of their tiles"
        assert (found[0, 0], found[0, -1], found[-1, 0], found[-1, -1]) == (0, 3, 12, 15)


def test_all_dates_of_a_view_are_in_the_picture() -> None:
    tiles = batch(1, 3)
    encoder = PatchTransformer(spec(3), width=16, depth=1, heads=2, patch=4)
    layout = encoder.layout(tiles)
    hidden = Mask(torch.arange(layout.lengths.total)[None] % 2 == 0)
    shown = Shown(View(tiles, layout, hidden), 0, data=View(tiles, layout))
    renderer = TileRenderer(spec(3))
    assert renderer.size_of(shown) == (3 * renderer.size[0], renderer.size[1])
    with drawing():
        axes = figure(*renderer.size_of(shown)).subplots()
        renderer.draw(axes, shown)
    assert axes.get_xlim() == (0, 48)


def test_ground_beside_clouds_can_be_told_apart() -> None:
    """Deviations of cloudy data are the clouds': ground lies within a few tenths of one."""
    tiles = batch(1, 2)
    ground = torch.linspace(-0.7, -0.3, 16).expand(4, 16, 16)
    tiles = replace(tiles, pixels=torch.stack([2 + 0.2 * tiles.pixels[0, 0], ground])[None])
    encoder = PatchTransformer(spec(2), width=16, depth=1, heads=2, patch=4)
    with drawing():
        axes = figure(2, 1).subplots()
        TileRenderer(spec(2)).draw(axes, Shown(View(tiles, encoder.layout(tiles)), 0))
        picture = np.asarray(axes.images[0].get_array())
    clouds, land = picture[:, :16], picture[:, 16:]
    assert clouds.mean() > 0.8
    assert land.max() - land.min() > 0.2
