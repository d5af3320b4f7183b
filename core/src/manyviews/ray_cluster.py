"""Work on several machines by Ray: embedding, and the trials of a sweep. What comes out is what one process gives.

The samples of an embedding are cut where batches are, so that every batch is the one that a single process has, and every
worker computes with as many threads as that would: the bytes are the same. A few stretches for each worker are under way at a
time, in the order of the samples.
"""

from __future__ import annotations

import importlib
import logging
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int

from manyviews.encoder import Encoder
from manyviews.errors import UserError
from manyviews.evaluate.embed import Form, device_of
from manyviews.export.export import Compute, embeddings
from manyviews.source import Source
from manyviews.writer import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

STRETCH = 8
"""Batches of a stretch."""
AHEAD = 2
"""Stretches under way for each worker."""


def connect() -> Any:
    """The `ray` module, on the cluster that is there (`RAY_ADDRESS`, or one on this machine), else on one of its own.

    Raises:
        UserError: Ray is not installed, or the cluster does not answer or start.
    """
    try:
        ray: Any = importlib.import_module("ray")  # no stubs, and not everywhere
    except ImportError:
        raise UserError("--engine ray: Ray is not installed; pip install 'manyviews[ray]'") from None
    try:
        ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # a node of one's own that is late raises no kind of its own
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(
            f"--engine ray: the cluster cannot be reached ({said})\n"
            "Ray gives a node that it starts here 30 seconds; on a busy machine start one before: ray start --head"
        ) from error
    return ray


class _Worker:
    """An encoder and its data in a process of Ray's."""

    def __init__(self, encoder: Encoder, source: Source, form: Form, batch_size: int, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.compute = embeddings(encoder.to(device), source, form, batch_size)

    def rows(self, samples: Int[np.ndarray, "samples"]) -> list[Rows] | UserError:
        """Of a stretch. What the user can mend is handed back, since Ray would wrap what is raised."""
        try:
            return list(self.compute(samples))
        except UserError as error:
            return error


def embeddings_on_ray(encoder: Encoder, source: Source, form: Form, batch_size: int) -> Compute:
    """The vectors of samples, or of their tokens, by all workers that the cluster has room for.

    A worker has as many CPUs as torch has threads here; on a GPU, one of those.
    """

    def compute(samples: Int[np.ndarray, "samples"]) -> Iterator[Rows]:
        stretches = np.split(samples, range(STRETCH * batch_size, len(samples), STRETCH * batch_size))
        if not len(samples):
            return
        ray = connect()
        device, threads = device_of(encoder), torch.get_num_threads()
        needs = {"num_gpus": 1} if device.type == "cuda" else {"num_cpus": threads}
        room = ray.cluster_resources().get("GPU" if device.type == "cuda" else "CPU", 0) // next(iter(needs.values()))
        if not room:
            raise UserError(f"--engine ray: the cluster has no room for a worker with {needs}")
        shared = ray.put(encoder.cpu()), ray.put(source)
        encoder.to(device)
        made = ray.remote(**needs)(_Worker)
        count = int(min(room, len(stretches)))
        workers = [made.remote(*shared, form, batch_size, device.type, threads) for _ in range(count)]
        try:
            yield from _in_order(ray, workers, stretches)
        finally:
            for worker in workers:
                ray.kill(worker)

    return compute


def _in_order(ray: Any, workers: Sequence[Any], stretches: Sequence[Int[np.ndarray, "samples"]]) -> Iterator[Rows]:
    under_way: deque[Any] = deque()
    for number, stretch in enumerate(stretches):
        under_way.append(workers[number % len(workers)].rows.remote(stretch))
        if len(under_way) > AHEAD * len(workers):
            yield from _got(ray, under_way.popleft())
    while under_way:
        yield from _got(ray, under_way.popleft())


def _got(ray: Any, reference: Any) -> list[Rows]:
    found: list[Rows] | UserError = ray.get(reference)
    if isinstance(found, UserError):
        raise found
    return found


def work_on_ray(folder: Path, workers: int) -> bool:
    """The trials of a sweep by so many workers, each with its share of the cluster's CPUs and, where there are any, a GPU; the
    folder is one that all machines see. False: a worker was ended by a signal."""
    from manyviews.sweep.worker import work

    ray = connect()
    resources = ray.cluster_resources()
    threads = max(1, int(resources.get("CPU", 1)) // workers)
    needs = {"num_cpus": threads, "num_gpus": 1 if resources.get("GPU") else 0, "max_retries": 0}

    def trials(folder: str, number: int) -> bool:
        torch.set_num_threads(threads)
        return work(Path(folder), number)

    remote = ray.remote(**needs)(trials)
    return all(ray.get([remote.remote(str(folder.resolve()), number) for number in range(workers)]))
