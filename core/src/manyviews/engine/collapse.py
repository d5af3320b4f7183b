"""Watches the embedding for collapse, without labels, and says in words when it happens.

Three things are looked at, on the units of a training batch, each against what it was at the first look:

- `watch/effective_rank`, as published (RankMe): with the mean left in, so that collapse onto a point shows as rank 1;
- `watch/centred_rank`, the same of what varies: collapse onto a line shows as rank 1, however far from zero it lies;
- `watch/spread`, the mean standard deviation of a dimension.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from manyviews.batch import Batch
from manyviews.encoder import Encoder
from manyviews.evaluate.embed import evaluating
from manyviews.view import View

MOST_UNITS = 2048
"""Units that a look is at, evenly taken from those that there are: the nodes of a graph may be a million."""


@dataclass(frozen=True)
class Signs:
    """What a look has seen: scalars on the device, and numbers that are known on the host."""

    values: Mapping[str, Float[Tensor, ""]]
    units: int
    width: int


def signs(embeddings: Float[Tensor, "units width"]) -> Signs:
    """Effective ranks (exponential of the entropy of the singular values, Roy & Vetterli 2007) and spread."""
    x = embeddings[:: -(-len(embeddings) // MOST_UNITS) or 1].float()
    centred = x - x.mean(0)
    values = {
        "watch/effective_rank": _rank(x, x),
        "watch/centred_rank": _rank(centred, x),
        "watch/spread": centred.square().mean(0).sqrt().mean(),
    }
    return Signs(values, *x.shape)


def _rank(x: Float[Tensor, "units width"], whole: Float[Tensor, "units width"]) -> Float[Tensor, ""]:
    """Below what rounding leaves of `whole` nothing counts: of a constant embedding, centred, it has full rank."""
    values = torch.linalg.svdvals(x.nan_to_num())  # NaN would be refused; the spread still shows it
    rounding = torch.finfo(x.dtype).eps * max(x.shape) * torch.linalg.matrix_norm(whole.nan_to_num())
    values = torch.where(values > rounding, values, torch.zeros_like(values))
    share = values / values.sum().clamp(min=torch.finfo(values.dtype).tiny)
    return torch.exp(torch.special.entr(share).sum())


class CollapseWatch:
    """Compares the embedding of a whole batch with that of the first one watched, and warns once a run.

    A tenth is the line. Measured on four tables (docs/benchmarks.md), effective rank beyond the first direction, end over
    beginning: runs that brought nothing and whose embeddings had drawn together, 3 to 7% (T-JEPA on Adult: rank 30 to 2);
    healthy ones 18% at least (SCARF, 51 to 10), most above a third. The spread of healthy runs fell to 45% at least. An
    untrained encoder's rank says little of itself, so that it is compared and not judged; that what varies lies on one
    line, is judged at any time.

    Few units have a low rank however good their embedding is: two are always on a line, so that ranks are judged from
    three units on, and against no more than these can have.
    """

    floor = 0.1
    """Share of its beginning below which a sign is one of collapse."""
    line = 0.5
    """Centred rank beyond the first direction below which it is a line; a tenth of what the units can have, if that is less."""

    def __init__(self) -> None:
        self.first: dict[str, float] | None = None
        self.told = False

    def look(self, encoder: Encoder, batch: Batch) -> Signs:
        """At this batch's pooled embedding (or at its tokens, where it is a single sample)."""
        with evaluating(encoder):
            encoding = encoder(View(batch, encoder.layout(batch)))
        return signs(encoding.pooled if len(batch) > 1 else encoding.tokens)

    def judge(self, values: Mapping[str, float], units: int, width: int) -> str | None:
        """A sentence where the embedding has collapsed, once a run; None otherwise.

        Args:
            values: Of a look, on the host.
            units: That it was at.
            width: Of the embedding.
        """
        if self.first is None:
            self.first = dict(values)
        seen = None if self.told else self._seen(values, units, width)
        if seen is None:
            return None
        self.told = True
        return (
            f"the embedding has collapsed: {seen}. The loss no longer means anything; "
            "try a variance-regularised objective, a slower teacher or a lower learning rate"
        )

    def _seen(self, values: Mapping[str, float], units: int, width: int) -> str | None:
        assert self.first is not None
        spread, began = values["watch/spread"], self.first["watch/spread"]
        if spread < self.floor * began:
            return f"its spread fell to {spread:.2g} (it began at {began:.2g}), towards a single point"
        if units < 3:
            return None
        rank, began = values["watch/effective_rank"], self.first["watch/effective_rank"]
        if rank - 1 < self.floor * (min(began, units, width) - 1):
            return f"its effective rank fell to {rank:.1f} (it began at {began:.0f})"
        varied = values["watch/centred_rank"]
        if varied - 1 < min(self.line, self.floor * (min(units - 1, width) - 1)):
            return f"all of it lies on one line (effective rank {varied:.1f} of what varies)"
        return None

    def state(self) -> dict[str, object]:
        """For a checkpoint."""
        return {"first": self.first, "told": self.told}

    def restore(self, state: Mapping[str, object]) -> None:
        """From a checkpoint."""
        first, told = state["first"], state["told"]
        assert first is None or isinstance(first, dict)
        self.first, self.told = first, bool(told)
