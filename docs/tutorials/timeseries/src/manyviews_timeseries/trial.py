"""Small series, on which all of this is checked and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from manyviews.demo import Demo
from manyviews.testing.trial import Trial

CLASSES = {"calm": 24, "busy": 12}
"""Class of a file -> steps of a cycle."""


def write(file: Path, steps: int, cycle: int, seed: int) -> None:
    """Load and price by the hour: a daily cycle, a slow drift, noise; the price follows the load three hours later."""
    random, time = np.random.default_rng(seed), np.arange(steps)
    drift = np.cumsum(random.normal(scale=0.03, size=steps))
    load = np.sin(2 * np.pi * (time + seed) / cycle) + drift + 0.2 * random.normal(size=steps)
    price = np.roll(load, 3) ** 2 + 0.1 * random.normal(size=steps)
    lines = [f"{hour},{a:.4f},{b:.4f}" for hour, a, b in zip(time, load, price, strict=True)]
    file.write_text("\n".join(["hour,load,price", *lines]) + "\n", encoding="utf-8")


def draw(folder: Path, *, files: int = 24, steps: int = 96) -> None:
    """A folder of series of two classes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        name, cycle = list(CLASSES.items())[number % len(CLASSES)]
        write(folder / f"{name}_{number:03}.csv", steps, cycle, number)


def classified(folder: Path) -> dict[str, Any]:
    """Files of two classes, two windows of each."""
    draw(folder)
    return {"data": {"source": "files", "path": str(folder), "window": 48, "stride": 48}}


def forecast(folder: Path) -> dict[str, Any]:
    """One long file, whose later values are predicted."""
    write(folder / "hours.csv", 600, 24, 0)
    data = {"source": "files", "path": str(folder / "hours.csv"), "window": 32, "stride": 8}
    return {"data": {**data, "forecast": "load", "ahead": 6}}


def demo(folder: Path) -> Demo:
    """`manyviews demo timeseries`."""
    file = folder / "hours.csv"
    write(file, 6000, 24, 0)
    data, train = (
        {"path": str(file), "stride": 4, "forecast": "load", "ahead": 6},
        {"steps": 200, "batch_size": 64, "threads": 1},
    )
    return Demo("timeseries/masked", f"6,000 hours of load and price, drawn into {file}", {"data": data, "train": train})


TRIAL = Trial(
    data={"classified": classified, "forecast": forecast},
    parts={"timeseries/transformer": {"width": 16, "depth": 1, "heads": 2, "patch": 4}},
)
