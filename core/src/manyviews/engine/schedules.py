"""Values that change over a run, as pure functions of the step: nothing to save, nothing to restore."""

from __future__ import annotations

import math
from typing import Literal


def learning_rate(
    step: int,
    steps: int,
    *,
    peak: float,
    final: float,
    warmup: int,
    decay: int,
    schedule: Literal["warmup_cosine", "infinite", "constant"],
) -> float:
    """The rate of step `step` (from 0) of `steps`.

    `warmup_cosine`: linear rise from 0, then half a cosine to `final` (Loshchilov & Hutter 2017).
    `infinite`: linear rise, then constant, then, over the last `decay` steps if any, linear to `final`: a run that
    may be continued for ever from any step before the decay (warm-up, stable, decay; Hu et al. 2024).
    `constant`: linear rise, then constant.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "warmup_cosine":
        return cosine(peak, final, (step - warmup) / max(steps - warmup, 1))
    if schedule == "infinite" and step >= steps - decay:
        return peak + (final - peak) * (step - (steps - decay) + 1) / decay
    return peak


def cosine(start: float, end: float, share: float) -> float:
    """Half a cosine from `start` (share 0) to `end` (share 1)."""
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def linear(start: float, end: float, share: float) -> float:
    """A straight line from `start` (share 0) to `end` (share 1)."""
    return start + (end - start) * min(share, 1.0)


def momentum(start: float, end: float, share: float, schedule: Literal["linear", "cosine", "constant"]) -> float:
    """The teacher's EMA momentum after `share` of the run (BYOL: cosine; I-JEPA: linear)."""
    if schedule == "constant":
        return start
    return (linear if schedule == "linear" else cosine)(start, end, share)
