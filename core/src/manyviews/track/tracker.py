"""Who is told about a run. The engine talks to this protocol; metrics go by the journal, not through here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from manyviews.recipe.model import Track
from manyviews.track.record import FinalStatus, RunRecord
from manyviews.track.run_file import RunFile, claim, now


class Tracker(Protocol):
    """Tracks one run folder. Only the process of rank zero has a real one; its calls come from the training thread."""

    @property
    def run_id(self) -> str | None:
        """The id of the run; None as long as it is not stored anywhere."""
        ...

    def start(self, record: RunRecord) -> None:
        """Begin the run, or go on with it where the folder has one."""
        ...

    def artifact(self, path: Path, to: str = "") -> None:
        """Store a file or folder with the run, soon, under the folder `to`."""
        ...

    def model(self, checkpoint: Path, *, name: str = "encoder", example: Any = None, plugins: Mapping[str, str]) -> None:
        """Store the encoder of a checkpoint folder as a model; `example` is input for it, `plugins` its distributions."""
        ...

    def finish(self, status: FinalStatus) -> None:
        """End the run."""
        ...

    def where_to_look(self) -> str:
        """How the user gets to see the run."""
        ...


class NullTracker:
    """`track: null`. Keeps run.json, so that the run is listed and can still be delivered by `runs sync --uri`."""

    run_id: str | None = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: RunFile | None = None

    def start(self, record: RunRecord) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = claim(self._folder)  # a second process would tear the journal
        self._file = RunFile.begin(self._folder, record, uri=None)

    def artifact(self, path: Path, to: str = "") -> None:
        """Nothing to do: it stays where it is."""

    def model(self, checkpoint: Path, *, name: str = "encoder", example: Any = None, plugins: Mapping[str, str]) -> None:
        """Nothing to do: the checkpoint is the model."""

    def finish(self, status: FinalStatus) -> None:
        assert self._file is not None, "finish before start"
        self._file.change(status=status, ended=now())
        self._lock.release()

    def where_to_look(self) -> str:
        return f"not tracked; its metrics are in {self._folder / 'journal.jsonl'}"


def open_tracker(track: Track | None, folder: Path) -> Tracker:
    """The tracker that a recipe asks for. Imports nothing of MLflow.

    Raises:
        UserError: tracking is asked for and MLflow is not installed.
    """
    if track is None:
        return NullTracker(folder)
    from manyviews.track.mlflow_tracker import MLflowTracker

    return MLflowTracker(folder, uri=track.uri)
