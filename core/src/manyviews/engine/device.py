"""Where a trained encoder works: `train.device`'s words, for embedding and evaluation."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from manyviews.errors import UserError

Device = Literal["auto", "cpu", "cuda", "mps"]


def choose_device(name: str) -> torch.device:
    """The device of this name; `auto`: an accelerator where there is one.

    Raises:
        UserError: There is none of this name here.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, found in there.items() if found))
    if name not in there:
        raise UserError(f"device: {name!r} is none; give one of {', '.join(get_args(Device))}")
    if not there[name]:
        found = " and ".join(kind for kind, here in there.items() if here)
        raise UserError(f"device: there is no {name} device here, only {found}; `auto` takes what there is")
    return torch.device(name)
