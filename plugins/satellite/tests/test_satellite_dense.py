"""A class for every pixel: maps and masks, segmentation, change between two dates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.crs import CRS
from torch.testing import assert_close

import manyviews as mv
from manyviews.cli.main import run as command
from manyviews.errors import DataError, UserError
from manyviews.finetuning.study import finetune
from manyviews.objective import Unit
from manyviews.plugins.note import Note
from manyviews.view import View
from manyviews_satellite.dense.change import Change, ChangeHead
from manyviews_satellite.dense.head import UpHead, doublings
from manyviews_satellite.doctor import examine
from manyviews_satellite.resnet import ResNet
from manyviews_satellite.source import TileSource
from manyviews_satellite.synth import landscape, numbers, reflectances, write_scene
from manyviews_satellite.transformer import PatchTransformer

UNIT: Unit = "sample"


def mapped(folder: Path) -> tuple[Path, Path, np.ndarray]:
    """A scene and a map of it."""
    ground = landscape(96, 96, 3, 0)
    scene = write_scene(folder / "S2A_20200601.tif", numbers(reflectances(ground, 0)))
    (folder / "map").mkdir()
    return scene, write_scene(folder / "map" / "cover.tif", ground[None].astype(np.uint8), names=None), ground


def pairs(folder: Path, count: int = 6) -> np.ndarray:
    """Pairs of images of which parts of the ground have become towns, and masks of those."""
    for name in ("before", "after", "changed"):
        (folder / name).mkdir(parents=True)
    masks = []
    for number in range(count):
        ground = landscape(32, 32, 4, number)
        later = ground.copy()
        row, col = np.random.default_rng(number).integers(0, 20, 2)
        later[row : row + 12, col : col + 12] = 4
        masks.append(later != ground)
        for name, classes in (("before", ground), ("after", later)):
            write_scene(
                folder / name / f"{number}.tif",
                numbers(reflectances(classes, number, season=0.3 * (name == "after"))),
                crs=None,
            )
        write_scene(folder / "changed" / f"{number}.tif", 255 * masks[-1][None].astype(np.uint8), names=None, crs=None)
    return np.stack(masks)


def test_a_map_gives_each_tile_its_classes(tmp_path: Path) -> None:
    scene, cover, ground = mapped(tmp_path)
    source = TileSource(path=str(scene), tile=32, dense=True, target=str(cover), ignore=[0.0])
    labels = source.dense_labels()
    assert labels is not None
    assert labels.classes == ("1", "2")
    assert set(source.splits()) <= {"train", "valid", "test"}
    found = source.labelled(np.arange(len(source)), None)
    for number, truth in enumerate(found.truth.numpy()):
        row, col = source.corner(number)
        assert np.array_equal(truth, ground[row : row + 32, col : col + 32] - 1)
    assert source.labels() is None
    named = {"tile": 32, "target": str(cover), "target_names": {1: "wood"}}
    dense = TileSource(path=str(scene), dense=True, **named).dense_labels()
    assert dense is not None
    assert dense.classes == ("0", "wood", "2")
    labels = TileSource(path=str(scene), stride=8, block=32, **named).labels()
    assert labels is not None
    assert sorted(labels.classes) == ["0", "2", "wood"]
    with pytest.raises(DataError, match=r"data.dense: asks for a class for every pixel"):
        TileSource(path=str(scene), tile=32, dense=True)


def test_masks_lie_beside_their_images(tmp_path: Path) -> None:
    masks = pairs(tmp_path)
    source = TileSource(path=str(tmp_path), tile=16, dense=True, target="changed", pairs=["before", "after"], crs="none")
    assert len(source) == 6 * 4
    found = source.labelled(np.arange(len(source)), None)
    assert found.batch.pixels.shape == (24, 2, 6, 16, 16)
    for number, truth in enumerate(found.truth.numpy()):
        row, col = source.corner(number)
        image = int(Path(source.scene(number).name).stem)
        assert np.array_equal(truth, masks[image, row : row + 16, col : col + 16])
        with rasterio.open(tmp_path / "after" / f"{image}.tif") as file:
            assert np.array_equal(found.batch.pixels[number, 1], file.read()[:, row : row + 16, col : col + 16])
    (tmp_path / "after" / "3.tif").unlink()
    with pytest.raises(DataError, match=r"3.tif: has no partner of its name in .*after"):
        TileSource(path=str(tmp_path), tile=16, dense=True, target="changed", pairs=["before", "after"], crs="none")
    (tmp_path / "changed" / "2.tif").unlink()
    with pytest.raises(DataError, match=r"2.tif: has no mask .*changed/2"):
        TileSource(path=str(tmp_path / "before"), tile=16, dense=True, target="changed", crs="none")


def test_the_doctor_tells_what_it_took_for_masks_and_looks_at_those_too(tmp_path: Path) -> None:
    pairs(tmp_path)
    for folder in ("before", "after"):  # images on the ground, masks without a place: nothing wrong
        for number in range(6):
            with rasterio.open(tmp_path / folder / f"{number}.tif", "r+") as file:
                file.crs, file.transform = CRS.from_epsg(32633), rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)
    (told,) = examine(tmp_path) or []
    assert isinstance(told, Note)
    assert told.startswith(f"{tmp_path / 'changed'}: 6 files of whole numbers in one band, named as images in a folder beside")
    assert "taken for masks (data.dense=true data.target=changed)" in told
    write_scene(tmp_path / "changed" / "3.tif", np.zeros((1, 20, 32), np.uint8), names=None, crs=None)
    whole = (tmp_path / "changed" / "4.tif").read_bytes()
    (tmp_path / "changed" / "4.tif").write_bytes(whole[: len(whole) - 200])
    *findings, note = examine(tmp_path) or []
    assert isinstance(note, Note)
    assert [finding.partition(": ")[0] for finding in findings] == [str(tmp_path / "changed" / f"{n}.tif") for n in (3, 4)]
    assert "a mask of 20 x 32 pixels, and" in findings[0]
    assert "seems truncated: copy or download it anew" in findings[1]
    assert not any(isinstance(finding, Note) for finding in findings)


def test_a_mask_among_the_images_is_not_taken_for_one_silently(tmp_path: Path) -> None:
    """A folder that holds other files too is no folder of masks: what does not fit is named."""
    pairs(tmp_path, 2)
    write_scene(tmp_path / "changed" / "extra.tif", np.ones((6, 32, 32), np.uint16) * np.arange(32, dtype=np.uint16), crs=None)
    findings = examine(tmp_path) or []
    assert any(finding.startswith(str(tmp_path / "changed" / "0.tif")) for finding in findings)
    assert not any(isinstance(finding, Note) for finding in findings)


def test_a_head_comes_to_the_size_of_the_image() -> None:
    assert [doublings(patch) for patch in (1, 4, 8, 16)] == [0, 2, 3, 4]
    assert UpHead(8, 4, 3, 2)(torch.randn(2, 8, 5, 4), (20, 16)).shape == (2, 3, 20, 16)
    assert UpHead(8, 4, 3, 1)(torch.randn(2, 8, 5, 4), (15, 12)).shape == (2, 3, 15, 12)


def test_features_of_alternate_levels_are_exchanged_between_the_dates() -> None:
    torch.manual_seed(0)
    head = ChangeHead(4, 8, 2, 3, 0)
    before, after = ([torch.randn(2, 4, 3, 3) for _ in range(3)] for _ in range(2))
    with torch.no_grad():
        found = head(before, after, (3, 3))
        fused = []
        for level in range(3):
            one, two = (after, before) if level == 1 else (before, after)
            joined = torch.cat([one[level], two[level], (one[level] - two[level]).abs()], 1)
            fused.append(torch.nn.functional.gelu(head.fuse[level](joined)))
        assert_close(found, head.head(sum(fused), (3, 3)))  # type: ignore[arg-type]


def test_maps_are_tokens_at_their_places(tmp_path: Path) -> None:
    scene, _, _ = mapped(tmp_path)
    source = TileSource(path=str(scene), tile=32)
    batch = source.batch(np.arange(2))
    encoder = PatchTransformer(source.spec, width=16, depth=1, heads=2, patch=8).eval()
    view = View(batch, encoder.layout(batch))
    with torch.no_grad():
        (found,) = encoder.maps(view)
        tokens = encoder(view).tokens.reshape(2, 2, 4, 4, 16)
    assert_close(found[1, :, 2, 3], tokens[1, :, 2, 3].mean(0))
    assert encoder.map_widths == (16,)


def test_change_needs_two_dates(tmp_path: Path) -> None:
    scene, _, _ = mapped(tmp_path)
    source = TileSource(path=str(scene), tile=32)
    encoder = ResNet(source.spec, width=16, stages=2, blocks=1)
    from manyviews.downstream import Net
    from manyviews.finetuning.dense import MapAnswers

    task = Change()
    net = Net(encoder, task.head(encoder, MapAnswers(name="x", classes=("no", "yes")), UNIT), UNIT)
    with pytest.raises(UserError, match="satellite/change compares two dates, and a sample has 1"):
        task.logits(net, source.batch(np.arange(2)), (32, 32))


def trained(data: dict[str, object], folder: Path) -> mv.Run:
    return mv.pretrain(
        "satellite/satmae",
        data=data,
        encoder={"width": 32, "depth": 2, "heads": 2, "patch": 4, "groups": "all"},
        objective={"width": 16, "depth": 1},
        train={"steps": 2, "batch_size": 4, "folder": str(folder / "runs"), "device": "cpu"},
        evaluate=[],
        track=None,
    )


def test_segmentation_is_finetuned_and_predicted_as_a_raster(tmp_path: Path) -> None:
    scene, cover, ground = mapped(tmp_path)
    data = {"path": str(scene), "tile": 16, "dense": True, "target": str(cover), "block": 32}
    run = trained(data, tmp_path)
    study = finetune(
        run.folder,
        task={"name": "satellite/segmentation", "width": 16},
        train={"steps": 60, "batch_size": 8, "device": "cpu", "folder": str(tmp_path / "studies")},
        track=None,
    )
    words = ["predict", str(study.folder), str(scene), "-o", str(tmp_path / "said.tif"), "--device", "cpu"]
    assert command(words) == 0
    with rasterio.open(tmp_path / "said.tif") as file, rasterio.open(scene) as image:
        assert (file.crs, file.shape, file.transform) == (image.crs, image.shape, image.transform)
        assert {key: name for key, name in file.tags(1).items() if key.startswith("class_")} == {
            f"class_{n}": str(n) for n in range(3)
        }
        assert len({file.colormap(1)[number] for number in range(3)}) == 3
        said = file.read(1)
    assert (said == ground).mean() > 0.7


def test_change_is_finetuned_with_lora(tmp_path: Path) -> None:
    pairs(tmp_path / "pairs")
    data = {
        "path": str(tmp_path / "pairs"),
        "tile": 16,
        "crs": "none",
        "pairs": ["before", "after"],
        "dense": True,
        "target": "changed",
        "block": 16,
    }
    run = trained(data, tmp_path)
    study = finetune(
        run.folder,
        task={"name": "satellite/change", "width": 16},
        method="lora",
        train={"steps": 40, "batch_size": 8, "device": "cpu", "folder": str(tmp_path / "studies")},
        track=None,
    )
    results = study.results()
    assert {result["arm"] for result in results} >= {"pretrained"}
    assert all("iou/255" in str(result) for result in results)


def test_change_is_finetuned_from_a_run_on_single_images(tmp_path: Path) -> None:
    """As docs/satellite.md has it: the pairs are the labelled data's, and what answers them reads pairs as well."""
    pairs(tmp_path / "pairs", 4)
    run = trained({"path": str(tmp_path / "pairs" / "before"), "tile": 16, "crs": "none"}, tmp_path)
    words = ["task.name=satellite/change", "task.width=8", "method=lora", f"data.path={tmp_path / 'pairs'}"]
    words += ["data.pairs=[before,after]", "data.dense=true", "data.target=changed", "data.block=16", "scratch=false"]
    words += ["train.steps=2", "train.batch_size=4", "train.device=cpu", f"train.folder={tmp_path / 'studies'}"]
    assert command(["finetune", str(run.folder), *words, "track=null"]) == 0
    (study,) = (tmp_path / "studies").iterdir()
    said = tmp_path / "said.geotiff"
    assert command(["predict", str(study), str(tmp_path / "pairs"), "-o", str(said), "--device", "cpu"]) == 0
    assert sorted(path.name for path in said.iterdir()) == ["0.tif", "1.tif", "2.tif", "3.tif"]
    with rasterio.open(said / "3.tif") as file:
        assert (file.shape, file.count, file.dtypes[0]) == ((32, 32), 1, "uint8")
        assert set(np.unique(file.read())) <= {0, 1}
