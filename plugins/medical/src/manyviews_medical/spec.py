"""What encoders and views must know of the volumes, stored with every checkpoint."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from manyviews.source import Spec

Crop = PositiveInt | tuple[PositiveInt, PositiveInt] | tuple[PositiveInt, PositiveInt, PositiveInt]
Spacing = tuple[PositiveFloat, PositiveFloat, PositiveFloat]
Fourth = Literal["refuse", "channels", "first", "mean"]
Plane = Literal["sagittal", "coronal", "axial"]
Percent = Annotated[float, Field(ge=0, le=100)]


class Intensity(BaseModel):
    """What becomes of stored numbers: from `low` to `high`, to 0 to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["auto", "window", "percentiles", "zscore"] = "auto"
    """`window`: a range of Hounsfield units (or whatever the files hold); `percentiles`: of each volume, for MR, whose
    numbers mean
    nothing between scans; `zscore`: mean 0 and deviation 1 of each volume, not cut off; `auto`: the window for CT,
    percentiles else."""
    window: tuple[float, float] = (-1000.0, 1000.0)
    percentiles: tuple[Percent, Percent] = (0.5, 99.5)


class VolumeSpec(Spec):
    """How volumes are read; new ones are read as it says."""

    alike = ("axes", "channels", "spacing", "orientation", "intensity")

    crop: tuple[PositiveInt, ...]
    """Voxels of a crop along x, y, z; two numbers: slices."""
    channels: int
    spacing: Spacing | None = None
    """Millimetres; None: as in the files."""
    orientation: str | None = None
    """Where axes point, `RAS`; None: as in the files."""
    intensity: Intensity = Intensity()
    fourth: Fourth = "refuse"
    columns: tuple[str, ...] = ("path",)
    """Of a manifest, that hold the channels."""
    plane: Plane = "axial"
    """Of slices."""
    target: str | None = None
    """Column that probes predict, where the data have it."""
    classes: tuple[str, ...] = ()
    """Of the segmentation, background first, where the data have one."""

    @property
    def axes(self) -> int:
        """2 or 3."""
        return len(self.crop)
