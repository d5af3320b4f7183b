"""Runs trials until none is left. One process of a sweep: `python -m manyviews.sweep.worker FOLDER NUMBER`."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from manyviews.engine.pretrain import pretrain
from manyviews.engine.run import Run
from manyviews.errors import UserError
from manyviews.recipe.load import load_recipe
from manyviews.recipe.model import Recipe
from manyviews.sweep.plan import ERROR, RUN, Plan, give_back, next_trial, open_study, read_plan
from manyviews.sweep.space import RECIPE

if TYPE_CHECKING:
    from optuna import Study, Trial

SWEEP_TAG = "manyviews.sweep"


def work(folder: Path, number: int = 0) -> bool:
    """Trial after trial; False: a signal ended it."""
    plan = read_plan(folder)
    study = open_study(folder, plan, number)
    while (trial := next_trial(folder, plan, study)) is not None:
        if not _run(folder, plan, study, trial):
            return False
    return True


def _run(folder: Path, plan: Plan, study: Study, trial: Trial) -> bool:
    """One trial. What the user can mend fails it alone; whatever else is raised ends the worker, and the trial waits again."""
    from optuna.trial import TrialState

    try:
        run = pretrain(trial_recipe(folder, plan, trial.params), parent=folder)
        if run.stopped is not None:
            give_back(study, trial)
            return False
        trial.set_user_attr(RUN, run.folder.name)
        study.tell(trial, value_of(run, plan.metric))
    except UserError as error:
        trial.set_user_attr(ERROR, str(error))
        study.tell(trial, state=TrialState.FAIL)
    except BaseException:
        give_back(study, trial)
        raise
    return True


def trial_recipe(folder: Path, plan: Plan, params: Mapping[str, object]) -> Recipe:
    """The recipe of these values, its run in the sweep's folder."""
    overrides = [*plan.space.overrides(params), f"train.folder={json.dumps(str(folder))}"]
    recipe = load_recipe(str(params[RECIPE]), overrides)
    if recipe.track is None:
        return recipe
    tags = {SWEEP_TAG: plan.name, **recipe.track.tags}
    return recipe.model_copy(update={"track": recipe.track.model_copy(update={"tags": tags})})


def value_of(run: Run, metric: str) -> float:
    """The last reading of the metric.

    Raises:
        UserError: The run has none, or it is not finite.
    """
    found = {name: value for entry in run.metrics() for name, value in entry.metrics.items()}
    if metric not in found:
        known = ", ".join(sorted(name for name in found if name.startswith("eval/"))) or "none"
        raise UserError(f"--metric: {run.folder} has no `{metric}`\n  Its evaluation has: {known}")
    if not math.isfinite(found[metric]):
        raise UserError(f"{run.folder}: {metric} is {found[metric]}")
    return found[metric]


if __name__ == "__main__":
    sys.exit(0 if work(Path(sys.argv[1]), int(sys.argv[2])) else 1)
