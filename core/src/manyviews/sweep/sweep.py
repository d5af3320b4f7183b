"""A sweep from its beginning to its comparison: its run in MLflow, its workers, what came out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from manyviews.cli.comparison import comparison
from manyviews.compare.groups import choose_metrics, group_runs
from manyviews.compare.records import Record, read_records
from manyviews.engine.pretrain import check
from manyviews.errors import UserError
from manyviews.recipe.load import load_recipe
from manyviews.sweep.plan import ERROR, RUN, Plan, enqueue, open_study, read_plan, require_optuna, take_back_killed, write_plan
from manyviews.sweep.space import RECIPE, Space
from manyviews.sweep.worker import trial_recipe, work
from manyviews.track.journal import Journal
from manyviews.track.record import FinalStatus, RunRecord
from manyviews.track.tracker import Tracker, open_tracker

COMPARISON = "comparison.txt"
CHECKED = 64
"""Combinations that are checked before the first trial; of more, the first ones."""
Say = Callable[[str], None]


def new_sweep(space: Space, parent: Path, *, metric: str, lower: bool, trials: int | None, seed: int) -> Path:
    """Check all that can be checked without data and make the sweep's folder.

    Raises:
        UserError: A recipe or a value is refused, or ranges are given and no number of trials.
    """
    require_optuna()
    if space.ranges and trials is None:
        raise UserError(f"--trials: how many values of {', '.join(space.ranges)} are to be tried?")
    grid = space.grid()
    for params in [{**combination, **end} for combination in grid[:CHECKED] for end in space.ends()]:
        check(load_recipe(str(params[RECIPE]), space.overrides(params)))
    first = re.sub(
        r"[^A-Za-z0-9_.-]+", "-", Path(space.choices[RECIPE][0]).stem if len(space.choices[RECIPE]) == 1 else "sweep"
    )
    folder = parent / f"{first}-{time.strftime('%Y%m%d-%H%M%S')}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"--folder: {folder} cannot be made ({error.strerror}); give another place") from error
    number = len(grid) if not space.ranges else trials
    assert number is not None
    write_plan(folder, Plan(name=folder.name, space=space, metric=metric, lower=lower, trials=number, seed=seed))
    return folder


def run_sweep(folder: Path, *, workers: int = 1, ray: bool = False, say: Say = print) -> list[Record]:
    """Run what is left of a sweep, compare its runs and keep the comparison with it.

    Args:
        folder: As `new_sweep` made it, or of one that was interrupted.
        workers: Processes that run trials side by side; each has its share of the CPU threads, and of the GPUs.
        ray: They are a Ray cluster's.

    Raises:
        UserError: Not a sweep, or another process is at it.
    """
    require_optuna()
    plan = read_plan(folder)
    lock = _alone(folder)
    try:
        tracker = _start_tracking(folder, plan)
        status: FinalStatus = "FAILED"
        try:
            study = open_study(folder, plan)
            if again := take_back_killed(study):
                say(f"{again} trials were interrupted and are tried again")
            enqueue(study, plan)
            if ray:
                from manyviews.ray_cluster import work_on_ray

                done = work_on_ray(folder, workers)
                _tell_ended(folder, plan, set(), say)
            else:
                done = work(folder) if workers == 1 else _work_together(folder, plan, workers, say)
            records = read_records((), folder)
            _conclude(folder, plan, records, tracker, say)
            status = "FINISHED" if done else "KILLED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            tracker.finish(status)
    finally:
        lock.release()
    return records


def _alone(folder: Path) -> FileLock:
    lock = FileLock(folder / "sweep.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{folder} is being run by another process") from None
    return lock


def _start_tracking(folder: Path, plan: Plan) -> Tracker:
    """The sweep's own run; tracked where its recipes are."""
    first = trial_recipe(folder, plan, dict(plan.space.grid()[0]))
    tracker = open_tracker(first.track, folder)
    varied = {key: ", ".join(values) for key, values in plan.space.choices.items()}
    varied |= {key: f"{span.low:g} to {span.high:g}" for key, span in plan.space.ranges.items()}
    params = {f"sweep.{key}": text for key, text in varied.items()} | {
        "sweep.metric": plan.metric,
        "sweep.trials": str(plan.trials),
    }
    experiment = (first.track.experiment if first.track else None) or first.domain
    tracker.start(RunRecord(experiment, plan.name, plan.model_dump_json(indent=1), params, {"manyviews.sweep": plan.name}))
    return tracker


def _work_together(folder: Path, plan: Plan, workers: int, say: Say) -> bool:
    """Worker processes, their output in files; a line here for each trial that ends."""
    started = [_start_worker(folder, number, workers) for number in range(workers)]
    told: set[int] = set()
    try:
        while any(worker.poll() is None for worker in started):
            time.sleep(0.5)
            _tell_ended(folder, plan, told, say)
    except BaseException:
        for worker in started:
            worker.terminate()
        for worker in started:
            worker.wait()
        raise
    _tell_ended(folder, plan, told, say)
    for number, worker in enumerate(started):
        if worker.returncode not in (0, 1):
            say(f"worker {number} ended with status {worker.returncode}; see {folder / f'worker-{number}.log'}")
    return all(worker.returncode == 0 for worker in started)


def _start_worker(folder: Path, number: int, workers: int) -> subprocess.Popen[bytes]:
    import torch

    env = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))}
    if torch.cuda.device_count() > 1 and "CUDA_VISIBLE_DEVICES" not in os.environ:
        env["CUDA_VISIBLE_DEVICES"] = str(number % torch.cuda.device_count())
    with (folder / f"worker-{number}.log").open("ab") as log:
        words = [sys.executable, "-m", "manyviews.sweep.worker", str(folder), str(number)]
        return subprocess.Popen(words, env=env, stdout=log, stderr=log)


def _tell_ended(folder: Path, plan: Plan, told: set[int], say: Say) -> None:
    for trial in open_study(folder, plan).get_trials(deepcopy=False):
        if trial.number in told or not trial.state.is_finished():
            continue
        told.add(trial.number)
        values = ", ".join(f"{key}={value}" for key, value in trial.params.items())
        if RUN in trial.user_attrs:
            say(f"trial {trial.number}: {plan.metric} {trial.value:.4g}  ({values})")
        elif ERROR in trial.user_attrs:
            say(f"trial {trial.number} failed: {' '.join(str(trial.user_attrs[ERROR]).split())}  ({values})")


def _conclude(folder: Path, plan: Plan, records: list[Record], tracker: Tracker, say: Say) -> None:
    """The comparison, kept beside the runs and with the sweep's run; the trials' values as its curve."""
    finished = [record for record in records if record.status == "FINISHED"]
    text = comparison(group_runs(finished), choose_metrics(finished, ())) if finished else "No trial has finished."
    (folder / COMPARISON).write_text(text + "\n", encoding="utf-8")
    failed = [trial for trial in open_study(folder, plan).get_trials(deepcopy=False) if ERROR in trial.user_attrs]
    for trial in failed:
        say(f"trial {trial.number} failed: {' '.join(str(trial.user_attrs[ERROR]).split())}")
    say(text)
    tracker.artifact(folder / COMPARISON)
    if not plan.space.ranges and len(plan.space.choices[RECIPE]) > 1:
        return  # values of different recipes are no curve
    with Journal(folder) as journal:
        for trial in open_study(folder, plan).get_trials(deepcopy=False):
            if RUN in trial.user_attrs and trial.value is not None:
                journal.log(trial.number, {f"sweep/{plan.metric}": trial.value})
