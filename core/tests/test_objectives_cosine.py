"""Cosines against PyTorch's, values and gradients."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from torch.testing import assert_close

from manyviews.objectives.cosine import cosines


def test_they_equal_pytorchs() -> None:
    """A row of zeros on either side too: its cosine is 0, its gradient of the size that the least length gives it."""
    torch.manual_seed(0)
    one, other = torch.randn(6, 5, dtype=torch.double), torch.randn(6, 5, dtype=torch.double)
    one[0], other[1] = 0.0, 0.0
    mine, theirs = one.clone().requires_grad_(), one.clone().requires_grad_()
    (found, known), wanted = cosines(mine, other), F.cosine_similarity(theirs, other, dim=-1)
    assert_close(found, wanted)
    assert known.all()
    weights = torch.linspace(-1, 2, 6, dtype=torch.double)
    assert_close(*(torch.autograd.grad((y * weights).sum(), x)[0] for y, x in ((found, mine), (wanted, theirs))))


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    other = torch.randn(4, 3, dtype=torch.double)
    assert torch.autograd.gradcheck(lambda x: cosines(x, other)[0], torch.randn(4, 3, dtype=torch.double, requires_grad=True))


def test_what_the_target_lacks_is_left_out() -> None:
    """With its gradient; a row that lacks all has no cosine worth the name, and says so."""
    torch.manual_seed(0)
    prediction, target = torch.randn(3, 4, dtype=torch.double, requires_grad=True), torch.randn(3, 4, dtype=torch.double)
    target[0, 1:3], target[1] = torch.nan, torch.nan
    found, known = cosines(prediction, target)
    assert known.tolist() == [True, False, True]
    assert_close(found[0], F.cosine_similarity(prediction[0, [0, 3]], target[0, [0, 3]], dim=-1))
    (gradient,) = torch.autograd.grad(found.sum(), prediction)
    assert gradient.isfinite().all()
    assert (gradient == 0).tolist() == [[False, True, True, False], [True] * 4, [False] * 4]
