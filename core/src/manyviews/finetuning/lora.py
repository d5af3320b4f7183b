"""LoRA on any weight: a matrix or kernel W is W + (alpha / rank) B A wherever the encoder reads it.

Hu et al. 2022 (arXiv 2106.09685); kernels are taken as matrices of one row for each output channel. A parametrisation of
the weight and not a wrapper around the layer: encoders that read `layer.weight` themselves (sparse products of graph nets,
nn.MultiheadAttention) are changed too, and what was learnt folds into the weight when it is done.
"""

from __future__ import annotations

import math
import re

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from manyviews.engine.optim import decays
from manyviews.errors import UserError
from manyviews.recipe.finetune import LoRA


class LowRank(nn.Module):
    """W -> W + scale * B A, with B zero at first: the encoder begins as it was."""

    def __init__(self, weight: Float[Tensor, "out *rest"], rank: int, scale: float) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        self.scale = scale
        self.down = nn.Parameter(weight.new_empty(rank, columns))
        self.up = nn.Parameter(weight.new_zeros(rows, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Float[Tensor, "out *rest"]) -> Float[Tensor, "out *rest"]:
        return weight + self.scale * (self.up @ self.down).view_as(weight)


def add_lora(encoder: nn.Module, settings: LoRA) -> None:
    """Freeze the encoder and give each matrix and kernel (norms, embeddings and tokens are none) a low-rank change.

    Recurrent layers are left out, whose kernels torch packs once.

    Raises:
        UserError: No weight fits `where`.
    """
    encoder.requires_grad_(False)
    scale = (settings.alpha or 2.0 * settings.rank) / settings.rank
    for owner, path, name in _chosen(encoder, settings.where):
        weight = getattr(owner, name)
        rank = min(settings.rank, weight.shape[0], weight[0].numel())
        parametrize.register_parametrization(owner, name, LowRank(weight, rank, scale))
        del path


def _chosen(encoder: nn.Module, where: str | None) -> list[tuple[nn.Module, str, str]]:
    found = [
        (owner, f"{path}.{name}" if path else name, name)
        for path, owner in encoder.named_modules()
        if not isinstance(owner, nn.RNNBase)
        for name, parameter in owner.named_parameters(recurse=False)
        if decays(owner, name, parameter)
    ]
    chosen = [each for each in found if where is None or re.search(where, each[1])]
    if not chosen:
        names = ", ".join(path for _, path, _ in found[:8])
        raise UserError(f"lora.where: no weight of the encoder fits {where!r}\n  There are: {names}{', …' * (len(found) > 8)}")
    return chosen


def fold_lora(encoder: nn.Module) -> None:
    """Write the changes into the weights: the encoder is a plain one again."""
    with torch.no_grad():
        for owner in list(encoder.modules()):
            if parametrize.is_parametrized(owner):
                for name in list(owner.parametrizations):  # type: ignore[arg-type]
                    parametrize.remove_parametrizations(owner, name, leave_parametrized=True)
