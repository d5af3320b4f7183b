"""Every kind of bad input is refused in words: which file, what is wrong, what to do."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from manyviews.errors import DataError
from manyviews_medical.doctor import examine
from manyviews_medical.phantom import phantom
from manyviews_medical.source import VolumeSource

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


def save(path: Path, voxels: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    image = nibabel.Nifti1Image(voxels, None)
    image.header.set_sform(affine, code=1)
    image.header.set_qform(None, code=0)
    image.header["pixdim"][1:4] = 1
    nibabel.save(image, path)
    return path


def sound() -> np.ndarray:
    return (1000 * phantom(0, (12, 11, 10))[0]).astype(np.int16)


def refused(path: Path, **more: object) -> str:
    with pytest.raises(DataError) as caught:
        VolumeSource(path=path, crop=8, cache=str(path.parent / "cache"), **more)
    said = str(caught.value)
    assert len(said.splitlines()) <= 3
    assert str(path) in said
    found = examine(path)
    assert found, "the doctor finds it too"
    assert "\n" not in found[0]
    return said


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_voxel_that_is_no_number(tmp_path: Path, bad: float) -> None:
    voxels = sound().astype(np.float32)
    voxels[3, 4, 5] = bad
    said = refused(save(tmp_path / "a.nii.gz", voxels))
    assert "1 of its voxels hold NaN or infinity, the first at (3, 4, 5)" in said


def test_a_constant_volume(tmp_path: Path) -> None:
    assert "is constant, every voxel is 7" in refused(save(tmp_path / "a.nii.gz", np.full((9, 9, 9), 7, np.int16)))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_truncated_file(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16))
    path.write_bytes(path.read_bytes()[:-3000])
    assert "is truncated" in refused(path)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").touch()
    assert "is empty (0 bytes)" in refused(tmp_path / "a.nii.gz")


def test_a_pointer_of_git_lfs(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    assert "is a Git LFS pointer and not the image; fetch it with `git lfs pull`" in refused(tmp_path / "a.nii.gz")


def test_a_file_that_is_not_compressed_as_its_name_says(tmp_path: Path) -> None:
    plain = save(tmp_path / "b.nii", sound())
    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub" / "a.nii.gz"
    path.write_bytes(plain.read_bytes())
    assert "is named .gz and is no gzip file" in refused(path)


def test_a_file_that_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(b"no image" * 100))
    assert "cannot be read as NIfTI" in refused(path)


def test_two_dimensions(tmp_path: Path) -> None:
    said = refused(save(tmp_path / "a.nii.gz", sound()[:, :, 0]))
    assert "is 2D (12 x 11); expected a volume" in said
    assert len(VolumeSource(path=tmp_path, crop=(8, 8), cache=str(tmp_path / "cache"))) == 1


def test_colours(tmp_path: Path) -> None:
    colours = np.zeros((8, 8, 8), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert "holds RGB colours" in refused(save(tmp_path / "a.nii.gz", colours))


def test_four_dimensions(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", np.stack([sound(), sound() + 1], axis=-1))
    said = refused(path)
    assert "is 4D (12 x 11 x 10 x 2); expected 3D" in said
    assert "`data.fourth`" in said
    channels = {
        how: VolumeSource(path=path, crop=8, fourth=how, cache=str(tmp_path / "cache")).spec.channels
        for how in ("channels", "first", "mean")
    }
    assert channels == {"channels": 2, "first": 1, "mean": 1}


def test_a_sheared_affine(tmp_path: Path) -> None:
    affine = AFFINE.copy()
    affine[0, 2] = 0.5
    assert "its affine is sheared (axes 76.0 degrees apart, not 90)" in refused(save(tmp_path / "a.nii.gz", sound(), affine))


def test_an_affine_of_zeros(tmp_path: Path) -> None:
    affine = np.diag([1.0, 1.0, 0.0, 1.0])
    assert "its affine is zero along z: voxels without a size" in refused(save(tmp_path / "a.nii.gz", sound(), affine))


def test_an_affine_that_is_no_number(tmp_path: Path) -> None:
    affine = np.diag([1.0, np.nan, 1.0, 1.0])
    assert "its affine holds NaN or infinity" in refused(save(tmp_path / "a.nii.gz", sound(), affine))


def test_a_label_of_another_shape(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", sound())
    save(tmp_path / "a_label.nii.gz", np.ones((12, 11, 9), np.uint8))
    with pytest.raises(DataError, match=r"a_label\.nii\.gz: the label is 12 x 11 x 9, its image a\.nii\.gz 12 x 11 x 10"):
        VolumeSource(path=tmp_path, crop=8, cache=str(tmp_path / "cache"))
    assert any("the label is 12 x 11 x 9" in line for line in examine(tmp_path) or [])


def test_a_label_elsewhere_and_one_that_is_an_image(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", sound())
    moved = AFFINE.copy()
    moved[0, 3] = 40
    save(tmp_path / "a_label.nii.gz", np.ones((12, 11, 10), np.uint8), moved)
    with pytest.raises(DataError, match=r"the label lies elsewhere than its image a\.nii\.gz"):
        VolumeSource(path=tmp_path, crop=8, cache=str(tmp_path / "cache"))
    save(tmp_path / "a_label.nii.gz", sound().astype(np.float32) / 7)
    with pytest.raises(DataError, match=r"a label holds whole numbers .* was an image given as a label\?"):
        VolumeSource(path=tmp_path, crop=8, cache=str(tmp_path / "cache"))


def series(folder: Path, places: list[float], **given: object) -> Path:
    """A CT series of 6 x 5 pixels."""
    folder.mkdir()
    uid = generate_uid()
    for number, place in enumerate(places):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one = FileDataset(str(folder / f"{number}.dcm"), {}, file_meta=meta, preamble=b"\0" * 128)
        one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        one.SeriesInstanceUID, one.PatientID, one.Modality = uid, "p7", "CT"
        one.Rows, one.Columns, one.SamplesPerPixel, one.PhotometricInterpretation = 6, 5, 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
        one.PixelSpacing, one.ImageOrientationPatient = [0.8, 0.7], [1, 0, 0, 0, 1, 0]
        one.ImagePositionPatient = [0, 0, place]
        one.RescaleSlope, one.RescaleIntercept = 1, -1024
        for name, value in given.items():
            setattr(one, name, value)
        one.PixelData = (np.arange(30, dtype=np.int16) + 30 * number).tobytes()
        one.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


def test_a_dicom_series_with_a_missing_slice(tmp_path: Path) -> None:
    said = refused(series(tmp_path / "ct", [0.0, 2.0, 4.0, 8.0, 10.0]))
    assert "the distance between slices varies from 2.00 to 4.00 mm, first behind 2.dcm: slices are missing" in said


def test_a_dicom_series_with_a_slice_twice_and_of_one_slice(tmp_path: Path) -> None:
    assert "two slices lie at one place" in refused(series(tmp_path / "ct", [0.0, 2.0, 2.0, 4.0]))
    assert "has a single slice" in refused(series(tmp_path / "one", [0.0]))


def test_a_dicom_series_with_a_damaged_file(tmp_path: Path) -> None:
    folder = series(tmp_path / "ct", [0.0, 2.0, 4.0])
    (folder / "1.dcm").write_bytes(b"x" * 200)
    assert "cannot be read as DICOM" in refused(folder)


def test_a_dicom_series_with_slices_of_two_sizes(tmp_path: Path) -> None:
    folder = series(tmp_path / "ct", [0.0, 2.0, 4.0])
    one = pydicom.dcmread(folder / "2.dcm")
    one.PixelSpacing = [0.5, 0.5]
    one.save_as(folder / "2.dcm")
    assert "the slices of the series differ in PixelSpacing: 2.dcm has [0.5, 0.5], 0.dcm [0.8, 0.7]" in refused(folder)


def test_colour_in_dicom(tmp_path: Path) -> None:
    assert "holds RGB colours" in refused(series(tmp_path / "ct", [0.0, 2.0], SamplesPerPixel=3))


def test_a_dicom_series_is_read_in_hounsfield_units_and_in_order(tmp_path: Path) -> None:
    source = VolumeSource(path=series(tmp_path / "ct", [4.0, 0.0, 2.0]), crop=(5, 6, 3), cache=str(tmp_path / "cache"))
    (volume,) = source.volumes
    assert (volume.modality, volume.patient) == ("CT", "p7")
    scaled = source.batch(np.arange(1)).scaled().voxels[0, 0].numpy()
    # RAS: x and y turn round; slices from the lowest, which were written 2nd, 3rd and 1st
    stored = np.stack([np.arange(30).reshape(6, 5).T + 30 * number for number in (1, 2, 0)], axis=-1)[::-1, ::-1]
    np.testing.assert_allclose(scaled, np.clip((stored - 1024 + 1000) / 2000, 0, 1), atol=1e-6)
    np.testing.assert_allclose(volume.image.about["spacing"], [0.7, 0.8, 2.0])


def test_a_damaged_nrrd(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n\n" + b"\0" * 9)
    assert "cannot be read as NRRD, or is truncated" in refused(tmp_path / "a.nrrd")


def test_a_nrrd_without_a_size_of_its_voxels(tmp_path: Path) -> None:
    head = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n\n"
    (tmp_path / "a.nrrd").write_bytes(head + bytes(range(64)))
    assert "says neither `space directions` nor `spacings`" in refused(tmp_path / "a.nrrd")


def test_bad_volumes_are_skipped_and_told_of(tmp_path: Path) -> None:
    save(tmp_path / "good.nii.gz", sound())
    (tmp_path / "bad.nii.gz").touch()
    source = VolumeSource(path=tmp_path, crop=8, on_error="skip", cache=str(tmp_path / "cache"))
    assert len(source) == 1
    assert source.skipped == [f"{tmp_path / 'bad.nii.gz'}: is empty (0 bytes); copy or download it again"]
    with pytest.raises(DataError, match=r"bad\.nii\.gz: is empty"):
        VolumeSource(path=tmp_path, crop=8, cache=str(tmp_path / "cache"))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no volumes; expected \.nii"):
        VolumeSource(path=tmp_path, crop=8)
    (tmp_path / "text.txt").touch()
    with pytest.raises(DataError, match=r"text\.txt: is neither a volume"):
        VolumeSource(path=tmp_path / "text.txt", crop=8)
    assert examine(tmp_path) is None


def test_volumes_with_other_channels_than_the_first(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", sound())
    save(tmp_path / "b.nii.gz", np.stack([sound(), sound() + 1], axis=-1))
    with pytest.raises(DataError, match=r"volumes differ in their number of channels: 1 \(a\), 2 \(b\)"):
        VolumeSource(path=tmp_path, crop=8, fourth="channels", cache=str(tmp_path / "cache"))


def test_impossible_settings(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", sound())
    with pytest.raises(DataError, match=r"data\.orientation: 'RAX' names no three axes"):
        VolumeSource(path=tmp_path, crop=8, orientation="RAX", cache=str(tmp_path / "cache"))
    from manyviews_medical.spec import Intensity

    with pytest.raises(DataError, match=r"data\.intensity\.window: 5 to -5 is no range"):
        VolumeSource(path=tmp_path, crop=8, intensity=Intensity(window=(5, -5)), cache=str(tmp_path / "cache"))


@pytest.mark.parametrize("line", ["c.nii.gz,p1", ",p1"])
def test_a_manifest_that_names_what_is_not_there(tmp_path: Path, line: str) -> None:
    save(tmp_path / "a.nii.gz", sound())
    (tmp_path / "m.csv").write_text(f"path,patient\na.nii.gz,p0\n{line}\n")
    with pytest.raises(DataError, match=r"m\.csv:3: '.*' is not there; paths are relative to the manifest's folder"):
        VolumeSource(path=tmp_path / "m.csv", crop=8, cache=str(tmp_path / "cache"))


def test_a_manifest_without_the_column(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("image,patient\na.nii.gz,p0\n")
    with pytest.raises(DataError, match=r"has no column 'path' \(columns: image, patient\)"):
        VolumeSource(path=tmp_path / "m.csv", crop=8, cache=str(tmp_path / "cache"))
