"""A run's precision is its own, and Fabric makes no remarks on it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from manyviews.engine.processes import make_fabric
from manyviews.engine.surroundings import own_settings
from manyviews.recipe.model import Recipe

Make = Callable[..., Recipe]


@pytest.mark.parametrize(("precision", "inside"), [("32", "highest"), ("tf32", "high"), ("bf16-mixed", "highest")])
def test_float32_products_are_as_asked_for_inside_a_run_and_the_callers_behind_it(
    toy_recipe: Make, precision: str, inside: str
) -> None:
    threads = torch.get_num_threads()
    with own_settings(toy_recipe(train__precision=precision, train__threads=2).train):
        assert (torch.get_float32_matmul_precision(), torch.get_num_threads()) == (inside, 2)
    assert (torch.get_float32_matmul_precision(), torch.get_num_threads()) == ("highest", threads)


def test_fabric_makes_no_remarks(toy_recipe: Make, capfd: pytest.CaptureFixture[str]) -> None:
    fabric = make_fabric(toy_recipe(train__precision="bf16-mixed", train__device="cpu").train)
    fabric.launch()
    assert capfd.readouterr().err == ""
