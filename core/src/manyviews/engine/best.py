"""Which step of a run is best by one of its own readings: a label-free score, or a probe's on validation units.

Label-free scores (`eval/lidar/lidar`, `eval/effective_rank/effective_rank`) choose among the steps of one run, not among
encoders of unlike width, and a random encoder may have a high one: begin to look after the warm-up (a task's `every`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from manyviews.errors import CheckpointError, RecipeError
from manyviews.evaluate.plan import Planned
from manyviews.evaluate.task import Better
from manyviews.plugins.suggest import did_you_mean
from manyviews.recipe.model import Train
from manyviews.track.run_file import BEST, best_step, write_whole

Verdict = Literal["on", "keep", "end"]
"""What a look says: go on, keep a checkpoint of this step, or end the run here."""


@dataclass
class Best:
    """The best reading so far."""

    metric: str
    better: Better
    patience: int | None = None
    step: int | None = None
    value: float | None = None
    worse: int = 0
    """Looks since."""

    @classmethod
    def of(cls, train: Train, planned: Sequence[Planned]) -> Best | None:
        """What the recipe wants; None: nothing.

        Raises:
            RecipeError: No evaluation gives that reading, or none says which way it is better.
        """
        if train.best is None:
            return None
        known = {f"eval/{item.name}/{name}": way for item in planned if item.every for name, way in item.task.better.items()}
        if train.best not in known:
            there = ", ".join(sorted(known)) or "none; give a task of `evaluate` an `every`"
            raise RecipeError(
                f"train.best: no evaluation during training gives {train.best!r}.{did_you_mean(train.best, list(known))}\n"
                f"  There are: {there}",
                key="train.best",
            )
        return cls(train.best, known[train.best], train.patience)

    def look(self, step: int, readings: Mapping[str, float]) -> Verdict:
        """At the readings of a step."""
        if self.metric not in readings:
            return "on"
        value = readings[self.metric]
        if self.value is None or (value > self.value if self.better == "higher" else value < self.value):
            self.step, self.value, self.worse = step, value, 0
            return "keep"
        self.worse += 1
        return "end" if self.patience is not None and self.worse >= self.patience else "on"

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"step": self.step, "value": self.value, "worse": self.worse}

    def restore(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        self.step, self.value, self.worse = state["step"], state["value"], state["worse"]

    def write(self, folder: Path) -> None:
        """Into the run's folder, once the checkpoint of that step is there."""
        write_whole(folder / BEST, json.dumps(asdict(self), indent=1) + "\n")


def best_checkpoint(run: Path) -> Path:
    """The checkpoint of a run's best step.

    Raises:
        CheckpointError: The run kept none (`train.best`).
    """
    step = best_step(run)
    if step is None:
        raise CheckpointError(f"{run}: the run kept no best checkpoint; set train.best, as in train.best=eval/lidar/lidar")
    return run / "checkpoints" / f"step-{step:08d}"
