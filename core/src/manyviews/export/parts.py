"""Rows on the disk as they are computed, so that an export of any size fits into memory and a killed one goes on.

They lie in a folder beside the output, a file for each stretch of samples, each written whole or not at all, with what they
are of: the same encoder, data and form, or they are thrown away and computed anew.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from manyviews.errors import UserError
from manyviews.track.run_file import write_whole
from manyviews.writer import Rows

OF = "of.json"
BYTES, SECONDS = 1 << 24, 30.0
"""A stretch is written when it has grown so large, or so old."""


class Parts:
    """The stretches of one export.

    Args:
        folder: Where they lie.
        of: What they are of.
    """

    def __init__(self, folder: Path, of: Mapping[str, Any]) -> None:
        self.folder, self.told = folder, json.dumps(of, sort_keys=True, default=str)

    def open(self) -> None:
        """Make the folder; stretches of something else are removed."""
        kept = self.folder / OF
        if not kept.is_file() or kept.read_text(encoding="utf-8") != self.told:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            write_whole(kept, self.told)

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.npz"))

    @property
    def done(self) -> int:
        """Samples that are there already: the first so many."""
        files = self.files
        return int(files[-1].stem) if files else 0

    def keep(self, rows: Iterator[Rows]) -> None:
        """Write the rows of the samples that follow, stretch by stretch."""
        done, waiting, size, since = self.done, list[Rows](), 0, time.monotonic()
        for some in rows:
            if waiting and some.values.shape[1:] != waiting[0].values.shape[1:]:
                done, waiting, size = self._write(waiting, done), [], 0
            waiting.append(some)
            size += some.values.nbytes
            if size >= BYTES or time.monotonic() - since > SECONDS:
                done, waiting, size, since = self._write(waiting, done), [], 0, time.monotonic()
        if waiting:
            self._write(waiting, done)

    def _write(self, waiting: list[Rows], done: int) -> int:
        done += sum(len(rows.samples) for rows in waiting)
        grid = waiting[0].grid if len({rows.grid for rows in waiting}) == 1 else None
        beside = self.folder / ".writing"
        with beside.open("wb") as file:
            np.savez(
                file,
                samples=np.concatenate([rows.samples for rows in waiting]),
                counts=np.concatenate([rows.counts for rows in waiting]),
                values=np.concatenate([rows.values for rows in waiting]),
                grid=np.array(grid or (), dtype=np.int64),
            )
        beside.replace(self.folder / f"{done:012d}.npz")
        return done

    def __iter__(self) -> Iterator[Rows]:
        for path in self.files:
            try:
                with np.load(path) as kept:
                    grid = tuple(kept["grid"].tolist()) or None
                    yield Rows(kept["samples"], kept["counts"], kept["values"], grid)
            except (OSError, ValueError, KeyError) as error:
                raise UserError(f"{path}: cannot be read ({error}); remove the folder {self.folder} and begin anew") from error

    def shape(self) -> tuple[int, tuple[int, ...] | None]:
        """All rows, and the shape of one; None where they differ."""
        rows, shapes = 0, set()
        for some in self:
            rows += len(some.values)
            shapes.add(some.values.shape[1:])
        return rows, shapes.pop() if len(shapes) == 1 else None

    def remove(self) -> None:
        """They are in the output now."""
        shutil.rmtree(self.folder, ignore_errors=True)
