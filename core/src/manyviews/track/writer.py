"""The thread that sends. Everything that may wait for a server happens in it, never in the training thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

_LONGEST_PAUSE = 30.0


class Writer(threading.Thread):
    """Calls `deliver` every few seconds; after failures less often.

    Args:
        deliver: Sends all that is new, or raises.
        report: Told the error after each failed round, None after each good one.
        every: Seconds between two rounds.
    """

    def __init__(self, deliver: Callable[[], None], report: Callable[[Exception | None], None], every: float) -> None:
        super().__init__(name="manyviews-track", daemon=True)
        self._deliver, self._report, self._every = deliver, report, every
        self._pause = every
        self._changed = threading.Condition()
        self._asked = self._done = 0
        self._closing = False
        self.error: Exception | None = None
        """Of the last round."""

    def round(self, timeout: float | None) -> bool:
        """Ask for a whole round that starts now and wait for it; False: it is not done within `timeout` seconds."""
        with self._changed:
            self._asked += 1
            mine = self._asked
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._done >= mine, timeout)

    def close(self, timeout: float | None) -> bool:
        """No more rounds; False: the one that is going on outlasts `timeout` seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self.join(timeout)
        return not self.is_alive()

    def run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._asked > self._done, self._pause)
                if self._closing:
                    return
                asked = self._asked
            self.error = self._one_round()
            self._pause = self._every if self.error is None else min(2 * self._pause, _LONGEST_PAUSE)
            self._report(self.error)
            with self._changed:
                self._done = asked
                self._changed.notify_all()

    def _one_round(self) -> Exception | None:
        try:
            self._deliver()
        except Exception as error:  # the end of this thread: whatever it is, it is reported and tried again
            return error
        return None
