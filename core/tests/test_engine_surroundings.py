"""A run leaves the program around it as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from manyviews.engine.pretrain import pretrain
from manyviews.errors import UserError
from manyviews.recipe.model import Recipe


@pytest.mark.parametrize("fails", [False, True])
def test_the_callers_random_numbers_and_threads_are_kept(toy_recipe: Callable[..., Recipe], fails: bool) -> None:
    before = torch.get_num_threads()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    if fails:
        with pytest.raises(UserError, match="the loss is"):
            pretrain(toy_recipe(train__threads=before + 1, optim={"name": "sgd", "lr": 1e30, "warmup": 0.0}))
    else:
        pretrain(toy_recipe(train__threads=before + 1, encoder__dropout=0.2, train__steps=2))
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == before
