"""Every recipe and every cell of the objective x domain matrix, trained for a few steps on a domain's trial data."""

from __future__ import annotations

import inspect
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from manyviews.engine.learner import Step
from manyviews.engine.load import Trained, load_trained
from manyviews.engine.parts import build_encoder, build_source, build_tasks, build_terms
from manyviews.engine.pretrain import model_of, order_of, prepare, pretrain
from manyviews.engine.run import Run
from manyviews.evaluate.embed import embed
from manyviews.recipe.files import recipe_names
from manyviews.recipe.load import components, load_recipe
from manyviews.recipe.model import Recipe
from manyviews.testing.bench import Bench
from manyviews.testing.kit import Kit
from manyviews.testing.subject import Meeting
from manyviews.testing.waits import waits_of

RECIPE_STEPS = 6
MEETING_STEPS = 8
SAMPLES = 16


class RecipeKit(Kit):
    """A plugin's recipes. The plugin must be installed, as its users have it."""

    kind = "recipe"

    @classmethod
    def cases(cls) -> Sequence[Any]:
        """The recipes by name."""
        return recipe_names(cls.subject().domain.name)

    def test_it_fits_together_at_its_own_size(self, case: str, bench: Bench) -> None:
        recipe = load_recipe(case, dotted(settings(case, bench)))
        source = build_source(recipe)
        build_encoder(recipe, source.spec)
        assert len(build_terms(recipe, source.spec)) == len(recipe.all_terms()), "a term of the recipe was not built"
        build_tasks(recipe)

    def test_it_trains_evaluates_and_loads(self, case: str, bench: Bench, tmp_path: Path) -> None:
        run = pretrain(small(case, bench, tmp_path))
        assert all(math.isfinite(loss) for loss in losses(run)), f"a loss is not finite: {losses(run)}"
        looks = [values for entry in run.metrics() if (values := evaluations(entry.metrics))]
        assert looks or not run.recipe.evaluate, "the recipe's evaluations were not run at the end"
        assert not looks or all(math.isfinite(value) for value in looks[-1].values()), f"not finite: {looks[-1]}"
        check_trained(load_trained(run.folder))

    @pytest.mark.slow
    def test_it_goes_on_where_it_was_stopped(self, case: str, bench: Bench, tmp_path: Path) -> None:
        run = pretrain(small(case, bench, tmp_path, steps=4, log_every=1, checkpoint_every=2, evaluate=False))
        whole = losses(run)
        shutil.rmtree(run.checkpoint)  # as if it had been killed after step 2
        resumed = losses(pretrain(resume=run.folder))
        assert resumed == whole, f"uninterrupted {whole}, resumed {resumed}: something learnt is not in the checkpoint"

    def test_a_step_waits_for_nothing(self, case: str, device: str, bench: Bench, tmp_path: Path) -> None:
        """Of an accelerator's: on the CPU by what the step would do there."""
        recipe = small(case, bench, tmp_path, evaluate=False)
        source = build_source(recipe)
        model, order = model_of(recipe, source), order_of(recipe, source)
        prepare(source, order, model)
        batch = source.batch(next(order.batches(0, 1)))
        if device == "cpu":
            found = waits_of(model, batch)
            assert not found, "on an accelerator the step would wait:\n" + "\n".join(found)
            return
        there = torch.device(device)
        model, batch, generator = model.to(there), batch.to(there), torch.Generator(there)
        for mode in ("default", "error"):  # what is set up at the first step may wait
            torch.cuda.set_sync_debug_mode(mode)
            try:
                model(Step(batch, generator, lambda metrics: None)).backward()
                model.follow(0.99)
            finally:
                torch.cuda.set_sync_debug_mode("default")


class MatrixKit(Kit):
    """Every objective, the core's too, on this plugin's domain. The plugin must be installed."""

    kind = "objective"

    @classmethod
    def cases(cls) -> Sequence[Any]:
        """Objectives with an encoder and views."""
        return cls.subject().meetings()

    @pytest.mark.slow
    def test_it_trains(self, case: Meeting, bench: Bench, tmp_path: Path) -> None:
        run = pretrain(load_recipe(recipe_of(case, bench, tmp_path)))
        assert all(math.isfinite(loss) for loss in losses(run)), f"a loss is not finite: {losses(run)}"
        trained = load_trained(run.folder)
        before, after = trained.untrained().state_dict(), trained.encoder.state_dict()
        moved = [name for name in before if not torch.equal(before[name], after[name])]
        assert len(moved) > len(before) / 2, "gradients do not reach the encoder: most of its weights are as they were"
        check_trained(trained)
        if "run" in inspect.signature(case.objective.part.load()).parameters:
            second = recipe_of(case, bench, tmp_path)
            second["objective"] |= {"run": str(run.folder)}
            told = losses(pretrain(load_recipe(second)))
            assert all(math.isfinite(loss) for loss in told), f"asking a finished run, a loss is not finite: {told}"


def settings(name: str, bench: Bench) -> dict[str, Any]:
    """What a recipe is tried on: the first kind of data that it is for."""
    found = bench.settings(bench.subject.trial.kinds(name)[0])
    train = {"batch_size": SAMPLES, **found.get("train", {})}
    return {**found, "train": train}


def small(name: str, bench: Bench, folder: Path, *, evaluate: bool = True, **train: int) -> Recipe:
    """A recipe on trial data, its parts made small and its run short.

    Args:
        name: The recipe.
        bench: Its domain.
        folder: Where its run goes.
        evaluate: Whether its tasks are run.
        train: More of the recipe's `train`.
    """
    given = settings(name, bench)
    run = {"steps": RECIPE_STEPS, "log_every": 2, "folder": str(folder), "devices": 1, "device": "cpu", **train}
    overrides = dotted({**given, "train": {**given["train"], **run}}) | {"track": None} | ({} if evaluate else {"evaluate": []})
    recipe = load_recipe(name, overrides)
    for key, kind, part, _ in components(recipe):
        full = bench.subject.registry.component(kind, part, recipe.domain).name
        if kind in ("encoder", "views", "objective"):
            overrides |= {f"{key}.{name}": value for name, value in bench.subject.trial.small(full).items()}
    return load_recipe(name, overrides)


def recipe_of(case: Meeting, bench: Bench, folder: Path) -> dict[str, Any]:
    """A meeting as a recipe."""
    found = bench.settings(case.encoder.data)
    run = {"steps": MEETING_STEPS, "log_every": 2, "folder": str(folder), "device": "cpu"}
    parts = {"encoder": case.encoder, "views": case.views, "objective": case.objective}
    return {
        "domain": bench.subject.domain.name,
        "unit": case.unit,
        **found,
        **{key: {"name": part.part.name, **part.parameters} for key, part in parts.items()},
        "optim": {"lr": 3e-3, "schedule": "constant"},
        "train": {"batch_size": SAMPLES, **found.get("train", {}), **run},
        "track": None,
    }


def check_trained(trained: Trained) -> None:
    """The data are embedded by the encoder that comes back from the checkpoint."""
    recipe = trained.recipe
    given = recipe.data.parameters.get("path")
    source = trained.reading(given) if given is not None else build_source(recipe, trained.spec)
    index = torch.arange(len(source)).numpy()
    vectors = embed(trained.encoder, source, index, unit=recipe.unit)
    width = trained.encoder.pooled_width if recipe.unit == "sample" else trained.encoder.width
    assert vectors.shape[1] == width, f"vectors of {vectors.shape[1]} numbers; the encoder says {width}"
    assert recipe.unit == "token" or len(vectors) == len(source), "one vector for each sample"


def losses(run: Run) -> list[float]:
    """Of every reading."""
    return [entry.metrics["train/loss"] for entry in run.metrics() if "train/loss" in entry.metrics]


def evaluations(metrics: Mapping[str, float]) -> dict[str, float]:
    """What the recipe's tasks said."""
    return {key: value for key, value in metrics.items() if key.startswith("eval/")}


def dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as overrides by dotted key, so that what a recipe says beside them stays."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        inner = dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
        flat |= inner
    return flat
