"""Labels out of text: columns of manifests, names of folders, attributes of points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from manyviews.errors import DataError
from manyviews.source import Labels

TextKind = Literal["classes", "numbers"]
"""What texts are: names of classes, or numbers to regress on."""
UNKNOWN = ("", "n/a", "N/A", "NA", "nan", "NaN")
"""How files say that nothing is known (BIDS: `n/a`)."""


def labels_of_text(name: str, texts: Sequence[str], kind: TextKind, where: Callable[[int], str] = lambda number: "") -> Labels:
    """The label of each unit; classes in the order of their numbers, then of their names.

    Args:
        name: What the labels are called.
        texts: One for each unit; one of `UNKNOWN`: unlabelled.
        kind: What they are.
        where: The place of a unit, for messages (`scans.csv, row 3`); empty: not said.

    Raises:
        DataError: A text is to be a number and is none.
    """
    if kind == "numbers":
        return Labels(name, "regression", np.array([_number(name, text, number, where) for number, text in enumerate(texts)]))
    classes = tuple(sorted(set(texts) - set(UNKNOWN), key=_order))
    place = {text: number for number, text in enumerate(classes)}
    return Labels(name, "classification", np.array([place.get(text, -1) for text in texts], dtype=np.int64), classes)


def _number(name: str, text: str, number: int, where: Callable[[int], str]) -> float:
    try:
        return float("nan") if text in UNKNOWN else float(text)
    except ValueError as error:
        begin = f"{where(number)}: " if where(number) else ""
        raise DataError(f"{begin}the target {name!r} is to be a number, and one is {text!r}") from error


def _order(text: str) -> tuple[bool, float, str]:
    """Numbers by their value, before words."""
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text
