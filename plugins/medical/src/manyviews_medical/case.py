"""One examination of a data set, before anything of it is read: which files belong together, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Image:
    """A volume on disk: one file, or the files of a DICOM series."""

    path: Path
    """The file; of a series, its folder."""
    files: tuple[Path, ...] = ()
    """Of a DICOM series."""

    @property
    def parts(self) -> tuple[Path, ...]:
        """The files that it consists of."""
        return self.files or (self.path,)


@dataclass(frozen=True)
class Case:
    """Images of one examination on one grid, with what belongs to them."""

    name: str
    images: tuple[Image, ...]
    """One for each channel."""
    label: Image | None = None
    """Its segmentation."""
    mask: Image | None = None
    """Nonzero where voxels were made unrecognisable (a removed face): kept out of losses."""
    patient: str = ""
    """Whose it is; a case without one stands for itself."""
    modality: str = ""
    """`CT`, `MR`, …, where the data set says so."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """What else a manifest or a list of participants says."""
    where: str = ""
    """File and line that name it, for messages."""

    @property
    def owner(self) -> str:
        """Patient, or the case itself: what no split may part."""
        return self.patient or self.name
