"""Known sensors: what their bands are called, where in the spectrum they lie, how they are grouped and drawn.

Centre wavelengths in micrometres: ESA's Sentinel-2 user handbook, USGS's tables of Landsat bands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sensor:
    """A family of instruments."""

    wavelengths: Mapping[str, float]
    """Band -> centre, in the sensor's own order."""
    groups: Sequence[Sequence[str]]
    """Bands that share a patch embedding (SatMAE, Cong et al. 2022, section 4.1, for Sentinel-2)."""
    colours: tuple[str, str, str]
    """Bands of a true-colour picture; of radar, the three that a false-colour one is made of."""
    files: str
    """Pattern of the names of its files."""
    nodata: float | None = None
    """What its integer products hold where nothing was seen, though their files may not say so."""
    orders: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """Bands of unnamed stacks of so many, where there is but one custom."""


_SENTINEL2 = {
    "B1": 0.443, "B2": 0.490, "B3": 0.560, "B4": 0.665, "B5": 0.705, "B6": 0.740, "B7": 0.783, "B8": 0.842, "B8A": 0.865,
    "B9": 0.945, "B10": 1.375, "B11": 1.610, "B12": 2.190,
}  # fmt: skip
_OLI = {
    "B1": 0.443, "B2": 0.482, "B3": 0.561, "B4": 0.655, "B5": 0.865, "B6": 1.609, "B7": 2.201, "B8": 0.590, "B9": 1.373,
    "B10": 10.895, "B11": 12.005,
}  # fmt: skip
_ETM = {"B1": 0.483, "B2": 0.560, "B3": 0.662, "B4": 0.835, "B5": 1.648, "B6": 11.335, "B7": 2.206, "B8": 0.710}
_TM = {"B1": 0.486, "B2": 0.571, "B3": 0.660, "B4": 0.839, "B5": 1.677, "B6": 11.435, "B7": 2.217}
_REFLECTIVE = ("B1", "B2", "B3", "B4", "B5", "B7")
_TM_GROUPS = (("B1", "B2", "B3", "B4"), ("B5", "B7"), ("B8",), ("B6",))
_OLI_GROUPS = (("B1", "B2", "B3", "B4", "B5"), ("B6", "B7", "B9"), ("B8",), ("B10", "B11"))
_OLI_ORDERS = {7: tuple(_OLI)[:7]}

SENSORS: Mapping[str, Sensor] = {
    "sentinel2": Sensor(
        _SENTINEL2,
        (("B2", "B3", "B4", "B8"), ("B5", "B6", "B7", "B8A"), ("B11", "B12"), ("B1", "B9", "B10")),
        ("B4", "B3", "B2"),
        r"S2[ABC]_|^T\d{2}[A-Z]{3}_|SENTINEL-?2",
        nodata=0.0,
    ),
    "sentinel1": Sensor(
        dict.fromkeys(("VV", "VH", "HH", "HV"), 55_466.0),
        (("VV", "VH"), ("HH", "HV")),
        ("VV", "VH", "VV"),
        r"S1[ABC]-|S1[ABC]_|SENTINEL-?1",
        nodata=0.0,
    ),
    "landsat9": Sensor(_OLI, _OLI_GROUPS, ("B4", "B3", "B2"), r"L[CO]09_", nodata=0.0, orders=_OLI_ORDERS),
    "landsat8": Sensor(_OLI, _OLI_GROUPS, ("B4", "B3", "B2"), r"L[CO]0?8_", nodata=0.0, orders=_OLI_ORDERS),
    "landsat7": Sensor(_ETM, _TM_GROUPS, ("B3", "B2", "B1"), r"LE0?7_|L7_", nodata=0.0, orders={6: _REFLECTIVE}),
    "landsat5": Sensor(_TM, _TM_GROUPS, ("B3", "B2", "B1"), r"LT0?5_|L5_", nodata=0.0, orders={6: _REFLECTIVE}),
}

COMMON = {
    "blue": 0.49, "green": 0.56, "red": 0.665, "rededge": 0.705, "nir": 0.842, "nir08": 0.865, "swir16": 1.61, "swir22": 2.19,
    "coastal": 0.443,
}  # fmt: skip
"""Names of no single sensor (RGB photographs, STAC), and where such bands commonly lie."""

ORDERS: Mapping[str, tuple[str, Sequence[str]]] = {
    "sentinel2_l1c": ("sentinel2", tuple(_SENTINEL2)),
    "sentinel2_l2a": ("sentinel2", tuple(name for name in _SENTINEL2 if name != "B10")),
    "sentinel2_satmae": ("sentinel2", ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")),
    "eurosat": ("sentinel2", (*(name for name in _SENTINEL2 if name != "B8A"), "B8A")),
    "landsat8": ("landsat8", tuple(_OLI)[:7]),
    "landsat7": ("landsat7", _REFLECTIVE),
    "landsat5": ("landsat5", _REFLECTIVE),
    "rgb": ("", ("red", "green", "blue")),
    "rgbn": ("", ("red", "green", "blue", "nir")),
}
"""Known orders of stacks, by the name that `data.bands` can say: (sensor, bands). EuroSAT's files have B8A last."""

_NUMBERED = re.compile(r"^b(?:and)?[_ ]?0*(\d+)(a?)$", re.IGNORECASE)


def canonical(name: str) -> str:
    """`b02`, `Band 2` and `B2` are one name; of other names, case and blanks do not count."""
    if found := _NUMBERED.match(name.strip()):
        return f"B{found[1]}{found[2].upper()}"
    plain = name.strip().lower()
    if plain in ("vv", "vh", "hh", "hv"):
        return plain.upper()
    return COMMON_ALIASES.get(plain.replace(" ", "").replace("-", ""), plain)


COMMON_ALIASES = {"r": "red", "g": "green", "b": "blue", "nir1": "nir", "gray": "grey", "gamma0_vv": "VV", "gamma0_vh": "VH"}


def wavelength(name: str, sensor: str | None) -> float | None:
    """Centre of a band in micrometres, where it is known."""
    known = SENSORS.get(sensor or "")
    return known.wavelengths[name] if known is not None and name in known.wavelengths else COMMON.get(name)


UNLIKE = 1.05
"""Bands of one name whose centres differ by more than this factor are not one band: B2 of Landsat 7 is green."""


def alike(one: float | None, two: float | None) -> bool:
    """Whether bands of one name may be one band, by their centres in micrometres; what is not known may be."""
    return one is None or two is None or max(one, two) <= UNLIKE * min(one, two)


def sensor_of(name: str) -> str | None:
    """The sensor that a file's or folder's name tells of."""
    return next((key for key, sensor in SENSORS.items() if re.search(sensor.files, name, re.IGNORECASE)), None)


def colours(names: Sequence[str], sensor: str | None) -> tuple[str, str, str] | None:
    """The bands of a true-colour picture, where they are there."""
    known = SENSORS.get(sensor or "")
    wanted = ("red", "green", "blue") if known is None else known.colours
    return wanted if set(wanted) <= set(names) else None
