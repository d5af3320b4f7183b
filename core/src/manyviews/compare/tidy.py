"""What run folders can do without: the remains of failed runs, checkpoints before the last, what MLflow has already."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from manyviews.errors import UserError
from manyviews.track.run_file import NAME, RunFile, best_step, claim


@dataclass(frozen=True)
class Waste:
    """A folder that can go, and why."""

    folder: Path
    why: str
    run: Path

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def find_waste(parent: Path) -> Iterator[Waste]:
    """In the runs of a folder. Left alone: what a process is writing, the last checkpoints, the best ones."""
    for path in sorted(parent.glob(f"*/{NAME}")):
        lock = _idle(path.parent)
        if lock is not None:
            try:
                yield from _of_run(path.parent)
            finally:
                lock.release()


def _idle(folder: Path) -> FileLock | None:
    try:
        return claim(folder)
    except UserError:
        return None


def _of_run(folder: Path) -> Iterator[Waste]:
    state = RunFile.load(folder).state
    saved = sorted(manifest.parent for manifest in folder.glob("checkpoints/step-*/manifest.json"))
    if not saved and state.status in ("FAILED", "KILLED", "RUNNING"):
        yield Waste(folder, f"ended {state.status} without a checkpoint", folder)
        return
    best = f"step-{best_step(folder) or -1:08d}"
    yield from (Waste(old, "a checkpoint before the last", folder) for old in saved[:-1] if old.name != best)
    whole = {one for one in folder.glob("checkpoints/*") if one.is_dir()} - set(saved)
    yield from (Waste(part, "a checkpoint that was never finished", folder) for part in sorted(whole))


def remove(waste: Waste) -> None:
    """Delete it.

    Raises:
        UserError: A process has taken the run up meanwhile, or the folder cannot be deleted.
    """
    lock = claim(waste.run)
    try:
        shutil.rmtree(waste.folder)
    except OSError as error:
        raise UserError(f"{waste.folder} cannot be deleted: {error.strerror}") from error
    finally:
        lock.release()
