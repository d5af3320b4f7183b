"""Which bands share a patch embedding, and which of them a batch has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from manyviews.errors import UserError
from manyviews.plugins.suggest import did_you_mean
from manyviews_satellite.sensors import SENSORS, canonical
from manyviews_satellite.spec import TileSpec

Grouping = Literal["sensor", "all", "each"] | list[list[str]]


@dataclass(frozen=True)
class Group:
    """Bands of the spec, by their numbers."""

    bands: tuple[int, ...]

    def places(self, present: Sequence[int]) -> list[int]:
        """Where its bands stand among those that a batch has."""
        return [place for place, band in enumerate(present) if band in self.bands]


def groups_of(spec: TileSpec, grouping: Grouping) -> tuple[Group, ...]:
    """The bands of a spec in groups; those in none of a sensor's have one of their own.

    Raises:
        UserError: A named band is not there, is named twice or is left out.
    """
    if grouping == "all":
        return (Group(tuple(range(len(spec.bands)))),)
    if grouping == "each":
        return tuple(Group((number,)) for number in range(len(spec.bands)))
    sensors = [band.sensor for band in spec.bands if band.sensor is not None and band.sensor in SENSORS]
    named = grouping if isinstance(grouping, list) else [list(group) for group in SENSORS[sensors[0]].groups] if sensors else []
    numbers: dict[str, list[int]] = {}
    for number, band in enumerate(spec.bands):
        numbers.setdefault(band.name, []).append(number)
    if isinstance(grouping, list):
        _check(grouping, list(numbers))
    groups = [[number for name in group for number in numbers.get(canonical(name), [])] for group in named]
    rest = sorted(set(range(len(spec.bands))) - {number for group in groups for number in group})
    return tuple(Group(tuple(group)) for group in [*groups, rest] if group)


def _check(grouping: list[list[str]], known: list[str]) -> None:
    names = [canonical(name) for group in grouping for name in group]
    for name in names:
        if name not in known:
            raise UserError(f"encoder.groups: there is no band {name!r} (known: {', '.join(known)}){did_you_mean(name, known)}")
        if names.count(name) > 1:
            raise UserError(f"encoder.groups: band {name} stands in two groups")
    if left := [name for name in known if name not in names]:
        raise UserError(f"encoder.groups: {', '.join(left)} in no group; name all bands, or choose some by data.use")
