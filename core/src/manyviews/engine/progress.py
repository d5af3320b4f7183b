"""The progress bar: steps and samples a second, time left, loss. Silent where nobody watches."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm


class Progress:
    """A bar on a terminal; nothing on a pipe or in a log file. Left as it stands when the run ends, however it ends."""

    def __init__(self, start: int, steps: int, samples_a_step: int, show: bool) -> None:
        hidden = not (show and sys.stderr.isatty())
        self.bar = tqdm(total=steps, initial=start, unit="step", disable=hidden, dynamic_ncols=True, file=sys.stderr)
        self.samples_a_step, self.begun, self.start = samples_a_step, time.monotonic(), start

    def step(self) -> None:
        """One more step is done."""
        self.bar.update()

    def show(self, step: int, loss: float) -> None:
        """The latest reading."""
        rate = (step - self.start) * self.samples_a_step / max(time.monotonic() - self.begun, 1e-9)
        self.bar.set_postfix_str(f"loss {loss:.4g}, {rate:,.0f} samples/s", refresh=False)

    def say(self, text: str) -> None:
        """A line above the bar, on stderr."""
        tqdm.write(text, file=sys.stderr)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.close()
