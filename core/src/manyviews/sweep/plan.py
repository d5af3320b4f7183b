"""A sweep as it stands in its folder: what it tries, by what it chooses, and how far it got (Optuna's journal)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from manyviews.errors import UserError
from manyviews.sweep.space import Space
from manyviews.track.run_file import write_whole

if TYPE_CHECKING:
    from optuna import Study, Trial

NAME, JOURNAL, LOCK = "sweep.json", "study.jsonl", "study.lock"
KILLED, RUN, ERROR = "killed", "run", "error"
"""What is noted with a trial: that it does not count, its run folder, why it failed."""


class Plan(BaseModel):
    """The content of sweep.json."""

    model_config = ConfigDict(frozen=True)

    name: str
    space: Space
    metric: str
    lower: bool
    trials: int
    seed: int


def require_optuna() -> None:
    """Raises UserError where Optuna is not installed. Imports nothing."""
    if importlib.util.find_spec("optuna") is None:
        raise UserError('Sweeps are run by Optuna, which is not installed.\nInstall it: `pip install "manyviews[sweep]"`.')


def write_plan(folder: Path, plan: Plan) -> None:
    """Whole or not at all."""
    write_whole(folder / NAME, plan.model_dump_json(indent=1))


def read_plan(folder: Path) -> Plan:
    """Raises UserError where the folder is no sweep's."""
    try:
        return Plan.model_validate_json((folder / NAME).read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{folder} is not a sweep: it has no {NAME}") from error
    except ValidationError as error:
        raise UserError(f"{folder / NAME} cannot be read: {error.errors()[0]['msg']}") from error


def open_study(folder: Path, plan: Plan, worker: int = 0) -> Study:
    """The study of a sweep; made at the first call. Its journal is a file that several processes may write."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with FileLock(folder / LOCK):
        return optuna.create_study(
            study_name=plan.name,
            storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
            sampler=optuna.samplers.TPESampler(seed=plan.seed + worker, constant_liar=True),
            direction="minimize" if plan.lower else "maximize",
            load_if_exists=True,
        )


def enqueue(study: Study, plan: Plan) -> None:
    """Every combination where there are choices alone; what ranges are in is drawn when it is asked for."""
    if not plan.space.ranges:
        for params in plan.space.grid():
            study.enqueue_trial(params, skip_if_exists=True)


def next_trial(folder: Path, plan: Plan, study: Study) -> Trial | None:
    """One that no other process has taken; None: all are."""
    from optuna.trial import TrialState

    with FileLock(folder / LOCK):
        trials = study.get_trials(deepcopy=False)
        waiting = any(trial.state == TrialState.WAITING for trial in trials)
        taken = sum(trial.state != TrialState.WAITING and not trial.user_attrs.get(KILLED) for trial in trials)
        if not waiting and (taken >= plan.trials or not plan.space.ranges):
            return None
        return study.ask(plan.space.distributions())


def take_back_killed(study: Study) -> int:
    """Trials that were going on when their process was killed are tried again. To be called while no worker is at work."""
    from optuna.trial import TrialState

    left = [trial for trial in study.get_trials() if trial.state == TrialState.RUNNING]
    for trial in left:
        give_back(study, trial)
    return len(left)


def give_back(study: Study, trial: Any) -> None:
    """A trial that was interrupted: it counts for nothing, and one with its values waits."""
    from optuna.trial import TrialState

    study._storage.set_trial_user_attr(trial._trial_id, KILLED, True)
    params = dict(trial.params)
    study.tell(trial.number, state=TrialState.FAIL)
    study.enqueue_trial(params)
