"""What all fits of a finetuning share: the pretrained encoder's checkpoint, the labelled data and the task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from manyviews.downstream import Downstream, LabelledUnits, Net
from manyviews.encoder import Encoder
from manyviews.engine import checkpoint
from manyviews.engine.best import best_checkpoint
from manyviews.engine.load import RECIPE, SPEC, fit_of, load_encoder, load_into
from manyviews.engine.parts import build_encoder, build_source, read_spec
from manyviews.errors import CheckpointError, RecipeError
from manyviews.finetuning.learner import Tuned, adapt
from manyviews.plugins.match import said
from manyviews.plugins.registry import registry
from manyviews.plugins.schema import build, filled
from manyviews.recipe.finetune import Finetune
from manyviews.recipe.load import load_recipe
from manyviews.recipe.model import Part, Recipe
from manyviews.recipe.resolve import resolve
from manyviews.source import Source


@dataclass(frozen=True)
class Work:
    """One task on one encoder's labelled data."""

    settings: Finetune
    """With every parameter of the task."""
    recipe: Recipe
    """The pretraining's, its `data` those that are finetuned on."""
    source: Source
    task: Downstream
    units: LabelledUnits
    weights: Mapping[str, Tensor]
    """The pretrained encoder's."""

    @classmethod
    def of(cls, settings: Finetune, over: Mapping[str, Any], source: Source | None = None) -> Work:
        """Everything is built and checked; nothing is written.

        Raises:
            UserError: Checkpoint, settings or data cannot be used.
        """
        place = fit_of(Path(settings.run))
        folder = best_checkpoint(place) if settings.best else checkpoint.last(place)
        checkpoint.read_manifest(folder)
        recipe = resolve(load_recipe(folder / RECIPE, over))
        spec = read_spec(recipe, (folder / SPEC).read_text(encoding="utf-8"))
        source = source or build_source(recipe, spec)
        settings, task = _task(settings, recipe, source)
        _check_fit(settings, task, recipe)
        bare = build_encoder(recipe, spec)
        names = set(bare.state_dict())
        load_encoder(bare, folder, teacher=settings.teacher)
        weights = bare.state_dict()
        if set(weights) != names:
            raise CheckpointError(
                f"{folder}: an encoder with adapters is not finetuned further; begin with its pretraining run"
            )
        return cls(settings, recipe, source, task, task.units(source, bare, recipe.unit), weights)

    def trained_by(self, usual: float) -> Work:
        """With a learning rate: the usual one where none was given."""
        return replace(self, settings=self.settings.model_copy(update={"optim": self.settings.optim.given(usual)}))

    def learner(self, answers: Any, seed: int, *, scratch: bool) -> Tuned:
        """A fit's encoder and head, from its seed."""
        encoder = self._encoder(seed, scratch=scratch)
        torch.manual_seed(seed + 1)
        if not scratch:
            adapt(encoder, self.settings)
        net = Net(encoder, self.task.head(encoder, answers, self.recipe.unit), self.recipe.unit)
        return Tuned(net, self.task, answers, self.settings, scratch=scratch)

    def _encoder(self, seed: int, *, scratch: bool) -> Encoder:
        train = self.recipe.train.model_copy(update={"seed": seed})
        encoder = build_encoder(self.recipe.model_copy(update={"train": train}), self.source.spec)
        if not scratch:
            load_into(encoder, dict(self.weights), Path(self.settings.run))
        return encoder


def build_task(settings: Finetune, domain: str) -> Downstream:
    """The task that the settings name."""
    assert settings.task is not None
    component = registry().component("downstream", settings.task.name, domain, key="task.name")
    return cast(Downstream, build(component, settings.task.parameters, key="task"))


def _task(settings: Finetune, recipe: Recipe, source: Source) -> tuple[Finetune, Downstream]:
    """The task, and the settings with its name and every parameter."""
    part = settings.task or Part(name=_by_labels(source))
    component = registry().component("downstream", part.name, recipe.domain, key="task.name")
    whole = Part.model_validate({"name": part.name, **filled(component, part.parameters, "task")})
    settings = settings.model_copy(update={"task": whole})
    return settings, build_task(settings, recipe.domain)


def _by_labels(source: Source) -> str:
    labels = source.labels()
    if labels is None and source.dense_labels() is not None:
        raise RecipeError("task: the data have label maps; name the task that is trained on them: task.name=segmentation")
    if labels is None and source.events() is not None:
        raise RecipeError("task: the data have events; name the task that is trained on them: task.name=events")
    return "classification" if labels is None else labels.kind


def _check_fit(settings: Finetune, task: Downstream, recipe: Recipe) -> None:
    component = registry().component("encoder", recipe.encoder.name, recipe.domain)
    if lack := task.needs - component.load().offers:
        assert settings.task is not None
        raise RecipeError(f"task: `{settings.task.name}` needs {said(lack)}; encoder `{component.name}` is none", key="task")
