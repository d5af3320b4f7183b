"""From device to device: batches, and numbers that the host knows, without making it wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Shaped
from torch import Tensor

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Record = TypeVar("Record", bound=DataclassInstance)


@runtime_checkable
class Movable(Protocol):
    """What lies on a device: tensors, lengths, batches."""

    def to(self, device: torch.device, non_blocking: bool = False) -> Any:
        """The same on another device; `self` where it is there already."""
        ...


def moved(record: Record, device: torch.device, non_blocking: bool = False) -> Record:
    """A dataclass with all of its fields that can be moved on `device`; the very same object where they are there already.

    What a batch's `to` is, where the batch is a dataclass.
    """
    given = {field.name: getattr(record, field.name) for field in fields(record)}
    parts = {name: part.to(device, non_blocking=non_blocking) for name, part in given.items() if isinstance(part, Movable)}
    return replace(record, **parts) if any(part is not given[name] for name, part in parts.items()) else record


def sent(tensor: Shaped[Tensor, "*shape"], device: torch.device) -> Shaped[Tensor, "*shape"]:
    """A tensor from the host to a device. To CUDA out of pinned memory, since any other copy waits for the device."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def constant(numbers: Sequence[Any], device: torch.device, dtype: torch.dtype | None = None) -> Shaped[Tensor, "*shape"]:
    """`torch.tensor(numbers, device=device)`, which on CUDA would wait for the device, in the middle of a step."""
    return sent(torch.tensor(numbers, dtype=dtype), device)


def taken(x: Shaped[Tensor, "*shape"], axis: int, numbers: Sequence[int]) -> Shaped[Tensor, "*taken"]:
    """`x` at these places of an axis, in this order. With a list for an index CUDA would make the host wait."""
    if list(numbers) == list(range(x.shape[axis])):
        return x
    return x.index_select(axis, constant(list(numbers), x.device, torch.long))
