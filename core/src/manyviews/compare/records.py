"""Runs to be compared: what each was made of and its last readings, from run folders or from an MLflow store."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manyviews.errors import UserError
from manyviews.track import journal, store
from manyviews.track.limits import clean_name
from manyviews.track.run_file import NAME, RunFile

MOST_RUNS = 5000
"""Of an experiment, read from a store."""
DATA_TAG = "manyviews.data"


@dataclass(frozen=True)
class Record:
    """A run."""

    name: str
    """Its folder, or its name in the store."""
    status: str
    started: int
    """Milliseconds since 1970."""
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    """Name -> last reading. Names as MLflow has them."""
    tags: Mapping[str, str]

    @property
    def domain(self) -> str:
        return self.params.get("domain", "?")

    @property
    def data(self) -> str:
        """Equal for equal data."""
        return self.tags.get(DATA_TAG, "?")

    @property
    def shown_data(self) -> str:
        """For people: the file's name, and the beginning of the fingerprint, since a name may stay when data change."""
        path = self.params.get("data.path", "")
        return f"{Path(path).name}@{self.data[:8]}" if path and path != "None" else self.data


def read_records(runs: Sequence[Path], parent: Path, *, experiment: str | None = None, uri: str | None = None) -> list[Record]:
    """The runs named, else those in a folder, else (with `experiment`) those of an experiment in MLflow; the oldest first.

    Raises:
        UserError: A folder is no run's, or the store or experiment is not there.
    """
    if experiment is not None or uri is not None:
        found = _of_store(experiment, store.address(uri))
    else:
        found = [_of_folder(folder) for folder in runs or sorted(path.parent for path in parent.glob(f"*/{NAME}"))]
    return sorted(found, key=lambda record: record.started)


def _of_folder(folder: Path) -> Record:
    state = RunFile.load(folder).state
    metrics: dict[str, float] = {}
    for entry in journal.read(folder):
        metrics |= {clean_name(name): value for name, value in entry.metrics.items()}
    return Record(str(folder), state.status, state.started, state.params, metrics, state.tags)


def _of_store(experiment: str | None, uri: str) -> list[Record]:
    store.require_mlflow()
    with store.settings():
        try:
            client = store.open_client(uri)
            found = [one for one in client.search_experiments() if experiment in (None, one.name)]
            if not found:
                raise UserError(f"{store.without_credentials(uri)} has no experiment `{experiment}`")
            runs = client.search_runs([one.experiment_id for one in found], max_results=MOST_RUNS)
        except ConnectionError as error:
            raise UserError(f"MLflow at {store.without_credentials(uri)} does not answer; start the server") from error
    return [_of_run(run) for run in runs]


def _of_run(run: Any) -> Record:
    info, data = run.info, run.data
    return Record(info.run_name, info.status, info.start_time or int(time.time() * 1000), data.params, data.metrics, data.tags)
