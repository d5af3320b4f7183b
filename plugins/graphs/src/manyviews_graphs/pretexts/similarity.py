"""PairwiseAttrSim: how alike are the features of two nodes? (Jin et al. 2020, section 3.1.2)

The paper asks for the most and the least similar pairs of the whole graph, which takes all pairs. Here anchors are drawn
at each step, and of each the most and the least similar nodes are asked for.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from manyviews.lengths import Lengths
from manyviews.objectives.shared import exact
from manyviews_graphs.features import dense_rows
from manyviews_graphs.pretexts.pairs import best_pairs, chunks
from manyviews_graphs.pretexts.question import SimilarityQuestion

TIE = 1e-5
"""Similarities that differ by less are as good as equal, and chance decides: most pairs of bags of words share none."""


def ask_similarities(
    x: Float[Tensor, "nodes channels"],
    scope: Lengths,
    anchors: Int[Tensor, "anchors"],
    partners: int,
    generator: torch.Generator,
) -> SimilarityQuestion:
    """For each anchor its `partners` most similar and as many least similar nodes of the same group of `scope`."""
    owners, lengths = scope.owners(), row_norms(x)
    ones, twos, answers, known = [], [], [], []
    for some in chunks(anchors, x.shape[0]):
        alike = cosines(x, lengths, some)
        blurred = alike + TIE * torch.rand(alike.shape, generator=generator, device=alike.device, dtype=alike.dtype)
        fit = (owners[:, None] == owners[some]) & (lengths > 0)[:, None] & (lengths[some] > 0)
        fit.scatter_(0, some[None], False)
        for scores in (blurred, -blurred):
            two, found = best_pairs(torch.where(fit, scores, -torch.inf), partners, -torch.inf)
            ones.append(some.repeat_interleave(partners))
            twos.append(two)
            known.append(found)
            answers.append(alike.mT.gather(1, two.reshape(-1, partners)).reshape(-1, 1))
    return SimilarityQuestion(torch.cat(ones), torch.cat(twos), torch.cat(answers), torch.cat(known))


def row_norms(x: Float[Tensor, "nodes channels"]) -> Float[Tensor, "nodes"]:
    """Euclidean norm of each row, dense or sparse."""
    if x.layout == torch.strided:
        return x.norm(dim=1)
    rows = torch.repeat_interleave(x.crow_indices().diff(), output_size=x.values().shape[0])
    return x.values().new_zeros(x.shape[0]).index_add(0, rows, x.values().square()).sqrt()


def cosines(
    x: Float[Tensor, "nodes channels"], lengths: Float[Tensor, "nodes"], anchors: Int[Tensor, "anchors"]
) -> Float[Tensor, "nodes anchors"]:
    """Of every node with each anchor; 0 for a node without features."""
    with exact(x):
        products = x @ F.normalize(dense_rows(x, anchors), dim=1).mT
        return products / torch.where(lengths > 0, lengths, 1.0)[:, None]
