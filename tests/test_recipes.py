"""Every recipe trains, and every objective runs on every domain that is here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from manyviews.engine.load import load_trained
from manyviews.engine.pretrain import pretrain
from manyviews.engine.run import Run
from manyviews.plugins.matrix import matrix
from manyviews.plugins.registry import registry
from manyviews.recipe.load import load_recipe
from manyviews.traits import Trait

RECIPES = sorted(
    f"{path.parent.name}/{path.stem}"
    for path in (Path(__file__).parent.parent / "domain_configs").glob("*/*.yaml")
    if not path.stem.startswith("_")
)
SMALL = {"width": 16, "depth": 1, "heads": 2}
CELLS = [cell for cell in matrix() if cell.domain == "tabular"]


def losses(run: Run) -> list[float]:
    return [entry.metrics["train/loss"] for entry in run.metrics() if "train/loss" in entry.metrics]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_evaluates_and_loads(name: str, table: Path, tmp_path: Path) -> None:
    recipe = load_recipe(
        name,
        {
            "data.path": str(table),
            "data.target": "label",
            "train": {"steps": 6, "batch_size": 32, "folder": str(tmp_path), "log_every": 2},
            "track": None,
        },
    )
    run = pretrain(recipe)
    assert all(math.isfinite(loss) for loss in losses(run))
    last = [entry.metrics for entry in run.metrics() if any(key.startswith("eval/") for key in entry.metrics)][-1]
    assert all(math.isfinite(value) for value in last.values())
    trained = load_trained(run.folder)
    vectors = trained.predict(str(table))
    assert vectors.shape == (240, trained.encoder.pooled_width)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.objective)
def test_every_objective_runs_here(cell: Any, table: Path, tmp_path: Path) -> None:
    assert cell.runs, cell.why_not
    needs = registry().component("objective", cell.objective, cell.domain).load().needs
    views: dict[str, Any] = {"name": "masked_views"} if Trait.SEVERAL_VIEWS in needs else {"name": "random_mask"}
    if Trait.PRETEXT_TARGET in needs:
        views = {"name": "vime"}
    objective: dict[str, Any] = {"name": cell.objective}
    if cell.objective == "tabular/values":
        objective["depth"] = 1
    train_and_look(cell.domain, table, tmp_path, views, objective)


def test_barlow_twins_with_mixed_samples_runs_on_mixed_rows(table: Path, tmp_path: Path) -> None:
    objective = {"name": "barlow_twins", "mixed_weight": 5.0}
    train_and_look("tabular", table, tmp_path, {"name": "mixed"}, objective)


def train_and_look(domain: str, table: Path, folder: Path, views: dict[str, Any], objective: dict[str, Any]) -> None:
    """Thirty steps: the loss is finite at each, and the encoder has moved."""
    recipe = load_recipe(
        {
            "domain": domain,
            "data": {"source": "table", "path": str(table), "target": "label"},
            "encoder": {"name": "transformer", **SMALL},
            "views": views,
            "objective": objective,
            "optim": {"lr": 3e-3, "schedule": "constant"},
            "train": {"steps": 30, "batch_size": 32, "log_every": 5, "folder": str(folder)},
            "track": None,
        }
    )
    run = pretrain(recipe)
    assert all(math.isfinite(loss) for loss in losses(run))
    trained = load_trained(run.folder)
    before, after = trained.untrained().state_dict(), trained.encoder.state_dict()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert len(moved) > len(before) / 2, "gradients reach the encoder"
