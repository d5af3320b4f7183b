"""The readings of a run as small charts, one for each metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from manyviews.look.style import SERIES
from manyviews.report.svg import axes_of, inline
from manyviews.track.journal import Entry

MOST_POINTS = 300
"""Of a line; beyond, it is drawn through the means of so many stretches."""
LEAST = 0.02
"""Of the size of its readings, a chart's height at least."""
GROUPS = {"train": "Training", "watch": "Signs of collapse", "eval": "Evaluation during training", "result": "Result"}
"""First part of a metric's name -> what such metrics are about, in the order of the page."""
TITLES = {
    "train/lr": "learning rate",
    "train/data_wait": "share of the time spent waiting for data",
    "train/samples_per_second": "samples a second",
    "train/grad_norm": "norm of the gradient",
    "watch/effective_rank": "effective rank",
    "watch/centred_rank": "effective rank of what varies",
    "watch/spread": "spread of a dimension, on average",
}
"""What is read in every run, in words; other metrics are called by their names."""


@dataclass
class Series:
    """The readings of one metric."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


def series_of(entries: Iterable[Entry]) -> dict[str, Series]:
    """The finite readings of each metric, in the order of their steps."""
    found: dict[str, Series] = {}
    for entry in entries:
        for name, value in entry.metrics.items():
            if math.isfinite(value):
                one = found.setdefault(name, Series())
                one.steps.append(entry.step)
                one.values.append(value)
    return found


def charts(series: Mapping[str, Series], group: str) -> list[tuple[str, str]]:
    """(name, chart) of the metrics of a group that were read more than once, the loss first; deviations are left out."""
    names = [name for name, one in series.items() if name.startswith(f"{group}/") and len(one.steps) > 1]
    names = sorted((name for name in names if not name.endswith("_std")), key=lambda name: (name != "train/loss", name))
    return [(title(name), chart(name, series[name])) for name in names]


def title(name: str) -> str:
    """What stands above a metric's chart; a task's only metric is not said twice (`effective_rank/effective_rank`)."""
    if name in TITLES:
        return TITLES[name]
    first, _, second = name.partition("/")[2].partition("/")
    return first if second in ("", first) else f"{first}/{second}"


def chart(name: str, one: Series) -> str:
    """A line over steps."""
    steps, values = thinned(np.array(one.steps, dtype=np.float64), np.array(one.values))
    with axes_of(2.5, 1.4) as axes:
        axes.plot(steps, values, color=SERIES[0], linewidth=1.2)
        axes.set_xlabel("step", labelpad=1)
        axes.grid(alpha=0.25, linewidth=0.4)
        axes.margins(x=0.01)
        axes.ticklabel_format(axis="y", scilimits=(-2, 4), useOffset=False)
        axes.set_ylim(*wide_enough(*axes.get_ylim()))
        axes.figure.subplots_adjust(0.18, 0.23, 0.97, 0.9)
        return inline(axes.figure, name)  # type: ignore[arg-type]


def wide_enough(low: float, high: float) -> tuple[float, float]:
    """Limits that span `LEAST` of what they lie at: less is rounding and noise, and its ticks have no room."""
    missing = LEAST * max(abs(low), abs(high)) - (high - low)
    return (low - missing / 2, high + missing / 2) if missing > 0 else (low, high)


def thinned(
    steps: Float[np.ndarray, "readings"], values: Float[np.ndarray, "readings"]
) -> tuple[Float[np.ndarray, "points"], Float[np.ndarray, "points"]]:
    """At most `MOST_POINTS` points, each the mean of a stretch."""
    if len(steps) <= MOST_POINTS:
        return steps, values
    cuts = np.linspace(0, len(steps), MOST_POINTS + 1).astype(int)[:-1]
    counts = np.diff([*cuts, len(steps)])
    return np.add.reduceat(steps, cuts) / counts, np.add.reduceat(values, cuts) / counts


def spectrum(x: Float[np.ndarray, "units width"]) -> str:
    """The singular values of centred embeddings, largest first, as shares of the largest."""
    values = np.linalg.svd(x - x.mean(0), compute_uv=False)
    values = values / max(values[0], np.finfo(values.dtype).tiny)
    with axes_of(2.5, 1.4) as axes:
        axes.plot(np.arange(1, len(values) + 1), np.maximum(values, 1e-6), color=SERIES[3], linewidth=1.2)
        axes.set_yscale("log")
        axes.set_xlabel("direction", labelpad=1)
        axes.grid(alpha=0.25, linewidth=0.4)
        axes.figure.subplots_adjust(0.18, 0.23, 0.97, 0.9)
        return inline(axes.figure, "spectrum")  # type: ignore[arg-type]
