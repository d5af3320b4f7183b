"""Volumes as a source: read once into chunks, after that by crops."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from manyviews.batch import Labelled
from manyviews.errors import DataError
from manyviews.labelling import TextKind
from manyviews.source import DenseLabels, Labels, Source, Spec
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.crops import Crops
from manyviews_medical.example import example
from manyviews_medical.layouts.find import find_cases
from manyviews_medical.layouts.manifest import Columns
from manyviews_medical.layouts.msd import classes_of
from manyviews_medical.places import place_of
from manyviews_medical.prepare import Treatment, Volume, prepare_all, read_truth
from manyviews_medical.reading.read import suffix_of
from manyviews_medical.spec import Crop, Fourth, Intensity, Plane, Spacing, VolumeSpec
from manyviews_medical.splits import split_volumes
from manyviews_medical.targets import target_of

if TYPE_CHECKING:
    import pandas as pd

FEATURES = 4
"""Side of the grid of means that `features` are."""

SKETCH = 32
"""Side of the pictures that duplicates are told by."""


TRAINED = ("crop", "plane", "spacing", "orientation", "intensity")
"""How volumes are read, as an encoder was trained: nothing that a finetuning may change."""


class VolumeSource(Source):
    """Crops of MRI and CT volumes: NIfTI, NRRD, DICOM series; a folder, a manifest, MSD, nnU-Net or BIDS.

    Args:
        path: A folder of scans (searched through), a CSV or TSV manifest, a file, or a data set in the layout of MSD,
            nnU-Net or BIDS.
        path_column: A manifest's column of images, relative to it; several are channels of one volume.
        label_column: A manifest's column of segmentations.
        mask_column: A manifest's column of masks, nonzero where voxels were made unrecognisable; they are kept out of losses.
        patient: A manifest's column of patients; no split parts one. BIDS and DICOM say it themselves.
        target: Column (of a manifest, or of BIDS participants) that probes predict.
        target_kind: Classes, or numbers to regress on.
        splits: Column that names train, valid or test, or shares such as `{valid: 0.1, test: 0.2}`. Default: these
            shares where there is
            a target, else all volumes train.
        split_seed: Seed of drawn splits.
        crop: Voxels of a crop: one number, three, or two for slices.
        crops: Crops of each volume: the first at the body's centre, the others at random places. They are samples of their own.
        plane: Of slices.
        spacing: Millimetres between voxels that all is resampled to; null: as it is.
        orientation: Where axes point, such as `RAS`; null: as they are.
        intensity: What becomes of the numbers: see `kind`, `window` (of CT), `percentiles` (of MR).
        fourth: What a fourth dimension is: `channels`, time (`first`, `mean`), or an error.
        cache: Folder of the chunks; null: `manyviews/medical` in the user's cache folder.
        on_error: Raise at the first volume that cannot be used, or `skip` such volumes and list them.
        seed: Of the places of crops.
        spec: A trained encoder's: volumes are read as it says, which is to be said here too (`crop`, `plane`, `spacing`,
            `orientation`, `intensity`).

    Raises:
        DataError: A volume cannot be used, or the encoder reads volumes otherwise.
    """

    spec: VolumeSpec
    # A header of NRRD or Analyze may name its data's file, so neither is sent.
    served, served_also = ".nii", frozenset({".mgz", ".mgh"})

    @classmethod
    def reading(cls, data: Any, spec: Spec) -> VolumeSource:
        """New data as `spec` says. Of a single file no chunks stay behind: a server is sent another one with each request."""
        assert isinstance(spec, VolumeSpec)
        own: dict[str, Any] = {name: getattr(spec, name) for name in (*TRAINED, "fourth")} | {"path_column": spec.columns}
        if not _is_volume(Path(data)):
            return cls(path=data, spec=spec, **own)
        folder = tempfile.mkdtemp(prefix="manyviews-")
        try:
            source = cls(path=data, cache=folder, spec=spec, **own)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        weakref.finalize(source, _remove, folder, os.getpid())
        return source

    def __init__(
        self,
        *,
        path: str | Path,
        path_column: str | tuple[str, ...] = "path",
        label_column: str = "label",
        mask_column: str = "mask",
        patient: str = "patient",
        target: str | None = None,
        target_kind: TextKind = "classes",
        splits: str | dict[str, float] | None = None,
        split_seed: NonNegativeInt = 0,
        crop: Crop = 64,
        crops: PositiveInt = 1,
        plane: Plane = "axial",
        spacing: Spacing | None = None,
        orientation: str | None = "RAS",
        intensity: Intensity = Intensity(),  # noqa: B008 - frozen
        fourth: Fourth = "refuse",
        cache: str | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        seed: NonNegativeInt = 0,
        spec: VolumeSpec | None = None,
    ) -> None:
        shape = tuple(crop) if isinstance(crop, tuple) else (crop,) * 3
        given = VolumeSpec(
            crop=shape,
            channels=0,
            spacing=spacing,
            orientation=orientation,
            intensity=intensity,
            fourth=fourth,
            plane=plane,
            target=target,
            columns=path_column if isinstance(path_column, tuple) else (path_column,),
        )
        if spec is not None:
            _refuse_otherwise(given, spec)
        _refuse_orientation(given.orientation)
        columns = Columns(given.columns, label_column, mask_column, patient)
        cases = find_cases(Path(path), columns)
        # A file in place of a manifest with a column for each channel holds them as its fourth dimension.
        fourth = "channels" if len(given.columns) > 1 and _is_volume(Path(path)) else given.fourth
        how = Treatment(given.spacing, given.orientation, fourth, given.axes == 2)
        self._path, self._seed, self.crops = Path(path), seed, crops
        self.volumes, self.skipped = prepare_all(cases, how, cache_folder(cache), skip=on_error == "skip")
        channels = self.volumes[0].image.channels
        if spec is not None and channels != spec.channels:
            raise DataError(f"{path}: volumes have {channels} channels; the encoder was trained on {spec.channels}")
        wanted = target if spec is None or target is not None else spec.target
        each = target_of(
            [volume.case for volume in self.volumes], wanted, target_kind, required=spec is None or target is not None
        )
        # Labelled scans bring classes of their own: those that an encoder was pretrained on may have had others, or none.
        self._names = self._classes(Path(path)) or (() if spec is None else spec.classes)
        self.spec = given.model_copy(update={"channels": channels, "classes": self._names})
        if spec is not None:  # but for where these files hold what the encoder reads
            self.spec = spec.model_copy(update={"columns": given.columns, "fourth": given.fourth})
        owners = np.array([volume.patient for volume in self.volumes], dtype=object)
        split = split_volumes([volume.case for volume in self.volumes], splits, each, owners, split_seed)
        self._of = np.tile(np.arange(len(self.volumes)), crops)
        self._groups, self._splits = owners[self._of].astype(str), split[self._of]
        self._labels = None if each is None else Labels(each.name, each.kind, each.values[self._of], each.classes)
        self._read = Crops(self.volumes, self.spec)

    def _classes(self, path: Path) -> tuple[str, ...]:
        counts = [volume.label.about["classes"] for volume in self.volumes if volume.label is not None]
        if not counts:
            return ()
        names = classes_of(path if path.is_dir() else path.parent)
        return names if len(names) >= max(counts) else tuple(map(str, range(max(max(counts), 2))))

    def __len__(self) -> int:
        return len(self._of)

    def batch(self, index: Int[np.ndarray, "samples"]) -> VolumeBatch:
        starts = np.stack([self.place(number) for number in index.tolist()]) if len(index) else np.zeros((0, 3), np.int64)
        return self._read.read(self._of[index], starts)

    def place(self, number: int) -> Int[np.ndarray, "3"]:
        """The first voxel of a sample in its volume."""
        volume = int(self._of[number])
        return place_of(self.volumes[volume].image, self._read.shape, number // len(self.volumes), (self._seed, volume))

    def volume_of(self, number: int) -> Volume:
        """What a sample is a crop of."""
        return self.volumes[self._of[number]]

    def bag(self, number: int) -> Int[np.ndarray, "crops"]:
        """All samples of the volume that a sample is of."""
        return np.flatnonzero(self._of == self._of[number])

    def dense_labels(self) -> DenseLabels | None:
        """Of the first crop of each volume, so that a volume counts once however many crops it has."""
        if not self._names:
            return None
        known = np.array([volume.label is not None for volume in self.volumes])
        first = np.arange(len(self)) < len(self.volumes)
        return DenseLabels("segmentation", self._names, known[self._of] & first)

    def labelled(self, index: Int[np.ndarray, "samples"], generator: np.random.Generator | None) -> Labelled:
        """Crops with their segmentation; or a whole volume, with its segmentation as it is in the file."""
        if generator is not None:
            numbers = self._of[index]
            starts = np.stack([self._read.draw(number, generator) for number in numbers.tolist()])
            return Labelled(self._read.read(numbers, starts), self._read.labels(numbers, starts))
        volume = self.volumes[self._of[int(index[0])]]
        truth = torch.from_numpy(read_truth(volume.case).astype(np.int64))[None]
        return Labelled(self._read.whole(int(self._of[int(index[0])])), truth)

    def whole(self, sample: int) -> tuple[VolumeBatch, tuple[int, ...]]:
        """A whole volume, and the shape of its file."""
        batch = self._read.whole(int(self._of[sample]))
        assert batch.grids is not None
        return batch, batch.grids[1].shape

    def splits(self) -> Shaped[np.ndarray, "samples"]:
        return self._splits

    def labels(self) -> Labels | None:
        return self._labels

    def groups(self) -> Shaped[np.ndarray, "samples"]:
        return self._groups

    def features(self, index: Int[np.ndarray, "samples"]) -> Float[np.ndarray, "samples features"]:
        """Means over a coarse grid of the scaled crop, and each channel's deviation."""
        x = self.batch(index).scaled(torch.float32).voxels
        pool = torch.nn.functional.adaptive_avg_pool3d if x.ndim == 5 else torch.nn.functional.adaptive_avg_pool2d
        means: Tensor = pool(x, FEATURES)
        return torch.cat([means.flatten(1), x.flatten(2).std(-1, unbiased=False)], dim=1).numpy()

    def sketches(self, index: Int[np.ndarray, "samples"]) -> Float[np.ndarray, "samples rows columns"]:
        """Slices as they are, volumes by their middle axial one."""
        x = self.batch(index).scaled(torch.float32).voxels[:, 0]
        flat = x if x.ndim == 3 else x[..., x.shape[-1] // 2]
        return torch.nn.functional.adaptive_avg_pool2d(flat, SKETCH).numpy()

    def example(self) -> pd.DataFrame:
        """A scan as a file."""
        return example(self.spec)

    def fingerprint(self) -> Mapping[str, Any]:
        told = [f"{volume.case.name} {volume.image.path.name}" for volume in self.volumes]
        digest = hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
        return {"path": str(self._path), "volumes": len(self.volumes), "patients": len(set(self._groups)), "files": digest}

    def describe(self) -> str:
        """What was found, in a few lines."""
        shapes = np.array([volume.image.shape for volume in self.volumes])
        kinds = sorted({volume.modality or "?" for volume in self.volumes})
        spacings = np.array([volume.image.about["spacing"] for volume in self.volumes])
        labelled = sum(volume.label is not None for volume in self.volumes)
        lines = [
            f"{len(self.volumes):,} volumes ({', '.join(kinds)}) of {len(set(self._groups)):,} patients, "
            f"{labelled:,} with a segmentation",
            f"shapes {_range(shapes, 'd')} voxels, spacings {_range(spacings, '.3g')} mm; crops of "
            f"{' x '.join(map(str, self.spec.crop))}",
        ]
        return "\n".join(lines + [f"left out: {reason}" for reason in self.skipped])


def cache_folder(given: str | None) -> Path:
    """Where chunks are kept."""
    if given is not None:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "manyviews" / "medical"


def _is_volume(path: Path) -> bool:
    """Whether it is a single volume's file."""
    return bool(suffix_of(path)) and path.is_file()


def _remove(folder: str, process: int) -> None:
    """By the process that made it: its forks have the same source."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _refuse_orientation(axes: str | None) -> None:
    if axes is None:
        return
    kinds = sorted(pair for letter in axes for pair in ("RL", "AP", "SI") if letter in pair)
    if len(axes) != 3 or kinds != ["AP", "RL", "SI"]:
        raise DataError(f"data.orientation: {axes!r} names no three axes; expected one of R or L, A or P, S or I, such as RAS")


def _range(rows: Shaped[np.ndarray, "volumes axes"], form: str) -> str:
    low, high = rows.min(0), rows.max(0)
    return " x ".join(format(a, form) if a == b else f"{a:{form}}-{b:{form}}" for a, b in zip(low, high, strict=True))


def _refuse_otherwise(given: VolumeSpec, spec: VolumeSpec) -> None:
    """What the encoder was trained on alone is what it reads."""
    for name in TRAINED:
        said, trained = getattr(given, name), getattr(spec, name)
        if said != trained:
            raise DataError(
                f"data.{name}: {_short(said)}; the encoder was trained on volumes read with {_short(trained)}\n"
                "it reads all so: leave it out, or pretrain an encoder on volumes read like that"
            )


def _short(value: Any) -> str:
    return str(value.model_dump() if isinstance(value, Intensity) else value)
