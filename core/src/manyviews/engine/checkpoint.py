"""A checkpoint is a folder that is whole or not there, and nothing in it can execute code when it is loaded.

    step-00000500/
      weights.safetensors   encoder, heads, predictors, objectives' state, teacher
      trainer.pt            optimiser, metric window, collapse watch; plain tensors and numbers (`weights_only`)
      recipe.yaml           the resolved recipe
      spec.json             what the encoder knows of the data
      manifest.json         step, versions, plugins, fingerprint of the data, MLflow run, SHA-256 of each file above

It is written beside its place, flushed to the disk and renamed: a kill at any moment leaves the last one as it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from manyviews.errors import CheckpointError

FORMAT = 1
WEIGHTS, TRAINER, MANIFEST = "weights.safetensors", "trainer.pt", "manifest.json"
DRAFT = ".step-"


def save(
    folder: Path,
    *,
    weights: Mapping[str, Tensor],
    trainer: Mapping[str, Any],
    texts: Mapping[str, str],
    manifest: Mapping[str, Any],
    keep: int,
    spare: int | None = None,
) -> Path:
    """Write `folder/step-N` and remove the oldest beyond `keep`.

    Args:
        folder: The run's checkpoints folder.
        weights: Every tensor of the model by name.
        trainer: What else a resume needs: tensors, numbers, strings, lists and dicts of them.
        texts: Further files (name -> content).
        manifest: Facts about the checkpoint; has `step`.
        keep: Checkpoints to keep.
        spare: Step whose checkpoint is kept however old it is.

    Raises:
        CheckpointError: It could not be written (disk full, no permission); nothing half-written is left.
    """
    final = folder / f"step-{manifest['step']:08d}"
    draft = folder / f"{DRAFT}{manifest['step']:08d}.{os.getpid()}"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        save_file({name: tensor.detach().contiguous() for name, tensor in weights.items()}, draft / WEIGHTS)
        torch.save(dict(trainer), draft / TRAINER)
        for name, text in texts.items():
            (draft / name).write_text(text, encoding="utf-8")
        _seal(draft, manifest)
        _publish(draft, final)
    except (OSError, SafetensorError, RuntimeError) as error:  # torch and safetensors wrap the system's error in their own
        raise CheckpointError(
            f"{final}: the checkpoint could not be written ({_reason(error)}); nothing half-written was left there.\n"
            f"Free some space or set train.folder to another disk, then resume the run from its last checkpoint."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # gone already unless the disk, or a second Ctrl-C, stopped us
    for old in checkpoints(folder)[:-keep]:
        if spare is None or old.name != f"step-{spare:08d}":
            shutil.rmtree(old)
    return final


def _seal(draft: Path, manifest: Mapping[str, Any]) -> None:
    """Hash every file, write the manifest, and have all of it on the disk before the rename."""
    files = sorted(path for path in draft.iterdir())
    sums = {path.name: sha256(path) for path in files}
    content = {"format": FORMAT, **manifest, "files": sums}
    (draft / MANIFEST).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for path in [*files, draft / MANIFEST, draft]:
        _flush(path)


def _publish(draft: Path, final: Path) -> None:
    """Give the draft its name, for good; one of the same step that is there already is replaced."""
    if final.exists():
        shutil.rmtree(final)
    draft.rename(final)
    _flush(final.parent)  # a name is on the disk with the folder that it stands in


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove what killed writers left half-written. For the holder of the run's lock: any other writer is dead then."""
    for draft in folder.glob(f"{DRAFT}*"):
        shutil.rmtree(draft, ignore_errors=True)


def _reason(error: Exception) -> str:
    """The system's own words where there are some."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints of a run's checkpoints folder, oldest first."""
    return sorted(path for path in folder.glob("step-*") if (path / MANIFEST).is_file())


def last(run: Path) -> Path:
    """The newest checkpoint of a run folder; a checkpoint folder is itself.

    Raises:
        CheckpointError: There is none.
    """
    if (run / MANIFEST).is_file():
        return run
    found = checkpoints(run / "checkpoints")
    if not found:
        raise CheckpointError(f"{run}: no checkpoint here; give the folder of a run that has saved one, or of a checkpoint")
    return found[-1]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, after every file in the folder was checked against it.

    Raises:
        CheckpointError: A file is missing, cut short or changed, or the format is of a later version.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files: Mapping[str, str] = manifest["files"]
        written = int(manifest["format"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / MANIFEST}: not a checkpoint's manifest ({error}); use another checkpoint") from error
    if written > FORMAT:
        raise CheckpointError(f"{folder}: written by a later version of manyviews (format {written}, this one reads {FORMAT})")
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{path}: the file is missing; the checkpoint is damaged, use another one")
        if sha256(path) != expected:
            raise CheckpointError(f"{path}: the content is not what was saved; the checkpoint is damaged, use another one")
    return manifest


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Every tensor of the model by name."""
    try:
        return load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder / WEIGHTS}: cannot be read ({error}); use another checkpoint") from error


def read_trainer(folder: Path) -> dict[str, Any]:
    """What else a resume needs. Only tensors and plain values are accepted: nothing in the file can run."""
    try:
        loaded: dict[str, Any] = torch.load(folder / TRAINER, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{folder / TRAINER}: cannot be read ({_reason(error)}); use another checkpoint") from error
    return loaded


def sha256(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
