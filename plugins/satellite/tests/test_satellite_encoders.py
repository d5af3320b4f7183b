"""Encoders of tiles: groups of bands, bands that are missing, places and times."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.nets.positions import sincos
from manyviews.view import View
from manyviews_satellite.batch import TileBatch
from manyviews_satellite.groups import groups_of
from manyviews_satellite.kernels import BandKernels
from manyviews_satellite.places import placed
from manyviews_satellite.rcf import RandomFeatures
from manyviews_satellite.reading.options import Options
from manyviews_satellite.resnet import ResNet
from manyviews_satellite.spec import Band, TileSpec, Windows
from manyviews_satellite.transformer import PatchTransformer

NAMES = ("B2", "B3", "B4", "B8", "B11", "B12")


def spec(names: tuple[str, ...] = NAMES, sensor: str | None = "sentinel2") -> TileSpec:
    count = len(names)
    bands = tuple(Band(name=name, sensor=sensor, wavelength=0.5 + number / 10) for number, name in enumerate(names))
    return TileSpec(
        bands=bands, mean=(100.0,) * count, std=(10.0,) * count, windows=Windows(tile=16), reading=Options(), metres=10.0
    )


def batch(tiles: int = 2, dates: int = 1, bands: int = 6, size: int = 16, metres: float = 10.0) -> TileBatch:
    generator = torch.Generator().manual_seed(0)
    pixels = 100 + 10 * torch.randn(tiles, dates, bands, size, size, generator=generator)
    time = torch.tensor([2020.0, 6.0, 10.0]).expand(tiles, dates, 3)
    return TileBatch(
        pixels,
        torch.ones(tiles, dates, bands),
        torch.zeros(tiles, dates, bands),
        time,
        torch.full((tiles,), metres),
        tuple(range(bands)),
    )


def shown(encoder: PatchTransformer | ResNet | RandomFeatures, tiles: TileBatch) -> torch.Tensor:
    return encoder.eval()(View(tiles, encoder.layout(tiles))).tokens


def test_bands_fall_into_the_sensors_groups() -> None:
    assert [group.bands for group in groups_of(spec(), "sensor")] == [(0, 1, 2, 3), (4, 5)]
    assert [group.bands for group in groups_of(spec(("B2", "ndvi", "B12")), "sensor")] == [(0,), (2,), (1,)]
    assert [group.bands for group in groups_of(spec(sensor=None), "sensor")] == [tuple(range(6))]
    assert len(groups_of(spec(), "each")) == 6
    assert [group.bands for group in groups_of(spec(), [["B2", "B12"], ["B3", "B4", "B8", "b11"]])] == [(0, 5), (1, 2, 3, 4)]
    with pytest.raises(UserError, match=r"encoder.groups: there is no band 'B5'"):
        groups_of(spec(), [["B5"]])
    with pytest.raises(UserError, match=r"encoder.groups: B8, B11, B12 in no group"):
        groups_of(spec(), [["B2"], ["B3", "B4"]])
    with pytest.raises(UserError, match="band B2 stands in two groups"):
        groups_of(spec(), [["B2"], ["B2"]])


def test_a_groups_embedding_is_one_linear_map_of_its_patches() -> None:
    """SatMAE's: a convolution over the group's bands with the patch as kernel and stride."""
    kernels = BandKernels(spec().bands[:4], 16, 8, "band").double()
    pixels = torch.randn(3, 4, 8, 8, dtype=torch.float64)
    patches = pixels.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).reshape(-1, 4, 16)
    weight = kernels.weight.permute(2, 0, 1).reshape(8, 4, 4, 4)
    wanted = F.conv2d(pixels, weight, kernels.bias, stride=4).permute(0, 2, 3, 1).reshape(-1, 8)
    assert_close(kernels(patches, range(4), 4), wanted)


@pytest.mark.parametrize("form", ["band", "wavelength"])
def test_the_share_of_missing_bands_is_made_up_for(form: str) -> None:
    kernels = BandKernels(spec().bands[:4], 4, 8, form)
    same = torch.randn(5, 1, 4).expand(5, 4, 4)
    with torch.no_grad():
        if form == "band":
            kernels.weight.copy_(kernels.weight[:1].expand_as(kernels.weight))
        else:
            kernels.own.weight.zero_()
            kernels.get_buffer("codes").copy_(kernels.get_buffer("codes")[:1].expand_as(kernels.get_buffer("codes")))
    assert_close(kernels(same[:, :2], [1, 3], 4), kernels(same, range(4), 4))


def test_weights_made_from_wavelengths_are_alike_for_bands_that_lie_alike() -> None:
    torch.manual_seed(0)
    bands = [Band(name=name, wavelength=length) for name, length in (("a", 0.56), ("b", 0.561), ("c", 2.2))]
    weights = BandKernels(bands, 4, 8, "wavelength").weights().flatten(1).detach()
    near, far = (weights[0] - weights[1]).norm(), (weights[0] - weights[2]).norm()
    assert near < 0.5 * far


def test_tokens_of_groups_that_are_missing_are_not_there() -> None:
    encoder = PatchTransformer(spec(), width=16, depth=1, heads=2, patch=8)
    whole = batch()
    assert encoder.layout(whole).grid == (2, 2, 2)
    part = whole.with_bands([4, 5])
    assert encoder.layout(part).grid == (1, 2, 2)[1:]
    assert shown(encoder, part).shape == (8, 16)
    before = encoder._patches(whole)[:, :, 1]
    assert_close(encoder._patches(part)[:, :, 0], before)
    with pytest.raises(UserError, match="do not divide into patches of 5 x 5"):
        PatchTransformer(spec(), width=16, depth=1, heads=2, patch=5).layout(whole)


def test_places_groups_and_times_have_parts_of_a_vector() -> None:
    time = torch.tensor([[[2002.0, 1.0, 0.0], [2020.0, 6.0, 10.0]], [[torch.nan, 3.0, torch.nan], [2020.0, 6.0, 10.0]]])
    found = placed(3, 2, [0, 2], time, 64)
    assert found.shape == (2, 2, 2, 3, 2, 64)
    place, group, when = found[..., :24], found[..., 24:40], found[..., 40:]
    assert_close(place[0, 0, 0, 2, 1], sincos(torch.tensor([[2.0, 1.0]]), 24)[0])
    assert_close(group[0, 0, 1, 0, 0], sincos(torch.tensor([[2.0]]), 16)[0])
    assert_close(when[0, 1, 0, 0, 0], sincos(torch.tensor([[18.0], [5.0], [10.0]]), 8).flatten())
    assert not when[1, 0, 0, 0, 0, :8].any()
    assert when[1, 0, 0, 0, 0, 8:16].any()
    assert placed(3, 2, [0], None, 64, of_groups=False).shape == (1, 1, 1, 3, 2, 64)


def test_places_in_metres_tell_resolutions_apart() -> None:
    torch.manual_seed(0)
    encoder = PatchTransformer(spec(), width=32, depth=1, heads=2, patch=4, positions="metres", groups="all")
    fine, coarse = batch(metres=10.0), batch(metres=20.0)
    plain = PatchTransformer(spec(), width=32, depth=1, heads=2, patch=4, groups="all")
    assert torch.equal(shown(plain, fine), shown(plain, coarse))
    assert not torch.allclose(shown(encoder, fine), shown(encoder, coarse))
    assert_close(encoder._places(coarse)[0, 0, 0, 1, 1], encoder._places(fine)[0, 0, 0, 2, 2])


def test_targets_are_the_patches_content_in_all_bands_of_the_largest_group() -> None:
    encoder = PatchTransformer(spec(), width=16, depth=1, heads=2, patch=8)
    tiles = batch()
    valid = torch.ones(2, 1, 16, 16, dtype=torch.bool)
    valid[0, 0, 0, 0] = False
    tiles = TileBatch(**{**vars(tiles), "valid": valid})
    found = encoder.targets(tiles, torch.arange(16)).reshape(2, 2, 4, 64, 4)
    pixels = (tiles.pixels[:, 0] - 100) / 10
    assert_close(found[1, 0, 3], pixels[1, :4, 8:, 8:].permute(1, 2, 0).reshape(64, 4))
    assert_close(found[1, 1, 1, :, :2], pixels[1, 4:, :8, 8:].permute(1, 2, 0).reshape(64, 2))
    assert found[:, 1, :, :, 2:].isnan().all()
    assert found[0, 0, 0, 0].isnan().all()
    assert not found[0, 0, 0, 1].isnan().any()


def test_random_features_are_as_published() -> None:
    """The mean over the tile of relu(w * x + b) and relu(-w * x + b)."""
    torch.manual_seed(0)
    encoder = RandomFeatures(spec(), width=32).double().eval()
    assert float(encoder.filters.weight.detach().std()) == pytest.approx(1.0, abs=0.1)
    tiles = batch()
    x = (tiles.pixels[:, 0].double() - 100) / 10
    response = F.conv2d(x, encoder.filters.weight, padding=1)
    wanted = torch.cat([(response - 1).relu(), (-response - 1).relu()], 1).mean((2, 3))
    with torch.no_grad():
        assert_close(encoder(View(tiles, encoder.layout(tiles))).pooled, wanted)


@pytest.mark.parametrize("hidden", [False, True])
def test_what_stands_for_a_tile(hidden: bool) -> None:
    """Each pooling, written out over the tokens of each tile, date and group; what is hidden stands for nothing."""
    torch.manual_seed(0)
    tiles = batch()
    encoder = PatchTransformer(spec(), width=8, depth=1, heads=2, patch=8, groups=[["B2", "B3", "B4", "B8"], ["B11", "B12"]])
    layout = encoder.layout(tiles)
    tokens = torch.randn(16, 8)
    cells = tokens.reshape(2, 2, 2, 2, 8)  # tile, group, row, column
    present, shown = None, tokens
    lengths = layout.lengths
    if hidden:  # of the first tile's first group the middle, of the second tile's second group all
        kept = torch.ones(2, 2, 2, 2, dtype=torch.bool)
        kept[0, 0, 1, 1] = kept[1, 1] = False
        present = kept.flatten().nonzero()[:, 0]
        shown, lengths = tokens[present], Lengths.of([7, 4])

    def of(tile: int, *where: slice | int) -> torch.Tensor:
        own = torch.zeros(2, 2, 2, dtype=torch.bool)
        own[where] = True
        if hidden:
            own &= kept[tile]
        return (cells[tile][own] if own.any() else cells[tile][kept[tile]]).mean(0)

    every = slice(None)
    for pool, wanted in {
        "mean": lambda tile: [of(tile, every)],
        "centre": lambda tile: [of(tile, every, 1, 1)],
        "centre_mean": lambda tile: [of(tile, every, 1, 1), of(tile, every)],
        "each": lambda tile: [part for group in (0, 1) for part in (of(tile, group, 1, 1), of(tile, group))],
    }.items():
        encoder.pool = pool
        found = encoder.pooled(shown, present, lengths, tiles)
        assert found.shape == (2, encoder.pooled_width)
        assert_close(found, torch.stack([torch.cat(wanted(tile)) for tile in (0, 1)]))


def test_a_missing_group_is_zero_where_each_stands_for_itself() -> None:
    encoder = PatchTransformer(spec(), width=8, depth=1, heads=2, patch=8, groups=[["B2"], ["B3", "B4", "B8", "B11", "B12"]])
    encoder.pool = "each"
    tiles = batch(bands=1)
    found = encoder(View(tiles, encoder.layout(tiles))).pooled
    assert found.shape == (2, 32)
    assert found[:, :16].abs().min() > 0
    assert not found[:, 16:].any()


@pytest.mark.parametrize("encoder", [ResNet, RandomFeatures])
def test_convolutions_make_up_for_missing_bands(encoder: type[ResNet] | type[RandomFeatures]) -> None:
    torch.manual_seed(0)
    net = encoder(spec(), width=16)
    conv = net.stem if isinstance(net, ResNet) else net.filters
    with torch.no_grad():
        conv.weight.copy_(conv.weight[:, :1].expand_as(conv.weight))
    tiles = batch(bands=1)
    same = TileBatch(**{**vars(tiles), "pixels": tiles.pixels.expand(-1, -1, 6, -1, -1), "bands": tuple(range(6)),
                        "scale": torch.ones(2, 1, 6), "offset": torch.zeros(2, 1, 6)})  # fmt: skip
    assert_close(shown(net, same.with_bands([1, 4])), shown(net, same), rtol=1e-4, atol=1e-4)


def test_a_resnet_halves_at_each_stage() -> None:
    net = ResNet(spec(), width=32, stages=3, blocks=1)
    assert net.layout(batch(size=32)).grid == (4, 4)
    assert shown(net, batch(size=32)).shape == (32, 32)
    with pytest.raises(UserError, match=r"encoder.width: 30 does not halve 2 times"):
        ResNet(spec(), width=30, stages=3)


def test_standardising_is_exact_and_leaves_what_was_not_seen_at_the_mean() -> None:
    tiles = batch()
    scaled = TileBatch(**{**vars(tiles), "scale": torch.full((2, 1, 6), 2.0), "offset": torch.full((2, 1, 6), -100.0)})
    assert_close(scaled.standardised(spec()).pixels, (2 * tiles.pixels - 200) / 10, rtol=1e-4, atol=1e-4)
    once = scaled.standardised(spec())
    assert once.standardised(spec()) is once
    raw = TileBatch(**{**vars(tiles), "pixels": torch.from_numpy(np.full((2, 1, 6, 16, 16), 65535, np.uint16))})
    assert_close(raw.standardised(spec()).pixels, torch.full((2, 1, 6, 16, 16), 6543.5))
