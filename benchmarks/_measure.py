"""What the benchmarks share: CPU time, since machines are shared, in turns, since their speed drifts; and where data lie."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median


def interleaved(works: Mapping[str, Callable[[int], None]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds (all threads of this process) of each piece of work in each round.

    Every round does all of them once, forwards and backwards by turns, so that what drifts meets all alike.

    Args:
        works: Each is told the number of the round.
        rounds: How often each is done.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        for name in list(works)[:: -1 if number % 2 else 1]:
            begun = time.process_time()
            works[name](number)
            seconds[name].append(time.process_time() - begun)
    return seconds


def ratio(slower: list[float], faster: list[float]) -> float:
    """How many times longer the first took: the median over rounds."""
    return median(one / two for one, two in zip(slower, faster, strict=True))


def shared_data(*parts: str) -> Path:
    """A path below the folder of real data: `MANYVIEWS_DATA`, or `shared/data` beside the checkout. Nothing need be there."""
    beside = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    return Path(os.environ.get("MANYVIEWS_DATA", beside)).joinpath(*parts)
