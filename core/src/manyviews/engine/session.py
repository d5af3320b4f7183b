"""A run while it is running: what is told to whom, and what is stored when. Pretraining and finetuning run in one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, get_args, runtime_checkable

from manyviews import distributed
from manyviews.engine import checkpoint
from manyviews.engine.best import Best, Verdict
from manyviews.engine.run import Run
from manyviews.engine.skipped import list_skipped
from manyviews.engine.trainer import Trainer
from manyviews.errors import UserError
from manyviews.plugins.registry import registry
from manyviews.recipe.model import Track
from manyviews.source import Source
from manyviews.track.journal import Journal
from manyviews.track.record import FinalStatus, RunRecord
from manyviews.track.tracker import Tracker, open_tracker
from manyviews.track.words import say

Log = Callable[[int, Mapping[str, float]], None]
"""Takes the metrics of a step."""


@runtime_checkable
class Plan(Protocol):
    """What a kind of run does beside training."""

    @property
    def decides(self) -> bool:
        """Whether `evaluate` may want a checkpoint, or end the run before its last step."""
        ...

    def due(self, step: int) -> bool:
        """Whether there is something to evaluate after this step: a function of the step alone, alike on all processes."""
        ...

    def evaluate(self, step: int, log: Log) -> Verdict:
        """After a step where it is due: whether to go on, to keep a checkpoint of this step, or to end here."""
        ...

    def state(self) -> dict[str, Any]:
        """What of it a checkpoint's trainer.pt holds."""
        ...

    @property
    def best(self) -> Best | None:
        """The best step, whose checkpoint is kept; None where none is chosen so."""
        ...

    def ended(self, step: int, log: Log) -> None:
        """The last step is done, and its checkpoint is still to be written."""
        ...


@dataclass
class Session:
    """One run."""

    run: Run
    record: RunRecord
    track: Track | None
    source: Source
    trainer: Trainer
    plan: Plan
    texts: Mapping[str, str]
    """Files of a checkpoint: name -> content."""
    keep: int
    """Checkpoints to keep."""
    plugins: Mapping[str, str]
    log_model: bool = False
    """Whether the encoder of a finished run is stored as a model."""
    upload: bool = True
    """Whether the last checkpoint is stored with the run's metrics."""
    resumed: bool = False
    report: Callable[[], Path] | None = None
    """Makes the report of a finished run."""

    def run_to_the_end(self) -> Run:
        """Train, evaluate, store; whatever happens, the tracker is told how it ended. The first process alone tells, and the
        others return with it: what they do next may read what it stored."""
        if not self.trainer.fabric.is_global_zero:
            follow = self.trainer.train(lambda step, metrics: None, self._follow, self._join)
            distributed.meet()
            return replace(self.run, stopped=follow)
        self._start_tracking()  # and with it take the run's lock
        checkpoint.sweep(self.checkpoints)
        status: FinalStatus = "FAILED"
        trained = False
        try:
            with Journal(self.run.folder) as self.journal:
                registry().call("manyviews_run_started", run=self.run)
                stopped = self.trainer.train(self.journal.log, self._evaluate, self._save)
                trained = True
                status = "KILLED" if stopped else "FINISHED"
                self._store_model(status)
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            self.tracker.finish(status)
            registry().call("manyviews_run_finished", run=self.run, status=status)
            if trained:  # before that the others are in the middle of a step, and wait for its gradients
                distributed.meet()
        return replace(self.run, stopped=stopped)

    def _start_tracking(self) -> None:
        """Where the run cannot be tracked as asked, a new one leaves nothing behind."""
        try:
            self.tracker: Tracker = open_tracker(self.track, self.run.folder)
            self.tracker.start(self.record)
        except UserError:
            if not self.resumed:
                shutil.rmtree(self.run.folder)
            raise
        if (listed := list_skipped(self.source.skipped, self.run.folder)) is not None:
            self.tracker.artifact(listed)

    def _follow(self, step: int) -> Verdict:
        """What the other processes do while the first evaluates."""
        if self.plan.due(step):
            self.trainer.gather()
        return self._agree(step, "on")

    def _join(self) -> None:
        """What the other processes do while the first saves: give it their shares, in the same order."""
        if self.trainer.wrapped.sharded:
            self.trainer.weights()
            self.trainer.state()

    def _evaluate(self, step: int) -> Verdict:
        if self.plan.due(step):
            self.trainer.gather()
        verdict = self._agree(step, self.plan.evaluate(step, self.journal.log) if self.plan.due(step) else "on")
        if verdict == "end" or step == self.trainer.steps:
            self.plan.ended(step, self.journal.log)
        return verdict

    def _agree(self, step: int, verdict: Verdict) -> Verdict:
        """The first process alone evaluates; what it decides, the others are told."""
        if not self.plan.decides or not self.plan.due(step) or distributed.size() == 1:
            return verdict
        verdicts = get_args(Verdict)
        agreed: Verdict = verdicts[distributed.highest([verdicts.index(verdict)])[0]]
        return agreed

    @property
    def checkpoints(self) -> Path:
        return self.run.folder / "checkpoints"

    def _save(self) -> None:
        """A checkpoint, on the disk before the journal's copy of its metrics is believed."""
        self.journal.flush()
        checkpoint.save(
            self.checkpoints,
            weights=self.trainer.weights(),
            trainer={**self.trainer.state(), **self.plan.state()},
            texts=self.texts,
            manifest={
                "step": self.trainer.step,
                "steps": self.trainer.steps,
                "plugins": self.plugins,
                "fingerprint": plain(self.source.fingerprint()),
                "tracking_run": self.tracker.run_id,
            },
            keep=self.keep,
            spare=best.step if (best := self.plan.best) is not None else None,
        )
        if best is not None and best.step is not None:
            best.write(self.run.folder)

    def _store_model(self, status: str) -> None:
        """The last checkpoint, and of a finished run the encoder as a model, beside the metrics."""
        saved = self.run.checkpoint
        if self.upload:
            self.tracker.artifact(saved, f"checkpoints/{saved.name}")
        if status == "FINISHED" and self.log_model:
            self.tracker.model(saved, example=self.source.example(), plugins=self.plugins)
        if status == "FINISHED" and self.report is not None:
            self._store_report(self.report)

    def _store_report(self, make: Callable[[], Path]) -> None:
        """A picture that cannot be drawn costs a line and never the run."""
        try:
            self.tracker.artifact(make())
        except Exception as error:
            say(" ".join(f"the run has no report: {error}".split())[:300])


def plain(value: Any) -> Any:
    """As JSON gives it back: lists for tuples, strings for keys."""
    return json.loads(json.dumps(value, default=str))
