"""Some units of a run's data with their embeddings and what is known of them. Training and validation units alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from manyviews.encoder import Encoder
from manyviews.evaluate.embed import embed, token_counts
from manyviews.evaluate.units import Units
from manyviews.objective import Unit
from manyviews.source import Source

MOST_UNITS = 600
"""Units on the map and among the neighbours."""
MOST_COLOURS = 10
"""Groups (patients, speakers) that colours can tell apart."""


@dataclass(frozen=True)
class Known:
    """What colours the map: a name, and a class or a number of each unit."""

    name: str
    values: Shaped[np.ndarray, "units"]
    """Place among `classes`, -1 unknown; or a number, NaN unknown, where there are no classes."""
    classes: tuple[str, ...]

    def text(self, place: int) -> str:
        """Of a unit; empty where it is not known. A number says what it is the number of: `landcover 3`."""
        value = self.values[place]
        if not self.classes:
            return "" if np.isnan(value) else f"{self.name} {value:.4g}"
        label = self.classes[int(value)] if value >= 0 else ""
        return f"{self.name} {label}" if label.isdigit() else label


@dataclass(frozen=True)
class Embeddings:
    """Units in ascending order."""

    units: Int[np.ndarray, "units"]
    """Their numbers: samples, or tokens counted through all samples."""
    samples: Int[np.ndarray, "units"]
    tokens: tuple[int | None, ...]
    """The place of each in its sample, where the unit is the token."""
    x: Float[np.ndarray, "units width"]
    known: Known | None
    total: int
    """Units of the whole source."""


def embeddings(encoder: Encoder, source: Source, unit: Unit, *, seed: int, batch_size: int = 256) -> Embeddings:
    """Of drawn units."""
    counts = token_counts(encoder, source, batch_size=batch_size) if unit == "token" else None
    units = Units.of(source, counts)
    share = {"train": MOST_UNITS * 2 // 3, "valid": MOST_UNITS // 3}
    rows = units.draw({"train": share["train"], "valid": share["valid"]}, with_labels=False, seed=seed)
    samples = units.samples(rows)
    x = embed(encoder, source, samples, batch_size=batch_size, unit=unit)
    owners = units.owners(rows)
    x = x[np.searchsorted(units.of_samples(samples), rows)]
    starts = np.cumsum(units.counts) - units.counts
    places = (rows - starts[owners]).tolist()
    tokens: tuple[int | None, ...] = tuple(places) if unit == "token" else (None,) * len(rows)
    return Embeddings(rows, owners, tokens, x, _known(units, rows), int(units.counts.sum()))


def _known(units: Units, rows: Int[np.ndarray, "units"]) -> Known | None:
    """Labels, else groups where they are few."""
    labels = units.labels
    if labels is not None:
        return Known(labels.name, labels.values[rows], labels.classes if labels.kind == "classification" else ())
    if units.groups is not None:
        names, values = np.unique(units.groups, return_inverse=True)
        if len(names) <= MOST_COLOURS:
            return Known("group", values[rows], tuple(str(name) for name in names))
    return None
