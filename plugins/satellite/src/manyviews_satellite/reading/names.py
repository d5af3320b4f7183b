"""What file names tell: which band, which scene, which day."""

from __future__ import annotations

import math
import re
from pathlib import PurePosixPath

_BAND = re.compile(
    r"(?<![A-Za-z0-9])(?:SR_)?(B\d{1,2}A?|band_?\d{1,2}|BQA|QA_PIXEL|SCL|VV|VH|HH|HV|red|green|blue|nir|rededge|swir\d\d?)"
    r"(?:_\d{2}m)?(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_:]?(0[1-9]|1[0-2])[-_:]?(0[1-9]|[12]\d|3[01])(?:[T_ ](\d\d):?(\d\d))?(?!\d)")
MASKS = ("BQA", "QA_PIXEL", "SCL")
"""Bands that say what pixels are, not what was measured."""


def band_of(path: str) -> str | None:
    """The band that a file's name tells: the last such word in it."""
    found = _BAND.findall(_separated(path))
    return found[-1] if found else None


def scene_of(path: str) -> str:
    """What is left of a file's path without its band and ending: files that agree in it are one scene."""
    stem = _separated(path)
    matches = list(_BAND.finditer(stem))
    if matches:
        stem = stem[: matches[-1].start()].rstrip("_") + stem[matches[-1].end() :]
    return str(PurePosixPath(path).parent / stem.strip("_"))


def _separated(path: str) -> str:
    """The file's name without its ending, all separators alike."""
    return re.sub(r"[-.]", "_", PurePosixPath(path).stem)


def time_of(text: str | None) -> tuple[float, float, float]:
    """Year, month and hour that a name, a tag or an ISO time tells; NaN for what it does not."""
    found = _DAY.search(text or "")
    if not found:
        return math.nan, math.nan, math.nan
    year, month, _, hour, minute = found.groups()
    return float(year), float(month), math.nan if hour is None else int(hour) + int(minute) / 60
