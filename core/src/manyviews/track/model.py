"""The trained encoder as an MLflow model, without pickles: a checkpoint folder and this module that loads it.

The model is first saved in the run folder, which needs no server, and then stored like any other artifact. So a dead
server costs nothing here, and `runs sync` needs neither the encoder's code nor the data. (`mlflow.pyfunc.log_model`
does both at once, through the process-wide tracking address.)
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float
from packaging.version import Version

from manyviews.errors import UserError
from manyviews.track.noise import quiet
from manyviews.track.run_file import RunFile

FOLDER = "model"


class Embedder(Protocol):
    """A trained encoder with all that it needs to read new data."""

    def predict(self, data: Any) -> Float[np.ndarray, "samples width"]:
        """Embed what the domain's source can read (a DataFrame, for tables)."""
        ...


def _load_pyfunc(path: str) -> Embedder:
    """Called by `mlflow.pyfunc.load_model`, with the checkpoint folder that the model carries."""
    from manyviews.engine.load import load_trained
    from manyviews.track.served import Served

    return Served(load_trained(path))


def requirements(plugins: Mapping[str, str]) -> list[str]:
    """What a model needs, pinned: the core, the plugins (distribution -> version) and torch. Inferring takes MLflow 43 s."""
    core = {name: version(name) for name in ("manyviews", "torch", "numpy")}
    # A local part (`+cpu`) names a build, which package indexes do not have.
    return [f"{name}=={Version(number).public}" for name, number in (core | dict(plugins)).items()]


def save_model(checkpoint: Path, run_folder: Path, *, example: Any, pip_requirements: Sequence[str]) -> None:
    """Save `checkpoint` as an MLflow model in the run folder. `example`: input for the signature, or None."""
    target = run_folder / FOLDER
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory() as beside, quiet():
        from mlflow.pyfunc import save_model as save

        data = _without_trainer(checkpoint, Path(beside) / "checkpoint")
        save(
            path=str(target),
            loader_module=__name__,
            data_path=str(data),
            signature=_signature(data, example),
            input_example=example,
            pip_requirements=list(pip_requirements),
        )


def _without_trainer(checkpoint: Path, copy: Path) -> Path:
    """A copy without the state of the optimiser, which is the larger part and which no one needs for embedding."""
    from manyviews.engine.checkpoint import MANIFEST, TRAINER

    shutil.copytree(checkpoint, copy, ignore=shutil.ignore_patterns(TRAINER))
    manifest = json.loads((copy / MANIFEST).read_text(encoding="utf-8"))
    del manifest["files"][TRAINER]
    (copy / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return copy


def check_model_name(name: str) -> None:
    """MLflow's rule, told before anything is trained or sent."""
    if not name or any(sign in name for sign in "/:.%\"'"):
        raise UserError(f"`{name}` cannot be the name of an MLflow model: it must not contain any of / : . % \" '.")


def deliver_model(client: Any, file: RunFile) -> None:
    """Store the saved model, linked to its run, and remove the local copy."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    state, local = file.state, file.folder / FOLDER
    if state.model_id is None:
        logged = client.create_logged_model(state.experiment_id, name=state.model, source_run_id=state.run_id)
        file.change(model_id=logged.model_id)
    else:  # begun before a kill
        logged = client.get_logged_model(state.model_id)
    model_id = logged.model_id
    client.log_outputs(state.run_id, [LoggedModelOutput(model_id, step=0)])
    described = Model.load(str(local))
    described.run_id, described.model_id, described.model_uuid = state.run_id, model_id, model_id
    described.artifact_path = logged.artifact_location
    described.save(str(local / "MLmodel"))
    client.log_model_artifacts(model_id, str(local))
    client.finalize_logged_model(model_id, "READY")
    file.change(model=None, model_id=None)
    shutil.rmtree(local)


def _signature(checkpoint: Path, example: Any) -> Any:
    """What MLflow holds the model's input against. A table's columns are named and may be of any type; a file is binary, read
    from base64.

    The source judges a cell by its value. MLflow judges the column: it would refuse whole numbers for a column that the
    example has as numbers with a point, and dates for one that it has as text.
    """
    if example is None:
        return None
    from mlflow.models import ModelSignature, infer_signature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

    from manyviews.source import FILE, NAME

    found = infer_signature(example, _load_pyfunc(str(checkpoint)).predict(example))
    if not found.inputs.has_input_names():
        return found
    if FILE in found.inputs.input_names():
        named = ColSpec(DataType.string, NAME, required=False)
        return ModelSignature(Schema([ColSpec(DataType.binary, FILE), named]), found.outputs)
    anything = AnyType()  # type: ignore[no-untyped-call]
    columns: list[Any] = [ColSpec(anything, name, required=False) for name in found.inputs.input_names()]
    return ModelSignature(Schema(columns), found.outputs)
