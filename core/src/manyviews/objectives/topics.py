"""Topics of samples by the codes of their tokens: latent Dirichlet allocation (Blei et al. 2003), fitted once, read on the way.

HuBERTopic (Maekaku et al. 2023) takes a sample for a document and its tokens' codes for words, and has the encoder say the
document's topic: something about the whole sample beside something about each of its tokens.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from manyviews.errors import UserError
from manyviews.lengths import Lengths

ITERATIONS = 30
"""Of a sample's own variational parameters: they settle to the third digit."""


def code_counts(codes: Int[Tensor, "tokens"], lengths: Lengths, size: int) -> Float[Tensor, "samples codes"]:
    """How often each code is in each sample."""
    counts = torch.zeros(len(lengths) * size, device=codes.device)
    places = lengths.owners() * size + codes
    return counts.index_add(0, places, torch.ones(len(codes), device=codes.device)).reshape(len(lengths), size)


def topic_shares(
    counts: Float[Tensor, "samples codes"], words: Float[Tensor, "topics codes"], prior: float, iterations: int = ITERATIONS
) -> Float[Tensor, "samples topics"]:
    """Each sample's shares of the topics, by coordinate ascent on its variational Dirichlet (Blei 2003, equations 6 and 7;
    in the form without a responsibility for each word of Hoffman et al. 2010, algorithm 1).

    Args:
        words: exp E[log β], as the fitted model has it.
        prior: Of a sample's shares.
    """
    gamma = counts.sum(1, keepdim=True) / len(words) + prior + torch.zeros_like(words[:, 0])
    for _ in range(iterations):
        weight = (torch.digamma(gamma) - torch.digamma(gamma.sum(1, keepdim=True))).exp()
        gamma = prior + weight * ((counts / (weight @ words).clamp(min=1e-30)) @ words.T)
    return gamma / gamma.sum(1, keepdim=True)


class Topics(nn.Module):
    """A topic model over codes.

    Args:
        topics: How many.
        codes: Size of the vocabulary.
    """

    words: Tensor

    def __init__(self, topics: int, codes: int) -> None:
        super().__init__()
        self.prior = 1 / topics
        self.register_buffer("words", torch.zeros(topics, codes))

    def fit(self, counts: Float[np.ndarray, "samples codes"], seed: int) -> None:
        """Find the topics on training samples."""
        from sklearn.decomposition import LatentDirichletAllocation

        topics = len(self.words)
        if len(counts) < topics:
            raise UserError(f"{topics} topics cannot be found on {len(counts)} training samples; set `topics` to fewer")
        model = LatentDirichletAllocation(topics, max_iter=20, random_state=seed).fit(counts)
        self.words.copy_(torch.from_numpy(model.exp_dirichlet_component_))

    def forward(self, codes: Int[Tensor, "tokens"], lengths: Lengths) -> Int[Tensor, "samples"]:
        """The topic of which each sample has most."""
        counts = code_counts(codes, lengths, self.words.shape[1]).to(self.words.dtype)
        return topic_shares(counts, self.words, self.prior).argmax(1)
