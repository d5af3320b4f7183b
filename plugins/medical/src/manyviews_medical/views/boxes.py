"""Crops, flips and quarter turns: numbers are moved and none is computed, a whole batch at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from manyviews.moving import constant


@dataclass(frozen=True)
class Box:
    """Where each sample's crop begins, how large all are, and how each is turned then."""

    start: Int[Tensor, "samples axes"]
    size: tuple[int, ...]
    flip: Bool[Tensor, "samples axes"] | None = None
    turns: Int[Tensor, "samples"] | None = None
    """Quarter turns in the plane of the first two axes, whose sides are then equal."""


def random_start(
    space: tuple[int, ...], size: tuple[int, ...], samples: int, generator: torch.Generator
) -> Int[Tensor, "samples axes"]:
    """Anywhere inside."""
    draws = torch.rand(samples, len(space), generator=generator, device=generator.device)
    free = constant([whole - part + 1 for whole, part in zip(space, size, strict=True)], draws.device)
    return (draws * free).long().clamp(max=free - 1)


def random_flip(
    samples: int, axes: tuple[int, ...], count: int, generator: torch.Generator
) -> Bool[Tensor, "samples axes"] | None:
    """Each of `axes` (of `count`) by a coin's toss; None where there are none."""
    if not axes:
        return None
    allowed = constant([axis in axes for axis in range(count)], generator.device)
    return (torch.rand(samples, count, generator=generator, device=generator.device) < 0.5) & allowed


def take(volume: Shaped[Tensor, "samples channels *space"], box: Box) -> Shaped[Tensor, "samples channels *size"]:
    """The boxes of a batch, by one gather."""
    axes, samples = len(box.size), len(volume)
    places = []
    for axis, side in enumerate(box.size):
        shape = [side if other == 1 + axis else 1 for other in range(1 + axes)]
        places.append(torch.arange(side, device=volume.device).reshape(shape))
    if box.turns is not None:
        places[0], places[1] = _turned(places[0], places[1], box.turns, box.size[0])
    if box.flip is not None:  # what is turned was flipped before
        flips = [box.flip[:, axis].reshape(-1, *[1] * axes) for axis in range(axes)]
        last = [side - 1 for side in box.size]
        places = [torch.where(flip, end - place, place) for flip, end, place in zip(flips, last, places, strict=True)]
    at = [place + box.start[:, axis].reshape(-1, *[1] * axes) for axis, place in enumerate(places)]
    rows = torch.arange(samples, device=volume.device).reshape(-1, *[1] * axes)
    found = volume.movedim(1, -1)[(rows, *at)]
    return found.movedim(-1, 1).contiguous()


def _turned(x: Tensor, y: Tensor, turns: Int[Tensor, "samples"], side: int) -> tuple[Tensor, Tensor]:
    """Read (i, j) at (j, n-1-i), as often as each sample says: what `torch.rot90` does to the first two axes."""
    i, j = (x + 0 * y, y + 0 * x)
    times, last = turns.reshape(-1, *[1] * (i.ndim - 1)), side - 1
    new_x = torch.where(times == 0, i, torch.where(times == 1, j, torch.where(times == 2, last - i, last - j)))
    new_y = torch.where(times == 0, j, torch.where(times == 1, last - i, torch.where(times == 2, last - j, i)))
    return new_x, new_y
