"""What a run shares with the program around it: torch's global generators (dropout's), threads, how products are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from manyviews.recipe.model import Train


@contextmanager
def own_generators(device: torch.device) -> Iterator[None]:
    """The global generators of the CPU and of `device` are the run's inside, and the caller's again behind it."""
    with torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=device.type):
        yield


@contextmanager
def own_settings(train: Train) -> Iterator[None]:
    """CPU threads and the arithmetic of float32 products as the recipe says inside, and the caller's again behind it."""
    threads, products = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(train.threads or threads)
    torch.set_float32_matmul_precision("high" if train.precision == "tf32" else products)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(products)


def seeding(device: torch.device) -> Callable[[int], object]:
    """A function that seeds the global generators of the CPU and of `device`, and no others.

    `torch.manual_seed` looks for every kind of accelerator that there is; its 140 us would be paid at every batch.
    """
    cpu = torch.default_generator.manual_seed
    if device.type == "cpu":
        return cpu
    accelerator: Callable[[int], object] = torch.get_device_module(device).manual_seed
    return lambda seed: (cpu(seed), accelerator(seed))
