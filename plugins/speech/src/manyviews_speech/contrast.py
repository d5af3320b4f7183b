"""wav2vec 2.0's contrast of a masked token with others of its clip (Baevski et al. 2020, equation 3).

All similarities of a clip's asked tokens are one product of matrices; negatives are then read out of it by number.
Making a tensor of negatives for each token, as the published code does, costs some forty times as much (measured).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from manyviews.lengths import Lengths


def draw_negatives(lengths: Lengths, count: int, generator: torch.Generator) -> Int[Tensor, "tokens negatives"]:
    """For each token `count` others of its clip, as places in the clip; a clip of a single token names itself."""
    owners, places = lengths.owners(), lengths.places()
    others = (lengths.tensor[owners] - 1)[:, None]
    uniform = torch.rand(lengths.total, count, generator=generator, device=owners.device)
    drawn = (uniform * others).long().clamp(max=(others - 1).clamp(min=0))
    return drawn + (drawn >= places[:, None]).long() * (others > 0).long()


def contrastive(
    predictions: Float[Tensor, "tokens width"],
    targets: Float[Tensor, "tokens width"],
    lengths: Lengths,
    negatives: Int[Tensor, "tokens negatives"],
    temperature: float,
    ids: Int[Tensor, "tokens"] | None = None,
) -> Float[Tensor, "tokens"]:
    """-log of the softmax share of a token's own target among the negatives, by cosine similarity.

    Args:
        predictions: Of the asked tokens, clips back to back.
        targets: Their quantised targets.
        lengths: Asked tokens of each clip.
        negatives: Places in the clip.
        temperature: Of the softmax.
        ids: A number for each different target: a negative that was quantised as the token itself is none (the published code).
    """
    unit = F.normalize(predictions, dim=-1), F.normalize(targets, dim=-1)
    similar = lengths.pad(unit[0]) @ lengths.pad(unit[1]).transpose(1, 2)
    rows = lengths.unpad(similar) / temperature
    own = rows.gather(1, lengths.places()[:, None])
    other = rows.gather(1, negatives)
    if ids is not None:
        first = lengths.starts()[lengths.owners()][:, None]
        other = other.masked_fill(ids[first + negatives] == ids[:, None], -torch.inf)
    return torch.cat([own, other], dim=1).logsumexp(1) - own[:, 0]
