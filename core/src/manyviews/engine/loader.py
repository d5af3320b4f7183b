"""Which samples a step sees, in which order: a pure function of the seed and the step.

Batch i of a run is the same whatever the number of workers, of processes and of interruptions, so a resumed run goes
on exactly where the other one stopped, without any loader state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice

import numpy as np
import torch
from jaxtyping import Float, Int
from torch.utils.data import DataLoader, Dataset, Sampler

from manyviews.batch import Batch
from manyviews.engine.packing import pack
from manyviews.engine.prefetch import ahead
from manyviews.errors import DataError, UserError, keyed
from manyviews.shuffle import AT_ONCE, BlockwisePermutation, Permutation, blocks_of
from manyviews.source import Source
from manyviews.subset import Subset


@dataclass(frozen=True)
class Order:
    """The endless sequence of training batches.

    Each epoch is a permutation of `samples`, of which no more is held than a stretch of batches; a last, smaller batch is
    left out. With `blocks` (sizes of stored blocks) the blocks are shuffled, and their samples among `window` blocks at a
    time, so that each block is read once. With `cap`, batches hold `batch_size` samples at most and those whose `sizes` fit
    (see `packing`): epochs then differ in their number of batches, and one is held as a whole.
    """

    samples: Int[np.ndarray, "samples"] | Subset
    """In ascending order where there are blocks."""
    batch_size: int
    seed: int
    rank: int = 0
    world: int = 1
    blocks: Sequence[int] | None = None
    window: int = 16
    sizes: Float[np.ndarray, "samples"] | None = None
    """Size of each of `samples`."""
    cap: float | None = None

    def __post_init__(self) -> None:
        if self.cap is not None:
            self._check_cap(self.cap)
            return
        wanted = self.batch_size * self.world
        if wanted > len(self.samples):
            processes = f" x {self.world} processes" if self.world > 1 else ""
            raise UserError(
                f"train.batch_size: {self.batch_size}{processes} is more than the {len(self.samples)} training samples; "
                f"set train.batch_size to {max(len(self.samples) // self.world, 1)} or less"
            )

    def _check_cap(self, cap: float) -> None:
        if self.sizes is None:
            raise UserError("train.batch_total: this source does not say how large its samples are; leave it out")
        if self.sizes.max(initial=0) > cap:
            raise UserError(
                f"train.batch_total: {cap:g} is less than the largest sample, {self.sizes.max():g}; "
                "set it higher, or let the source cut long samples"
            )
        if not self._packed(0):
            raise UserError(
                f"train.batch_total: the training samples fill fewer batches than there are processes, {self.world}"
            )

    @cached_property
    def per_epoch(self) -> int:
        """Batches of an epoch; of the first one where they differ."""
        if self.cap is not None:
            return len(self._packed(0)) // self.world
        return len(self.samples) // (self.batch_size * self.world)

    def batches(self, start: int, stop: int) -> Iterator[Int[np.ndarray, "batch"]]:
        """Indices of batches `start` to `stop` (without), this process's share."""
        return self._fixed(start, stop) if self.cap is None else islice(self._varying(), start, stop)

    def _varying(self) -> Iterator[Int[np.ndarray, "batch"]]:
        """Packed epoch by epoch; to go on at a step, the epochs before it are packed again, which costs a sort each."""
        for epoch in count():
            yield from self._packed(epoch)[self.rank :: self.world]

    def _packed(self, epoch: int) -> list[Int[np.ndarray, "batch"]]:
        assert self.sizes is not None
        assert self.cap is not None
        order = self._epoch(epoch)[np.arange(len(self.samples))]
        batches = pack(
            order, self.sizes[order], self.batch_size, self.cap, np.random.default_rng([self.seed, epoch, 1]), self.world
        )
        return [self.samples[places] for places in batches]

    def _fixed(self, start: int, stop: int) -> Iterator[Int[np.ndarray, "batch"]]:
        """Of an epoch's permutation a stretch is computed at a time."""
        everyone, together = self.batch_size * self.world, max(AT_ONCE // self.batch_size, 1)
        for epoch in range(start // self.per_epoch, -(-stop // self.per_epoch)):
            order, before = self._epoch(epoch), epoch * self.per_epoch
            end = min(stop - before, self.per_epoch)
            for first in range(max(start - before, 0), end, together):
                last = min(first + together, end)
                places = np.arange(first * everyone + self.rank, last * everyone, self.world)
                yield from self.samples[order[places]].reshape(-1, self.batch_size)

    def _epoch(self, epoch: int) -> Permutation | BlockwisePermutation:
        """Of the places of `samples`."""
        seeds = [self.seed, epoch]
        if self.blocks is None:
            return Permutation(len(self.samples), np.random.default_rng(seeds))
        return BlockwisePermutation(blocks_of(self.samples, np.asarray(self.blocks)), self.window, seeds)


Reader = Callable[[int, Int[np.ndarray, "batch"]], Batch]
"""Reads the samples of these indices, which are the run's batch of this number: chance in reading is a function of that. It may
be called in a worker process, so it is picklable."""


@dataclass(frozen=True)
class Samples:
    """Batches as the source gives them, the same whichever number they have."""

    source: Source

    def __call__(self, number: int, index: Int[np.ndarray, "batch"]) -> Batch:
        return self.source.batch(index)


def read(reader: Reader, order: Order, start: int, stop: int, workers: int) -> Iterator[Batch]:
    """Batches `start` to `stop` of the order, read by this process or by `workers` of their own.

    Raises:
        DataError: Something was found wrong with the data as they were read; the same from a worker as from this process.
    """
    with keyed("data"):
        if not workers:
            yield from (reader(number, index) for number, index in _numbered(order, start, stop))
            return
        loader = DataLoader(
            _Batches(reader),
            sampler=_Numbers(order, start, stop),
            batch_size=None,
            num_workers=workers,
            generator=torch.Generator().manual_seed(order.seed),  # a loader without one draws from the global stream
        )
        for batch in loader:
            if isinstance(batch, _Refusal):
                raise batch.error()
            yield batch


def on_device(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches, moved. One that comes again, the very same object (a source that is a single graph), is moved once."""
    if device.type == "cuda":
        yield from ahead(batches, device)
        return
    before = moved = None
    for batch in batches:
        if moved is None or batch is not before:
            before, moved = batch, batch.to(device)
        yield moved


@dataclass(frozen=True)
class _Refusal:
    """An error on its way from a worker: raised there, it would come back with a traceback for its message."""

    message: str
    of_data: bool

    def error(self) -> UserError:
        return DataError(self.message) if self.of_data else UserError(self.message)


_Asked = tuple[int, Int[np.ndarray, "batch"]]


def _numbered(order: Order, start: int, stop: int) -> Iterator[_Asked]:
    return zip(count(start), order.batches(start, stop), strict=False)


class _Batches(Dataset[Batch | _Refusal]):
    """A reader, asked for whole batches."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def __getitem__(self, asked: _Asked) -> Batch | _Refusal:
        try:
            return self.reader(*asked)
        except UserError as error:
            return _Refusal(str(error), isinstance(error, DataError))


class _Numbers(Sampler[_Asked]):
    """The number and the indices of each batch, in the shape that a DataLoader takes them."""

    def __init__(self, order: Order, start: int, stop: int) -> None:
        self.order, self.start, self.stop = order, start, stop

    def __iter__(self) -> Iterator[_Asked]:
        return _numbered(self.order, self.start, self.stop)

    def __len__(self) -> int:
        return self.stop - self.start
