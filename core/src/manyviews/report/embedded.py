"""Some units of a run's data with their embeddings and what is known of them. Training and validation units alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from manyviews.encoder import Encoder
from manyviews.evaluate.embed import check_finite, device_of, encodings, token_counts, unit_form, vectors
from manyviews.evaluate.units import Limits, Units
from manyviews.objective import Unit
from manyviews.source import Source

MOST_UNITS = 600
"""Units on the map and among the neighbours."""
SHARES: Limits = {"train": MOST_UNITS * 2 // 3, "valid": MOST_UNITS // 3}
"""Of them from each split, at most."""
MOST_TOKENS = 1 << 20
"""Where the unit is the token, of all samples that are encoded for these units together; one sample is, however many it has."""
TOKENS_AT_ONCE = 1 << 16
"""Where the unit is the token, encoded at a time."""
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
    """Their numbers: samples, or tokens counted through all samples that were looked at."""
    samples: Int[np.ndarray, "units"]
    tokens: tuple[int | None, ...]
    """The place of each in its sample, where the unit is the token."""
    x: Float[np.ndarray, "units width"]
    known: Known | None
    total: int | None
    """Units of the whole source; None: its tokens were not all counted."""


def embeddings(encoder: Encoder, source: Source, unit: Unit, *, seed: int, batch_size: int = 256) -> Embeddings:
    """Of drawn units.

    Of tokens so few samples are looked at that neither reading and encoding them nor their list outgrows the report: those of
    a large set of images or recordings are billions.
    """
    counts = _counts(encoder, source, seed, batch_size) if unit == "token" else None
    units = Units.of(source, counts)
    if counts is not None:
        batch_size = min(batch_size, max(TOKENS_AT_ONCE // int(counts.max()), 1))
    rows = units.draw(SHARES, with_labels=False, seed=seed)
    x = _embedded(encoder, source, units, rows, unit, batch_size)
    owners = units.owners(rows)
    starts = np.cumsum(units.counts) - units.counts
    places = (rows - starts[owners]).tolist()
    tokens: tuple[int | None, ...] = tuple(places) if unit == "token" else (None,) * len(rows)
    total = int(units.counts.sum()) if (units.counts > 0).all() else None
    return Embeddings(rows, owners, tokens, x, _known(units, rows), total)


def _counts(encoder: Encoder, source: Source, seed: int, batch_size: int) -> Int[np.ndarray, "samples"]:
    """Tokens of drawn samples, 0 of all others; of all samples where each token has a label or a pair of its own."""
    labels = source.labels()
    if source.pairs() is not None or (labels is not None and len(labels.values) != len(source)):
        return token_counts(encoder, source, batch_size=batch_size)
    drawn = Units.of(source).draw(SHARES, with_labels=False, seed=seed)
    counts, left = np.zeros(len(source), np.int64), MOST_TOKENS
    for sample in np.random.default_rng(seed).permutation(drawn).tolist():
        one = np.array([sample])
        found = encoder.layout(source.batch(one).to(device_of(encoder))).lengths.total
        if found > left and counts.any():
            break
        counts[sample], left = found, left - found
    return counts


def _embedded(
    encoder: Encoder, source: Source, units: Units, rows: Int[np.ndarray, "units"], unit: Unit, batch_size: int
) -> Float[np.ndarray, "units width"]:
    """These units alone are kept of what their samples' encodings hold."""
    form, starts, parts = unit_form(unit, "pooled"), np.cumsum(units.counts) - units.counts, []
    for samples, _, encoding in encodings(encoder, source, units.samples(rows), batch_size, None):
        part = vectors(encoding, form)
        check_finite(part, samples, encoding, form)
        of_batch = np.concatenate([np.arange(units.counts[one]) + starts[one] for one in samples.tolist()])
        parts.append(part[np.isin(of_batch, rows)])
    return np.concatenate(parts)


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
