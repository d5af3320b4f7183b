"""What objectives need of the other processes: all units, one mean, one draw.

The rule that everything here keeps: the engine averages the processes' gradients (DDP), and after that average the
gradient equals that of one process on the joined batch. Two patterns follow from it.

- A loss of all units (`gather`, `total`): every process computes the same number. What reaches a process's own units
  is the sum of the processes' gradients, which the average then divides by their number.
- A mean over a process's own units or tokens (`mean`): the counts differ between processes, so the local sum is
  divided by the count of all and multiplied by the number of processes. Its value is this process's share of the
  mean; averaged over the processes, as the engine does with metrics, it is the mean.

Without a process group everything here is a no-op. Nothing reads from the device: the numbers of units are exchanged
between hosts, over gloo.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from manyviews.errors import UserError


def active() -> bool:
    """Whether a process group is up."""
    return dist.is_available() and dist.is_initialized()


def size() -> int:
    """Number of processes."""
    return dist.get_world_size() if active() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if active() else 0


def close() -> None:
    """Take the process group down, where one is up: its threads must have ended before the program does."""
    if active():
        _hosts.cache_clear()
        gc.collect()  # wrapped models refer to themselves and to the group, whose threads outlive it with them
        dist.destroy_process_group()


@lru_cache(maxsize=1)
def _hosts(world: dist.ProcessGroup) -> dist.ProcessGroup:
    """A group whose messages never touch the device; made once for each process group."""
    return world if dist.get_backend(world) == "gloo" else dist.new_group(backend="gloo")


def counts(count: int) -> list[int]:
    """`count` of every process, in the order of their ranks. Host to host: no device waits."""
    if not active():
        return [count]
    world = dist.group.WORLD
    assert world is not None
    numbers = [torch.zeros(1, dtype=torch.long) for _ in range(size())]
    dist.all_gather(numbers, torch.tensor([count]), group=_hosts(world))
    return [int(number) for number in numbers]


def anywhere(flags: Sequence[bool]) -> list[bool]:
    """Which of the flags are set on any process. Host to host: no device waits."""
    if not active():
        return list(flags)
    world = dist.group.WORLD
    assert world is not None
    joined = torch.tensor(flags, dtype=torch.uint8)
    dist.all_reduce(joined, dist.ReduceOp.MAX, group=_hosts(world))
    return [bool(flag) for flag in joined.tolist()]


def highest(numbers: Sequence[int]) -> list[int]:
    """The largest of all processes' numbers at each place, the same on every process. Host to host: no device waits."""
    joined = torch.tensor(numbers, dtype=torch.long)
    if active():
        world = dist.group.WORLD
        assert world is not None
        dist.all_reduce(joined, op=dist.ReduceOp.MAX, group=_hosts(world))
    return [int(number) for number in joined]


def meet() -> None:
    """Go on when all processes are here. Host to host: no device waits.

    Raises:
        UserError: One of them is gone.
    """
    if not active():
        return
    world = dist.group.WORLD
    assert world is not None
    try:
        dist.barrier(group=_hosts(world))
    except RuntimeError as error:
        raise UserError("another process of this run has ended; what it said tells why") from error


class _Gather(torch.autograd.Function):
    """Equal shapes of all processes, stacked; back goes the sum of what the processes say of this one's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(size())]
        dist.all_gather(parts, x)
        return torch.stack(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Not reduce_scatter, which gloo lacks in some of the torch versions that manyviews runs on.
        gradient = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient[rank()]


class _Total(torch.autograd.Function):
    """The sum over processes, forward and back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(x)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _Total.forward(ctx, gradients[0])


def gather(x: Shaped[Tensor, "units *rest"], each: Sequence[int] | None = None) -> Shaped[Tensor, "all *rest"]:
    """The units of all processes, in the order of their ranks; the gradient of its own units is the sum over processes.

    Args:
        x: This process's units. Their number may differ between processes, the other axes may not.
        each: Units of every process, where `counts` has been asked already.
    """
    if not active():
        return x
    each = counts(len(x)) if each is None else each
    behind = max(each) - len(x)
    parts: Tensor = _Gather.apply(F.pad(x, (0, 0) * (x.ndim - 1) + (0, behind)).contiguous())  # type: ignore[no-untyped-call]
    return torch.cat([part[:count] for part, count in zip(parts, each, strict=True)])


def total(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The sum over processes, the same on each; the gradient of its own part is the sum over processes too."""
    if not active():
        return x
    joined: Tensor = _Total.apply(x)  # type: ignore[no-untyped-call]
    return joined


def mean(values: Float[Tensor, "values"], weights: Shaped[Tensor, "values"] | None = None) -> Float[Tensor, ""]:
    """This process's share of the (weighted) mean of all processes' values; see the module's docstring.

    Zero where there are no values, or no weights but zeros, anywhere.

    Args:
        values: One for each of this process's units, tokens or entries.
        weights: Constants; a boolean mask chooses. A value of weight zero must still be finite.
    """
    weights = torch.ones_like(values) if weights is None else weights.to(values.dtype)
    count = weights.sum().detach()
    if active():
        dist.all_reduce(count)
    return (values * weights).sum() * size() / torch.where(count > 0, count, 1.0)


def average_(x: Float[Tensor, "*shape"]) -> None:
    """Put the mean over processes in its place, without gradient: what DDP does to gradients."""
    if active():
        dist.all_reduce(x)
        x /= size()


def broadcast(x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
    """Rank 0's `x`, on every process. Without gradient."""
    x = x.detach()
    if active():
        x = x.clone()
        dist.broadcast(x, src=0)
    return x
