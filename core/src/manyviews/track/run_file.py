"""run.json: how far the tracking of a run has got, with everything that is needed to deliver the rest later."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from manyviews.errors import UserError
from manyviews.track.record import RunRecord

NAME = "run.json"
BEST = "best.json"
"""Which step of a run was best by the reading that its recipe names (`train.best`)."""
PARTS = "parts"
"""Folder of the runs that are parts of a run (the fits of a finetuning), each with a run folder of its own."""

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


class Upload(BaseModel):
    """A file or folder that is still to be stored with the run."""

    model_config = ConfigDict(frozen=True)

    path: str
    """Relative to the run folder where it lies in it, so that the folder can be moved."""
    to: str
    """Folder among the run's artifacts; empty: their root."""


class RunState(BaseModel):
    """The content of run.json."""

    model_config = ConfigDict(frozen=True)

    key: str = Field(default_factory=lambda: uuid.uuid4().hex, description="Tells this run from others before it has an id.")
    uri: str | None = Field(description="Tracking server or store, without credentials; null: not tracked.")
    experiment: str
    run_name: str
    recipe_yaml: str
    params: dict[str, str]
    tags: dict[str, str]
    parent: str | None = Field(None, description="Folder of the run that it is a part of, relative to its own.")
    started: int = Field(description="Milliseconds since 1970.")
    ended: int | None = None
    status: Status = "RUNNING"
    experiment_id: str | None = None
    run_id: str | None = Field(None, description="null: the run is not in MLflow yet.")
    described: bool = Field(False, description="Parameters, tags and recipe are in MLflow.")
    delivered_status: Status | None = None
    uploads: tuple[Upload, ...] = Field((), description="Artifacts that are not in MLflow yet.")
    model: str | None = Field(None, description="Name of the model folder that is not in MLflow yet.")
    model_id: str | None = Field(None, description="Where that model is being stored.")


class RunFile:
    """run.json in memory and on disk. Changed by the training and the writer thread, written atomically."""

    def __init__(self, folder: Path, state: RunState) -> None:
        self.folder, self.state = folder, state
        self._lock = threading.Lock()

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The run file of an existing run folder.

        Raises:
            UserError: there is none, or it cannot be read.
        """
        path = folder / NAME
        try:
            return cls(folder, RunState.model_validate_json(path.read_bytes()))
        except FileNotFoundError as error:
            raise UserError(f"{folder} is not a run folder: it has no {NAME}.\nGive the folder of a run.") from error
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise UserError(f"{path} cannot be read: {reason}.\nRestore the file, or start a new run.") from error

    @classmethod
    def begin(cls, folder: Path, record: RunRecord, uri: str | None) -> Self:
        """A new run's file, or that of a run that goes on: same id, told again what may have changed."""
        told: dict[str, Any] = {
            "uri": uri,
            "experiment": record.experiment,
            "run_name": record.run_name,
            "recipe_yaml": record.recipe_yaml,
            "params": dict(record.params),
            "tags": dict(record.tags),
            "parent": None if record.parent is None else os.path.relpath(record.parent, folder),
        }
        if not (folder / NAME).exists():
            file = cls(folder, RunState(started=now(), **told))
            file.change()
            return file
        file = cls.load(folder)
        if uri is None:
            del told["uri"]  # not tracked this time: what it was tracked with before still holds
        file.change(described=False, status="RUNNING", ended=None, **told)
        return file

    def change(self, **changes: Any) -> None:
        """Set fields and write the file."""
        self.edit(lambda state: state.model_copy(update=changes))

    def edit(self, function: Callable[[RunState], RunState]) -> None:
        """Replace the state by a function of it and write the file: whole or not at all."""
        with self._lock:
            self.state = function(self.state)
            write_whole(self.folder / NAME, self.state.model_dump_json(indent=1))

    def add_upload(self, upload: Upload) -> None:
        """Note an artifact to be stored; one already waiting is not noted twice."""
        self.edit(lambda state: _with_uploads(state, *_without(state, upload), upload))

    def drop_upload(self, upload: Upload) -> None:
        """Note that an artifact is stored."""
        self.edit(lambda state: _with_uploads(state, *_without(state, upload)))


def _without(state: RunState, upload: Upload) -> tuple[Upload, ...]:
    return tuple(one for one in state.uploads if one != upload)


def _with_uploads(state: RunState, *uploads: Upload) -> RunState:
    return state.model_copy(update={"uploads": uploads})


def best_step(folder: Path) -> int | None:
    """The step whose checkpoint a run keeps as its best; None where it keeps none."""
    path = folder / BEST
    if not path.is_file():
        return None
    step: int | None = json.loads(path.read_text(encoding="utf-8"))["step"]
    return step


def claim(folder: Path) -> FileLock:
    """The lock of a run folder, taken. The system gives it back when the process ends, however it ends.

    Raises:
        UserError: another process has it.
    """
    lock = FileLock(folder / "run.lock", thread_local=False)  # a thread that outlasts a run gives it back
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{folder} is being written by another process.\nWait for it to end, or use another folder.") from None
    return lock


def write_whole(path: Path, text: str) -> None:
    """Write beside and rename, so that a kill leaves the old file or the new one."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
