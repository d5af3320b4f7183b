"""T-JEPA (Thimonier et al. 2024) as one would write it from the paper with PyTorch's own parts: what ours is measured against.

Masks are drawn row by row in a collate function; every column has a layer of its own, in a Python loop; the predictor
answers all target sets in one pass, the context repeated for each, as the published code does; the teacher follows
parameter by parameter.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


@dataclass(frozen=True)
class Size:
    """Of encoder and predictor."""

    width: int
    depth: int
    heads: int
    ff: int
    predictor_width: int
    predictor_depth: int
    predictor_heads: int


class ColumnEncoder(nn.Module):
    """A token for each column and a REG token, then a post-norm Transformer."""

    def __init__(self, numeric: int, levels: Sequence[int], size: Size) -> None:
        super().__init__()
        self.numbers = nn.ModuleList(nn.Linear(1, size.width) for _ in range(numeric))
        self.categories = nn.ModuleList(nn.Embedding(number, size.width) for number in levels)
        self.reg = nn.Parameter(0.02 * torch.randn(size.width))
        layer = nn.TransformerEncoderLayer(size.width, size.heads, size.ff, dropout=0.0, activation="gelu", batch_first=True)
        self.transformer = nn.TransformerEncoder(layer, size.depth, enable_nested_tensor=False)

    def forward(self, values: Tensor, codes: Tensor, context: Tensor | None = None) -> Tensor:
        """(rows, columns, width), or (rows, shown, width) of the columns whose numbers are in `context`."""
        tokens = [number(values[:, [j]]) for j, number in enumerate(self.numbers)]
        tokens += [category(codes[:, j]) for j, category in enumerate(self.categories)]
        x = torch.stack(tokens, dim=1)
        if context is not None:
            x = x.gather(1, context[..., None].expand(-1, -1, x.shape[-1]))
        return self.transformer(torch.cat([self.reg.expand(len(x), 1, -1), x], dim=1))[:, 1:]


class Predictor(nn.Module):
    """A narrow pre-norm Transformer over context and mask tokens, both with fixed positions."""

    def __init__(self, columns: int, size: Size) -> None:
        super().__init__()
        width = size.predictor_width
        self.inwards = nn.Linear(size.width, width)
        self.mask_token = nn.Parameter(0.02 * torch.randn(width))
        self.positions: Tensor
        self.register_buffer("positions", positions(columns, width))
        layer = nn.TransformerEncoderLayer(
            width, size.predictor_heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(
            layer, size.predictor_depth, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.outwards = nn.Linear(width, size.width)

    def forward(self, shown: Tensor, context: Tensor, targets: Sequence[Tensor]) -> Tensor:
        """(sets x rows, asked, width), sets outermost."""
        left = (self.inwards(shown) + self.positions[context]).repeat(len(targets), 1, 1)
        right = torch.cat([self.mask_token + self.positions[target] for target in targets])
        return self.outwards(self.transformer(torch.cat([left, right], dim=1))[:, left.shape[1] :])


def positions(columns: int, width: int) -> Tensor:
    """Sines, then cosines, of the column's number."""
    angles = torch.arange(columns)[:, None] * 10_000.0 ** -(torch.arange(width // 2) / (width // 2))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class PlainTJEPA:
    """Student, teacher, optimiser and one step of them."""

    def __init__(self, numeric: int, levels: Sequence[int], size: Size, lr: float, warmup: int, steps: int) -> None:
        self.student = ColumnEncoder(numeric, levels, size)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False).eval()
        self.predictor = Predictor(numeric + len(levels), size)
        self.learning = [*self.student.parameters(), *self.predictor.parameters()]
        self.optimizer = torch.optim.AdamW(self.learning, lr=lr, weight_decay=0.0)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: _rate(step, warmup, steps))
        self.momenta = (0.996 + 0.004 * step / steps for step in range(steps + 1))

    def loss(self, values: Tensor, codes: Tensor, context: Tensor, targets: Sequence[Tensor]) -> Tensor:
        """Mean squared error against the teacher's tokens at the target places."""
        with torch.no_grad():
            whole = self.teacher(values, codes)
            wanted = torch.cat([whole.gather(1, target[..., None].expand(-1, -1, whole.shape[-1])) for target in targets])
        predicted = self.predictor(self.student(values, codes, context), context, targets)
        return nn.functional.mse_loss(predicted, wanted)

    def step(self, values: Tensor, codes: Tensor, context: Tensor, targets: Sequence[Tensor]) -> None:
        """One update of student, predictor and teacher."""
        self.optimizer.zero_grad()
        self.loss(values, codes, context, targets).backward()
        self.optimizer.step()
        self.schedule.step()
        momentum = next(self.momenta)
        with torch.no_grad():
            for old, new in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                old.mul_(momentum).add_((1 - momentum) * new)


def _rate(step: int, warmup: int, steps: int) -> float:
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


class MaskCollate:
    """Stacks rows and draws, for each, a context and `sets` targets from what the context leaves."""

    def __init__(self, columns: int, sets: int, sizes: Iterator[tuple[int, int]]) -> None:
        self.columns, self.sets, self.sizes = columns, sets, sizes
        self.rng = np.random.default_rng(0)

    def __call__(self, rows: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        shown, asked = next(self.sizes)
        contexts, targets = [], []
        for _ in rows:
            order = self.rng.permutation(self.columns)
            contexts.append(order[:shown])
            targets.append([self.rng.permutation(order[shown:])[:asked] for _ in range(self.sets)])
        each_set = torch.from_numpy(np.array(targets)).unbind(1)
        values, codes = torch.utils.data.default_collate(rows)
        return values, codes, torch.from_numpy(np.array(contexts)), list(each_set)


def batches(
    values: Tensor, codes: Tensor, batch_size: int, sets: int, sizes: Iterator[tuple[int, int]]
) -> Iterator[tuple[Tensor, Tensor, Tensor, list[Tensor]]]:
    """Endless shuffled batches with their masks, through a DataLoader; `sizes` gives each batch's (context, target) size."""
    collate = MaskCollate(values.shape[1] + codes.shape[1], sets, sizes)
    while True:
        yield from DataLoader(
            TensorDataset(values, codes), batch_size=batch_size, shuffle=True, drop_last=True, collate_fn=collate
        )
