"""What a loader hands to an encoder: samples collated together, in the form that the domain's encoder reads.

The core never looks inside a batch. It counts it, moves it to a device and passes it on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeAlias, runtime_checkable

import torch

from manyviews.moving import moved


@runtime_checkable
class Batch(Protocol):
    """Samples collated together. Any object with these two methods will do: no base class."""

    def __len__(self) -> int:
        """Number of samples B."""
        ...

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        """The same batch on another device; `self` where it is there already."""
        ...


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
