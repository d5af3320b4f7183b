"""NT-Xent and DCL against the papers' formulas written out in loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from manyviews.objectives.ntxent import ntxent


def longhand(z: torch.Tensor, temperature: float, decoupled: bool) -> list[list[float]]:
    """-(1 / P) sum over positives of log(exp(s_p / T) / sum over candidates of exp(s_c / T)), one number after another."""
    views, units, _ = z.shape

    def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))

    losses = []
    for v in range(views):
        losses.append([])
        for i in range(units):
            denominator, positive = 0.0, []
            for u in range(views):
                for j in range(units):
                    similarity = cosine(z[v, i], z[u, j]) / temperature
                    if i == j and u != v:
                        positive.append(similarity)
                    if (i != j) if decoupled else (i, v) != (j, u):
                        denominator += math.exp(similarity)
            losses[-1].append(math.log(denominator) - sum(positive) / len(positive))
    return losses


def whole(z: torch.Tensor, temperature: float, decoupled: bool = False) -> torch.Tensor:
    return ntxent(z, z, torch.arange(z.shape[1]), temperature, decoupled)


@pytest.mark.parametrize("views", [2, 3])
@pytest.mark.parametrize("decoupled", [False, True])
def test_longhand(views: int, decoupled: bool) -> None:
    z = torch.randn(views, 12, 8, generator=torch.Generator().manual_seed(0))
    expected = torch.tensor(longhand(z.double(), 0.2, decoupled), dtype=torch.float64)
    assert_close(whole(z, 0.2, decoupled).double(), expected, rtol=1e-5, atol=1e-5)
    assert_close(whole(z.double(), 0.2, decoupled), expected, rtol=1e-12, atol=1e-12)


def test_is_the_cross_entropy_over_candidates() -> None:
    """The paper's algorithm in other words: classify the other view among all candidates but oneself."""
    z = torch.nn.functional.normalize(torch.randn(2, 256, 256, generator=torch.Generator().manual_seed(0)).double(), dim=-1)
    flat = z.flatten(0, 1)
    logits = (flat @ flat.T / 0.5).fill_diagonal_(-torch.inf)
    answers = torch.arange(512).roll(256)
    assert_close(
        whole(z.float(), 0.5).mean().double(), torch.nn.functional.cross_entropy(logits, answers), rtol=1e-6, atol=1e-6
    )


def test_ignores_length_and_follows_permutations() -> None:
    z = torch.randn(2, 9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    assert_close(whole(z * torch.rand(2, 9, 1).double().add(0.1), 0.1), whole(z, 0.1))
    assert_close(whole(z[:, order], 0.1), whole(z, 0.1)[:, order])
    assert_close(whole(z.flip(0), 0.1), whole(z, 0.1).flip(0))


def test_rows_of_some_anchors_are_rows_of_all() -> None:
    z = torch.randn(2, 9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    own = torch.tensor([3, 4, 5])
    assert_close(ntxent(z[:, own], z, own, 0.1), whole(z, 0.1)[:, own])


@pytest.mark.parametrize(("decoupled", "candidates"), [(False, 2 * 6 - 1), (True, 2 * 6 - 2)])
def test_at_collapse_all_candidates_are_alike(decoupled: bool, candidates: int) -> None:
    positive = math.log(candidates)
    assert_close(whole(torch.ones(2, 6, 4), 0.1, decoupled), torch.full((2, 6), positive))


@pytest.mark.parametrize("decoupled", [False, True])
def test_gradient(decoupled: bool) -> None:
    z = torch.randn(3, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: whole(z, 0.3, decoupled), z)
