"""Finds or creates a run in MLflow: exactly one for a run folder, whatever was killed in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from manyviews.errors import UserError
from manyviews.track import store
from manyviews.track.run_file import RunFile, RunState

KEY_TAG = "manyviews.run"
"""Carries the run folder's own key, by which a run is found whose id could not be noted any more."""

KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Of an experiment: its pages then have what training needs, and not what language models do."""


def where_to_look(uri: str, state: RunState, folder: Path) -> str:
    """The command or the page that shows a run."""
    shown = store.without_credentials(uri)
    if store.is_local(uri):
        return f"mlflow ui --backend-store-uri {shown}  (experiment {state.experiment}, run {state.run_name})"
    if state.run_id is None:
        return f"{shown}, after: manyviews runs sync {folder}"
    return f"{shown.rstrip('/')}/#/experiments/{state.experiment_id}/runs/{state.run_id}"


def find_or_create_run(client: Any, file: RunFile, uri: str) -> None:
    """See to it that run.json names an existing, active run."""
    experiment_id = _experiment(client, file.state.experiment, uri)
    if file.state.run_id is not None and _is_active(client, file.state.run_id):
        return
    found = client.search_runs([experiment_id], f"tags.`{KEY_TAG}` = '{file.state.key}'", max_results=1)
    run = found[0] if found else _create(client, file, experiment_id)
    file.change(
        experiment_id=experiment_id,
        run_id=run.info.run_id,
        described=False,
        delivered_status=run.info.status,
        model_id=None,
    )


def _create(client: Any, file: RunFile, experiment_id: str) -> Any:
    state = file.state
    tags = {KEY_TAG: state.key}
    return client.create_run(experiment_id, start_time=state.started, tags=tags, run_name=state.run_name)


def _is_active(client: Any, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def _experiment(client: Any, name: str, uri: str) -> str:
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name, artifact_location=_artifacts(uri), tags=KIND))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another run was quicker
                raise
            experiment = client.get_experiment_by_name(name)
    if experiment.lifecycle_stage != "active":
        raise UserError(
            f"The experiment `{name}` was deleted in MLflow.\n"
            f"Restore it with `mlflow experiments restore -x {experiment.experiment_id}`, or set another `track.experiment`."
        )
    return str(experiment.experiment_id)


def _artifacts(uri: str) -> str | None:
    """Beside a sqlite store, wherever the run was started from; a server has its own place."""
    path = store.sqlite_path(uri)
    return None if path is None else (path.parent / "mlartifacts").as_uri()
