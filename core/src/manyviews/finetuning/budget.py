"""Which labels may be used: a number of units or a share of them, whole groups where the data have groups."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from manyviews.downstream import LabelledUnits
from manyviews.errors import UserError
from manyviews.evaluate.stratify import stratified_order


def draw_labels(units: LabelledUnits, budget: int | float, subset: int) -> Int[np.ndarray, "chosen"]:
    """Training units within `budget`, the same every time. Of one `subset` a smaller budget is a part of a larger one.

    Where there are groups (patients, scenes, speakers) these are counted, and come whole. Otherwise units come in proportion to
    their classes, one of each class before a second of any.

    Args:
        units: All units.
        budget: A whole number, or a share (1.0: all).
        subset: Seed of the draw.

    Raises:
        UserError: There are fewer; or none.
    """
    train = units.rows("train")
    if not len(train):
        raise UserError("labels: no training unit is labelled; see `data.splits` and the data's labels")
    names, owners = (train, train) if units.groups is None else _groups(units, train)
    what = "labelled training units" if units.groups is None else "groups with labelled training units"
    count = budget if isinstance(budget, int) else max(1, round(budget * len(names)))
    if count > len(names):
        counted = "" if units.groups is None else "; where the data have groups (`data.group`), groups are counted"
        raise UserError(f"labels: {budget} asked for, and there are {len(names)} {what}{counted}")
    if count == len(names):
        return train
    generator = np.random.default_rng([subset, len(names)])
    if units.groups is None and units.strata is not None:
        order = stratified_order(units.strata[train], generator, each_first=True)
    else:
        order = generator.permutation(len(names))
    return train[np.isin(owners, names[order[:count]])]


def _groups(units: LabelledUnits, train: Int[np.ndarray, "train"]) -> tuple[np.ndarray, np.ndarray]:
    assert units.groups is not None
    owners = units.groups[train]
    return np.unique(owners), owners
