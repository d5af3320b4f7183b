"""The journal: every metric of a run, in one append-only file of the run folder. It is the truth; MLflow has a copy.

One line a call, `{"step": 10, "time": 1795220405519, "metrics": {"loss": 0.5}}`, written at once with one system call,
so that a killed process loses nothing of it. JSON has no NaN and no infinity: they stand as the strings `"NaN"`,
`"Infinity"` and `"-Infinity"`.
"""

from __future__ import annotations

import json
import math
import os
import time
from array import array
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from manyviews.errors import UserError

NAME = "journal.jsonl"

_strict = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal."""

    step: int
    time: int
    """Milliseconds since 1970."""
    metrics: dict[str, float]
    end: int
    """Where the next line begins, in bytes."""


class Journal:
    """Writes the journal of a run folder.

    A resumed run recomputes the steps since its last checkpoint. What the file already has of a (metric, step) is
    therefore not written again, and a last line that a crash tore is cut at opening.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._steps: dict[tuple[str, ...], array[int]] = {}  # metrics of a line -> the steps of such lines, ascending
        self._last = -1
        end = 0
        for entry in read(folder):
            self._remember(entry.step, tuple(entry.metrics))
            end = entry.end
        self._file = self.path.open("ab", buffering=0)
        self._file.truncate(end)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append the metrics of a step. Takes microseconds; safe from a kill once it returns."""
        if step <= self._last:
            metrics = {name: value for name, value in metrics.items() if not self._has(name, step)}
        if not metrics:
            return
        line = memoryview(_line(step, metrics))
        while line:  # a raw write may take a part of it where the disk is nearly full
            line = line[self._file.write(line) :]
        self._remember(step, tuple(metrics))

    def flush(self) -> None:
        """Make what is written safe from a crash of the machine too. Takes milliseconds: call it with a checkpoint."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Nothing can be logged afterwards."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _remember(self, step: int, names: tuple[str, ...]) -> None:
        steps = self._steps.setdefault(names, array("q"))
        if steps and step < steps[-1]:
            insort(steps, step)
        else:
            steps.append(step)
        self._last = max(self._last, step)

    def _has(self, name: str, step: int) -> bool:
        for names, steps in self._steps.items():
            if name in names:
                place = bisect_left(steps, step)
                if place < len(steps) and steps[place] == step:
                    return True
        return False


def read(folder: Path, start: int = 0) -> Iterator[Entry]:
    """The complete lines of a folder's journal from byte `start` on; none where there is no journal yet."""
    path = folder / NAME
    if not path.exists():
        return
    end = start
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):  # still being written
                return
            end += len(line)
            yield _entry(line, end, path)


def _line(step: int, metrics: Mapping[str, float]) -> bytes:
    values: dict[str, float | str] = {name: float(value) for name, value in metrics.items()}
    record = {"step": int(step), "time": time.time_ns() // 1_000_000, "metrics": values}
    try:
        text = _strict.encode(record)
    except ValueError:  # not finite: rare, so it is not looked for beforehand
        record["metrics"] = {name: _finite(float(value)) for name, value in metrics.items()}
        text = _strict.encode(record)
    return text.encode() + b"\n"


def _finite(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _entry(line: bytes, end: int, path: Path) -> Entry:
    try:
        fields = json.loads(line)
        metrics = {name: float(value) for name, value in fields["metrics"].items()}
        return Entry(fields["step"], fields["time"], metrics, end)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: the line that ends at byte {end} is not a journal line ({error}).\n"
            "Expected JSON with step, time and metrics. Remove that line, or restore the file."
        ) from error
