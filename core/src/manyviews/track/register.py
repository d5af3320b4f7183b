"""A run's encoder in MLflow's registry: a version of a named model, found by an alias (`models:/NAME@champion`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from manyviews.errors import UserError
from manyviews.track import store
from manyviews.track.model import check_model_name
from manyviews.track.run_file import RunFile
from manyviews.track.words import unusable

_ALIAS = re.compile(r"(?!v\d+$)(?!latest$)[A-Za-z0-9_-]{1,255}")


def register(folder: Path, *, name: str | None = None, alias: str | None = None) -> str:
    """Make the encoder that a run stored in MLflow a version of a registered model; the same encoder is registered once.

    Args:
        folder: The run folder.
        name: Of the registered model; None: `<experiment>-encoder`.
        alias: Moved to this version (`champion`).

    Returns:
        Where the version is loaded and served from.

    Raises:
        UserError: The run has no model in MLflow, a name is not allowed, or the store does not answer or has no registry.
    """
    store.require_mlflow()
    state = RunFile.load(folder).state
    name = name or f"{re.sub(r'[^A-Za-z0-9_-]+', '-', state.experiment)}-encoder"
    check_model_name(name)
    if alias is not None and not _ALIAS.fullmatch(alias):
        raise UserError(f"--alias: {alias!r} is not allowed; letters, digits, - and _, and neither `latest` nor like `v3`")
    if state.uri is None or state.run_id is None:
        raise UserError(f"{folder} is not in MLflow; `manyviews runs sync {folder} --uri …` brings it there")
    uri = store.with_credentials(state.uri)
    with store.settings():
        try:
            client = store.open_client(uri)
            version = _version(client, name, _model_of(client, state, folder))
            if alias is not None:
                client.set_registered_model_alias(name, alias, version)
        except ConnectionError as error:
            raise UserError(f"MLflow at {state.uri} does not answer; start the server and try again") from error
        except UserError:
            raise
        except Exception as error:
            raise unusable(state.uri, error) from error
    return f"models:/{name}@{alias}" if alias is not None else f"models:/{name}/{version}"


def _model_of(client: Any, state: Any, folder: Path) -> Any:
    """The run's newest model that is ready."""
    found = client.search_logged_models([state.experiment_id], filter_string=f"source_run_id = '{state.run_id}'")
    ready = [model for model in found if str(model.status).endswith("READY")]
    if not ready:
        raise UserError(
            f"{folder} has stored no model: it was run with `track.log_model=false`, did not finish, or it waits for\n"
            f"`manyviews runs sync {folder}`"
        )
    return max(ready, key=lambda model: model.creation_timestamp)


def _version(client: Any, name: str, model: Any) -> str:
    """The version of the registered model that this model is; made where there is none."""
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.source == model.artifact_location:
            return str(version.version)
    # Not by `models:/<id>`, which MLflow looks up in the process-wide store and not in this client's.
    place = model.artifact_location
    made = client.create_model_version(name, place, run_id=model.source_run_id, model_id=model.model_id)
    return str(made.version)
