"""Ctrl-C and SIGTERM (Slurm, Kubernetes, `kill`) end a run cleanly: the step is finished and a checkpoint written."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType

from manyviews import distributed

PAUSE = 1.0
"""Seconds, about, between two times that processes ask one another."""


class StopRequest:
    """While entered, the first signal is noted in `signal` and the second one interrupts at once.

    Signals reach the main thread alone; in any other thread this does nothing.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, object] = {}
        self._asked_at: tuple[float, int] | None = None
        self._ask_again = 0

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def heard(self, step: int) -> bool:
        """Whether the run is to end after `step`, the same on all processes; `signal` is then the same too.

        One process knows at once. Several ask one another, host to host, which costs some hundred microseconds and a
        wait for the slowest: after every step would be too often, and every so many steps too seldom where steps are
        slow. So they ask about once a second, at a step that they settled on the last time.
        """
        if distributed.size() == 1:
            return self.signal is not None
        if step < self._ask_again:
            return False
        number, negative_pause = distributed.highest([self.signal or 0, -self._steps_in_a_pause(step)])
        self._ask_again = step - negative_pause
        if number:  # and else nothing is forgotten: one may have come in the meantime
            self.signal = signal.Signals(number)
        return number > 0

    def _steps_in_a_pause(self, step: int) -> int:
        """By this process's pace since it was asked last; 1 at first."""
        now = time.monotonic()
        since, before = self._asked_at or (now, step)
        self._asked_at = now, step
        return max(1, int((step - before) * PAUSE / max(now - since, 1e-3)))

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
