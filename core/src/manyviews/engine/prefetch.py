"""Batches on their way to a GPU while it computes.

A copy out of ordinary memory, put into the stream that computes, makes the host wait for all work that stands in the stream
before it: once a step. So a thread copies the next batch in a stream of its own. Nothing is asked of a batch for that
but its `to`: which tensors were made by it, and are to be kept while the computing stream reads them, is seen from outside.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from manyviews.batch import Batch


def ahead(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches on a CUDA device, each copied while the one before it is worked on.

    One that comes again, the very same object (a source that is a single graph), is moved once.
    """
    side, computing = torch.cuda.Stream(device), torch.cuda.current_stream(device)  # type: ignore[no-untyped-call]
    before: Batch | None = None
    moved: Future[Batch]
    coming: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(1, "manyviews-copy") as pool:
        for batch in batches:
            if batch is not before:
                before, moved = batch, pool.submit(_copy, batch, device, side, computing)
            coming.append(moved)
            if len(coming) > 1:
                yield coming.popleft().result()
        yield from (copied.result() for copied in coming)


def _copy(batch: Batch, device: torch.device, side: torch.cuda.Stream, computing: torch.cuda.Stream) -> Batch:
    with torch.cuda.stream(side), _Made() as made:
        moved = batch.to(device)
    side.synchronize()
    for tensor in made.tensors:  # or the next batch would be written where kernels still read this one
        for part in _stored(tensor):
            part.record_stream(computing)
    return moved


class _Made(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the CUDA tensors that operations give."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tensors: list[Tensor] = []

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = func(*args, **(kwargs or {}))
        several = given if isinstance(given, list | tuple) else [given]
        self.tensors += [one for one in several if isinstance(one, Tensor) and one.is_cuda]
        return given


def _stored(tensor: Tensor) -> tuple[Tensor, ...]:
    """The dense tensors that a tensor is stored in."""
    if tensor.layout == torch.sparse_csr:
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    if tensor.layout == torch.sparse_coo:
        return tensor._indices(), tensor._values()
    return (tensor,)
