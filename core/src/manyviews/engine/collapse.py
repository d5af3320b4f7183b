"""Watches the embedding for collapse, without labels, and says in words when it happens.

Three things are looked at, on the units of a training batch, each against what it was at the first look:

- `watch/effective_rank`, as published (RankMe): with the mean left in, so that collapse onto a point shows as rank 1;
- `watch/centred_rank`, the same of what varies: collapse onto a line shows as rank 1, however far from zero it lies;
- `watch/spread`, the mean standard deviation of a dimension.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from manyviews.batch import Batch
from manyviews.encoder import Encoder
from manyviews.evaluate.embed import evaluating
from manyviews.view import View

MOST_UNITS = 1024
"""Units that a look is at, evenly taken from those that there are: the nodes of a graph may be a million."""


@dataclass(frozen=True)
class Signs:
    """What a look has seen, on the host."""

    effective_rank: float
    centred_rank: float
    spread: float
    units: int
    width: int

    def metrics(self) -> dict[str, float]:
        """For the journal."""
        return {
            "watch/effective_rank": self.effective_rank,
            "watch/centred_rank": self.centred_rank,
            "watch/spread": self.spread,
        }


def signs(embeddings: Float[Tensor, "units width"]) -> Signs:
    """Effective ranks (exponential of the entropy of the singular values, Roy & Vetterli 2007) and spread.

    Below what rounding leaves of the whole nothing counts: of a constant embedding, centred, that has full rank.
    """
    x = embeddings[:: -(-len(embeddings) // MOST_UNITS) or 1].float()
    centred = x - x.mean(0)
    spread = centred.square().mean(0).sqrt().mean()
    values = torch.linalg.svdvals(torch.stack([x, centred]).nan_to_num())  # NaN would be refused; the spread still shows it
    rounding = torch.finfo(x.dtype).eps * max(x.shape) * values[0].norm()
    values = torch.where(values > rounding, values, 0.0)
    share = values / values.sum(1, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
    ranks = torch.special.entr(share).sum(1).exp()
    return Signs(*torch.stack([*ranks, spread]).tolist(), *x.shape)


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
        self.first: Signs | None = None
        self.told = False

    def look(self, encoder: Encoder, batch: Batch) -> Signs:
        """At this batch's pooled embedding (or at its tokens, where it is a single sample)."""
        with evaluating(encoder):
            encoding = encoder(View(batch, encoder.layout(batch)))
        return signs(encoding.pooled if len(batch) > 1 else encoding.tokens)

    def judge(self, seen: Signs) -> str | None:
        """A sentence where the embedding has collapsed, once a run; None otherwise."""
        if self.first is None:
            self.first = seen
        found = None if self.told else self._found(seen, self.first)
        if found is None:
            return None
        self.told = True
        return (
            f"the embedding has collapsed: {found}. The loss no longer means anything; "
            "try a variance-regularised objective, a slower teacher or a lower learning rate"
        )

    def _found(self, now: Signs, first: Signs) -> str | None:
        if now.spread < self.floor * first.spread:
            return f"its spread fell to {now.spread:.2g} (it began at {first.spread:.2g}), towards a single point"
        if now.units < 3:
            return None
        if now.effective_rank - 1 < self.floor * (min(first.effective_rank, now.units, now.width) - 1):
            return f"its effective rank fell to {now.effective_rank:.1f} (it began at {first.effective_rank:.0f})"
        if now.centred_rank - 1 < min(self.line, self.floor * (min(now.units - 1, now.width) - 1)):
            return f"all of it lies on one line (effective rank {now.centred_rank:.1f} of what varies)"
        return None

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"first": self.first and asdict(self.first), "told": self.told}

    def restore(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        self.first, self.told = state["first"] and Signs(**state["first"]), state["told"]
