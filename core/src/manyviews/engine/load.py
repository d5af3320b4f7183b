"""Trained encoders back from checkpoints: for embedding, evaluation and serving."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from manyviews.encoder import Encoder
from manyviews.engine import checkpoint
from manyviews.engine.device import Device, choose_device
from manyviews.engine.parts import build_encoder, read_spec, source_class
from manyviews.errors import CheckpointError
from manyviews.evaluate.embed import device_of, embed
from manyviews.files import local
from manyviews.finetuning.results import best_fit
from manyviews.frozen import Frozen
from manyviews.recipe.load import load_recipe
from manyviews.recipe.model import Recipe
from manyviews.source import Source, Spec

RECIPE, SPEC = "recipe.yaml", "spec.json"
FINETUNE, ANSWERS = "finetune.yaml", "answers.json"
"""Of a finetuned encoder's checkpoint alone: the settings, and what its head knows of the labels."""


@dataclass(frozen=True)
class Trained:
    """An encoder, on its device, with the recipe that made it and the spec of the data that it was made for."""

    encoder: Encoder
    recipe: Recipe
    spec: Spec
    manifest: dict[str, Any]

    def reading(self, data: Any) -> Source:
        """New data, read as the training data were; a URL is brought here first (`manyviews.files`)."""
        return source_class(self.recipe).reading(local(data), self.spec)

    def predict(self, data: Any) -> Float[np.ndarray, "samples width"]:
        """Pooled embeddings of whatever the domain's source reads; the order is kept, no samples give (0, width)."""
        return self.embed(self.reading(data))

    def embed(self, source: Source) -> Float[np.ndarray, "samples width"]:
        """Pooled embeddings of all samples of a source that reads as the spec says."""
        return embed(self.encoder, source, np.arange(len(source)))

    @property
    def served_suffixes(self) -> tuple[str, ...]:
        """Where a sample is a file: how its name may end, the usual end first. Nothing where samples are rows."""
        source = source_class(self.recipe)
        return () if source.served is None else (source.served, *sorted(source.served_also))

    def untrained(self) -> Encoder:
        """The same encoder with the weights that it began with, on the same device."""
        return build_encoder(self.recipe, self.spec).eval().to(device_of(self.encoder))


def load_trained(place: str | Path, *, teacher: bool = False, device: Device = "auto") -> Trained:
    """The encoder of a run folder's newest checkpoint, or of a checkpoint folder.

    Args:
        place: A run or checkpoint folder; of a finetuning its fit with the most labels is meant.
        teacher: The EMA teacher's weights in place of the student's.
        device: Where the encoder is to work; `auto`: on an accelerator where there is one.

    Raises:
        UserError: There is no such device.
        CheckpointError: Missing, damaged, without a teacher, or its weights do not fit the installed encoder.
        RecipeError: A plugin that it needs is not installed; names it.
    """
    chosen = choose_device(device)
    folder = checkpoint.last(fit_of(Path(place)))
    manifest = checkpoint.read_manifest(folder)
    recipe = load_recipe(folder / RECIPE)
    spec = read_spec(recipe, (folder / SPEC).read_text(encoding="utf-8"))
    encoder = build_encoder(recipe, spec)
    load_encoder(encoder, folder, teacher=teacher)
    return Trained(encoder.eval().to(chosen), recipe, spec, manifest)


def load_frozen(run: str) -> Frozen:
    """The encoder of a finished run, to be asked and never trained.

    On the CPU, where what is fitted before the first step is the same in every process; it follows the batches from there.
    """
    trained = load_trained(run, device="cpu")
    weights = str(trained.manifest["files"][checkpoint.WEIGHTS])
    return Frozen(run, trained.recipe.domain, trained.spec, trained.encoder.requires_grad_(False), weights)


def fit_of(place: Path) -> Path:
    """The best fit of a finetuning's folder; any other folder is itself."""
    if not (place / FINETUNE).is_file() or (place / checkpoint.MANIFEST).is_file():
        return place
    return best_fit(place)


def load_encoder(encoder: Encoder, folder: Path, *, teacher: bool = False) -> None:
    """The weights of a checkpoint folder, pretrained or finetuned, into a fresh encoder.

    What LoRA has learnt is in the weights then; adapters are put in.
    """
    weights = encoder_weights(folder, teacher=teacher)
    if not (folder / FINETUNE).is_file():
        load_into(encoder, weights, folder)
        return
    from manyviews.finetuning.learner import adapt
    from manyviews.finetuning.lora import fold_lora
    from manyviews.recipe.finetune import read_finetune

    adapt(encoder, read_finetune((folder / FINETUNE).read_text(encoding="utf-8")))
    load_into(encoder, weights, folder)
    fold_lora(encoder)
    encoder.requires_grad_(True)


def encoder_weights(folder: Path, *, teacher: bool = False) -> dict[str, torch.Tensor]:
    """Those of the encoder (of its EMA teacher) in a checkpoint folder."""
    kept = "net.encoder." if (folder / FINETUNE).is_file() else "encoder."
    prefix = "teacher.0." if teacher else kept
    weights = {k.removeprefix(prefix): v for k, v in checkpoint.read_weights(folder).items() if k.startswith(prefix)}
    if not weights:
        raise CheckpointError(f"{folder}: this run had no teacher; leave `teacher` out")
    return weights


def load_into(module: torch.nn.Module, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """`load_state_dict`, its complaint in one sentence."""
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"{folder}: its weights do not fit {type(module).__name__} as installed: {reason}\n"
            "Install the versions that the checkpoint's manifest.json names."
        ) from error
