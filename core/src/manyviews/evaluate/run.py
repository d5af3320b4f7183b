"""Offline evaluation: what pretraining brought, beside what was there without it.

An untrained encoder of the same architecture is a strong representation on many domains (a random graph network, a
random table encoder flattened), and a pooled embedding shows gains that a flattened one hides. So the raw input, the
untrained encoder and both forms always stand beside the pretrained encoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int

from manyviews.encoder import Encoder
from manyviews.errors import DataError
from manyviews.evaluate.embed import Form, RaggedError, device_of, embed_forms, token_counts
from manyviews.evaluate.plan import Planned, check_needs
from manyviews.evaluate.seen import embed_views
from manyviews.evaluate.table import ResultTable, Row
from manyviews.evaluate.task import Embedded
from manyviews.evaluate.timed import draw_timed, embed_timed, raw_timed
from manyviews.evaluate.units import Limits, Units
from manyviews.objective import Unit
from manyviews.source import Source
from manyviews.view import ViewGenerator

MAX_FLAT_WIDTH = 4096
"""Widest flat form that is made unasked: beyond, memory and the probe's time outgrow its use as a baseline."""

RAW_TOKENS = 4096
"""Tokens whose raw features are asked for at a time."""


def evaluate(
    encoders: Mapping[str, Encoder],
    source: Source,
    planned: Sequence[Planned],
    *,
    unit: Unit = "sample",
    forms: Sequence[Form] | None = None,
    raw: bool = True,
    max_labelled: int | None = None,
    max_unlabelled: int = 10_000,
    batch_size: int = 256,
    device: torch.device | None = None,
    seed: int = 0,
    views: ViewGenerator | None = None,
) -> ResultTable:
    """Run every task on the raw input and on each encoder, in each form.

    Args:
        encoders: By the name of their row: `untrained encoder`, `pretrained encoder`.
        planned: The tasks; each runs in every form, whatever its own.
        unit: What the tasks judge.
        forms: `pooled`, `flat`; None: both where samples have equally many tokens and the flat one is at most 4,096
            wide. With `unit="token"` the tokens themselves.
        raw: Begin with `Source.features`; left out, with a note, where the source has none.
        max_labelled: Labelled units at most from each split; None: all.
        max_unlabelled: Training units at most for the tasks that need no labels.
        batch_size: Samples encoded at a time.
        device: Where the encoders are; None: where their parameters are.
        seed: Of the draws.
        views: The recipe's, for tasks that compare views.

    Raises:
        DataError: labels missing or of no use, a form that the samples do not have, NaN in an embedding or in the raw input.
    """
    check_needs(planned, source)
    first = next(iter(encoders.values()), None)
    if unit == "token" and first is None:
        raise DataError("unit 'token' needs an encoder, whose layout says what the tokens are")
    counts = token_counts(first, source, batch_size=batch_size, device=device) if unit == "token" and first else None
    units = Units.of(source, counts)
    work = _Work(source, units, planned, max_labelled, max_unlabelled, seed)
    rows, notes = work.raw(unit, batch_size) if raw else ([], [])
    for name, encoder in encoders.items():
        if work.planned:
            wanted, more = (("tokens",), []) if unit == "token" else _forms(encoder, source, work.samples, forms, device)
            try:
                x = embed_forms(encoder, source, work.samples, forms=wanted, batch_size=batch_size, device=device)
            except RaggedError:
                if forms is not None:
                    raise
                x = embed_forms(encoder, source, work.samples, forms=("pooled",), batch_size=batch_size, device=device)
                more = ["no flat form: samples differ in their number of tokens"]
            notes += more
            rows += [row for form, vectors in x.items() for row in work.rows(name, form, vectors, work.given)]
            rows += work.seen_rows(name, encoder, views, unit, batch_size)
        if work.timed:
            layers = any(item.task.wants_layers for item in work.timed)
            data = embed_timed(encoder, source, work.timed_samples, batch_size=batch_size, device=device, layers=layers)
            rows += work.timed_rows(name, data)
    return ResultTable(tuple(rows), tuple(dict.fromkeys(notes)))


def why_not_at_the_end(item: Planned, source: Source) -> str | None:
    """Why the task cannot judge the samples of all splits, as `evaluate` does; None where it can.

    Labels and pairs alone are looked at. In training a task sees training and validation samples, and finds nothing of that.
    """
    if item.task.needs_events or item.task.needs_views:
        return None
    units = Units.of(source)
    drawn = units.draw_for(item.task, {"train": None, "valid": None, "test": None}, {"train": None}, seed=0)
    try:
        item.task.check(units.embedded(np.empty((len(drawn.rows), 0), np.float32), drawn.rows, item.task, drawn))
    except DataError as error:
        return " ".join(str(error).split())
    return None


class _Work:
    """The units that each task is run on, the same for every representation."""

    def __init__(
        self, source: Source, units: Units, planned: Sequence[Planned], max_labelled: int | None, max_unlabelled: int, seed: int
    ) -> None:
        self.source, self.units, self.seed = source, units, seed
        with_labels: Limits = {"train": max_labelled, "valid": max_labelled, "test": max_labelled}
        without: Limits = {"train": max_unlabelled}
        self.timed = [item for item in planned if item.task.needs_events]
        self.planned = [item for item in planned if not item.task.needs_events]
        self.drawn = {item.name: units.draw_for(item.task, with_labels, without, seed=seed) for item in self.planned}
        nothing = np.empty(0, dtype=np.int64)
        self.units_drawn = np.unique(np.concatenate([nothing, *(drawn.rows for drawn in self.drawn.values())]))
        self.timed_samples = draw_timed(source, with_labels, seed) if self.timed else nothing
        self.samples = units.samples(self.units_drawn)
        self.given = units.of_samples(self.samples)  # what encoders give: all units of a sample

    def rows(
        self, representation: str, form: str, x: Float[np.ndarray, "given width"], given: Int[np.ndarray, "given"]
    ) -> list[Row]:
        """Of the vectors `x` of the units `given`."""
        return [
            Row(
                representation,
                form,
                item.name,
                item.task(self.units.embedded(x, given, item.task, self.drawn[item.name])),
                item.task.better,
            )
            for item in self.planned
            if not item.task.needs_views
        ]

    def seen_rows(
        self, representation: str, encoder: Encoder, views: ViewGenerator | None, unit: Unit, batch_size: int
    ) -> list[Row]:
        """Of the tasks that compare views."""
        planned = [item for item in self.planned if item.task.needs_views]
        rows = []
        for item in planned:
            assert views is not None, "who plans a task that compares views gives the recipe's"
            drawn, count = self.drawn[item.name], item.task.needs_views
            samples = self.units.samples(drawn.rows)
            seen = embed_views(encoder, views, self.source, samples, count, unit=unit, batch_size=batch_size, seed=self.seed)
            data = self.units.embedded(seen[0], self.units.of_samples(samples), item.task, drawn, seen)
            form = "pooled" if unit == "sample" else "tokens"
            rows.append(Row(representation, form, item.name, item.task(data), item.task.better))
        return rows

    def timed_rows(self, representation: str, data: Embedded) -> list[Row]:
        """Of the tasks that say when something happens."""
        return [Row(representation, "frames", item.name, item.task(data), item.task.better) for item in self.timed]

    def raw(self, unit: Unit, batch_size: int) -> tuple[list[Row], list[str]]:
        """Of the source's plain features, or why it has none."""
        rows, notes = self._raw_units(unit, batch_size) if self.planned else ([], [])
        if not self.timed:
            return rows, notes
        name, kind = type(self.source).__name__, type(self.source)
        if kind.frame_features is Source.frame_features:
            return rows, [*notes, f"no raw input: {name} has no plain features of frames"]
        data = raw_timed(self.source, self.timed_samples, batch_size=batch_size)
        return rows + self.timed_rows("raw input", data), notes

    def _raw_units(self, unit: Unit, batch_size: int) -> tuple[list[Row], list[str]]:
        name, kind = type(self.source).__name__, type(self.source)
        if (kind.features if unit == "sample" else kind.token_features) in (Source.features, Source.token_features):
            return [], [f"no raw input: {name} has no plain features of {unit}s"]
        read = self.source.features if unit == "sample" else self.source.token_features
        step = batch_size if unit == "sample" else RAW_TOKENS
        starts = range(0, len(self.units_drawn), step)
        x = np.concatenate([read(self.units_drawn[at : at + step]).astype(np.float32) for at in starts])
        bad = np.flatnonzero(~np.isfinite(x).all(1))
        if len(bad):
            raise DataError(
                f"{name}: the raw features of {unit} {self.units_drawn[bad[0]]} hold NaN or infinity; expected finite numbers"
            )
        return self.rows("raw input", "features", x, self.units_drawn), []


def _forms(
    encoder: Encoder,
    source: Source,
    samples: Int[np.ndarray, "samples"],
    forms: Sequence[Form] | None,
    device: torch.device | None,
) -> tuple[Sequence[Form], list[str]]:
    """The forms to make, and why not the flat one. One sample tells its width; that all are alike shows on the way."""
    if forms is not None:
        return forms, []
    layout = encoder.layout(source.batch(samples[:1]).to(device or device_of(encoder)))
    width = layout.lengths.total * encoder.width
    if width > MAX_FLAT_WIDTH:
        return ("pooled",), [f"no flat form: {width:,} wide; ask for it with forms=('pooled', 'flat')"]
    return ("pooled", "flat"), []
