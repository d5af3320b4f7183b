"""MGDA against a quadratic program, Frank-Wolfe and two terms by hand; and as a recipe, on one process and on two."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from scipy.optimize import minimize
from torch import nn
from torch.testing import assert_close

from manyviews import distributed
from manyviews.engine.mgda import MGDA, common_descent, min_norm_point
from manyviews.engine.pretrain import pretrain
from manyviews.errors import RecipeError
from manyviews.recipe.model import Recipe
from manyviews.testing.apart import as_two

Make = Callable[..., Recipe]
PARTS = (
    ("noise", {"name": "vicreg", "hidden": 8}),
    ("noise", {"name": "cca_ssg"}),
    ("random_mask", {"name": "masked_reconstruction", "width": 8, "heads": 2, "depth": 1}),
)
TERMS = [{"views": {"name": views}, "objective": objective} for views, objective in PARTS]


def unit_gradients(terms: int, seed: int, width: int = 6) -> torch.Tensor:
    """They point about one way, so that the point is inside the hull for some seeds and on its border for others."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(terms, width, dtype=torch.float64, generator=generator) + 0.3
    return drawn / drawn.norm(dim=1, keepdim=True)


def quadratic_program(gram: np.ndarray) -> np.ndarray:
    """min c^T gram c with c >= 0 adding up to 1."""
    terms = len(gram)
    result = minimize(
        lambda c: c @ gram @ c,
        np.full(terms, 1 / terms),
        jac=lambda c: 2 * gram @ c,
        bounds=[(0, 1)] * terms,
        constraints={"type": "eq", "fun": lambda c: c.sum() - 1, "jac": lambda c: np.ones(terms)},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    assert result.success
    return np.asarray(result.x)


def frank_wolfe(gram: np.ndarray, turns: int = 2000) -> np.ndarray:
    """Sener & Koltun 2018, algorithm 2: towards the gradient least in line with the point, as far as is best."""
    point = np.full(len(gram), 1 / len(gram))
    for _ in range(turns):
        toward = np.eye(len(gram))[np.argmin(gram @ point)]
        step = toward - point
        length = step @ gram @ step
        share = 0.0 if length == 0 else min(max(-(step @ gram @ point) / length, 0.0), 1.0)
        point = point + share * step
    return point


@pytest.mark.parametrize("terms", [2, 3, 5, 8])
@pytest.mark.parametrize("seed", range(4))
def test_min_norm_point_solves_the_quadratic_program(terms: int, seed: int) -> None:
    gradients = unit_gradients(terms, seed)
    gram = gradients @ gradients.mT
    found = min_norm_point(gram)
    assert (found >= 0).all()
    assert_close(found.sum().item(), 1.0)
    # The point is unique; with more terms than dimensions the coefficients are not.
    assert_close(found @ gradients, torch.from_numpy(quadratic_program(gram.numpy())) @ gradients, rtol=0, atol=1e-4)
    approached = torch.from_numpy(frank_wolfe(gram.numpy())) @ gradients
    assert_close(found @ gradients, approached, rtol=0, atol=2e-2)  # sublinear: the gap falls as one over the turns
    assert (found @ gradients).norm() <= approached.norm() + 1e-9


@pytest.mark.parametrize("cosine", [-1.0, -0.5, 0.0, 0.9])
def test_of_two_unit_gradients_the_point_is_in_the_middle(cosine: float) -> None:
    assert_close(min_norm_point(torch.tensor([[1.0, cosine], [cosine, 1.0]])), torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize(("dot", "share"), [(0.3, 1.0), (0.2, 0.8 / 0.85), (0.1, 0.9 / 1.05), (-0.4, 1.4 / 2.05)])
def test_of_two_gradients_it_is_the_analytic_solution(dot: float, share: float) -> None:
    """clip((b - a).b / |a - b|^2, 0, 1) of the first (Sener & Koltun 2018, equation 4); squared norms are .25 and 1."""
    gram = torch.tensor([[0.25, dot], [dot, 1.0]], dtype=torch.float64)
    assert_close(min_norm_point(gram), torch.tensor([share, 1 - share], dtype=torch.float64), rtol=0, atol=1e-6)


def test_equal_gradients_share_evenly() -> None:
    assert_close(min_norm_point(torch.ones(3, 3)), torch.full((3,), 1 / 3))


@pytest.mark.parametrize("seed", range(5))
def test_the_step_makes_no_term_worse_however_large_another_is(seed: int) -> None:
    gradients = unit_gradients(4, seed) * torch.tensor([[1e3], [1.0], [1e-2], [5.0]], dtype=torch.float64)
    step = common_descent(gradients) @ gradients
    assert (gradients @ step >= -1e-6 * gradients.norm(dim=1) * step.norm()).all()


def test_scale_of_a_loss_does_not_turn_the_step() -> None:
    gradients = unit_gradients(3, 1)
    step, scaled = (common_descent(g) @ g for g in (gradients, gradients * torch.tensor([[7.0], [1.0], [0.01]])))
    assert_close(step / step.norm(), scaled / scaled.norm(), rtol=0, atol=1e-6)


def test_a_term_without_gradient_is_left_out_and_opposed_terms_stand_still() -> None:
    gradients = torch.tensor([[3.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    assert_close(common_descent(gradients), torch.tensor([0.25, 0.0, 0.75]))
    assert_close(common_descent(torch.zeros(2, 3)), torch.zeros(2))
    opposed = torch.tensor([[2.0, 0.0], [-1.0, 0.0]])
    assert_close(common_descent(opposed) @ opposed, torch.zeros(2))


def test_what_is_not_finite_stays_so() -> None:
    """Scaled half-precision steps are skipped by it."""
    assert common_descent(torch.tensor([[torch.nan, 1.0], [1.0, 1.0]])).isnan().all()


def problem() -> tuple[nn.Parameter, nn.Parameter, nn.Parameter, Callable[[], list[torch.Tensor]]]:
    """A shared vector, a scale of each of two terms, and the terms' losses."""
    shared = nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    heads = [nn.Parameter(torch.tensor(scale, dtype=torch.float64)) for scale in (2.0, -3.0)]
    goals = torch.tensor([[1.0, 1.0, 0.0], [-1.0, 0.0, 4.0]], dtype=torch.float64)

    def losses() -> list[torch.Tensor]:
        return [(head * shared - goal).square().sum() for head, goal in zip(heads, goals, strict=True)]

    return shared, heads[0], heads[1], losses


def test_heads_follow_their_own_term_and_batches_add_up() -> None:
    shared, *heads, losses = problem()
    each = [torch.autograd.grad(loss, [shared, head]) for loss, head in zip(losses(), heads, strict=True)]
    mgda = MGDA([shared], heads, 2)
    for _ in range(2):
        mgda.backward(losses(), torch.Tensor.backward)
    metrics = mgda.combine()
    gradients = 2 * torch.stack([one for one, _ in each])
    weights = common_descent(gradients)
    assert_close(torch.stack(list(metrics.values())), weights)
    assert list(metrics) == ["term0/weight", "term1/weight"]
    assert_close(shared.grad, weights @ gradients)
    for head, (_, own) in zip(heads, each, strict=True):
        assert_close(head.grad, 2 * own)
    shared.grad = None
    mgda.backward(losses(), torch.Tensor.backward)
    mgda.combine()
    assert_close(shared.grad, weights @ gradients / 2)  # nothing is left of the step before


def test_a_shared_parameter_that_no_term_reaches_keeps_no_gradient() -> None:
    shared, *heads, losses = problem()
    unused = nn.Parameter(torch.ones(2))
    mgda = MGDA([unused, shared], heads, 2)
    mgda.backward(losses(), torch.Tensor.backward)
    mgda.combine()
    assert unused.grad is None
    assert shared.grad is not None


def curves(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def metrics(folder: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for line in curves(folder):
        for key, value in line["metrics"].items():
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("settings", [{}, {"train__accumulate": 2, "optim__clip": 0.5, "train__precision": "bf16-mixed"}])
def test_a_recipe_of_three_terms(toy_recipe: Make, settings: dict[str, Any]) -> None:
    recipe = toy_recipe(views=None, objective=None, terms=TERMS, combine="mgda", train__steps=40, optim__lr=3e-3, **settings)
    seen = metrics(pretrain(recipe).folder)
    weights = np.array([seen[f"train/term{place}/weight"] for place in range(3)])
    assert_close(torch.from_numpy(weights.sum(0)), torch.ones(weights.shape[1], dtype=torch.float64), rtol=0, atol=1e-5)
    assert (weights >= 0).all()
    assert ("train/grad_norm" in seen) == ("optim__clip" in settings)
    for place in range(3):
        losses = seen[f"train/term{place}/loss"]
        assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_two_runs_are_equal(toy_recipe: Make) -> None:
    recipe = toy_recipe(views=None, objective=None, terms=TERMS[:2], combine="mgda", train__steps=4)
    one, two = (metrics(pretrain(recipe).folder) for _ in range(2))
    assert one["train/term0/weight"] == two["train/term0/weight"]
    assert one["train/loss"] == two["train/loss"]


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (None, "`combine: mgda` weighs 2 to 12 `terms`"),
        (TERMS[:1], "`combine: mgda` weighs 2 to 12 `terms`"),
        ([TERMS[0], {**TERMS[1], "weight": 2.0}], "`combine: mgda` finds the weights of the terms; leave their `weight` out"),
    ],
)
def test_what_it_cannot_weigh_is_refused(toy_recipe: Make, terms: list[Any] | None, message: str) -> None:
    given = {} if terms is None else {"views": None, "objective": None, "terms": terms}
    with pytest.raises(RecipeError, match=message):
        toy_recipe(combine="mgda", **given)


def two_processes(number: int, meeting: Path) -> None:
    """Each has its own goals; the gradients of both are those of their mean loss."""
    torch.set_num_threads(1)
    shared, *heads, here = problem()
    goals = torch.tensor([[1.0, 1.0, 1.0], [-3.0, 0.0, 2.0]], dtype=torch.float64)

    def there() -> list[torch.Tensor]:
        return [(head * shared - goal).square().sum() for head, goal in zip(heads, goals, strict=True)]

    alone = nn.Parameter(torch.ones(2, dtype=torch.float64))  # which one process alone reaches
    mgda = MGDA([shared, alone], heads, 2)
    mgda.backward([(a + b) / 2 for a, b in zip(here(), there(), strict=True)], torch.Tensor.backward)
    expected_metrics = mgda.combine()
    expected = [shared.grad, *(head.grad for head in heads)]
    for parameter in (shared, *heads):
        parameter.grad = None
    dist.init_process_group("gloo", init_method=meeting.as_uri(), rank=number, world_size=2)
    losses = there() if number else here()
    if number:
        losses[0] = losses[0] + 0 * alone.sum()
    mgda.backward(losses, torch.Tensor.backward)
    found = mgda.combine()
    assert_close(dict(found), dict(expected_metrics))
    assert_close([shared.grad, *(head.grad for head in heads)], expected)
    assert_close(alone.grad, torch.zeros(2, dtype=torch.float64))
    distributed.close()


def test_two_processes_are_as_one(tmp_path: Path) -> None:
    as_two(["-W", "error", __file__, str(tmp_path / "meeting")])


if __name__ == "__main__":
    two_processes(int(sys.argv[2]), Path(sys.argv[1]))
