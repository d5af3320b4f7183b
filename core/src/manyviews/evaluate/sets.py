"""Several labelled sets for one encoder: other labels of its own data, or other data, each judged by tasks of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from manyviews.encoder import Encoder
from manyviews.evaluate.online import OnlineEvaluation
from manyviews.evaluate.plan import Planned
from manyviews.evaluate.timed import require_moments
from manyviews.objective import Unit
from manyviews.source import Source
from manyviews.view import ViewGenerator


class OnlineSets:
    """Online evaluation on every set that a planned task names; a metric's name tells the set."""

    def __init__(self, each: Sequence[OnlineEvaluation]) -> None:
        self.each = tuple(each)

    @classmethod
    def of(
        cls,
        planned: Sequence[Planned],
        sets: Mapping[str | None, Source],
        *,
        unit: Unit,
        seed: int,
        views: ViewGenerator | None = None,
    ) -> OnlineSets:
        """One evaluation for each set (None: the run's own data) with its tasks."""
        by_set = {name: [item for item in planned if item.set == name] for name in sets}
        return cls(
            [
                OnlineEvaluation(items, sets[name], unit=unit, seed=seed, views=views)
                for name, items in by_set.items()
                if items or name is None
            ]
        )

    @property
    def planned(self) -> tuple[Planned, ...]:
        """All tasks."""
        return tuple(item for each in self.each for item in each.planned)

    def due(self, step: int, *, last: bool = False) -> tuple[Planned, ...]:
        """The tasks that run after step `step`."""
        return tuple(item for each in self.each for item in each.due(step, last=last))

    def __call__(self, encoder: Encoder, step: int, *, last: bool = False) -> dict[str, float]:
        """Metrics `eval/<task>/<metric>` of the tasks that are due."""
        return {name: value for each in self.each for name, value in each(encoder, step, last=last).items()}

    def check(self, encoder: Encoder) -> None:
        """Refuse labels that are not the tokens', which shows when they are counted, and events without moments."""
        for each in self.each:
            if each.planned:
                each.units(encoder)
            if any(item.task.needs_events for item in each.planned):
                require_moments(encoder)
