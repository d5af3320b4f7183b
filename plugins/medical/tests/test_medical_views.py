"""Views of volumes: places, turns, mixings and looks, against longhand ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import manyviews as mv
from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.frozen import Frozen
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.view import View
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.patches import cut
from manyviews_medical.phantom import write_phantoms
from manyviews_medical.spec import VolumeSpec
from manyviews_medical.views import intensity
from manyviews_medical.views.affine import rotations, sampled
from manyviews_medical.views.boxes import Box, take
from manyviews_medical.views.correspondence import Correspondence, first_that_agrees, matches, partners
from manyviews_medical.views.fusion import box_map, grid_map
from manyviews_medical.views.looks import PLAIN
from manyviews_medical.views.moves import Moves, Placement, draw, moved
from manyviews_medical.views.voco import base_starts, overlaps


def volumes(samples: int = 3, space: tuple[int, ...] = (8, 8, 6)) -> torch.Tensor:
    return torch.rand(samples, 2, *space, generator=torch.Generator().manual_seed(0))


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def test_boxes_are_slices_flips_and_quarter_turns() -> None:
    x = volumes(4)
    start = torch.tensor([[0, 1, 2], [3, 0, 0], [2, 2, 1], [1, 3, 0]])
    flip = torch.tensor([[True, False, False], [False, True, True], [False, False, False], [True, True, True]])
    turns = torch.tensor([0, 1, 2, 3])
    found = take(x, Box(start, (4, 4, 3), flip, turns))
    for row in range(4):
        i, j, k = start[row].tolist()
        part = x[row, :, i : i + 4, j : j + 4, k : k + 3]
        axes = [1 + axis for axis in range(3) if flip[row, axis]]
        wanted = torch.rot90(part.flip(axes) if axes else part, int(turns[row]), (1, 2))
        assert torch.equal(found[row], wanted), row


def test_interpolated_turns_are_those_that_move_voxels() -> None:
    """The two ways to flip and turn agree where both can."""
    x = volumes(16, (8, 8, 8))
    moves = Moves(quarter=True)
    placement = draw(VolumeBatch(x, None, None), moves, seeded())
    from manyviews_medical.views.moves import _mirrored

    eye = torch.eye(3).expand(16, 3, 3)
    other = Placement(placement.box, eye @ _mirrored(placement.box, eye))
    assert_close(other.of(x), placement.of(x), atol=1e-5, rtol=0)


def test_an_affine_view_is_read_where_its_matrix_says() -> None:
    x = torch.arange(8.0).reshape(1, 1, 8, 1).expand(1, 1, 8, 8).contiguous()
    matrix = 2 * rotations(torch.tensor([[torch.pi / 2]]), 2)
    found = sampled(x, matrix, torch.tensor([[3.5, 3.5]]), (3, 3))
    # x of the source runs against the view's second axis: 3.5 - 2 (u - 1)
    assert_close(found[0, 0], torch.tensor([[5.5, 3.5, 1.5]]).expand(3, 3))


def test_labels_move_with_their_voxels_and_are_unknown_beyond_the_edge() -> None:
    x = volumes(2, (8, 8, 8))
    label = (x[:, 0] > 0.5).long()
    for moves in (Moves(size=4), Moves(rotate=20.0, scale=(1.4, 1.5))):
        placement = draw(VolumeBatch(x, None, None), moves, seeded(3))
        found = placement.label(label)
        if placement.matrix is None:
            assert torch.equal(found, (placement.of(x)[:, 0] > 0.5).long())
        else:
            assert int(found.min()) == -1
            assert (found == -1).float().mean() < 0.9


def test_a_view_larger_than_the_crop_is_refused() -> None:
    with pytest.raises(UserError, match=r"views of 9 x 9 x 9 voxels do not fit into crops of 8 x 8 x 6"):
        moved(VolumeBatch(volumes(), None, None), Moves(size=9), seeded())
    with pytest.raises(UserError, match=r"quarter turns need views of equal sides, and these are 8 x 6"):
        moved(VolumeBatch(volumes(space=(8, 6, 6)), None, None), Moves(quarter=True), seeded())


def test_a_grid_is_mixed_block_by_block_and_boxes_lie_over_one_another() -> None:
    x = torch.zeros(64, 1, 16, 16, 16)
    begins = set()
    for seed in range(8):
        steps = grid_map(x, 5, (4, 4), 0.7, seeded(seed))
        changes = [(steps.diff(dim=axis) != 0).movedim(axis, 0).flatten(1).any(1).nonzero()[:, 0] for axis in (1, 2, 3)]
        assert all(len(set((places % 4).tolist())) == 1 for places in changes), "borders are four voxels apart"
        begins.add(tuple(int(places[0]) % 4 for places in changes))
        shares = torch.bincount(steps.flatten(), minlength=5) / steps.numel()
        assert_close(shares, torch.tensor([0.3, 0.175, 0.175, 0.175, 0.175]), atol=0.03, rtol=0)
    assert len(begins) > 4, "and begin elsewhere in each batch"
    boxes = box_map(x, 5, 10, (0.1, 0.6), seeded())
    assert set(boxes.unique().tolist()) == {0, 1, 2, 3, 4}
    single = box_map(x, 5, 1, (0.25, 0.25), seeded())
    assert ((single > 0).sum((1, 2, 3)) == 64).all()


def test_overlaps_are_counted_voxels() -> None:
    bases = base_starts((9, 8, 4), (4, 4, 4), torch.device("cpu"))
    assert bases.tolist() == [[0, 0, 0], [0, 4, 0], [5, 0, 0], [5, 4, 0]]
    drawn = torch.tensor([[[2, 1, 0], [5, 4, 0]]])
    found = overlaps(drawn, bases, (4, 4, 4))
    for row, start in enumerate(drawn[0].tolist()):
        for column, base in enumerate(bases.tolist()):
            mine, theirs = (torch.zeros(9, 8, 4, dtype=torch.bool) for _ in range(2))
            mine[start[0] : start[0] + 4, start[1] : start[1] + 4] = True
            theirs[base[0] : base[0] + 4, base[1] : base[1] + 4] = True
            assert_close(found[0, row, column].item(), float((mine & theirs).sum() / 64))


def test_blur_is_a_gaussian_for_each_sample() -> None:
    x = torch.zeros(2, 1, 9, 9, 9)
    x[:, :, 4, 4, 4] = 1
    found = intensity.blurred(x, (0.5, 2.0), seeded())
    assert_close(found.sum((1, 2, 3, 4)), torch.ones(2), atol=0.05, rtol=0)
    assert not torch.allclose(found[0], found[1])
    assert_close(found, found.flip(2))


def test_looks_keep_shape_and_reach_every_sample_on_its_own() -> None:
    x = torch.full((64, 1, 6, 6), 0.5)
    assert len(intensity.shifted(x, 0.1, 0.1, seeded())[:, 0, 0, 0].unique()) == 64
    assert_close(intensity.gamma(x, (2.0, 2.0), seeded()), x.square())
    made = intensity.inverted(x) + 1
    half = intensity.sometimes(x, made, 0.5, seeded())
    assert half.data_ptr() == made.data_ptr(), "and takes no memory of its own"
    assert (x == 0.5).all()
    half = half[:, 0, 0, 0] > 1
    assert 16 < int(half.sum()) < 48
    field = intensity.biased(torch.ones(2, 1, 8, 8), 0.3, seeded())
    assert (field[0] - field[0].mean()).abs().max() > 0.01
    inside = intensity.holes(torch.zeros(8, 1, 10, 10), 1, (0.5, 0.5), seeded())
    assert (inside.sum((1, 2, 3)) == 25).all()


def test_unknown_voxels_stay_unknown_in_views() -> None:
    x = volumes(1, (8, 8, 8))
    known = torch.zeros(1, 8, 8, 8, dtype=torch.bool)
    known[:, :4] = True
    shown = moved(VolumeBatch(x, None, None, known=known), Moves(size=4, flip=()), seeded(1))
    assert shown.known is not None
    again = moved(VolumeBatch(known[:, None].float(), None, None), Moves(size=4, flip=()), seeded(1))
    assert torch.equal(shown.known, again.voxels[:, 0] > 0.5)


def test_partners_are_of_other_volumes_where_there_are_any() -> None:
    volume = torch.tensor([0, 0, 1, 2])
    found = torch.stack([partners(volume, seeded(number)) for number in range(40)])
    assert (volume[found] != volume).all()
    assert {tuple(sorted(set(column.tolist()))) for column in found.T} == {(2, 3), (0, 1, 3), (0, 1, 2)}
    alone = partners(torch.zeros(2, dtype=torch.long), seeded())
    assert alone.tolist() == [1, 0], "of one volume: its other crop"
    assert partners(torch.zeros(1, dtype=torch.long), seeded()).tolist() == [0]


def test_a_match_is_the_likest_cell_of_the_partner() -> None:
    tokens = torch.randn(2, 5, 4, generator=seeded(), dtype=torch.float64) + 30.0  # what they share tells nothing
    query = torch.tensor([[0, 3], [4, 1]])
    cosine, found = matches(tokens, query, torch.tensor([1, 0]))
    middle = tokens.reshape(-1, 4).mean(0)
    for sample in range(2):
        for number in range(2):
            asked = tokens[sample, query[sample, number]] - middle
            each = [float(torch.cosine_similarity(asked, cell - middle, dim=0)) for cell in tokens[1 - sample]]
            assert int(found[sample, number]) == max(range(5), key=lambda cell: each[cell])
            assert_close(float(cosine[sample, number]), max(each))
    tries = torch.tensor([[0.1, 0.8, 0.9], [0.3, 0.6, 0.2], [0.7, 0.9, 0.9]])
    assert first_that_agrees(tries, 0.7).tolist() == [1, 1, 0]


class Brightness(Encoder):
    """An encoder whose tokens are the voxels of their patches: a place is known by what it holds."""

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch, self.none = patch, torch.nn.Parameter(torch.zeros(1))
        self.width = 2 * patch**3

    def layout(self, batch: VolumeBatch) -> Layout:
        return Layout(Lengths.equal(len(batch), 64, batch.voxels.device), grid=(4, 4, 4))

    def forward(self, view: View) -> Encoding:
        tokens = cut(view.batch.voxels, self.patch)
        return Encoding(tokens, None, view.layout.lengths, view.layout.lengths.mean(tokens))


def test_corresponding_crops_show_the_same_anatomy() -> None:
    """The second volume is the first one, moved by a patch: its crops are found there."""
    x = torch.rand(1, 2, 16, 16, 16, generator=seeded())
    both = torch.cat([x, x.roll(4, 2)])
    views = Correspondence(size=4, looks=PLAIN, tries=4, agree=0.99)
    views.frozen = Frozen("runs/first", "medical", VolumeSpec(crop=(16,) * 3, channels=2), Brightness(4), "")
    views.bind(lambda batch: Layout(Lengths.equal(len(batch), 8, batch.voxels.device), grid=(2, 2, 2)))
    batch = VolumeBatch(both, None, None, volume=torch.tensor([0, 1]))
    inside = 0
    for number in range(20):
        one, two = views(batch, views.cut(batch), seeded(number))
        assert one.hidden is not None
        assert one.hidden.each == 6
        # Where the other place lies at the edge, its crop is moved inwards and shows a part of it.
        same = [torch.equal(one.batch.voxels[row], two.batch.voxels[row]) for row in range(2)]
        inside += sum(same)
    assert inside > 20
    views.frozen = None
    one, two = views(batch, views.cut(batch), seeded())
    assert not torch.equal(one.batch.voxels, two.batch.voxels), "without an encoder: the same place, whatever is there"


def test_a_run_of_ones_own_finds_the_places(tmp_path: Path) -> None:
    """The whole way: an encoder is pretrained, and Alice asks it; its weights stay in its own checkpoint."""
    data = {"path": str(write_phantoms(tmp_path / "scans", 4, (20, 20, 18))), "crop": 16, "cache": str(tmp_path / "cache")}
    small = {"encoder": {"width": 24, "depth": 1, "heads": 2}, "evaluate": [], "track": None}
    train = {"steps": 2, "epochs": None, "batch_size": 4, "folder": str(tmp_path), "watch_every": 100}
    first = mv.pretrain("medical/mae", data=data, train=train, **small)
    heads = {"out": 16, "hidden": 16, "bottleneck": 4, "width": 16, "depth": 1, "heads": 2}
    views = {"run": str(first.folder)}
    second = mv.pretrain("medical/alice", data=data, train=train, views=views, objective=heads, **small)
    from manyviews.engine.checkpoint import last, read_weights

    assert not [name for name in read_weights(last(second.folder)) if "frozen" in name or name.startswith("views")]
    slices = data | {"crop": (16, 16)}
    for changed, sentence in (
        (
            data | {"spacing": (2.0, 2.0, 2.0)},
            r"views\.run: .* of spacing not given, .* of spacing \(2.0, 2.0, 2.0\)",
        ),
        (data | {"intensity": {"kind": "zscore"}}, "of intensity .*'kind': 'auto'.*'kind': 'zscore'"),
        (slices, "of axes 3, and these are of axes 2"),
    ):
        with pytest.raises(UserError, match=sentence):
            mv.pretrain("medical/alice", data=changed, train=train, views=views, objective=heads, **small)


def test_crops_of_another_size_are_read_alike_and_other_channels_are_not() -> None:
    one = VolumeSpec(crop=(16,) * 3, channels=2, target="stage")
    assert one.unlike(VolumeSpec(crop=(32,) * 3, channels=2)) == []
    assert one.unlike(VolumeSpec(crop=(16, 16), channels=1)) == ["axes", "channels"]
