"""NIfTI out: maps of embeddings lie where the scan does, segmentations on its own grid; and NIfTI in, over the serving path."""

from __future__ import annotations

import base64
import gzip
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

import manyviews as mv
from manyviews.cli.main import run
from manyviews.engine.load import load_trained
from manyviews.errors import UserError
from manyviews.finetuning.load import load_finetuned
from manyviews.track.model import save_model
from manyviews.track.served import RequestError, Served
from manyviews.writer import About, Rows
from manyviews_medical.phantom import write_phantoms
from manyviews_medical.source import VolumeSource
from manyviews_medical.spec import Intensity
from manyviews_medical.tiled import Tiled
from manyviews_medical.writer import NiftiFolderWriter, NiftiWriter

AFFINE = np.array([[0.0, 0.0, -2.0, 30.0], [-1.5, 0.0, 0.0, 20.0], [0.0, 1.0, 0.0, -7.0], [0.0, 0.0, 0.0, 1.0]])
"""Axes exchanged and turned, of unlike spacing."""
TRAIN = {"steps": 2, "epochs": None, "batch_size": 4, "watch_every": 100}


def scan(path: Path, shape: tuple[int, ...] = (21, 19, 24), affine: np.ndarray = AFFINE) -> Path:
    random = np.random.default_rng(len(shape) + shape[0])
    nibabel.save(nibabel.Nifti1Image(random.integers(0, 900, shape).astype(np.int16), affine), path)
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """An encoder of cubes that was trained for two steps, and a segmentation of phantoms."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        data = {"path": str(write_phantoms(folder / "scans", 4, (20, 20, 18))), "crop": 16}
        encoder = {"width": 24, "depth": 1, "heads": 2}
        train = {**TRAIN, "folder": str(folder)}
        pretrained = mv.pretrain("medical/mae", data=data, encoder=encoder, train=train, evaluate=[], track=None)
        found = mv.finetune(
            str(pretrained.folder),
            task={"name": "medical/segmentation", "width": 4},
            data={"splits": {"test": 0.5}},
            labels=[1],
            scratch=False,
            train=train,
            track=None,
        )
        yield {"pretrained": pretrained.folder, "finetuned": found.folder, "scans": folder / "scans"}


class _Places:
    """What a writer is handed of an encoder that says where each of its cells lies, in millimetres."""

    def __init__(self, source: Tiled, patch: int) -> None:
        self.source, self.patch = source, patch

    def __iter__(self) -> Iterator[Rows]:
        for number in range(len(self.source)):
            volume = self.source.volumes[self.source.of[number]]
            counts = [side // self.patch if side > 1 else 1 for side in self.source.shape]
            steps = np.array(self.source.shape) / counts
            cells = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), -1).reshape(-1, 3)
            middle = self.source.starts[number] + (cells + 0.5) * steps - 0.5
            affine = np.array(volume.grid.affine)
            values = (middle @ affine[:3, :3].T + affine[:3, 3]).astype(np.float32)
            grid = tuple(count for count, side in zip(counts, self.source.shape, strict=True) if side > 1)
            yield Rows(np.array([number]), np.array([len(values)]), values, grid)


@pytest.mark.parametrize(
    ("crop", "plane", "spacing"),
    [((8, 8, 8), "axial", None), ((16, 8, 32), "axial", (1.0, 1.0, 2.0)), ((16, 16), "coronal", None)],
)
def test_a_map_lies_where_the_scan_does(
    crop: tuple[int, ...], plane: str, spacing: tuple[float, float, float] | None, tmp_path: Path
) -> None:
    source = VolumeSource(
        path=scan(tmp_path / "scan.nii.gz"), crop=crop, plane=plane, spacing=spacing, cache=str(tmp_path / "cache")
    )
    tiled = Tiled(source)
    place = tmp_path / "map.nii.gz"
    NiftiWriter().write(iter(_Places(tiled, 4)), About(tiled, "embedding", 1, (3,)), place)
    image = nibabel.load(place)
    said, grid = np.asarray(image.dataobj), tiled.volumes[0].grid
    step = [4 if side > 1 else 1 for side in tiled.shape]
    assert said.shape == (*(-(-side // one) for side, one in zip(grid.shape, step, strict=True)), 3)
    cells = np.stack(np.meshgrid(*map(np.arange, said.shape[:3]), indexing="ij"), -1)
    where = nibabel.affines.apply_affine(image.affine, cells)
    off = np.abs(nibabel.affines.apply_affine(np.linalg.inv(grid.affine), said) - (cells + 0.5) * step + 0.5)
    # Crops that are moved inwards lie between cells, by half a patch at most; the last cell may reach beyond the scan.
    assert (off[:-1, :-1, :-1] <= 2 + 1e-3).all()
    assert (off <= 4 + 1e-3).all()
    inner = tuple(slice(0, side // 8) for side in said.shape[:3])
    np.testing.assert_allclose(said[inner], where[inner], atol=1e-4)


def test_embed_writes_what_the_encoder_says(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, output = scan(tmp_path / "scan.nii.gz"), tmp_path / "map.nii.gz"
    before = set(os.listdir(tempfile.gettempdir()))
    assert run(["embed", str(runs["pretrained"]), str(path), "-o", str(output), "--tokens"]) == 0, capsys.readouterr().err
    said = np.asarray(nibabel.load(output).dataobj)
    trained = load_trained(runs["pretrained"])
    tiled = Tiled(trained.reading(path))  # type: ignore[arg-type]
    assert tiled.volumes[0].grid.shape == (24, 21, 19), "turned to right, anterior, superior"
    assert len(tiled) == 8
    batch = tiled.batch(np.arange(1))
    tokens = trained.encoder(mv.View(batch, trained.encoder.layout(batch))).tokens.detach().reshape(2, 2, 2, 24)
    np.testing.assert_allclose(said[:1, :1, :1], tokens[:1, :1, :1], atol=1e-5)
    assert said.shape == (3, 3, 3, 24)
    assert run(["embed", str(runs["pretrained"]), str(path), "-o", str(output)]) == 0
    pooled = np.asarray(nibabel.load(output).dataobj)
    assert pooled.shape == (2, 2, 2, 24)
    np.testing.assert_allclose(pooled[0, 0, 0], tokens.reshape(8, 24).mean(0), atol=1e-5)
    del tiled
    left = {name for name in set(os.listdir(tempfile.gettempdir())) - before if name.startswith("manyviews-")}
    assert not left, "chunks of single files are thrown away"


def test_predict_writes_a_segmentation_on_the_files_own_grid(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, output = scan(tmp_path / "scan.nii"), tmp_path / "organs.nii.gz"
    assert run(["predict", str(runs["finetuned"]), str(path), "-o", str(output)]) == 0, capsys.readouterr().err
    image = nibabel.load(output)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-6)
    np.testing.assert_allclose(image.header.get_qform(), AFFINE, atol=1e-5)
    net = load_finetuned(runs["finetuned"])
    said = np.asarray(image.dataobj)
    assert (said.shape, said.dtype) == ((21, 19, 24), np.uint8)
    np.testing.assert_array_equal(said, net.answer(path)[0][0])
    (comment,) = image.header.extensions
    assert list(json.loads(comment.get_content())) == [str(number) for number in range(len(net.names))]
    folder = tmp_path / "organs.nifti"
    assert run(["predict", str(runs["finetuned"]), str(runs["scans"]), "-o", str(folder)]) == 0, capsys.readouterr().err
    assert sorted(file.name for file in folder.iterdir()) == [f"case{number:03d}_image.nii.gz" for number in range(4)]
    first = np.asarray(nibabel.load(folder / "case000_image.nii.gz").dataobj)
    np.testing.assert_array_equal(first, net.answer(runs["scans"])[0][0])


def test_what_a_nifti_file_has_no_place_for(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", str(runs["finetuned"]), str(runs["scans"]), "-o", str(tmp_path / "o.nii.gz")]) == 2
    assert "of one scan, and these data hold 4" in capsys.readouterr().err
    source = VolumeSource(path=runs["scans"], crop=16, cache=str(tmp_path / "cache"))
    rows = Rows(np.array([0]), np.array([1]), np.zeros((1, 2), np.float32))
    with pytest.raises(UserError, match="no maps of their voxels"):
        NiftiWriter().write(iter([rows]), About(source, "answer", 1, (2,)), tmp_path / "o.nii.gz")
    source.volumes = [source.volumes[0]] * 2
    with pytest.raises(UserError, match="2 of these scans are called 'case000_image'"):
        NiftiFolderWriter().check(source)
    from manyviews.testing.toy import ToySource

    with pytest.raises(UserError, match="ToySource has none"):
        NiftiWriter().check(ToySource())


def test_files_are_answered_as_they_are_read(runs: dict[str, Path], tmp_path: Path) -> None:
    trained = load_trained(runs["pretrained"])
    served = Served(trained)
    paths = [scan(tmp_path / "one.nii"), scan(tmp_path / "two.nii", (16, 30, 12), np.eye(4))]
    contents = [paths[0].read_bytes(), gzip.compress(paths[1].read_bytes())]
    before = set(os.listdir(tempfile.gettempdir()))
    answers = served.predict(pd.DataFrame({"file": contents}))
    wanted = np.concatenate([trained.predict(path) for path in paths])
    np.testing.assert_allclose(answers, wanted, rtol=1e-5, atol=1e-6)
    text = [base64.b64encode(content).decode() for content in contents]
    np.testing.assert_array_equal(served.predict(pd.DataFrame({"file": text})), answers)
    with pytest.raises(RequestError, match=r"end in \.nii, \.mgh, \.mgz"):
        served.predict(pd.DataFrame({"file": contents[:1], "name": ["scan.nrrd"]}))
    for content, words in (
        (b"hello", "row 0: cannot be read as NIfTI"),
        (contents[0][:3000], "row 0: is truncated"),
        (nibabel.Nifti1Image(np.zeros((9, 9, 9), np.int16), np.eye(4)).to_bytes(), "row 0: is constant"),
    ):
        with pytest.raises(RequestError, match=words):
            served.predict(pd.DataFrame({"file": [content]}))
    assert not {name for name in set(os.listdir(tempfile.gettempdir())) - before if name.startswith("manyviews-")}


def test_channels_of_several_files_are_served_as_a_fourth_dimension(tmp_path: Path) -> None:
    rows = ["t1,t2"]
    for number in range(4):
        for name in ("t1", "t2"):
            scan(tmp_path / f"{number}_{name}.nii", (16 + number, 16, 16), np.eye(4))
        rows.append(f"{number}_t1.nii,{number}_t2.nii")
    (tmp_path / "scans.csv").write_text("\n".join(rows) + "\n")
    source = VolumeSource(
        path=tmp_path / "scans.csv",
        path_column=("t1", "t2"),
        crop=16,
        cache=str(tmp_path / "cache"),
        intensity=Intensity(kind="zscore"),
    )
    both = [np.asarray(nibabel.load(tmp_path / f"0_{name}.nii").dataobj) for name in ("t1", "t2")]
    nibabel.save(nibabel.Nifti1Image(np.stack(both, -1), np.eye(4)), tmp_path / "both.nii")
    again = VolumeSource.reading(tmp_path / "both.nii", source.spec)
    np.testing.assert_array_equal(again.batch(np.array([0])).voxels, source.batch(np.array([0])).voxels)


def test_a_model_of_a_run_loads_with_its_example(runs: dict[str, Path], tmp_path: Path) -> None:
    """As `mlflow models serve` does it, but for the port: signature, example, loader."""
    import mlflow

    source = VolumeSource(path=runs["scans"], crop=16, cache=str(tmp_path / "cache"))
    checkpoint = sorted((runs["pretrained"] / "checkpoints").iterdir())[-1]
    save_model(checkpoint, tmp_path, example=source.example(), pip_requirements=["manyviews"])
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    path = scan(tmp_path / "scan.nii")
    said = model.predict(pd.DataFrame({"file": [path.read_bytes()]}))
    np.testing.assert_allclose(said, load_trained(runs["pretrained"]).predict(path), rtol=1e-5, atol=1e-6)
