"""SIGReg, sketched isotropic Gaussian regularisation (Balestriero & LeCun 2025, "LeJEPA", algorithm 1).

Embeddings are to be distributed as N(0, I). By Cramér and Wold it is enough that every one-dimensional projection is
N(0, 1), so random directions are drawn at each step, and on each the Epps-Pulley statistic compares the empirical
characteristic function with the Gaussian's.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from manyviews import distributed


def slices(width: int, count: int, generator: torch.Generator, like: Tensor) -> Float[Tensor, "width slices"]:
    """Random unit vectors, the same on every process (rank 0's), in the type of `like`."""
    drawn = torch.randn(width, count, generator=generator, device=generator.device, dtype=like.dtype)
    return distributed.broadcast((drawn / drawn.norm(dim=0)).to(like.device))


def epps_pulley(x: Float[Tensor, "units slices"], knots: int, reach: float) -> Float[Tensor, "slices"]:
    """N times the integral over t in [-reach, reach] of |phi_x(t) - exp(-t^2/2)|^2 exp(-t^2/2), N and phi_x of all processes.

    Trapezoidal rule (LeJEPA, section 4.2 and algorithm 1). The integrand is even, so that only the knots with t >= 0
    are computed, at twice the weight.

    Args:
        x: Projections of this process's units.
        knots: Of the rule over the whole interval; odd.
        reach: End of the interval.
    """
    assert knots % 2 == 1, "one knot has to lie at 0"
    t = torch.linspace(0, reach, (knots + 1) // 2, device=x.device, dtype=x.dtype)
    step = 2 * reach / (knots - 1)
    gaussian = (-t.square() / 2).exp()
    weights = torch.full_like(t, 2 * step)
    weights[:1].fill_(step)  # an assignment would copy the number from the host, which waits
    weights[-1:].fill_(step)
    count = sum(distributed.counts(len(x)))
    angles = x[:, :, None] * t
    real, imaginary = distributed.total(torch.stack([angles.cos().sum(0), angles.sin().sum(0)])) / count
    distance = (real - gaussian).square() + imaginary.square()
    statistic: Tensor = count * (distance @ (weights * gaussian))
    return statistic


def sigreg(
    z: Float[Tensor, "units width"], directions: Float[Tensor, "width slices"], knots: int = 17, reach: float = 5.0
) -> Float[Tensor, ""]:
    """Mean of the Epps-Pulley statistic over directions (LeJEPA, equation SIGReg and algorithm 1)."""
    return epps_pulley(z @ directions, knots, reach).mean()
