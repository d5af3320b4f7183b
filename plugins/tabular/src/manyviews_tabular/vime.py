"""VIME: which cells were corrupted, and what did they hold? (Yoon et al. 2020, section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.layout import Layout
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import exact, full
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews_tabular.batch import TableBatch
from manyviews_tabular.encoder import TableEncoder
from manyviews_tabular.heads import CellHeads
from manyviews_tabular.scarf import resample
from manyviews_tabular.values import cell_errors, require_table


@dataclass(frozen=True)
class Corruption:
    """What VIME asks about a corrupted view."""

    changed: Bool[Tensor, "rows columns"]
    original: TableBatch


class VimeCorruption(ViewGenerator):
    """The row with cells drawn anew from other rows of the batch; the target says which ones changed and what they held.

    Equation 3 of the paper. A cell that happened to draw its own value did not change, and counts as such.

    Args:
        corruption: Probability of a cell to be drawn anew.
    """

    gives = frozenset({Trait.PRETEXT_TARGET})
    target = Corruption

    def __init__(self, *, corruption: Annotated[float, Field(gt=0, lt=1)] = 0.3) -> None:
        super().__init__()
        self.corruption = corruption

    def forward(self, batch: TableBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        where = torch.rand(len(batch), batch.columns, generator=generator, device=batch.values.device) < self.corruption
        corrupted = resample(batch, where, generator)
        return (View(corrupted, layout, target=Corruption(changed(batch, corrupted), batch)),)


def changed(one: TableBatch, two: TableBatch) -> Bool[Tensor, "rows columns"]:
    """Cells that differ."""
    numbers = (one.values != two.values) | (one.missing != two.missing)
    return torch.cat([numbers, one.codes != two.codes], dim=1)


class VimeHeads(nn.Module):
    """From a row's vector to the logits of "changed" and to what each cell held.

    Args:
        encoder: The encoder.
        width: Width of the row's vector.
    """

    def __init__(self, encoder: TableEncoder, width: int) -> None:
        super().__init__()
        self.mask = nn.Linear(width, encoder.columns)
        self.cells = CellHeads(encoder, width)

    def forward(self, row: Float[Tensor, "rows width"]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the mask, logits of classes, numbers: (rows, columns), (rows, columns, classes), (rows, columns)."""
        logits, numbers = self.cells(row[:, None].expand(-1, self.mask.out_features, -1))
        return self.mask(row), logits, numbers


class Vime(Objective):
    """Mask and value estimation from a row's vector.

    The paper treats every feature as a number; here a category is a cross-entropy over its levels.

    Args:
        alpha: Weight of the values beside the mask.
    """

    needs = frozenset({Trait.PRETEXT_TARGET, Trait.TOKEN_CLASSES})
    target = Corruption
    across = "means over the cells of all processes"

    def __init__(self, *, alpha: NonNegativeFloat = 2.0) -> None:
        super().__init__()
        self.alpha = alpha

    def predictor(self, encoder: Encoder, width: int) -> nn.Module:
        return VimeHeads(require_table(encoder, "tabular/vime"), encoder.pooled_width)

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        (view,) = views
        assert isinstance(view.target, Corruption)
        assert student.predictor is not None
        original = view.target.original
        mask, logits, numbers = student.predictor(student.encoder(view).pooled)
        with exact(mask):
            guess = F.binary_cross_entropy_with_logits(full(mask), view.target.changed.to(full(mask).dtype), reduction="none")
            numeric = original.values.shape[1]
            squares = (full(numbers[:, :numeric]) - original.values).square()
            classes = student.encoder.classes(original).reshape(mask.shape)[:, numeric:]
            entropies = cell_errors(full(logits[:, numeric:]).flatten(0, 1), classes.flatten())
            values = torch.cat([squares.flatten(), entropies])
            known = torch.cat([~original.missing.flatten(), classes.flatten() >= 0])
            corrupted, held = distributed.mean(guess.flatten()), distributed.mean(values, known)
        return Loss(corrupted + self.alpha * held, {"mask": corrupted.detach(), "values": held.detach()})
