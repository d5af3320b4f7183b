"""What probes are to predict, from whatever a file holds: classes or numbers, never an input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Shaped

from manyviews.errors import DataError
from manyviews.source import Labels

TargetKind = Literal["auto", "classification", "regression"]
MOST_CLASSES = 20
"""Numbers with a point of up to so many different whole values are classes where the kind is `auto`."""
LABEL_NAMES = ("label", "labels", "y", "class", "target")
"""Columns and attributes of such a name are taken for what probes predict where nobody says what that is."""
FEWEST = 10
"""Whole numbers of more values than that are classes only if a value has so many nodes or graphs on average."""


def named_like_labels(names: Iterable[Any], features: Iterable[Any] | None, values: Callable[[str], np.ndarray]) -> str | None:
    """The one that is taken for what probes predict, for its name: an input it must not be unasked.

    Args:
        names: Of columns or attributes that nothing is said of.
        features: Those that are asked for as features.
        values: Of a name. Text that hardly comes again names things, as the labels of drawing programs do.
    """
    lower = {name.lower(): name for name in names if isinstance(name, str) and name not in (features or ())}
    found = next((lower[name] for name in LABEL_NAMES if name in lower), None)
    if found is None:
        return None
    column = values(found)
    text = column.dtype.kind in "OUS"
    return None if text and 2 * len(set(column.tolist())) > len(column) else found


def said_of(name: str) -> str:
    """What is said of it."""
    return f"{name!r} is taken for what probes predict, and so is no feature; data.target or data.attributes say otherwise"


def labels_of(
    name: str,
    values: Shaped[np.ndarray, "units"],
    where: str,
    kind: TargetKind = "auto",
    *,
    classes: Sequence[str] | None = None,
    unlabelled: int | None = -1,
) -> Labels:
    """Classes, sorted, or numbers. Text and whole numbers that come again and again are classes, unless `kind` says otherwise.

    Args:
        name: What messages and tables call it.
        values: One for each node or graph. No value (None, NaN, "") is: not labelled.
        where: The file, for messages.
        kind: `auto` goes by the type.
        classes: The name of each class number, where the data bring them.
        unlabelled: The number that says the same; None where every number is a class.

    Raises:
        DataError: A value is no number, or no class that there is a name for.
    """
    if values.dtype.kind in "OUS":
        return _of_text(name, values, where, kind)
    if kind == "regression" or (kind == "auto" and classes is None and not _are_classes(values)):
        return _numbers(name, values.astype(np.float64), where)
    known = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(len(values), dtype=bool)
    if unlabelled is not None:
        known &= values != unlabelled
    return _of_numbers(name, values, known, where, classes)


def _of_text(name: str, values: Shaped[np.ndarray, "units"], where: str, kind: TargetKind) -> Labels:
    known = np.array([value is not None and value == value and value != "" for value in values.tolist()], dtype=bool)
    text = np.where(known, values, "").astype(str)
    if kind != "regression":
        names, codes = np.unique(text[known], return_inverse=True)
        return Labels(name, "classification", _spread(codes, known), tuple(names.tolist()))
    try:
        return _numbers(name, np.where(known, text, "nan").astype(np.float64), where)
    except ValueError as error:
        raise DataError(f"{where}: the target {name!r} is to be a number, and holds something else ({error})") from error


def _numbers(name: str, values: Shaped[np.ndarray, "units"], where: str) -> Labels:
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise DataError(f"{where}: the target {name!r} is infinite at {infinite[0]}; leave the value out where there is none")
    return Labels(name, "regression", values)


def _of_numbers(
    name: str,
    values: Shaped[np.ndarray, "units"],
    known: Bool[np.ndarray, "units"],
    where: str,
    classes: Sequence[str] | None,
) -> Labels:
    if classes is not None:
        _check_range(name, values, known, where, len(classes))
        return Labels(name, "classification", np.where(known, values, -1).astype(np.int64), tuple(classes))
    found, codes = np.unique(values[known], return_inverse=True)
    names = tuple(str(int(value)) if value == int(value) else str(value) for value in found.tolist())
    return Labels(name, "classification", _spread(codes, known), names)


def _check_range(
    name: str, values: Shaped[np.ndarray, "units"], known: Bool[np.ndarray, "units"], where: str, classes: int
) -> None:
    wrong = np.flatnonzero(known & ((values < 0) | (values >= classes)))
    if len(wrong):
        raise DataError(
            f"{where}: {name!r} of unit {wrong[0]} is {values[wrong[0]]}, and there are {classes} classes, 0 to {classes - 1}\n"
            "Correct it; -1 means that it is not labelled."
        )


def _spread(codes: Shaped[np.ndarray, "known_units"], known: Bool[np.ndarray, "units"]) -> Shaped[np.ndarray, "units"]:
    values = np.full(len(known), -1, dtype=np.int64)
    values[known] = codes
    return values


def _are_classes(values: Shaped[np.ndarray, "units"]) -> bool:
    if values.dtype.kind == "b":
        return True
    found = np.unique(values[~np.isnan(values)]) if values.dtype.kind == "f" else np.unique(values)
    if values.dtype.kind == "f":
        return len(found) <= MOST_CLASSES and bool((found == np.round(found)).all())
    return len(found) <= MOST_CLASSES or len(values) >= FEWEST * len(found)


def single_column(name: str, values: np.ndarray) -> tuple[Shaped[np.ndarray, "units"] | None, tuple[str, ...]]:
    """The values as one column; None, and a note, where there are several: a probe predicts one, pretraining needs none."""
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 1:
        return values, ()
    return None, (f"labels {name!r} of shape {values.shape} are left out: probes predict one value; keep one column for that",)
