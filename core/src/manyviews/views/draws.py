"""Random numbers that shapes depend on, drawn on the host from a generator that may live on a device."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def on_host(generator: torch.Generator) -> torch.Generator:
    """A generator on the host, which a given one on a device leads to and is moved on by; one on the host is itself.

    A CUDA generator's state (seed and Philox offset) is kept on the host: numbers are derived from it and the offset moved
    on, as a draw on the device would. Of other devices a seed is drawn, for which the host waits.
    """
    if generator.device.type == "cpu":
        return generator
    if generator.device.type != "cuda":
        seed = torch.randint(2**62, (), generator=generator, device=generator.device)
        return torch.Generator().manual_seed(int(seed))
    offset = generator.get_offset()
    generator.set_offset(offset + 4)  # Philox draws four 32-bit numbers at a time; the offset must stay a multiple
    return torch.Generator().manual_seed((generator.initial_seed() * 1_000_003 + offset) % 2**63)


def host_uniforms(generator: torch.Generator, count: int) -> Float[Tensor, "count"]:
    """So many numbers from U(0, 1), on the host, without waiting for the device."""
    return torch.rand(count, generator=on_host(generator), dtype=torch.float64)


def host_uniform(generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    """A number from U(low, high) without waiting for the device."""
    return low + (high - low) * float(host_uniforms(generator, 1))
