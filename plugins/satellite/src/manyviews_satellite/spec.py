"""What encoders and views must know of the images, stored with every checkpoint."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from manyviews.source import Spec
from manyviews_satellite.reading.options import Options

Part = Literal["whole", "real", "imaginary"]
Sampling = Literal["grid", "blocks", "random", "whole"]


class Band(BaseModel):
    """One channel of the images, as it travels with them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """`B8A`, `VV`, `red`."""
    sensor: str | None = None
    """`sentinel2`, `landsat8`, …; None where it is not known."""
    wavelength: float | None = None
    """Centre in micrometres; None for what is no measurement of light (NDVI, elevation)."""
    part: Part = "whole"
    """Of complex numbers: real and imaginary parts are bands of their own."""

    @property
    def label(self) -> str:
        """The name, with the part that it is of."""
        return self.name if self.part == "whole" else f"{self.name}.{self.part}"


class Windows(BaseModel):
    """How tiles are cut out of scenes. See the parameters of the source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tile: int
    """Rows and columns of a tile, in pixels."""
    stride: int | None = None
    sampling: Sampling = "grid"
    tiles: int | None = None
    crops: int | None = None
    min_valid: float = 0.5
    small: Literal["refuse", "pad"] = "refuse"
    dates: int = 1
    """Images of one place that make a sample."""
    pairs: tuple[str, ...] = ()
    """Folders whose files of one name are these dates; empty: what lies at one place on the ground."""
    seed: int = 0


class TileSpec(Spec):
    """Fitted on valid pixels of training tiles only; new images are read as it says."""

    alike = ("bands", "reading")  # encoders standardise by their own spec

    bands: tuple[Band, ...]
    mean: tuple[float, ...]
    """Of each band in physical units (stored number * scale + offset), over valid pixels."""
    std: tuple[float, ...]
    windows: Windows
    """How tiles are cut."""
    reading: Options
    """How files are read."""
    metres: float | None = None
    """Median size of a training pixel; None where it is not known."""
    target: str | None = None
    """What probes predict, where the data have it."""

    @property
    def complex(self) -> bool:
        """Whether the bands are parts of complex numbers (SLC)."""
        return any(band.part != "whole" for band in self.bands)
