"""Random numbers that shapes depend on, drawn on the host from a generator that may live on a device."""

from __future__ import annotations

import torch


def host_uniform(generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    """A number from U(low, high) without waiting for the device.

    A CUDA generator's state (seed and Philox offset) is kept on the host: a number is derived from it and the offset
    moved on, as a draw on the device would.
    """
    if generator.device.type == "cuda":
        offset = generator.get_offset()
        generator.set_offset(offset + 4)  # Philox draws four 32-bit numbers at a time; the offset must stay a multiple
        generator = torch.Generator().manual_seed((generator.initial_seed() * 1_000_003 + offset) % 2**63)
    return low + (high - low) * float(torch.rand((), generator=generator, device=generator.device, dtype=torch.float64))
