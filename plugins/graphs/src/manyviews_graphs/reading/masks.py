"""Splits that data bring as masks, one for each split, sometimes several alternatives side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Shaped

from manyviews.errors import DataError


def splits_of_masks(
    masks: Mapping[str, np.ndarray | None], units: int, number: int, where: str
) -> Shaped[np.ndarray, "units"] | None:
    """`train`, `valid`, `test` or "" for each unit; None where there is no mask.

    Args:
        masks: By split; each (units), or (units, alternatives), or (alternatives, units).
        units: Nodes or graphs.
        number: The alternative.
        where: The file, for messages.

    Raises:
        DataError: A mask has another size, there is no such alternative, or a unit is in two splits.
    """
    splits = np.full(units, "", dtype="<U5")
    given = {name: mask for name, mask in masks.items() if mask is not None}
    for name, mask in given.items():
        chosen = _alternative(mask, units, number, name, where)
        twice = np.flatnonzero(chosen & (splits != ""))
        if len(twice):
            raise DataError(f"{where}: unit {twice[0]} is in two splits, {splits[twice[0]]} and {name}; correct the masks")
        splits[chosen] = name
    return splits if given else None


def _alternative(mask: np.ndarray, units: int, number: int, name: str, where: str) -> Shaped[np.ndarray, "units"]:
    if mask.ndim == 2 and mask.shape[0] != units:
        mask = mask.T
    if mask.shape[0] != units or mask.ndim > 2:
        raise DataError(
            f"{where}: the mask of split {name} has shape {mask.shape}; expected one value for each of {units} units"
        )
    if mask.ndim == 2 and number >= mask.shape[1]:
        raise DataError(f"data.split_number: {where} has {mask.shape[1]} splits; {number} should be below")
    return (mask if mask.ndim == 1 else mask[:, number]).astype(bool)
