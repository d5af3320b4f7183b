"""Brings what a run folder holds to MLflow. The writer thread does this every few seconds, `runs sync` once.

Every step can be repeated: how far it got stands in the run folder, and what a kill in between makes us send twice is
stored once. MLflow's SQL stores drop a metric that is there already with the same name, step, time and value (the
primary key of their metrics table), and a line of the journal always carries the same ones.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from manyviews.track import journal, store
from manyviews.track.limits import METRICS_PER_CALL, PARAM_LENGTH, TAG_LENGTH, clean_name, cut, in_hundreds
from manyviews.track.model import deliver_model
from manyviews.track.run_file import RunFile, RunState, Upload, write_whole
from manyviews.track.runs import find_or_create_run

SENT = "journal.sent"


class Delivery:
    """One run folder on its way to one store. `deliver` is called from one thread at a time."""

    def __init__(self, file: RunFile, uri: str, say: Callable[[str], None]) -> None:
        self.file, self.uri, self.say = file, uri, say
        self.halt = threading.Event()
        """Set: stop between two calls and leave the rest for later."""
        self._client: Any = None

    def deliver(self) -> None:
        """Send all that is new.

        Raises:
            UserError, ConnectionError or what MLflow raises; what was sent until then is noted.
        """
        client = self._connect()
        self._describe(client)
        self._send_metrics(client)
        problems = [problem for upload in self.file.state.uploads if (problem := self._upload(client, upload))]
        if problem := self._store_model(client):
            problems.append(problem)
        self._send_status(client)
        if problems:
            raise problems[0]

    def left(self) -> str:
        """What is not in MLflow yet, in words; empty where nothing is left."""
        state = self.file.state
        metrics = sum(len(entry.metrics) for entry in journal.read(self.file.folder, self._sent()))
        counts = {"metric values": metrics, "artifacts": len(state.uploads), "model": int(state.model is not None)}
        counts["final status"] = int(state.status != state.delivered_status)
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)

    def _connect(self) -> Any:
        if self._client is None:
            client = store.open_client(self.uri)
            find_or_create_run(client, self.file, self.uri)
            self._client = client
        elif not store.answers(self.uri):
            raise ConnectionError("no answer")
        return self._client

    def _describe(self, client: Any) -> None:
        from mlflow.entities import Param, RunTag

        state = self.file.state
        if state.described or state.run_id is None:
            return
        stored = client.get_run(state.run_id).data.params  # MLflow refuses to change a parameter
        params = {clean_name(name): cut(value, PARAM_LENGTH) for name, value in state.params.items()}
        tags = {clean_name(name): cut(value, TAG_LENGTH) for name, value in state.tags.items()}
        changed = [f"{name}: {stored[name]} -> {value}" for name, value in params.items() if stored.get(name, value) != value]
        if (parent := self._parent()) is not None:
            tags["mlflow.parentRunId"] = parent
        if changed:
            tags["manyviews.changed_params"] = cut("; ".join(changed), TAG_LENGTH)
        for new in in_hundreds([Param(name, value) for name, value in params.items() if name not in stored]):
            client.log_batch(state.run_id, params=new)
        for told in in_hundreds([RunTag(name, value) for name, value in tags.items()]):
            client.log_batch(state.run_id, tags=told)
        if (data := _dataset(state)) is not None:
            client.log_inputs(state.run_id, datasets=[data])
        client.log_text(state.run_id, state.recipe_yaml, "recipe.yaml")
        self.file.change(described=state.parent is None or parent is not None)  # told again once the parent is there

    def _parent(self) -> str | None:
        """The id of the run that this one is a part of; None where that is not in the store yet."""
        parent = self.file.state.parent
        return None if parent is None else RunFile.load(self.file.folder / parent).state.run_id

    def _send_metrics(self, client: Any) -> None:
        from mlflow.entities import Metric

        start, end = self._sent(), 0
        metrics: list[Metric] = []
        self._secure_journal(start)
        for entry in journal.read(self.file.folder, start):
            if metrics and len(metrics) + len(entry.metrics) > METRICS_PER_CALL:
                self._send(client, metrics, end)
                metrics = []
            metrics += [Metric(clean_name(name), value, entry.time, entry.step) for name, value in entry.metrics.items()]
            end = entry.end
            if self.halt.is_set():
                return
        if metrics:
            self._send(client, metrics, end)

    def _send(self, client: Any, metrics: list[Any], end: int) -> None:
        run_id = self.file.state.run_id
        for start in range(0, len(metrics), METRICS_PER_CALL):
            client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_CALL])
        write_whole(self.file.folder / SENT, json.dumps({"run_id": run_id, "end": end}))

    def _sent(self) -> int:
        """How many bytes of the journal this run has in MLflow."""
        path = self.file.folder / SENT
        if not path.exists():
            return 0
        sent = json.loads(path.read_bytes())
        return int(sent["end"]) if sent["run_id"] == self.file.state.run_id else 0

    def _secure_journal(self, start: int) -> None:
        """Put the journal on disk first: a line that MLflow has is then never lost, and its step never logged anew."""
        path = self.file.folder / journal.NAME
        if path.exists() and path.stat().st_size > start:
            with path.open("rb") as file:
                os.fsync(file.fileno())

    def _upload(self, client: Any, upload: Upload) -> Exception | None:
        """Store one artifact. A failure is handed back, so that one bad artifact does not hold up the others."""
        if self.halt.is_set():
            return None
        path, run_id = self.file.folder / upload.path, self.file.state.run_id
        try:
            if path.is_dir():
                client.log_artifacts(run_id, str(path), upload.to or None)
            elif path.exists():
                client.log_artifact(run_id, str(path), upload.to or None)
        except Exception as error:
            if path.exists():
                return error
        if not path.exists():  # an old checkpoint makes room for new ones
            self.say(f"{_shown(path)} was removed before it could be stored in MLflow.")
        self.file.drop_upload(upload)
        return None

    def _store_model(self, client: Any) -> Exception | None:
        """Store the model if there is one; a failure is handed back, so that the run's status is sent all the same."""
        if self.file.state.model is None or self.halt.is_set():
            return None
        try:
            deliver_model(client, self.file)
        except Exception as error:
            return error
        return None

    def _send_status(self, client: Any) -> None:
        state = self.file.state
        if state.status == state.delivered_status or self.halt.is_set():
            return
        if state.status == "RUNNING":
            client.update_run(state.run_id, status=state.status)
        else:
            client.set_terminated(state.run_id, state.status, state.ended)
        self.file.change(delivered_status=state.status)


def _dataset(state: RunState) -> Any:
    """The data as MLflow's pages list them: by the name of the file and the fingerprint. None where neither is told."""
    from mlflow.entities import Dataset, DatasetInput

    path, digest = state.params.get("data.path"), state.tags.get("manyviews.data")
    if path is None or digest is None:
        return None
    return DatasetInput(Dataset(Path(path).name, digest, "local", json.dumps({"uri": path})))


def _shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
