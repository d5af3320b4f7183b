"""A batch of any dataclass moves with all that lies on a device, and stays itself where nothing has to move."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from manyviews.batch import Labelled
from manyviews.lengths import Lengths
from manyviews.moving import constant, moved


@dataclass(frozen=True)
class Part:
    x: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device, non_blocking: bool = False) -> Part:
        return moved(self, device, non_blocking)


@dataclass(frozen=True)
class Whole:
    lengths: Lengths
    inner: Part
    rate: int
    absent: Tensor | None = None


def test_everything_moves_and_what_is_no_tensor_stays() -> None:
    whole = Whole(Lengths.of([2, 1]), Part(torch.ones(3)), 8000)
    there = moved(whole, torch.device("meta"))
    assert {there.lengths.tensor.device.type, there.inner.x.device.type} == {"meta"}
    assert (there.lengths.numbers, there.rate, there.absent) == ((2, 1), 8000, None)
    assert whole.inner.x.device.type == "cpu", "the batch that was given is as it was"


def test_what_is_there_already_is_the_same_object() -> None:
    whole = Whole(Lengths.of([2, 1]), Part(torch.ones(3)), 8000)
    assert moved(whole, torch.device("cpu")) is whole
    labelled = Labelled(Part(torch.ones(2)), torch.zeros(2))
    assert labelled.to(torch.device("cpu")) is labelled
    assert labelled.to(torch.device("meta")).truth.device.type == "meta"


def test_a_constant_is_the_tensor_of_its_numbers() -> None:
    made = constant([1, 2], torch.device("cpu"), torch.float64)
    assert (made.tolist(), made.dtype) == ([1.0, 2.0], torch.float64)
