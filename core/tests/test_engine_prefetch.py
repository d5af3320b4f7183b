"""Batches are copied to a GPU beside its work, each once, and none is written over while it is read."""

from __future__ import annotations

import pytest
import torch

from manyviews.engine.loader import on_device

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


class Counted:
    """A tensor and a sparse one; counts how often it is moved."""

    def __init__(self, number: int) -> None:
        self.x = torch.full((1 << 20,), float(number))
        self.sparse = torch.eye(3).to_sparse_csr() * number
        self.moves = 0

    def __len__(self) -> int:
        return 1

    def to(self, device: torch.device, non_blocking: bool = False) -> Counted:
        self.moves += 1
        there = Counted(0)
        there.x, there.sparse = self.x.to(device), self.sparse.to(device)
        return there


def test_what_a_kernel_reads_late_is_the_batch_that_it_was_given() -> None:
    device = torch.device("cuda", 0)
    work = torch.randn(4096, 4096, device=device)
    sums = []
    for batch in on_device((Counted(number) for number in range(20)), device):
        for _ in range(4):  # the device falls far behind the host
            work = (work @ work).clamp(-1, 1)
        sums.append(batch.x.sum() / len(batch.x) + 0 * work[0, 0] + batch.sparse.to_dense().sum())
        del batch
    assert torch.stack(sums).tolist() == [4.0 * number for number in range(20)]


def test_one_that_comes_again_is_moved_once() -> None:
    one, two = Counted(1), Counted(2)
    came = list(on_device([one, one, two, one], torch.device("cuda", 0)))
    assert (one.moves, two.moves) == (2, 1)
    assert came[0] is came[1] is not came[3]


def test_an_error_on_the_way_is_raised_where_the_batch_is_asked_for() -> None:
    class Broken(Counted):
        def to(self, device: torch.device, non_blocking: bool = False) -> Counted:
            raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        list(on_device([Counted(1), Broken(2)], torch.device("cuda", 0)))
