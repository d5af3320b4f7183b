"""`manyviews.finetune` is a function whatever was imported before: asked for twice, and after the package of that name."""

from __future__ import annotations

import pytest

import manyviews as mv
from manyviews.errors import UserError


def test_finetune_is_called_after_the_package_was_imported() -> None:
    import manyviews.finetune.dense  # noqa: F401

    for _ in range(2):
        with pytest.raises(UserError, match="give the folder of a pretraining run"):
            mv.finetune()
