"""What an encoder or a net says of scans, as NIfTI: it lies in the patient where the scan does, in any viewer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import nibabel
import numpy as np
from jaxtyping import Float, Int, Shaped
from nibabel.nifti1 import Nifti1Extension

from manyviews.errors import UserError
from manyviews.source import Source
from manyviews.writer import About, Rows, Writer
from manyviews_medical.grid import Grid
from manyviews_medical.places import PLANES
from manyviews_medical.prepare import Volume
from manyviews_medical.source import VolumeSource
from manyviews_medical.tiled import Tiled

FOLDER = ".nifti"
"""Ending of a folder with a file for each scan."""
SCANNER = 1
"""NIfTI's code of an affine to the scanner's millimetres."""


class NiftiWriter(Writer):
    """A NIfTI file of one scan.

    Of embeddings: a cell for each crop, side by side over the whole scan, or with `--tokens` for each patch; the fourth
    dimension is the vector. Cells lie on the grid that the encoder sees (turned and resampled where the data are so), by
    their affine. Of segmentations: classes on the grid of the scan's own file; their names stand in a comment of the header.
    """

    suffixes = (".nii", ".nii.gz")
    holds = frozenset(("embedding", "answer"))

    def check(self, source: Source) -> None:
        """Of a single volume."""
        volumes = _volumes(source)
        if len(volumes) > 1:
            raise UserError(
                f"a NIfTI file is of one scan, and these data hold {len(volumes)}: {volumes[0].case.name}, …\n"
                f"name a folder that ends in {FOLDER}, which gets a file for each"
            )

    def cut(self, source: Source) -> Source:
        return _all_of(source)

    def write(self, parts: Iterator[Rows], about: About, place: Path) -> None:
        for _, image in _images(parts, about):
            nibabel.save(image, place)


class NiftiFolderWriter(Writer):
    """A folder of NIfTI files, one for each scan, called as the scan is; else as the writer of one file."""

    suffixes = (FOLDER,)
    holds = frozenset(("embedding", "answer"))

    def check(self, source: Source) -> None:
        """Of volumes that have names of their own."""
        names = Counter(volume.case.name for volume in _volumes(source))
        name, count = names.most_common(1)[0]
        if count > 1:
            raise UserError(
                f"{count} of these scans are called {name!r}, and files of a folder have one name each: embed them apart"
            )

    def cut(self, source: Source) -> Source:
        return _all_of(source)

    def write(self, parts: Iterator[Rows], about: About, place: Path) -> None:
        place.mkdir()
        for volume, image in _images(parts, about):
            path = place / f"{volume.case.name}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nibabel.save(image, path)


def _volumes(source: Source) -> Sequence[Volume]:
    if not isinstance(source, VolumeSource):
        raise UserError(f"a NIfTI file is for volumes; {type(source).__name__} has none: name a .parquet file")
    return source.volumes


def _all_of(source: Source) -> Source:
    assert isinstance(source, VolumeSource)
    return Tiled(source)


def _images(parts: Iterator[Rows], about: About) -> Iterator[tuple[Volume, nibabel.Nifti1Image]]:
    return _maps(parts, about.source) if isinstance(about.source, Tiled) else _segmentations(parts, about)


def _each(parts: Iterator[Rows]) -> Iterator[tuple[int, Shaped[np.ndarray, "rows *rest"], tuple[int, ...] | None]]:
    """Rows sample by sample."""
    for rows in parts:
        for sample, values in zip(rows.samples.tolist(), rows.each(), strict=True):
            yield sample, values, rows.grid


def _segmentations(parts: Iterator[Rows], about: About) -> Iterator[tuple[Volume, nibabel.Nifti1Image]]:
    assert isinstance(about.source, VolumeSource)
    names = json.dumps({str(number): name for number, name in enumerate(about.names)})
    for sample, values, _ in _each(parts):
        if values.ndim != 4:
            raise UserError("--output: these answers are of whole scans and no maps of their voxels; name a .csv file")
        volume = about.source.volume_of(sample)
        image = _image(values[0].astype(np.uint8 if len(about.names) <= 256 else np.int16), volume.original)
        image.header.set_intent("label")
        image.header.extensions.append(Nifti1Extension("comment", names.encode()))
        yield volume, image


def _maps(parts: Iterator[Rows], source: Tiled) -> Iterator[tuple[Volume, nibabel.Nifti1Image]]:
    """A map of each volume, when its last crop has come."""
    cells: _Cells | None = None
    for sample, values, grid in _each(parts):
        volume = source.volumes[source.of[sample]]
        if cells is None or cells.volume is not volume:
            if cells is not None:
                yield cells.volume, cells.image()
            cells = _Cells(volume, source, grid, values.shape[-1])
        cells.put(source.starts[sample], values)
    if cells is not None:
        yield cells.volume, cells.image()


class _Cells:
    """The map of one volume as it fills.

    A cell is filled from the first patch that its centre lies in: of crops that are moved inwards, patches do not lie on the
    cells.
    """

    def __init__(self, volume: Volume, source: Tiled, grid: tuple[int, ...] | None, width: int) -> None:
        self.volume, self.grid = volume, volume.grid
        self.inner = _in_space(grid, source.spec.plane)
        self.step = np.array(source.shape) // np.array(self.inner)
        shape = -(-np.array(self.grid.shape) // self.step)
        self.values: Float[np.ndarray, "x y z width"] = np.zeros((*shape, width), np.float32)
        self.empty = np.ones(shape, bool)
        centres = [(np.arange(many) + 0.5) * step for many, step in zip(shape, self.step, strict=True)]
        self.centres = [np.minimum(found, side - 0.5) for found, side in zip(centres, self.grid.shape, strict=True)]

    def put(self, start: Int[np.ndarray, "3"], values: Float[np.ndarray, "tokens width"]) -> None:
        """The tokens of a crop, or its one vector."""
        cells, patches = [], []
        for axis in range(3):
            inside = np.floor((self.centres[axis] - start[axis]) / self.step[axis]).astype(int)
            here = (inside >= 0) & (inside < self.inner[axis])
            cells.append(np.flatnonzero(here))
            patches.append(inside[here])
        where, said = np.ix_(*cells), values.reshape(*self.inner, -1)[np.ix_(*patches)]
        self.values[where] = np.where(self.empty[where][..., None], said, self.values[where])
        self.empty[where] = False

    def image(self) -> nibabel.Nifti1Image:
        """With its affine."""
        affine = np.array(self.grid.affine)
        affine[:3, 3] += affine[:3, :3] @ ((self.step - 1) / 2)
        affine[:3, :3] = affine[:3, :3] * self.step
        shape = self.values.shape
        return _image(self.values, Grid(shape[:3], tuple(map(tuple, affine.tolist()))))


def _in_space(grid: tuple[int, ...] | None, plane: str) -> tuple[int, int, int]:
    """A crop's tokens along x, y and z."""
    if grid is None:
        return 1, 1, 1
    sides = list(grid)
    if len(sides) == 2:
        sides.insert(PLANES[plane], 1)
    x, y, z = sides
    return x, y, z


def _image(voxels: Shaped[np.ndarray, "x y z ..."], grid: Grid) -> nibabel.Nifti1Image:
    affine = np.array(grid.affine)
    image = nibabel.Nifti1Image(voxels, affine)
    image.set_sform(affine, SCANNER)
    image.set_qform(affine, SCANNER)
    image.header.set_xyzt_units("mm")
    return image
