"""Withhold nodes, as GraphMAE does: most behind the mask token, some behind another node's features."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Int
from pydantic import Field
from torch import Tensor

from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.moving import sent
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews.views.choose import ranks
from manyviews.views.draws import host_uniform, on_host
from manyviews.views.ranges import refuse_descending
from manyviews_graphs.batch import GraphBatch

Share = Annotated[float, Field(gt=0, lt=1)]
Part = Annotated[float, Field(ge=0, le=1)]
Counts = int | Int[Tensor, "samples"]
"""Of each sample; a number where all have equally many, which is then known on the host."""


class NodeMask(ViewGenerator):
    """Withholds a random share of the nodes (GraphMAE, Hou et al. 2022, section 3.2; counts as in its code).

    `int(share * nodes)` of them, at least one, and at least one stays. Of these `int(replace * withheld)` show the
    features of a random node and `int(keep * withheld)` their own; the others show the encoder's mask token. All
    withheld nodes are to be predicted.

    Args:
        share: Share of the nodes to withhold, or the range (low, high) that it is drawn from once a batch.
        replace: Share of the withheld nodes that show another node's features.
        keep: Share of the withheld nodes that show their own features.
        per: Whether the shares are of all nodes of a `batch`, as in GraphMAE, or of each `sample`.
    """

    gives = frozenset({Trait.HIDDEN_TOKENS, Trait.ASKED_TOKENS})
    needs = frozenset({Trait.OWN_TOKENS})

    def __init__(
        self,
        *,
        share: Share | tuple[Share, Share] = 0.5,
        replace: Part = 0.0,
        keep: Part = 0.0,
        per: Literal["batch", "sample"] = "batch",
    ) -> None:
        super().__init__()
        self.low, self.high = share if isinstance(share, tuple) else (share, share)
        refuse_descending(share=(self.low, self.high))
        if replace + keep > 1:
            raise UserError(f"replace ({replace}) and keep ({keep}) are together more than all withheld nodes; lower them to 1")
        self.replace, self.keep, self.per = replace, keep, per

    def forward(self, batch: GraphBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        nodes = batch.lengths
        if layout.lengths.total != nodes.total:
            raise UserError(
                f"node_mask is for encoders whose tokens are nodes; of {nodes.total} nodes this one makes "
                f"{layout.lengths.total} tokens\nchoose another encoder, or views of the core that mask tokens"
            )
        scope = Lengths.equal(1, nodes.total, nodes.tensor.device) if self.per == "batch" else nodes
        share = host_uniform(generator, self.low, self.high)
        here = None if scope.each is not None and len(scope) == len(nodes) else nodes.host()
        if here is not None:  # how many of each sample: drawn where that can be counted
            scope, generator = scope.host() or here, on_host(generator)
        withheld = _withheld(scope, share)
        order = ranks(scope, generator)
        where = _first(withheld, order, scope)[None]
        if here is not None:
            hidden = Mask.counted(where, nodes)
        else:
            hidden = Mask(where, withheld if isinstance(withheld, int) and len(scope) == len(nodes) else None)
        if self.replace or self.keep:
            stand_ins = self._stand_ins(withheld, order, scope, generator)
            batch = replace(batch, stand_ins=sent(stand_ins, nodes.tensor.device))
        return (View(batch, layout, hidden=hidden),)

    def _stand_ins(
        self, withheld: Counts, order: Int[Tensor, "nodes"], scope: Lengths, generator: torch.Generator
    ) -> Int[Tensor, "nodes"]:
        """Whose features each node shows; the withheld nodes are the first of a random order."""
        strange, own = _share_of(withheld, self.replace), _share_of(withheld, self.keep)
        itself = torch.arange(scope.total, device=order.device)
        stand_ins = torch.where(_first(strange + own, order, scope), itself, -1)
        if not self.replace:
            return stand_ins
        stranger = scope.starts()[scope.owners()] + ranks(scope, generator)
        return torch.where(_first(strange, order, scope), stranger, stand_ins)


def _withheld(scope: Lengths, share: float) -> Counts:
    """int(share * nodes) of each sample, at least one and at least one left."""
    if scope.each is not None:
        return min(max(int(share * scope.each), 1), max(scope.each - 1, 0))
    return torch.minimum((share * scope.tensor.double()).long().clamp(min=1), (scope.tensor - 1).clamp(min=0))


def _share_of(counts: Counts, share: float) -> Counts:
    """int(share * count), on the device as on the host."""
    return int(share * counts) if isinstance(counts, int) else (share * counts.double()).long()


def _first(counts: Counts, order: Int[Tensor, "nodes"], scope: Lengths) -> Bool[Tensor, "nodes"]:
    """The first so many nodes of each sample's order."""
    return order < (counts if isinstance(counts, int) else counts[scope.owners()])
