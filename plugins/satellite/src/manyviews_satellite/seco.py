"""Seasonal Contrast (Mañas et al. 2021, SeCo): three spaces, each blind to other changes of a place.

A momentum encoder's keys (MoCo, He et al. 2020) stand in a queue for each space. Space 0 takes the query and the key of
another date and augmented for one and the same, space 1 that of another date, space 2 the augmented one; in spaces 1
and 2 the other keys of the same place are negatives, since they differ in what that space must not be blind to.
"""

from __future__ import annotations

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.errors import UserError
from manyviews.nets.heads import MLPHead
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import embed, exact
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_satellite.views.seasons import Season

SPACES = 3


def seasonal_contrast(
    query: Float[Tensor, "places spaces width"],
    keys: Float[Tensor, "places spaces keys width"],
    queue: Float[Tensor, "spaces queued width"],
    temperature: float,
) -> Float[Tensor, "places spaces"]:
    """InfoNCE of each place in each space; all of unit length. The positive of space i is key i.

    Args:
        query: In each space.
        keys: Each key in each space.
        queue: Keys of places met before, in each space.
        temperature: Of the softmax.
    """
    own = einsum(query, keys, "b s w, b s k w -> b s k")
    before = einsum(query, queue, "b s w, s q w -> b s q")
    itself = torch.eye(SPACES, dtype=torch.bool, device=query.device)
    hidden = ~itself
    hidden[1:] = False  # space 0 is blind to all changes: other keys of a place are no negatives there
    logits = torch.cat([own.masked_fill(hidden, -torch.inf), before], dim=2) / temperature
    return logits.logsumexp(2) - own.diagonal(dim1=1, dim2=2) / temperature


class SpaceHeads(nn.Module):
    """An MLP for each space, side by side."""

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(MLPHead(width, hidden=hidden, out=out, norm="none") for _ in range(SPACES))

    def forward(self, units: Float[Tensor, "units width"]) -> Float[Tensor, "units spaces_out"]:
        return torch.cat([head(units) for head in self.heads], dim=1)


class SeCo(Objective):
    """Contrast of seasons and of augmentations in spaces of their own (SeCo, Mañas et al. 2021). Views: `satellite/seasons`.

    Args:
        temperature: Of the softmax.
        queue: Keys kept of places met before, as negatives.
        hidden: Width of the heads' hidden layer; null: that of a unit.
        out: Width of a space.
    """

    needs = frozenset({Trait.SEVERAL_VIEWS, Trait.PRETEXT_TARGET, Trait.TEACHER})
    target = Season
    across = "queues hold the keys of all processes"

    def __init__(
        self,
        *,
        temperature: PositiveFloat = 0.07,
        queue: PositiveInt = 16384,
        hidden: PositiveInt | None = None,
        out: PositiveInt = 128,
    ) -> None:
        super().__init__()
        self.temperature, self.hidden, self.out = temperature, hidden, out
        self.register_buffer("queue", F.normalize(torch.randn(SPACES, queue, out), dim=2))
        self.register_buffer("place", torch.zeros((), dtype=torch.long))

    def head(self, encoder: Encoder, width: int) -> nn.Module:
        return SpaceHeads(width, self.hidden or width, self.out)

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        assert teacher is not None
        if len(views) != SPACES + 1:
            raise UserError(
                f"satellite/seco compares a query with {SPACES} keys; these are {len(views)} views: take `satellite/seasons`"
            )
        queries = rearrange(embed(views[:1], student, "seco"), "1 b (s w) -> b s w", s=SPACES)
        keys = rearrange(embed(views[1:], teacher, "seco"), "k b (s w) -> b s k w", s=SPACES).detach()
        with exact(queries):
            query, key = F.normalize(queries, dim=-1), F.normalize(keys, dim=-1)
            queue = self.get_buffer("queue").to(query.dtype, copy=True)  # it is overwritten before gradients are taken
            values = seasonal_contrast(query, key, queue, self.temperature)
            value = distributed.mean(values.sum(1))
            similar = einsum(query.detach(), key, "b s w, b s k w -> b s k").diagonal(dim1=1, dim2=2).mean(0)
        if self.training:
            self._remember(key.diagonal(dim1=1, dim2=2))
        names = ("all", "season", "augmentation")
        return Loss(value, {f"similarity_{name}": similar[space] for space, name in enumerate(names)})

    @torch.no_grad()
    def _remember(self, keys: Float[Tensor, "places width spaces"]) -> None:
        """Each space's own keys take the places of the oldest."""
        every = distributed.gather(keys.contiguous(), distributed.counts(len(keys)))
        queue, place = self.get_buffer("queue"), self.get_buffer("place")
        every = every[-queue.shape[1] :]
        index = (place + torch.arange(len(every), device=queue.device)) % queue.shape[1]
        queue[:, index] = rearrange(every, "b w s -> s b w").to(queue.dtype)
        place.copy_((place + len(every)) % queue.shape[1])
