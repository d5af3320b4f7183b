"""Segmentation and bags: distances longhand, windows against one pass, whole finetunings of a few steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import manyviews as mv
from manyviews.downstream import Net
from manyviews.finetuning.dense import MapAnswers
from manyviews.view import View
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.encoder import Scale
from manyviews_medical.nets.dense import DenseDecoder, levelled
from manyviews_medical.nets.mil import AttentionMIL, PrototypeMIL
from manyviews_medical.phantom import ORGANS, write_phantoms
from manyviews_medical.segmentation import Segmentation, SegmentationHead
from manyviews_medical.source import VolumeSource
from manyviews_medical.spec import VolumeSpec
from manyviews_medical.surface import surface_distances, surface_scores
from manyviews_medical.transformer import PatchTransformer
from manyviews_medical.unet import UNet


def test_surface_distances_longhand() -> None:
    one, two = (np.zeros((9, 8, 7), bool) for _ in range(2))
    one[2:5, 2:6, 2:5] = True
    two[3:7, 2:6, 1:5] = True
    spacing = (1.0, 0.5, 2.0)

    def border(inside: np.ndarray) -> list[tuple[int, ...]]:
        found = []
        for place in np.argwhere(inside):
            around = [place + step for axis in range(3) for step in (np.eye(3, dtype=int)[axis], -np.eye(3, dtype=int)[axis])]
            if not all(inside[tuple(near)] for near in around):
                found.append(tuple(place.tolist()))
        return found

    def nearest(mine: list[tuple[int, ...]], theirs: list[tuple[int, ...]]) -> list[float]:
        scale = np.array(spacing)
        return sorted(min(float(np.linalg.norm((np.array(a) - np.array(b)) * scale)) for b in theirs) for a in mine)

    found = surface_distances(one, two, spacing)
    wanted = nearest(border(one), border(two)), nearest(border(two), border(one))
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(sorted(mine), theirs)
    scores = surface_scores(one.astype(int), two.astype(int), ("air", "organ"), spacing, 1.0)
    assert scores["hd95/organ"] == pytest.approx(max(np.percentile(each, 95) for each in wanted))
    assert scores["nsd/organ"] == pytest.approx(np.mean(np.concatenate(wanted) <= 1.0))


def test_surfaces_of_what_is_missing() -> None:
    there, empty = np.ones((3, 3, 3), int), np.zeros((3, 3, 3), int)
    assert surface_scores(empty, empty, ("a", "b"), (1.0, 1.0, 1.0), 1.0) == {}
    assert surface_scores(there, empty, ("a", "b"), (1.0, 1.0, 1.0), 1.0) == {"nsd/b": 0.0}
    assert surface_scores(there, there, ("a", "b"), (1.0, 1.0, 1.0), 1.0) == {"nsd/b": 1.0, "hd95/b": 0.0}


@pytest.mark.parametrize("plane", [None, "coronal"])
def test_windows_of_whole_volumes_give_what_one_pass_gives(tmp_path: Path, plane: str | None) -> None:
    crop = (16, 16, 16) if plane is None else (16, 16)
    path = write_phantoms(tmp_path, 2, (16, 16, 16))
    source = VolumeSource(path=path, crop=crop, plane=plane or "axial", cache=str(tmp_path / "cache"), orientation="LAS")
    torch.manual_seed(0)
    encoder, task = UNet(source.spec, width=8, channels=4, blocks=1).eval(), Segmentation(width=4)
    answers = MapAnswers(name="organs", classes=("air", *ORGANS))
    net = Net(encoder, task.head(encoder, answers, "sample").eval(), "sample")
    whole = source.labelled(np.array([0]), None)
    with torch.no_grad():
        found = task.infer(net, answers, whole.batch, (16, 16, 16))
        if plane is None:
            wanted = task.logits(net, whole.batch, (16, 16, 16)).softmax(1)
        else:
            slices = whole.batch.scaled().voxels[0].movedim(2, 0)
            wanted = task.logits(net, whole.batch.showing(slices), (16, 16)).softmax(1).movedim(0, 2)[None]
    assert_close(found, wanted.flip(2), atol=1e-5, rtol=1e-4)  # files are RAS, the volume was turned to LAS
    assert whole.truth.shape == (1, 16, 16, 16)
    scores = task.evaluate(net, answers, source, task.units(source, encoder, "sample"), np.arange(2))
    assert {"dice", "iou", "nsd", "accuracy", "dice/liver"} <= set(scores)
    bare = Segmentation(width=4, surface=False)
    assert bare.evaluate(net, answers, source, task.units(source, encoder, "sample"), np.arange(2)) == {
        name: value for name, value in scores.items() if not name.startswith(("nsd", "hd95"))
    }


def test_a_transformers_maps_are_decoded_to_voxels(tmp_path: Path) -> None:
    source = VolumeSource(path=write_phantoms(tmp_path, 2, (16, 16, 16)), crop=16, cache=str(tmp_path / "cache"))
    encoder, task = PatchTransformer(source.spec, width=24, depth=4, heads=2, patch=8), Segmentation(width=4)
    answers = MapAnswers(name="organs", classes=("air", *ORGANS))
    net = Net(encoder, task.head(encoder, answers, "sample"), "sample")
    batch = task.augment(source.labelled(np.arange(2), np.random.default_rng(0)), torch.Generator().manual_seed(0))
    assert int(batch.truth.min()) >= -1
    loss = task.loss(net, answers, batch, torch.Generator().manual_seed(0))
    torch.autograd.backward(loss.value)
    assert all(p.grad is not None for p in net.head.parameters())


def test_what_all_tokens_share_does_not_hide_what_differs() -> None:
    """A pretrained Transformer's maps are one large vector and a little of each place: the decoder looks at the little."""
    torch.manual_seed(0)
    decoder = DenseDecoder(3, (Scale(1, 1), Scale(4, 16)), out=3, width=4).double()
    voxels, places = torch.rand(2, 1, 8, 8, 8, dtype=torch.float64), torch.randn(2, 16, 2, 2, 2, dtype=torch.float64)
    shared = 100 * torch.randn(1, 16, 1, 1, 1, dtype=torch.float64)
    assert_close(decoder((voxels, 0.5 * places + shared)), decoder((voxels, places)), rtol=1e-3, atol=1e-3)
    assert_close(levelled(places).std(dim=(2, 3, 4), correction=0), torch.ones(2, 16, dtype=torch.float64), rtol=1e-3, atol=0)
    single = torch.randn(2, 16, 1, 1, 1)
    assert torch.equal(levelled(single), single)


@pytest.mark.parametrize(("classes", "channels"), [(3, 8), (3, 16), (2, 7), (14, 16), (105, 16)])
def test_each_class_begins_with_as_many_channels_as_any_other(classes: int, channels: int) -> None:
    """A class for which few channels speak is told by none being on, and lost."""
    torch.manual_seed(0)
    decoder = DenseDecoder(3, (Scale(1, channels),), out=classes)
    usual = float(decoder.last.weight.detach().flatten(1).norm(dim=1).mean())
    weights = SegmentationHead(decoder).decoder.last.weight.detach().flatten(1)
    speaks = (weights > 0).sum(1)
    assert int(speaks.max() - speaks.min()) <= 1
    assert int(speaks.min()) == (channels // classes if classes <= channels else channels // 2)
    assert len(torch.unique(weights, dim=0)) == classes
    if classes <= channels:
        assert int(((weights > 0).sum(0) != 1).sum()) == 0, "a channel speaks for one class"
    assert_close(weights.norm(dim=1), torch.full((classes,), usual), rtol=0.25, atol=0)
    assert not decoder.last.bias.any()


def test_what_patches_hold_weighs_as_much_as_where_they_lie() -> None:
    torch.manual_seed(0)
    spec = VolumeSpec(crop=(32, 32, 32), channels=1)
    encoder = PatchTransformer(spec, width=192, depth=0, patch=8)
    batch = VolumeBatch((0.5 + 0.2 * torch.randn(2, 1, 32, 32, 32)).clamp(0, 1), None, None)
    view = View(batch, encoder.layout(batch))
    held, placed = encoder(replace(view, placed=False)).tokens, encoder(view).tokens
    differs = (held - held.mean(0)).square().mean()
    assert 0.3 < differs / (placed - held).square().mean() < 3


def test_attention_weighs_instances_and_prototypes_choose_the_most_typical() -> None:
    bags = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.manual_seed(0)
    head = AttentionMIL(8, hidden=4, out=2).double()
    weights, state = [], {name: tensor.detach() for name, tensor in head.state_dict().items()}
    for instance in bags[0]:
        value = torch.tanh(state["value.weight"] @ instance + state["value.bias"])
        gate = torch.sigmoid(state["gate.weight"] @ instance + state["gate.bias"])
        weights.append(float(torch.exp(state["weight.weight"][0] @ (value * gate))))
    pooled = sum((w / sum(weights) * instance for w, instance in zip(weights, bags[0], strict=True)), torch.zeros(8).double())
    assert_close(head(bags)[0].detach(), head.last.weight.detach() @ pooled + head.last.bias.detach())
    typical = PrototypeMIL(8, prototypes=2, out=3, top=0.2).double()
    with torch.no_grad():
        typical.prototypes[1, 0] = 3 * bags[0, 4]
    assert_close(typical(bags)[0, 1].item(), 1 / 0.1)
    assert_close(typical(bags[:, [4, 2, 0, 1, 3]]), typical(bags), msg="the order of a bag means nothing")


@pytest.mark.slow
def test_pretrained_finetuned_and_predicted(tmp_path: Path) -> None:
    path = write_phantoms(tmp_path / "scans", 12, (16, 16, 16))
    data = {
        "path": str(path),
        "crop": 16,
        "crops": 2,
        "cache": str(tmp_path / "cache"),
        "target": "liver",
        "splits": {"test": 0.3},
    }
    train = {"steps": 2, "epochs": None, "batch_size": 4, "folder": str(tmp_path / "runs"), "device": "cpu"}
    encoder = {"width": 8, "channels": 4, "blocks": 1}
    run = mv.pretrain("medical/volume_fusion", data=data, encoder=encoder, train=train, track=None, evaluate=[])
    more = {"steps": 2, "batch_size": 2, "folder": str(tmp_path / "fits"), "device": "cpu"}
    for name, metric in {"medical/segmentation": "nsd", "medical/bags": "accuracy"}.items():
        study = mv.finetune(run.folder, task={"name": name}, labels=[2], train=more, track=None, scratch=False)
        (result,) = study.results()
        assert result["labelled"] == 4, "two patients of two scans each"
        assert metric in result["test"]
