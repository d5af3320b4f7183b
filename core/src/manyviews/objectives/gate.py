"""The dynamic loss gate: which pseudo-labels to believe, by the losses that they cause (Han, Chen & Qian 2022, DLG-LC).

Losses of wrong labels lie higher than those of right ones. Two Gaussians are fitted to recent losses, and the gate stands
where the upper one becomes the likelier. Instead of a fit after every epoch, each step makes one iteration of expectation
and maximisation over a window of losses, which follows training and never waits for the device.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

FLOOR = 1e-3
"""Smallest standard deviation, so that no Gaussian falls onto a single loss."""


def responsibilities(
    losses: Float[Tensor, "losses"], means: Float[Tensor, "2"], deviations: Float[Tensor, "2"], shares: Float[Tensor, "2"]
) -> Float[Tensor, "losses 2"]:
    """How likely each loss is of each Gaussian."""
    densities = -0.5 * ((losses[:, None] - means) / deviations).square() - deviations.log() + shares.log()
    return densities.softmax(1)


def maximised(
    losses: Float[Tensor, "losses"], likely: Float[Tensor, "losses 2"]
) -> tuple[Float[Tensor, "2"], Float[Tensor, "2"], Float[Tensor, "2"]]:
    """Means, deviations and shares of the two Gaussians that fit best; the lower mean first."""
    count = likely.sum(0).clamp(min=1e-6)
    means = (likely * losses[:, None]).sum(0) / count
    deviations = ((likely * (losses[:, None] - means).square()).sum(0) / count).sqrt().clamp(min=FLOOR)
    order = means.argsort()
    return means[order], deviations[order], (count / count.sum())[order]


def crossing(means: Float[Tensor, "2"], deviations: Float[Tensor, "2"], shares: Float[Tensor, "2"]) -> Float[Tensor, ""]:
    """The loss between the means at which both weighted densities are alike; of two such the one nearer to the upper mean.

    Where one Gaussian is the likelier all the way, the mean of the means.
    """
    a, b = (1 / deviations.square()).unbind()
    square, linear = a - b, -2 * (a * means[0] - b * means[1])
    constant = a * means[0].square() - b * means[1].square() - 2 * (deviations / shares).log().diff()[0]
    root = (linear.square() - 4 * square * constant).clamp(min=0).sqrt()
    level = -constant / torch.where(linear.abs() < 1e-12, 1e-12, linear)  # of equal deviations
    small = square.abs() < 1e-9
    divisor = torch.where(small, 1.0, 2 * square)
    roots = torch.stack([(-linear + root) / divisor, (-linear - root) / divisor])
    roots = torch.where(small, level, roots)
    inside = (roots >= means[0]) & (roots <= means[1])
    middle = means.mean()
    best = torch.where(inside, roots, -math.inf).max()
    return torch.where(inside.any(), best, middle)


class LossGate(nn.Module):
    """A window of losses and the two Gaussians on it.

    Args:
        window: Losses remembered.
    """

    losses: Tensor
    means: Tensor
    deviations: Tensor
    shares: Tensor
    seen: Tensor

    def __init__(self, window: int) -> None:
        super().__init__()
        self.register_buffer("losses", torch.full((window,), torch.nan))
        self.register_buffer("means", torch.tensor([0.0, 1.0]))
        self.register_buffer("deviations", torch.ones(2))
        self.register_buffer("shares", torch.full((2,), 0.5))
        self.register_buffer("seen", torch.zeros(()))

    @torch.no_grad()
    def add(self, losses: Float[Tensor, "new"]) -> None:
        """Remember these (NaN: none) in the place of the oldest, and improve the fit."""
        window = len(self.losses)
        new = losses[-window:].to(self.losses.dtype)
        self.losses.copy_(torch.cat([self.losses[len(new) :], new]))
        known = ~self.losses.isnan()
        values = torch.where(known, self.losses, 0.0)
        spread = ((known * (values - self._mean(values, known)).square()).sum() / known.sum().clamp(min=1)).sqrt()
        mean = self._mean(values, known)
        first = self.seen == 0  # begin a deviation below the mean and one above it
        means = torch.where(first, torch.stack([mean - spread, mean + spread]), self.means)
        deviations = torch.where(first, spread.clamp(min=FLOOR).expand(2), self.deviations)
        likely = responsibilities(values, means, deviations, self.shares) * known[:, None]
        for mine, found in zip((self.means, self.deviations, self.shares), maximised(values, likely), strict=True):
            mine.copy_(found.clamp(min=1e-6) if mine is self.shares else found)
        self.seen.add_(1)

    @staticmethod
    def _mean(values: Tensor, known: Tensor) -> Tensor:
        return (values * known).sum() / known.sum().clamp(min=1)

    def threshold(self) -> Float[Tensor, ""]:
        """Losses below it come of labels to be believed."""
        return crossing(self.means, self.deviations, self.shares)
