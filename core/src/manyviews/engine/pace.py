"""How fast a run goes, and what it waits for, between two readings of its metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator

from manyviews.batch import Batch

CLOCKS = frozenset({"samples_per_second", "data_wait"})
"""What tells of the machine and not of the model: two equal runs differ in these."""


class Pace:
    """Counts samples and the seconds in which the loop waits for them.

    Args:
        world: Processes, each of which is given as many samples.
    """

    def __init__(self, world: int) -> None:
        self.world = world
        self.start()

    def start(self) -> None:
        """Count from now."""
        self._begun, self._waited, self._samples = time.monotonic(), 0.0, 0

    def timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; what a batch makes the loop wait is counted."""
        while True:
            begun = time.monotonic()
            batch = next(batches, None)
            if batch is None:
                return
            self._waited += time.monotonic() - begun
            self._samples += len(batch)
            yield batch

    def read(self) -> dict[str, float]:
        """Samples a second of all processes together, and the share of the time that this one waited for data."""
        seconds = max(time.monotonic() - self._begun, 1e-9)
        values = {"samples_per_second": self._samples * self.world / seconds, "data_wait": self._waited / seconds}
        self.start()
        return values
