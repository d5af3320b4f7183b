"""What a recipe says of how files are to be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from manyviews.errors import DataError
from manyviews.plugins.suggest import did_you_mean
from manyviews_satellite.sensors import ORDERS, SENSORS, canonical

Clouds = Literal["keep", "drop"]


class Options(BaseModel):
    """See the parameters of the source. Stored with the spec: new files are read as those of the training data were."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bands: tuple[str, ...] | None = None
    """Names of the bands in the order of the files; canonical."""
    sensor: str | None = None
    use: tuple[str, ...] | None = None
    """The bands that are read; canonical. None: all."""
    axes: str | None = None
    nodata: float | None = None
    scale: float | None = None
    offset: float | None = None
    crs: str | None = None
    """`none`: pixels as they lie; another: of files that have none."""
    clouds: Clouds = "keep"
    masks: str | None = None
    """Name of folders whose files are label maps, no images."""
    folders: tuple[str, ...] = ()
    """Names of the only folders whose files are read; empty: all."""
    assumed: str | None = None
    """Sensor of files that tell none: reading new data for a trained encoder, that of the training data."""
    partial: bool = False
    """Reading new data for a trained encoder: they may lack bands of `use`, and what they say of their bands' order counts."""


def options(
    *,
    bands: str | Sequence[str] | None,
    sensor: str | None,
    use: Sequence[str] | None,
    axes: str | None,
    nodata: float | None,
    scale: float | None,
    offset: float | None,
    crs: str | None,
    clouds: Clouds,
) -> Options:
    """The same, checked and with names made canonical.

    Raises:
        DataError: An order or a sensor that is not known, a band named twice.
    """
    if isinstance(bands, str):
        if bands not in ORDERS:
            raise DataError(
                f"data.bands: {bands!r} is no known order.{did_you_mean(bands, list(ORDERS))}\n"
                f"known: {', '.join(ORDERS)}; or list the bands' names"
            )
        of, bands = ORDERS[bands]
        sensor = sensor or of or None
    if sensor is not None and sensor not in SENSORS:
        raise DataError(
            f"data.sensor: {sensor!r} is not known.{did_you_mean(sensor, list(SENSORS))}\nknown: {', '.join(SENSORS)}"
        )
    return Options(
        bands=_named("bands", bands),
        sensor=sensor,
        use=_named("use", use),
        axes=axes,
        nodata=nodata,
        scale=scale,
        offset=offset,
        crs=crs,
        clouds=clouds,
    )


def _named(key: str, names: Sequence[str] | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    found = tuple(canonical(name) for name in names)
    twice = next((name for name in found if found.count(name) > 1), None)
    if twice is not None or not found:
        raise DataError(f"data.{key}: " + (f"names {twice} twice" if twice else "names no band"))
    return found
