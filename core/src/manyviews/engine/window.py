"""Means of a step's metrics over the steps between two readings, kept on the device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class Window:
    """Adds up metrics without asking the device for anything; `read` asks once.

    Its sums are part of a checkpoint: the first mean after a resume is that of the uninterrupted run.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.sums: list[Tensor] = []
        self.count = 0

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """The metrics of one step: detached scalars, the same names at every step of a window."""
        values = list(metrics.values())
        if not self.count:
            self.names, self.sums = tuple(metrics), [value.detach().to(torch.float32, copy=True) for value in values]
        else:
            torch._foreach_add_(self.sums, values)
        self.count += 1

    def read(self) -> dict[str, float]:
        """The means since the last reading; waits for the device."""
        means = self.peek()
        self.count = 0
        return means

    def peek(self) -> dict[str, float]:
        """The same, and the window goes on."""
        if not self.count:
            return {}
        return dict(zip(self.names, (torch.stack(self.sums) / self.count).tolist(), strict=True))

    def state(self) -> dict[str, object]:
        """For a checkpoint."""
        return {"names": list(self.names), "sums": [s.cpu() for s in self.sums], "count": self.count}

    def restore(self, state: Mapping[str, object], device: torch.device) -> None:
        """From a checkpoint."""
        names, sums, count = state["names"], state["sums"], state["count"]
        assert isinstance(names, list)
        assert isinstance(sums, list)
        assert isinstance(count, int)
        self.names, self.sums, self.count = tuple(names), [s.to(device) for s in sums], count
