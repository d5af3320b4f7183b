"""Where and when a token is: row and column, group of bands, time, in parts of one vector, as SatMAE has them.

Cong et al. 2022, sections 3.2 and 4.1: of 1,024 numbers 768 say the place and 256 the group of bands; with times, 640
the place and 128 each year, month and hour.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from manyviews.moving import constant
from manyviews.nets.positions import sincos

FIRST_YEAR = 2002.0


def placed(
    rows: int,
    cols: int,
    groups: list[int],
    time: Float[Tensor, "tiles dates three"] | None,
    width: int,
    unit: float | Float[Tensor, "tiles"] = 1.0,
    *,
    of_groups: bool = True,
) -> Float[Tensor, "tiles_or_one dates groups rows cols width"]:
    """The vectors of all tokens of a tile; of each tile where times are given or units differ.

    Args:
        rows: Of patches.
        cols: Of patches.
        groups: Numbers of the groups that are there.
        time: Year, month and hour of each image; None: dates are not told apart. What is not known says nothing.
        width: Of a token.
        unit: Length of a patch's side, for positions in other units than patches.
        of_groups: Whether a part of the vector says the group.
    """
    device = time.device if time is not None else unit.device if isinstance(unit, Tensor) else torch.device("cpu")
    of_time = 3 * _even(width // 8) if time is not None else 0
    of_group = _even(width // 4) if of_groups else 0
    of_place = width - of_time - of_group
    grid = torch.cartesian_prod(torch.arange(float(rows), device=device), torch.arange(float(cols), device=device))
    sizes = unit.float().reshape(-1) if isinstance(unit, Tensor) else constant([unit], device, torch.float32)
    place = torch.stack([sincos(grid * size, of_place) for size in sizes]).reshape(len(sizes), 1, 1, rows, cols, of_place)
    parts = [place]
    if of_group:
        number = constant(groups, device, torch.float32)[:, None]
        parts.append(sincos(number, of_group).reshape(1, 1, len(groups), 1, 1, of_group))
    if time is not None:
        parts.append(_when(time, of_time // 3)[:, :, None, None, None])
    shape = [max(sizes) for sizes in zip(*(part.shape[:-1] for part in parts), strict=True)]
    return torch.cat([part.expand(*shape, part.shape[-1]) for part in parts], dim=-1)


def _when(time: Float[Tensor, "tiles dates three"], width: int) -> Float[Tensor, "tiles dates of_time"]:
    start = constant([FIRST_YEAR, 1.0, 0.0], time.device)
    numbers = time.float() - start
    known = ~numbers.isnan()
    said = sincos(numbers.nan_to_num().reshape(-1, 1), width).reshape(*time.shape, width)
    return (said * known[..., None]).flatten(-2)


def _even(number: int) -> int:
    return number - number % 2
