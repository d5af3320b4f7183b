"""One setting for all CPU threads: torch's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]


@contextmanager
def torch_threads() -> Iterator[None]:
    """Hold numpy's, scipy's and scikit-learn's BLAS and OpenMP pools to as many threads as torch uses.

    They size themselves by the machine; on a shared one that oversubscribes it and can be many times slower.
    """
    with threadpool_limits(limits=torch.get_num_threads()):
        yield
