"""Watches the embedding for collapse, without labels, and says in words when it happens."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from manyviews.batch import Batch
from manyviews.encoder import Encoder
from manyviews.evaluate.embed import evaluating
from manyviews.view import View


def signs(embeddings: Float[Tensor, "samples width"]) -> dict[str, Float[Tensor, ""]]:
    """Effective rank (exponential of the entropy of the singular values, Roy & Vetterli 2007) and mean spread.

    Both of the centred embeddings: a constant vector added to all of them is no information.
    """
    x = embeddings.float()
    centred = x - x.mean(0)
    values = torch.linalg.svdvals(centred.nan_to_num())  # NaN would be refused; the spread below still shows it
    # What is left of a constant embedding after centring is rounding, and rounding has full rank.
    rounding = torch.finfo(x.dtype).eps * max(x.shape) * torch.linalg.matrix_norm(x)
    values = torch.where(values > rounding, values, torch.zeros_like(values))
    share = values / values.sum().clamp(min=torch.finfo(values.dtype).tiny)
    return {
        "watch/effective_rank": torch.exp(torch.special.entr(share).sum()),
        "watch/spread": centred.square().mean(0).sqrt().mean(),
    }


class CollapseWatch:
    """Compares the embedding of a whole batch with that of the first one watched."""

    rank_floor = 1.5
    """An effective rank below this: the embeddings lie on a line."""
    spread_floor = 0.02
    """A spread below this share of the first one: the embeddings have drawn together to a point."""

    def __init__(self) -> None:
        self.first_spread: float | None = None
        self.told = False

    def look(self, encoder: Encoder, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Signs of this batch's pooled embedding (or of its tokens, where it is a single sample)."""
        with evaluating(encoder):
            encoding = encoder(View(batch, encoder.layout(batch)))
        return signs(encoding.pooled if len(batch) > 1 else encoding.tokens)

    def judge(self, values: dict[str, float]) -> str | None:
        """A sentence where the embedding has collapsed, once a run; None otherwise."""
        rank, spread = values["watch/effective_rank"], values["watch/spread"]
        if self.first_spread is None:
            self.first_spread = spread
        fallen = spread < self.spread_floor * self.first_spread
        if self.told or not (rank < self.rank_floor or fallen):
            return None
        self.told = True
        what = (
            f"its spread fell to {spread:.2g} (it began at {self.first_spread:.2g})" if fallen else "all of it lies on one line"
        )
        return (
            f"the embedding has collapsed: {what}, effective rank {rank:.1f}. The loss no longer means anything; "
            "try a variance-regularised objective, a slower teacher or a lower learning rate"
        )
