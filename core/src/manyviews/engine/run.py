"""A run: the folder that it keeps, and what can be asked of it afterwards."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from manyviews.engine import checkpoint
from manyviews.engine.best import best_checkpoint
from manyviews.errors import UserError
from manyviews.recipe.load import load_recipe
from manyviews.recipe.model import Recipe
from manyviews.track.journal import Entry, read


@dataclass(frozen=True)
class Run:
    """A run's folder: recipe.yaml, run.json, journal.jsonl, checkpoints/, results.json."""

    folder: Path
    stopped: signal.Signals | None = None
    """The signal that ended it before its last step; None where none did."""

    @classmethod
    def create(cls, parent: Path, name: str) -> Run:
        """A new folder `parent/name-time`, never one that is there already."""
        stem = f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}-{time.strftime('%Y%m%d-%H%M%S')}"
        for folder in (parent / (f"{stem}-{n}" if n else stem) for n in range(1000)):
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise UserError(f"train.folder: {folder} cannot be made ({error.strerror}); give another place") from error
            return cls(folder)
        raise UserError(f"{parent / stem}: a thousand runs of one second? Give train.folder another place")

    @classmethod
    def at(cls, folder: Path) -> Run:
        """This folder, made where it is not there."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder} cannot be made ({error.strerror}); give another place") from error
        return cls(folder)

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """An existing run.

        Raises:
            UserError: The folder is no run's.
        """
        run = cls(Path(folder))
        if not (run.folder / "recipe.yaml").is_file():
            raise UserError(f"{folder}: not a run folder (no recipe.yaml in it); `manyviews runs list` shows those there are")
        return run

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return load_recipe(self.folder / "recipe.yaml")

    @property
    def checkpoint(self) -> Path:
        """The newest checkpoint."""
        return checkpoint.last(self.folder)

    @property
    def best(self) -> Path:
        """The checkpoint of the best step, by `train.best`."""
        return best_checkpoint(self.folder)

    def metrics(self) -> Iterator[Entry]:
        """The journal, line by line: step, time in ms, metrics."""
        return read(self.folder)
