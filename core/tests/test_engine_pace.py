"""Samples a second, and the share of the time that the loop waits for data."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from manyviews.engine import pace
from manyviews.engine.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_samples_of_all_processes_and_the_share_of_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)

    def slow() -> Iterator[list[int]]:
        for size in (3, 5):  # packed batches differ in size
            clock.now += 1.0
            yield [0] * size

    counted = Pace(world=2)
    for _ in counted.timed(slow()):
        clock.now += 3.0
    assert counted.read() == {"samples_per_second": 2 * 8 / 8.0, "data_wait": 2.0 / 8.0}
    clock.now += 2.0
    assert counted.read() == {"samples_per_second": 0.0, "data_wait": 0.0}, "a reading begins anew"
