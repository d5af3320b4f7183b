"""DGI against the paper's equation in loops; each graph's own summary; seeds of neighbourhoods."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from manyviews.objective import Branch
from manyviews.view import View
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.dgi import DGI, Corrupted, Discriminator, summary
from manyviews_graphs.gcn import GCN
from manyviews_graphs.spec import GraphSpec
from manyviews_graphs.views.shuffle import Shuffle

WIDTH = 6


def student(spec: GraphSpec) -> Branch:
    torch.manual_seed(0)
    encoder, objective = GCN(spec, width=WIDTH, layers=1), DGI()
    predictor = objective.predictor(encoder, WIDTH)
    torch.nn.init.normal_(predictor.weight)
    return Branch(encoder, torch.nn.Identity(), predictor, "token").double()


def views(batch: GraphBatch, branch: Branch) -> tuple[View, ...]:
    batch = replace(batch, x=batch.x.double())
    shuffle = Shuffle()
    shuffle.bind(branch.encoder.layout)
    return shuffle(batch, branch.encoder.layout(batch), torch.Generator().manual_seed(3))


def loss(branch: Branch, seen: tuple[View, ...]):
    return DGI()(seen, branch, None, torch.Generator())


def longhand(true: torch.Tensor, fake: torch.Tensor, weight: torch.Tensor, groups: list[list[int]]) -> float:
    """-(sum log D(h, s) + sum log(1 - D(h~, s))) / (N + M), with D = sigmoid(h^T W s) and s = sigmoid(mean h)."""
    total, count = 0.0, 0
    for group in groups:
        s = [1 / (1 + torch.exp(-sum(true[i][j] for i in group) / len(group))) for j in range(WIDTH)]
        for i in group:
            for h, sign in ((true[i], 1), (fake[i], -1)):
                logit = sum(h[a] * weight[a][b] * s[b] for a in range(WIDTH) for b in range(WIDTH))
                d = 1 / (1 + torch.exp(-logit))
                total -= float(torch.log(d if sign == 1 else 1 - d))
                count += 1
    return total / count


@pytest.mark.parametrize(("name", "groups"), [("ring", [[*range(8)]]), ("two_graphs", [[0, 1, 2, 3], [4], [5, 6, 7]])])
def test_longhand(name: str, groups: list[list[int]], spec: GraphSpec, request: pytest.FixtureRequest) -> None:
    branch = student(spec)
    seen = views(request.getfixturevalue(name), branch)
    true, fake = (branch.encoder(view).tokens.detach() for view in seen)
    expected = longhand(true, fake, branch.predictor.weight.detach(), groups)
    assert_close(loss(branch, seen).value, torch.tensor(expected, dtype=torch.float64))


def test_of_neighbourhoods_the_seeds_are_judged(seeded: GraphBatch, spec: GraphSpec) -> None:
    branch = student(spec)
    seen = views(seeded, branch)
    true, fake = (branch.encoder(view).tokens.detach()[[0, 3, 6]] for view in seen)
    expected = longhand(true, fake, branch.predictor.weight.detach(), [[0, 1, 2]])
    assert_close(loss(branch, seen).value, torch.tensor(expected, dtype=torch.float64))


def test_the_order_of_views_says_nothing(ring: GraphBatch, spec: GraphSpec) -> None:
    branch = student(spec)
    seen = views(ring, branch)
    assert_close(loss(branch, seen[::-1]).value, loss(branch, seen).value)


def test_where_nothing_is_learnt_yet_it_is_log_2(two_graphs: GraphBatch, spec: GraphSpec) -> None:
    branch = student(spec)
    torch.nn.init.zeros_(branch.predictor.weight)
    found = loss(branch, views(two_graphs, branch))
    assert_close(found.value, torch.tensor(2.0, dtype=torch.float64).log())
    assert_close(found.metrics["accuracy"], torch.tensor(0.5, dtype=torch.float64))


def test_gradient() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(3).double()
    torch.nn.init.normal_(discriminator.weight)
    nodes = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda n: discriminator(n, summary(n, None), None), nodes)


def test_a_few_steps_tell_them_apart(ring: GraphBatch, spec: GraphSpec) -> None:
    branch = student(spec)
    optimizer = torch.optim.Adam(branch.parameters(), lr=0.02)
    seen = views(ring, branch)
    first = loss(branch, seen).value.detach()
    for _ in range(60):
        optimizer.zero_grad()
        found = loss(branch, seen)
        found.value.backward()
        optimizer.step()
    assert found.value < 0.5 * first
    assert found.metrics["accuracy"] > 0.8


def test_target_says_which_view_is_corrupted(ring: GraphBatch, spec: GraphSpec) -> None:
    assert [view.target for view in views(ring, student(spec))] == [Corrupted(False), Corrupted(True)]
