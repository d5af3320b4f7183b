"""Where samples come from: windows of CSV files, one row a step, one column a channel.

What probes predict is a channel's value some steps behind the window (forecasting), or the class of the file that the window is
of: what stands before the first `_` of the file's name.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from manyviews.errors import DataError
from manyviews.lengths import Lengths
from manyviews.moving import moved
from manyviews.source import Labels, Source, Spec
from manyviews.splits import check_shares, draw_splits

SHARES = {"valid": 0.1, "test": 0.2}


@dataclass(frozen=True)
class TimeseriesBatch:
    """Windows of one length, as they are stored."""

    values: Float[Tensor, "samples steps channels"]

    def __len__(self) -> int:
        return len(self.values)

    def to(self, device: torch.device, non_blocking: bool = False) -> TimeseriesBatch:
        return moved(self, device, non_blocking)

    def spread(self, each: Float[Tensor, "samples"]) -> Tensor:
        """A number of each sample, beside all of its `values`."""
        return each[:, None, None]

    def sample(self, number: int) -> Float[Tensor, "steps channels"]:
        """One window, as it is drawn."""
        return self.values[number]


class TimeseriesSpec(Spec):
    """What encoders and views must know of the data. Fitted on training windows, stored with every checkpoint."""

    window: int
    stride: int
    channels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class TimeseriesSource(Source):
    """Windows of the CSV files in a folder, or of one file. Text columns (dates) are left out.

    Args:
        path: The folder or the file.
        window: Steps of a window.
        stride: Steps from one window to the next.
        forecast: Channel whose later value probes predict; null: the file's class, where names say one.
        ahead: How many steps behind the window's end that value stands.
        splits: Shares that validate and test. Of one file the last windows; of several, whole files of each class.
        seed: Of the draw of files.
    """

    def __init__(
        self,
        *,
        path: str,
        window: PositiveInt = 96,
        stride: PositiveInt = 24,
        forecast: str | None = None,
        ahead: PositiveInt = 24,
        splits: Mapping[str, float] = SHARES,
        seed: NonNegativeInt = 0,
        spec: TimeseriesSpec | None = None,
    ) -> None:
        check_shares(splits)
        self.window, self.stride = (spec.window, spec.stride) if spec else (window, stride)
        self.ahead = ahead if forecast is not None else 0
        self.names, self.files, self.series = _read_all(Path(path))
        if spec and spec.channels != self.names:
            raise DataError(f"{path}: channels {', '.join(self.names)}; the encoder was trained on {', '.join(spec.channels)}")
        if forecast is not None and forecast not in self.names:
            raise DataError(f"data.forecast: there is no channel {forecast!r}; there are {', '.join(self.names)}")
        self.target, self.shares, self.seed = forecast, splits, seed
        need = self.window + self.ahead
        starts = [np.arange(0, len(one) - need + 1, self.stride) for one in self.series]
        self.owners = np.repeat(np.arange(len(starts)), [len(each) for each in starts])
        self.starts = np.concatenate(starts)
        if not len(self.starts):
            raise DataError(f"{path}: no file has {need} steps, as a window and what is predicted need")
        self.spec = spec or self._fitted()

    def __len__(self) -> int:
        return len(self.starts)

    def batch(self, index: Int[np.ndarray, "samples"]) -> TimeseriesBatch:
        places = zip(self.owners[index], self.starts[index], strict=True)
        return TimeseriesBatch(torch.from_numpy(np.stack([self.series[o][s : s + self.window] for o, s in places])))

    @cached_property
    def _splits(self) -> Shaped[np.ndarray, "samples"]:
        if len(self.series) > 1:
            files = draw_splits(np.full(len(self.files), "train"), self.shares, self._classes[0], None, self.seed)
            return files[self.owners]
        test = 1 - self.shares.get("test", 0.0)
        cuts = {"valid": test - self.shares.get("valid", 0.0), "test": test}
        found, ends = np.full(len(self), "train"), self.starts + self.window + self.ahead
        for name, share in cuts.items():  # of one file the later part; no earlier window, or what it predicts, reaches into it
            found[ends > share * len(self.series[0])] = name
        return found

    def splits(self) -> Shaped[np.ndarray, "samples"]:
        return self._splits

    def groups(self) -> Shaped[np.ndarray, "samples"] | None:
        return self.owners if len(self.series) > 1 else None

    @property
    def _classes(self) -> tuple[Int[np.ndarray, "files"], tuple[str, ...]]:
        names = [file.stem.partition("_")[0] if "_" in file.stem else "" for file in self.files]
        known = sorted(set(names) - {""})
        return np.array([known.index(name) if name else -1 for name in names]), tuple(known)

    def labels(self) -> Labels | None:
        if self.target is not None:
            column, ends = self.names.index(self.target), self.starts + self.window - 1 + self.ahead
            values = [self.series[owner][end, column] for owner, end in zip(self.owners, ends, strict=True)]
            return Labels(f"{self.target} in {self.ahead} steps", "regression", np.array(values, dtype=np.float64))
        classes, known = self._classes
        return Labels("class", "classification", classes[self.owners], known) if len(known) > 1 else None

    def features(self, index: Int[np.ndarray, "samples"]) -> Float[np.ndarray, "samples features"]:
        """The window itself: a linear model on it is the baseline that a forecaster has to beat."""
        return self.batch(index).values.flatten(1).numpy()

    def caption(self, sample: int) -> str:
        """What tells a sample from others, beside its picture."""
        return f"{self.files[self.owners[sample]].name} from step {self.starts[sample]}"

    def fingerprint(self) -> Mapping[str, Any]:
        return {"files": len(self.files), "bytes": sum(file.stat().st_size for file in self.files), "windows": len(self)}

    def _fitted(self) -> TimeseriesSpec:
        values = self.batch(np.flatnonzero(self._splits == "train")).values.flatten(0, 1).double()
        std = values.std(0, correction=0)
        std = torch.where(std > 0, std, 1.0)
        mean = tuple(values.mean(0).tolist())
        return TimeseriesSpec(window=self.window, stride=self.stride, channels=self.names, mean=mean, std=tuple(std.tolist()))


def examine(path: Path) -> list[str] | None:
    """What is wrong with the files; None where `path` is no folder of CSV files. `manyviews doctor` asks this."""
    if not path.is_dir() or not any(path.glob("*.csv")):
        return None  # a single CSV may be anybody's table
    try:
        _read_all(path)
    except DataError as error:
        return [" ".join(str(error).splitlines())]
    return []


def _read_all(path: Path) -> tuple[tuple[str, ...], list[Path], list[Float[np.ndarray, "steps channels"]]]:
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: no .csv files in it")
    read = [_read(file) for file in files]
    names = read[0][0]
    for file, (own, _) in zip(files, read, strict=True):
        if own != names:
            raise DataError(f"{file}: channels {', '.join(own)}; {files[0].name} has {', '.join(names)}")
    return names, files, [values for _, values in read]


def _read(file: Path) -> tuple[tuple[str, ...], Float[np.ndarray, "steps channels"]]:
    with file.open(newline="", encoding="utf-8") as opened:
        header, *rows = list(csv.reader(opened)) or [[]]
    columns = [place for place in range(len(header)) if rows and _number(rows[0][place]) is not None]
    if not columns:
        raise DataError(f"{file}: no columns of numbers; expected a header and a row for each step")
    values = np.empty((len(rows), len(columns)), dtype=np.float32)
    for number, row in enumerate(rows):
        for place, column in enumerate(columns):
            value = _number(row[column]) if column < len(row) else None
            if value is None:
                raise DataError(
                    f"{file}: line {number + 2}, {header[column]} has no number; interpolate it, or cut the file there"
                )
            values[number, place] = value
    return tuple(header[column] for column in columns), values


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def windows(batch: TimeseriesBatch, patches: int) -> Lengths:
    """Tokens of each window: `patches` of every channel."""
    return Lengths.equal(len(batch), patches * batch.values.shape[2], batch.values.device)
