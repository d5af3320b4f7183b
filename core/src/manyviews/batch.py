"""What a loader hands to an encoder: samples collated together, in the form that the domain's encoder reads.

The core never looks inside a batch. It counts it, moves it to a device and passes it on.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, TypeVar, runtime_checkable

import torch

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Record = TypeVar("Record", bound=DataclassInstance)


@runtime_checkable
class Batch(Protocol):
    """Samples collated together. Any object with these two methods will do: no base class."""

    def __len__(self) -> int:
        """Number of samples B."""
        ...

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        """The same batch on another device; `self` where it is there already."""
        ...


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


OwnBatch: TypeAlias = Any
"""A batch of the domain's own class. Encoders and views of a domain name that class here; the core passes it through."""

OwnTruth: TypeAlias = Any
"""Labels in the form that their task reads: a tensor (classes of units, a label map), or anything with a tensor's `to`."""


@dataclass(frozen=True)
class Labelled:
    """A batch with its labels; itself a batch."""

    batch: OwnBatch
    truth: OwnTruth

    def __len__(self) -> int:
        return len(self.batch)

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        return moved(self, device, non_blocking)
