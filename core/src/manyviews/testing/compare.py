"""Are two objects of any class the same, tensor by tensor? Batches, views and specs are classes of the domains' own."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


def difference(one: Any, two: Any, where: str = "it") -> str | None:
    """The first place where two objects differ, in words; None where they are the same. NaN equals NaN."""
    if type(one) is not type(two):
        return f"{where} is a {type(one).__name__}, then a {type(two).__name__}"
    if isinstance(one, (Tensor, np.ndarray)):
        return None if _equal(one, two) else f"{where} differs"
    inside, other = dict(_parts(one)), dict(_parts(two))
    if inside.keys() != other.keys():
        return f"{where} has other parts"
    found = (difference(part, other[key], f"{where}{key}") for key, part in inside.items())
    if inside:
        return next(filter(None, found), None)
    return None if one is two or bool(one == two) else f"{where} differs"


def copied(value: Any) -> Any:
    """A deep copy; tensors are cloned, since sparse ones know no other."""
    return copy.deepcopy(value, {id(tensor): tensor.clone() for tensor in tensors(value)})


def tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor inside an object."""
    if isinstance(value, Tensor):
        yield value
    elif not isinstance(value, np.ndarray):
        for _, part in _parts(value):
            yield from tensors(part)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Elements, values or attributes, with how they are written."""
    if isinstance(value, Mapping):
        yield from ((f"[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{place}]", part) for place, part in enumerate(value))
    elif is_dataclass(value) and not isinstance(value, type):  # without what was derived from the fields and cached beside them
        yield from ((f".{field.name}", getattr(value, field.name)) for field in fields(value) if field.compare)
    elif not isinstance(value, type) and hasattr(value, "__dict__"):
        yield from ((f".{key}", part) for key, part in vars(value).items())


def _equal(one: Any, two: Any) -> bool:
    if isinstance(one, np.ndarray):
        return one.shape == two.shape and bool(np.array_equal(one, two, equal_nan=one.dtype.kind == "f"))
    if one.layout is not torch.strided:
        one, two = one.to_dense(), two.to_dense()
    if one.shape != two.shape or one.dtype != two.dtype:
        return False
    return bool(((one == two) | (one.isnan() & two.isnan())).all())
