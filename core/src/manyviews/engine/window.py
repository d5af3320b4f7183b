"""Means of a step's metrics over the steps between two readings, kept on the device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class Window:
    """Keeps the metrics of the steps since the last reading as they are; `read` asks the device once.

    Adding them up at each step would cost an operation a step, most of what logging costs. What is kept is part of a
    checkpoint: the first means after a resume are those of the uninterrupted run.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.values: list[Tensor] = []

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """The metrics of one step: detached scalars of their own storage, the same names at every step of a window."""
        if not self.values:
            self.names = tuple(metrics)
        self.values += metrics.values()

    def read(self) -> dict[str, float]:
        """The means since the last reading; waits for the device."""
        means = self.peek()
        self.values = []
        return means

    def peek(self) -> dict[str, float]:
        """The same, and the window goes on."""
        if not self.values:
            return {}
        return dict(zip(self.names, self._stacked().mean(0).tolist(), strict=True))

    def _stacked(self) -> Tensor:
        """(steps, names)"""
        return torch.stack(self.values).float().reshape(-1, len(self.names))

    def state(self) -> dict[str, object]:
        """For a checkpoint."""
        return {"names": list(self.names), "values": self._stacked().cpu() if self.values else torch.empty(0)}

    def restore(self, state: Mapping[str, object], device: torch.device) -> None:
        """From a checkpoint."""
        names, values = state["names"], state["values"]
        assert isinstance(names, list)
        assert isinstance(values, Tensor)
        self.names, self.values = tuple(names), list(values.to(device).flatten())
