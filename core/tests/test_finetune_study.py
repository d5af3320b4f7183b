"""A finetuning as a whole: arms, budgets, methods, the table, what is stored and what is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from manyviews.engine import checkpoint
from manyviews.engine.load import FINETUNE, load_trained
from manyviews.engine.pretrain import pretrain
from manyviews.engine.run import Run
from manyviews.errors import UserError
from manyviews.finetuning.load import load_finetuned
from manyviews.finetuning.results import read_result
from manyviews.finetuning.study import Study, finetune
from manyviews.recipe.finetune import read_finetune
from manyviews.recipe.model import Recipe
from manyviews.testing.toy import ToySource
from manyviews.track.run_file import PARTS

Make = Callable[..., Recipe]
SHORT = {"steps": 12, "batch_size": 8, "log_every": 4, "device": "cpu"}


@pytest.fixture
def run(toy_recipe: Make) -> Run:
    """A few steps of pretraining on easy series."""
    return pretrain(toy_recipe(data__noise=0.2, data__samples=48, train__steps=4))


def tuned(run: Run, **sections: Any) -> Study:
    folder = {"folder": str(run.folder.parent)}
    return finetune(run.folder, **{"track": None, **sections, "train": {**SHORT, **folder, **sections.get("train", {})}})


@pytest.mark.parametrize("method", ["full", "frozen", "lora", "adapters"])
def test_each_method_learns_what_it_should_and_is_loaded_as_it_was(run: Run, method: str) -> None:
    study = tuned(run, method=method, train={"steps": 40}, optim={"lr": 1e-2}, scratch=False)
    (result,) = study.results()
    assert result["test"]["accuracy"] > 0.8
    before, after = load_trained(run.folder).encoder.state_dict(), load_trained(study.best).encoder.state_dict()
    changed = {name for name, weight in before.items() if not torch.equal(weight, after[name])}
    assert (len(changed) > 0) == (method in ("full", "lora"))
    assert set(after) == set(before) or method == "adapters"


def test_the_table_says_where_the_arms_are_trained_unlike(run: Run) -> None:
    told = "pretrained: method frozen; from scratch: the whole net is trained"
    assert told in tuned(run, method="frozen", train={"steps": 2}).table().notes
    assert told not in tuned(run, method="frozen", train={"steps": 2}, scratch=False).table().notes
    assert not any("method" in note for note in tuned(run, train={"steps": 2}).table().notes)


def test_a_rate_that_nobody_gave_is_the_usual_one_of_what_learns(run: Run) -> None:
    study = tuned(run, method="frozen", train={"steps": 2})
    rates = {read_result(part)["arm"]: kept_rate(part) for part in sorted((study.folder / PARTS).iterdir())}
    assert rates == {"pretrained": 1e-2, "from scratch": 1e-3}  # from scratch the whole net learns
    assert study.settings.optim.lr is None
    assert "clip: 1.0" in (study.folder / FINETUNE).read_text(), "the other defaults stay"
    head = tuned(run, method="frozen", scratch=False, train={"steps": 2}, task={"name": "classification", "hidden": 8})
    assert kept_rate(head.best) == 1e-3
    given = tuned(run, method="frozen", scratch=False, train={"steps": 2}, optim={"lr": 0.3})
    assert kept_rate(given.best) == 0.3


def kept_rate(fit: Path) -> float | None:
    """That a fit's checkpoint says it was trained by."""
    return read_finetune((checkpoint.last(fit) / FINETUNE).read_text()).optim.lr


def test_budgets_draws_and_seeds_stand_beside_training_from_scratch(run: Run) -> None:
    study = tuned(run, labels=[6, "50%", 1.0], subsets=2, seeds=2)
    fits = [(r["arm"], r["budget"], r["labelled"]) for r in study.results()]
    assert len(fits) == 2 * (2 * 2 * 2 + 2)
    assert {labelled for _, budget, labelled in fits if budget == 6} == {6}
    assert {labelled for _, budget, labelled in fits if budget == 0.5} == {12}
    assert {labelled for _, budget, labelled in fits if budget == 1.0} == {24}
    lines = study.table().lines
    assert [(line.labelled, line.arm, line.fits) for line in lines] == [
        (6, "pretrained", 4), (6, "from scratch", 4), (12, "pretrained", 4), (12, "from scratch", 4),
        (24, "pretrained", 2), (24, "from scratch", 2),
    ]  # fmt: skip
    assert all(line.metrics["accuracy"].low is not None for line in lines)
    stored = json.loads((study.folder / "results.json").read_text())
    assert {record["metric"] for record in stored["results"]} >= {"accuracy", "auc"}


def test_a_stopped_finetuning_goes_on_with_what_is_left(run: Run) -> None:
    whole = tuned(run, labels=[6], seeds=2)
    before = whole.results()
    lost = whole.folder / "parts" / "from-scratch_6labels_subset0_seed1" / "result.json"
    lost.unlink()
    again = finetune(resume=whole.folder)
    assert again.results() == before


def test_two_finetunings_alike_are_equal(run: Run) -> None:
    first, second = (tuned(run, labels=6, method="lora").results() for _ in range(2))
    assert first == second


def test_tokens_are_units_where_the_recipe_says_so(toy_recipe: Make) -> None:
    run = pretrain(toy_recipe(data__noise=0.2, data__samples=48, train__steps=2, unit="token"))
    (result,) = tuned(run, scratch=False, labels=40).results()
    assert result["labelled"] == 40
    assert np.isfinite(result["test"]["accuracy"])


def test_a_finetuned_encoder_is_finetuned_on_but_for_one_with_adapters(run: Run) -> None:
    first = tuned(run, method="lora", scratch=False)
    assert tuned(Run(first.folder), labels=6, scratch=False).results()[0]["labelled"] == 6
    with pytest.raises(UserError, match="an encoder with adapters"):
        tuned(Run(tuned(run, method="adapters", scratch=False).best))


def test_what_was_finetuned_answers_new_data_as_it_did(run: Run) -> None:
    study = tuned(run, method="lora", scratch=False, train={"steps": 40}, optim={"lr": 1e-2})
    found = load_finetuned(study.folder)
    source = ToySource(samples=48, noise=0.2, spec=found.trained.spec)  # type: ignore[arg-type]
    said = np.concatenate([rows.values for rows in found.rows(source, np.arange(48))])
    assert_close(said.sum(1), np.ones(48, np.float32))
    test = source.splits() == "test"
    right = (said.argmax(1) == source.labels().values)[test].mean()
    assert right == pytest.approx(study.results()[0]["test"]["accuracy"])
    assert found.names == ("centre 0", "centre 1", "centre 2")


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"labels": 25}, r"labels: 25 asked for, and there are 24 labelled training units"),
        ({"labels": 0}, r"labels"),
        ({"method": "prompt"}, r"method: 'prompt' is not allowed"),
        ({"lora": {"rnk": 3}}, r"lora.rnk: unknown key"),
        ({"task": {"name": "regression"}}, r"labels 'centre' are for classification, not for regression"),
        ({"task": {"name": "segment"}}, r"task.name: there is no component `segment` of kind downstream"),
        ({"method": "lora", "lora": {"where": "nothing"}}, r"lora.where: no weight of the encoder fits 'nothing'"),
        ({"method": "adapters", "adapters": {"where": "nothing"}}, r"adapters.where: no layer"),
    ],
)
def test_what_cannot_be_done_is_said(run: Run, sections: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        tuned(run, **sections)
    assert len(str(caught.value).splitlines()) <= 3


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, toy_domain: None) -> None:
    with pytest.raises(UserError, match="no checkpoint here"):
        finetune(tmp_path)
    with pytest.raises(UserError, match="not the folder of a finetuning"):
        finetune(resume=tmp_path)
