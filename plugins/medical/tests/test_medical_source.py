"""Layouts of data sets, crops out of chunks, grids, scaling, patients, and real files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from manyviews.errors import DataError
from manyviews_medical.doctor import examine
from manyviews_medical.grid import back
from manyviews_medical.layouts.find import find_cases
from manyviews_medical.phantom import phantom, write_phantoms
from manyviews_medical.source import VolumeSource
from manyviews_medical.spec import Intensity
from manyviews_medical.store import Maps, Stored, known, write


def save(path: Path, voxels: np.ndarray, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)
    return path


def volume(number: int = 0, size: tuple[int, int, int] = (12, 11, 10)) -> np.ndarray:
    return (1000 * np.clip(phantom(number, size)[0], 0, None)).astype(np.int16)


def labels(number: int = 0, size: tuple[int, int, int] = (12, 11, 10)) -> np.ndarray:
    return phantom(number, size)[1]


def read(path: Path, tmp_path: Path, **more: object) -> VolumeSource:
    return VolumeSource(path=path, cache=str(tmp_path / "cache"), **{"crop": 8, **more})


def test_a_crop_out_of_chunks_is_that_of_the_volume(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    whole = random.integers(-999, 999, (2, 120, 130, 75)).astype(np.int16)  # over the size of a single chunk
    write(tmp_path / "a", whole, {"box": [[0, 120], [0, 130], [0, 75]]})
    head = known(tmp_path / "a")
    assert head is not None
    stored, maps = Stored(tmp_path / "a", head), Maps()
    assert stored.chunk == (32, 32, 32)
    assert maps.tiles(stored).dtype == np.int16
    for start in ([0, 0, 0], [31, 5, 60], [100, 110, 70], [-6, 40, -3], [200, 0, 0]):
        found = np.zeros((2, 30, 40, 20), np.int16)
        maps.read(stored, start, found)
        padded = np.pad(whole, [(0, 0), (50, 200), (50, 200), (50, 200)])
        x, y, z = (place + 50 for place in start)
        np.testing.assert_array_equal(found, padded[:, x : x + 30, y : y + 40, z : z + 20])


def test_a_volume_cut_short_in_the_cache_is_made_again(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", volume())
    one = read(tmp_path, tmp_path).batch(np.arange(1)).voxels
    (stored,) = (tmp_path / "cache").glob("*.vol")
    stored.write_bytes(stored.read_bytes()[:-5])
    assert torch.equal(read(tmp_path, tmp_path).batch(np.arange(1)).voxels, one)


def test_a_changed_file_is_read_anew_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", volume())
    one = read(tmp_path, tmp_path)
    before = sorted((tmp_path / "cache").iterdir())
    read(tmp_path, tmp_path)
    assert sorted((tmp_path / "cache").iterdir()) == before
    save(path, volume(1))
    os.utime(path, ns=(1, 1))
    two = read(tmp_path, tmp_path)
    assert one.fingerprint() != two.fingerprint()
    assert not torch.equal(one.batch(np.arange(1)).voxels, two.batch(np.arange(1)).voxels)


def test_crops_are_many_of_a_volume_the_first_at_the_centre(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", volume(size=(20, 20, 20)))
    save(tmp_path / "b.nii.gz", volume(1, size=(20, 20, 20)))
    source = read(tmp_path, tmp_path, crops=5)
    assert len(source) == 10
    assert source.groups().tolist() == ["a", "b"] * 5
    assert len({tuple(source.place(number).tolist()) for number in range(0, 10, 2)}) > 2
    centre = source.batch(np.arange(2)).centre
    assert centre is not None
    assert (centre - 0.5).abs().max() < 0.1
    assert torch.equal(source.batch(np.array([3])).voxels, read(tmp_path, tmp_path, crops=5).batch(np.array([3])).voxels)


def test_a_volume_smaller_than_the_crop_stands_in_its_middle_and_the_rest_is_unknown(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", volume(size=(12, 11, 6)))
    batch = read(tmp_path, tmp_path, crop=(8, 8, 10)).batch(np.arange(1)).scaled()
    assert batch.known is not None
    assert batch.known[0, 0, 0].tolist() == [False] * 2 + [True] * 6 + [False] * 2
    assert not batch.voxels[:, :, :, :, [0, 1, 8, 9]].any()


def test_anonymised_voxels_are_unknown_and_stay_out_of_targets(tmp_path: Path) -> None:
    from manyviews_medical.transformer import PatchTransformer

    save(tmp_path / "a.nii.gz", volume(size=(8, 8, 8)))
    mask = np.zeros((8, 8, 8), np.uint8)
    mask[:4, :4, :4] = 1
    save(tmp_path / "a_mask.nii.gz", mask)
    (tmp_path / "m.csv").write_text("path,mask\na.nii.gz,a_mask.nii.gz\n")
    source = read(tmp_path / "m.csv", tmp_path)
    batch = source.batch(np.arange(1))
    assert batch.known is not None
    assert int((~batch.known).sum()) == 64
    targets = PatchTransformer(source.spec, width=12, depth=1, heads=2, patch=4).targets(batch, torch.arange(8))
    assert targets[0].isnan().all()
    assert not targets[1:].isnan().any()


def test_scaling(tmp_path: Path) -> None:
    numbers = volume(size=(8, 8, 8))
    save(tmp_path / "a.nii.gz", numbers)
    scaled = {
        kind: read(tmp_path, tmp_path, intensity=Intensity(kind=kind, window=(100.0, 500.0), percentiles=(0, 100)))
        .batch(np.arange(1))
        .scaled()
        .voxels[0, 0]
        .numpy()
        for kind in ("window", "percentiles", "zscore", "auto")
    }
    np.testing.assert_allclose(scaled["window"], np.clip((numbers - 100) / 400, 0, 1), atol=1e-6)
    np.testing.assert_allclose(scaled["percentiles"], (numbers - numbers.min()) / np.ptp(numbers), atol=1e-6)
    np.testing.assert_allclose(scaled["auto"], scaled["percentiles"])
    np.testing.assert_allclose(scaled["zscore"], (numbers - numbers.mean()) / numbers.std(), atol=1e-5)


def test_slope_and_intercept_of_the_file_are_kept_beside_native_numbers(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(volume(), np.eye(4))
    image.header.set_slope_inter(2.0, -1024.0)
    nibabel.save(image, tmp_path / "a.nii.gz")
    source = read(tmp_path, tmp_path, intensity=Intensity(kind="window", window=(-500, 500)), crop=(12, 11, 10))
    batch = source.batch(np.arange(1))
    assert batch.voxels.dtype == torch.int16
    wanted = np.clip((nibabel.load(tmp_path / "a.nii.gz").get_fdata() + 500) / 1000, 0, 1)
    np.testing.assert_allclose(batch.scaled().voxels[0, 0].numpy(), wanted, atol=1e-5)


def test_big_endian_and_double_become_native(tmp_path: Path) -> None:
    save(tmp_path / "a.nii", volume().astype(">i2"))
    save(tmp_path / "b.nii", volume().astype(np.float64))
    source = read(tmp_path, tmp_path)
    assert [stored.image.dtype.str for stored in source.volumes] == ["<i2", "<f4"]
    voxels = source.batch(np.arange(2)).voxels
    assert voxels.dtype == torch.float32
    assert torch.equal(voxels[0], voxels[1])


@pytest.mark.parametrize("axes", ["LPS", "ASR"])
def test_volumes_are_turned_and_resampled_and_answers_brought_back(tmp_path: Path, axes: str) -> None:
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    save(tmp_path / "a.nii.gz", labels(size=(24, 12, 8)).astype(np.int16), affine)
    save(tmp_path / "a_label.nii.gz", labels(size=(24, 12, 8)), affine)
    source = read(tmp_path, tmp_path, orientation=axes, spacing=(1.0, 1.0, 1.0), crop=(24, 24, 24))
    (one,) = source.volumes
    assert nibabel.aff2axcodes(np.array(one.grid.affine)) == tuple(axes)
    assert one.image.shape == (24, 24, 24)
    label = source.labelled(np.arange(1), np.random.default_rng(0)).truth
    scores = torch.nn.functional.one_hot(label[0]).movedim(-1, 0).float()
    found = back(scores, one.grid, one.original).argmax(0).numpy()
    wanted = nibabel.load(tmp_path / "a_label.nii.gz").get_fdata()
    assert found.shape == wanted.shape
    assert (found == wanted).mean() > 0.97


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("{}/scan.nii.gz", "{}/scan_seg.nii.gz"),
        ("{}/image.nii.gz", "{}/labels/image.nii.gz"),
        ("images/{}/scan.nii.gz", "labels/{}/scan.nii.gz"),
        ("scans/{}.nii.gz", "labels/{}.nii.gz"),
        ("{}/images/scan.nii.gz", "{}/labelsTr/scan.nii.gz"),
    ],
)
def test_files_of_one_name_in_many_folders_have_the_segmentation_of_their_own(tmp_path: Path, image: str, label: str) -> None:
    for number, patient in enumerate(("p1", "p2", "p3")):
        save(tmp_path / image.format(patient), volume(number))
        if patient != "p2":
            save(tmp_path / label.format(patient), labels(number))
    found = {case.images[0].path: case.label and case.label.path for case in find_cases(tmp_path)}
    wanted = {tmp_path / image.format(patient): tmp_path / label.format(patient) for patient in ("p1", "p2", "p3")}
    wanted[tmp_path / image.format("p2")] = None
    assert found == wanted


def test_segmentations_that_could_be_two_images_or_are_two_are_refused(tmp_path: Path) -> None:
    for patient in ("p1", "p2"):
        save(tmp_path / f"a/{patient}/scan.nii.gz", volume())
    save(tmp_path / "a/labels/scan.nii.gz", labels())
    with pytest.raises(DataError, match=r"labels.scan\.nii\.gz: is the segmentation of .*p1.* or of .*p2.*manifest"):
        find_cases(tmp_path)
    save(tmp_path / "b/scan.nii.gz", volume())
    for word in ("seg", "gt"):
        save(tmp_path / f"b/scan_{word}.nii.gz", labels())
    with pytest.raises(DataError, match=r"scan\.nii\.gz: has two segmentations, .*scan_gt.* and .*scan_seg.*manifest"):
        find_cases(tmp_path / "b")


def test_labelled_scans_have_their_own_classes_whatever_an_encoder_was_pretrained_on(tmp_path: Path) -> None:
    save(tmp_path / "organs/a.nii.gz", volume())
    save(tmp_path / "organs/a_seg.nii.gz", labels())
    spec = read(tmp_path / "organs", tmp_path).spec
    assert spec.classes == ("0", "1", "2", "3", "4")
    save(tmp_path / "lesions/b.nii.gz", volume(1))
    save(tmp_path / "lesions/b_seg.nii.gz", (labels(1) > 1).astype(np.uint8))
    found = VolumeSource(path=tmp_path / "lesions", crop=spec.crop, cache=str(tmp_path / "cache"), spec=spec).dense_labels()
    assert found is not None
    assert found.classes == ("0", "1")
    save(tmp_path / "new/c.nii.gz", volume(2))
    unlabelled = VolumeSource(path=tmp_path / "new", crop=spec.crop, cache=str(tmp_path / "cache"), spec=spec).dense_labels()
    assert unlabelled is not None
    assert not unlabelled.known.any()


def test_an_msd_data_set(tmp_path: Path) -> None:
    save(tmp_path / "imagesTr/a.nii.gz", volume())
    save(tmp_path / "labelsTr/a.nii.gz", labels())
    save(tmp_path / "imagesTs/b.nii.gz", volume(1))
    told = {
        "modality": {"0": "CT"},
        "labels": {"0": "air", "1": "body", "2": "liver", "3": "spine", "4": "kidney"},
        "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
        "test": ["./imagesTs/b.nii.gz"],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(told))
    for path in (tmp_path, tmp_path / "dataset.json"):
        source = read(path, tmp_path)
        assert [one.case.name for one in source.volumes] == ["a", "b"]
        assert source.volumes[0].modality == "CT"
        assert source.spec.classes == ("air", "body", "liver", "spine", "kidney")
    (tmp_path / "dataset.json").write_text('{"training": [{"label": "x"}]}')
    with pytest.raises(DataError, match=r"dataset\.json, item 0: has no `image`"):
        find_cases(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(DataError, match=r"dataset\.json: is no valid JSON"):
        find_cases(tmp_path)


def test_an_nnunet_data_set(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for channel in range(2):
            save(tmp_path / f"imagesTr/{name}_{channel:04d}.nii.gz", volume(channel))
    save(tmp_path / "labelsTr/a.nii.gz", labels())
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "liver": 1}}')
    source = read(tmp_path, tmp_path)
    assert source.spec.channels == 2
    assert [one.label is not None for one in source.volumes] == [True, False]
    (tmp_path / "imagesTr/b_0001.nii.gz").unlink()
    with pytest.raises(DataError, match=r"case b has the channels \[0\], others have 0 to 1"):
        find_cases(tmp_path)


def test_a_bids_data_set(tmp_path: Path) -> None:
    for subject in ("01", "02"):
        for session in ("1", "2"):
            name = f"sub-{subject}/ses-{session}/anat/sub-{subject}_ses-{session}_T1w.nii.gz"
            save(tmp_path / name, volume(int(session)))
    save(tmp_path / "sub-01/ses-1/func/sub-01_ses-1_task-rest_bold.nii.gz", volume())
    save(tmp_path / "derivatives/seg/sub-01/ses-1/anat/sub-01_ses-1_dseg.nii.gz", labels())
    (tmp_path / "participants.tsv").write_text("participant_id\tsex\nsub-01\tF\nsub-02\tM\n")
    source = read(tmp_path, tmp_path, target="sex", splits={"test": 0.5})
    assert sorted(set(source.groups().tolist())) == ["sub-01", "sub-02"]
    assert len(source) == 4
    found = source.labels()
    assert found is not None
    assert found.classes == ("F", "M")
    assert [one.case.name for one in source.volumes if one.label is not None] == ["sub-01_ses-1_T1w"]
    torn = {group: set(source.splits()[source.groups() == group]) for group in ("sub-01", "sub-02")}
    assert sorted(len(splits) for splits in torn.values()) == [1, 1]


def test_patients_are_never_parted(tmp_path: Path) -> None:
    source = read(write_phantoms(tmp_path, 24, (8, 8, 8)), tmp_path, target="liver", crops=3)
    for patient in set(source.groups().tolist()):
        assert len(set(source.splits()[source.groups() == patient])) == 1
    assert set(source.splits()) == {"train", "valid", "test"}
    rows = (tmp_path / "scans.csv").read_text().splitlines()
    split = ["split", *("train" if number % 2 else "test" for number in range(24))]
    (tmp_path / "torn.csv").write_text("\n".join(f"{row},{name}" for row, name in zip(rows, split, strict=True)) + "\n")
    with pytest.raises(DataError, match=r"volumes of patient p0 stand in test and train"):
        read(tmp_path / "torn.csv", tmp_path, splits="split")


def test_slices_are_taken_across_the_plane(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", volume(size=(12, 11, 10)))
    for plane, crop in {"sagittal": (11, 10), "coronal": (12, 10), "axial": (12, 11)}.items():
        batch = read(tmp_path, tmp_path, crop=crop, plane=plane, crops=4).batch(np.arange(4))
        assert batch.space == crop
        assert batch.centre is not None
        assert batch.centre.shape == (4, 2)


@pytest.mark.realdata
def test_real_volumes_load_or_are_refused(realdata: Path, tmp_path: Path) -> None:
    folder = realdata / "medical"
    expected = {
        "ct_abdomen_ts.nii.gz": ("CT", (122, 101, 30), "int16"),
        "mr_abdomen_ts.nii.gz": ("", (117, 91, 20), "int16"),
        "nib_anatomical.nii": ("", (33, 41, 25), "int16"),
        "brain1_image.nrrd": ("", (256, 256, 25), "int16"),
        "dicom": ("CT", (88, 128, 17), "int16"),
    }
    for name, (modality, shape, dtype) in expected.items():
        source = read(folder / name, tmp_path, crop=32)
        (one,) = source.volumes
        assert (one.modality, one.image.shape, one.image.dtype.name) == (modality, shape, dtype)
        assert nibabel.aff2axcodes(np.array(one.grid.affine)) == ("R", "A", "S")
        voxels = source.batch(np.arange(1)).scaled().voxels
        assert 0 <= float(voxels.min()) < float(voxels.max()) <= 1
    with pytest.raises(DataError, match=r"nib_example4d\.nii\.gz: is 4D \(128 x 96 x 24 x 2\)"):
        read(folder / "nib_example4d.nii.gz", tmp_path)
    hippocampus = read(folder / "msd_hippocampus", tmp_path, crop=(40, 56, 40))
    assert hippocampus.spec.classes == ("background", "Anterior", "Posterior")
    assert len(hippocampus) == 200
    found = examine(folder / "msd_hippocampus")
    assert found is not None
    assert all("saturated" in line or "empty" in line for line in found)


def test_labelled_scans_bring_their_classes_to_a_spec_without(tmp_path: Path) -> None:
    """Pretrained on scans without labels, finetuned on others that have them."""
    manifest = write_phantoms(tmp_path / "scans", 4, (16, 16, 16))
    bare = tmp_path / "scans" / "bare.csv"
    bare.write_text("path\n" + "".join(f"case{number:03d}_image.nii.gz\n" for number in range(4)))
    plain = VolumeSource(path=bare, crop=16, cache=str(tmp_path / "cache"))
    assert plain.dense_labels() is None
    labelled = VolumeSource(path=manifest, crop=16, cache=str(tmp_path / "cache"), spec=plain.spec)
    found = labelled.dense_labels()
    assert found is not None
    assert found.classes == ("0", "1", "2", "3", "4")
    assert labelled.spec == plain.spec


def test_bodies_of_the_demo_lie_otherwise_and_are_the_same_again() -> None:
    middles = []
    for number in range(4):
        image, label = phantom(number, (24, 24, 24), large=True, pose=0.15)
        again, _ = phantom(number, (24, 24, 24), large=True, pose=0.15)
        np.testing.assert_array_equal(image, again)
        assert set(np.unique(label)) == {0, 1, 2, 3, 4}
        middles.append(np.argwhere(label > 0).mean(0))
    assert np.ptp(np.array(middles), axis=0).max() > 1


def test_an_encoder_reads_volumes_as_it_was_trained_and_finds_them_where_new_files_hold_them(tmp_path: Path) -> None:
    manifest, cache = write_phantoms(tmp_path / "scans", 4, (16, 16, 16)), str(tmp_path / "cache")
    spec = VolumeSource(path=manifest, crop=16, cache=cache).spec
    otherwise: dict[str, Any] = {
        "crop": 8,
        "spacing": (2.0, 2.0, 2.0),
        "orientation": None,
        "intensity": Intensity(kind="zscore"),
    }
    for name, value in otherwise.items():
        with pytest.raises(DataError, match=rf"data\.{name}: .*; the encoder was trained on volumes read with .*\n.*pretrain"):
            VolumeSource(path=manifest, **{"crop": 16, "cache": cache, "spec": spec, name: value})
    renamed = tmp_path / "scans" / "renamed.csv"
    renamed.write_text(manifest.read_text().replace("path", "scan", 1))
    found = VolumeSource(path=renamed, path_column="scan", crop=16, cache=cache, spec=spec)
    assert found.spec.columns == ("scan",)
    again = VolumeSource.reading(str(renamed), found.spec)
    assert (again.spec, len(again)) == (found.spec, 4)
