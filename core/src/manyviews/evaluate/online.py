"""Evaluation during training: the same few units at every look, so that the curve is the encoder's and not the draw's.

Training and validation units only. The test split is for the finished encoder: a curve of it would be a choice by it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from manyviews.encoder import Encoder
from manyviews.evaluate.embed import embed_forms, token_counts, unit_form
from manyviews.evaluate.plan import Planned, check_needs
from manyviews.evaluate.seen import check_views, embed_views
from manyviews.evaluate.task import Embedded, Scores, Task
from manyviews.evaluate.timed import draw_timed, embed_timed, embedded
from manyviews.evaluate.units import Drawn, Limits, Units
from manyviews.objective import Unit
from manyviews.source import Source
from manyviews.view import ViewGenerator


class OnlineEvaluation:
    """Runs a recipe's tasks on an encoder in training, and leaves it, its gradients and the generators as they were.

    What the tasks cannot judge (no labels, one class, too few) is refused here, before training, where the unit is the
    sample; of tokens it shows when they are counted, at the first call of `units`.

    Args:
        planned: The tasks (see `plan`).
        source: Where the samples come from.
        unit: What the tasks judge.
        max_train: Training units at most.
        max_valid: Validation units at most.
        batch_size: Samples encoded at a time.
        seed: Of the draw of units, from a generator of its own.
        views: The recipe's, for tasks that compare views.
    """

    def __init__(
        self,
        planned: Sequence[Planned],
        source: Source,
        *,
        unit: Unit = "sample",
        max_train: int = 2000,
        max_valid: int = 1000,
        batch_size: int = 256,
        seed: int = 0,
        views: ViewGenerator | None = None,
    ) -> None:
        self.planned, self.source, self.unit, self.views = tuple(planned), source, unit, views
        self.limits: Limits = {"train": max_train, "valid": max_valid}
        self.batch_size, self.seed = batch_size, seed
        self.forms = {item.name: unit_form(unit, item.form) for item in planned}
        check_needs(self.planned, source)
        if views is not None and any(item.task.needs_views for item in self.planned):
            check_views(views, unit)
        self._units = Units.of(source) if unit == "sample" else None
        if self._units is not None:
            self._check(self._units)

    def _check(self, units: Units) -> None:
        for item in self.planned:
            if item.task.needs_events:
                samples = draw_timed(self.source, self.limits, self.seed)
                item.task.check(embedded(self.source, samples, np.empty((0, 0), np.float32), np.zeros(len(samples), np.int64)))
                continue
            drawn = self._draw(units, item.task)
            nothing = np.empty((len(drawn.rows), 0), np.float32)
            item.task.check(units.embedded(nothing, drawn.rows, item.task, drawn))

    def due(self, step: int, *, last: bool = False) -> tuple[Planned, ...]:
        """The tasks that run after step `step`; all of them after the last one."""
        return tuple(item for item in self.planned if item.due(step, last))

    def __call__(
        self, encoder: Encoder, step: int, *, last: bool = False, device: torch.device | None = None
    ) -> dict[str, float]:
        """Metrics `eval/<task>/<metric>` of the tasks that are due; empty where none is."""
        scores = self.scores(encoder, step, last=last, device=device)
        return {f"eval/{name}/{metric}": value for name, score in scores.items() for metric, value in score.flat().items()}

    def scores(
        self, encoder: Encoder, step: int, *, last: bool = False, device: torch.device | None = None
    ) -> dict[str, Scores]:
        """The same with the tasks' notes."""
        due = self.due(step, last=last)
        if not due:
            return {}
        units = self.units(encoder, device)
        drawn = {item.name: self._draw(units, item.task) for item in due if not item.task.needs_events}
        seeing = [item for item in due if item.task.needs_views]
        timed = [item for item in due if item.task.needs_events]
        plain = [item for item in due if item not in seeing and item not in timed]
        scores = {item.name: item.task(self._seen(encoder, item.task, units, drawn[item.name])) for item in seeing}
        if timed:
            samples = draw_timed(self.source, self.limits, self.seed)
            layers = any(item.task.wants_layers for item in timed)
            data = embed_timed(encoder, self.source, samples, batch_size=self.batch_size, device=device, layers=layers)
            scores |= {item.name: item.task(data) for item in timed}
        if plain:
            samples = units.samples(np.unique(np.concatenate([drawn[item.name].rows for item in plain])))
            forms = tuple(dict.fromkeys(self.forms[item.name] for item in plain))
            x = embed_forms(encoder, self.source, samples, forms=forms, batch_size=self.batch_size, device=device)
            given = units.of_samples(samples)
            for item in plain:
                scores[item.name] = item.task(units.embedded(x[self.forms[item.name]], given, item.task, drawn[item.name]))
        return {item.name: scores[item.name] for item in due}

    def _seen(self, encoder: Encoder, task: Task, units: Units, drawn: Drawn) -> Embedded:
        """What is drawn for a task that compares views."""
        assert self.views is not None, "who plans a task that compares views gives the recipe's"
        samples, count = units.samples(drawn.rows), task.needs_views
        size, seed = self.batch_size, self.seed
        seen = embed_views(encoder, self.views, self.source, samples, count, unit=self.unit, batch_size=size, seed=seed)
        return units.embedded(seen[0], units.of_samples(samples), task, drawn, seen)

    def units(self, encoder: Encoder, device: torch.device | None = None) -> Units:
        """The units of the source. Tokens are counted, and the tasks checked, at the first call, with this encoder's layout."""
        if self._units is None:
            counts = token_counts(encoder, self.source, batch_size=self.batch_size, device=device)
            units = Units.of(self.source, counts)
            self._check(units)
            self._units = units
        return self._units

    def _draw(self, units: Units, task: Task) -> Drawn:
        """What is drawn for the task; where it goes by splits, without the classes that the draw met once, which leave
        nothing to cut, if two others are left."""
        drawn = units.draw_for(task, self.limits, self.limits, seed=self.seed)
        if not task.needs_labels or task.every_unit or units.labels is None or units.labels.kind == "regression":
            return drawn
        rows, values = drawn.rows, units.labels.values
        classes, counts = np.unique(values[rows[units.probe_splits[rows] == "train"]], return_counts=True)
        single = classes[counts == 1] if (counts > 1).sum() > 1 else []
        return Drawn(rows[~np.isin(values[rows], single)])
