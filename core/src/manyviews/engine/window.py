"""Means of a step's metrics over the steps between two readings, kept on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

Rows = Float[Tensor, "steps names"]


class Window:
    """Keeps the metrics of the steps since the last reading as they are; `read` asks the device once.

    Adding them up at each step would cost an operation a step, most of what logging costs. What is kept is part of a
    checkpoint: the first means after a resume are those of the uninterrupted run, to the last bit. Therefore each step's
    metrics are averaged over processes first (`settle`) and over steps last, wherever a checkpoint falls.

    Args:
        over_processes: The mean over processes, the same on each; None: this process's own.
    """

    def __init__(self, over_processes: Callable[[Rows], Rows] | None = None) -> None:
        self.over_processes = over_processes
        self.names: tuple[str, ...] = ()
        self.values: list[Tensor] = []
        self.settled: list[Rows] = []

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """The metrics of one step: detached scalars of their own storage, the same names at every step of a window."""
        if not self.values:
            self.names = tuple(metrics)
        self.values += metrics.values()

    def settle(self) -> None:
        """Average what came since the last time over processes. All processes do so at the same step."""
        if self.values:
            rows = torch.stack(self.values).float().reshape(-1, len(self.names))
            self.settled.append(rows if self.over_processes is None else self.over_processes(rows))
            self.values = []

    def read(self) -> dict[str, float]:
        """The means since the last reading; waits for the device. All processes read at the same step."""
        means = self.peek()
        self.settled = []
        return means

    def peek(self) -> dict[str, float]:
        """The same, and the window goes on."""
        self.settle()
        if not self.settled:
            return {}
        return dict(zip(self.names, torch.cat(self.settled).mean(0).tolist(), strict=True))

    def state(self) -> dict[str, object]:
        """For a checkpoint; of what is settled."""
        assert not self.values, "a window is settled by all processes before one of them saves it"
        return {"names": list(self.names), "values": torch.cat(self.settled).cpu() if self.settled else torch.empty(0)}

    def restore(self, state: Mapping[str, object], device: torch.device) -> None:
        """From a checkpoint."""
        names, values = state["names"], state["values"]
        assert isinstance(names, list)
        assert isinstance(values, Tensor)
        self.names, self.settled = tuple(names), [values.to(device)] if values.numel() else []
