"""What the bands of a file are called. An order that nobody tells is not guessed."""

from __future__ import annotations

from pathlib import PurePath

from manyviews.errors import DataError
from manyviews_satellite.reading.header import Header
from manyviews_satellite.reading.names import band_of
from manyviews_satellite.reading.options import Options
from manyviews_satellite.sensors import ORDERS, SENSORS, canonical, sensor_of


def named(header: Header, sensor: str | None, options: Options, members: int) -> list[str]:
    """Names of a file's bands: as the recipe says, the file's name, the file itself, or its sensor's one custom.

    Args:
        header: The file's.
        sensor: Its sensor, where it is known.
        options: What the recipe says.
        members: Files of its scene: where there are several, each is a band, and its name says which.

    Raises:
        DataError: They cannot be told.
    """
    if header.bands == 1 and (told := band_of(header.path)) is not None:
        return [canonical(told)]
    if options.bands is not None and not (options.partial and all(header.names)):
        return _as_told(header, options.bands)
    if all(header.names):
        return [canonical(str(name)) for name in header.names]
    if header.bands == 1 and members == 1:
        return ["grey"]
    if sensor is not None and header.bands in SENSORS[sensor].orders:
        return list(SENSORS[sensor].orders[header.bands])
    fitting = [name for name, (_, order) in ORDERS.items() if len(order) == header.bands]
    raise DataError(
        f"{header.path}: {header.bands} bands without names, and their order is not guessed\n"
        f"list them as data.bands=[…]{f', or say data.bands={_either(fitting)}' if fitting else ''}"
    )


def _as_told(header: Header, bands: tuple[str, ...]) -> list[str]:
    if len(bands) != header.bands:
        raise DataError(f"{header.path}: has {header.bands} bands, and data.bands names {len(bands)}: {', '.join(bands)}")
    own = [canonical(name) for name in header.names if name is not None]
    if len(own) == len(bands) and set(own) == set(bands) and own != list(bands):
        raise DataError(
            f"{header.path}: calls its bands {', '.join(own)}, and data.bands has another order: {', '.join(bands)}\n"
            "leave data.bands out, and choose bands by data.use"
        )
    return list(bands)


def _either(names: list[str]) -> str:
    return " or ".join(names)


def sensor_told(key: str) -> str | None:
    """The sensor that the name of a scene or of its folder tells."""
    place = PurePath(key)
    return sensor_of(place.name) or sensor_of(place.parent.name)
