"""The product quantiser of wav2vec 2.0 (Baevski et al. 2020, section 2; equation 1 and 4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from manyviews import distributed


@dataclass(frozen=True)
class Quantized:
    """What the quantiser makes of tokens."""

    vectors: Float[Tensor, "tokens out"]
    codes: Int[Tensor, "tokens groups"]
    """The entry chosen in each codebook."""
    probabilities: Float[Tensor, "groups codes"]
    """Mean over the tokens of all processes, without Gumbel noise and temperature."""


class ProductQuantizer(nn.Module):
    """One entry of each of several codebooks, end to end; chosen by Gumbel softmax with a straight-through gradient.

    Args:
        width: Of a token.
        groups: Codebooks: 2.
        codes: Entries of each: 320.
        out: Width of all entries chosen, together: 256.
    """

    def __init__(self, width: int, *, groups: int, codes: int, out: int) -> None:
        super().__init__()
        self.groups, self.codes = groups, codes
        self.logits = nn.Linear(width, groups * codes)
        nn.init.normal_(self.logits.weight, std=1.0)
        nn.init.zeros_(self.logits.bias)
        self.entries = nn.Parameter(torch.rand(groups, codes, out // groups))

    def forward(self, tokens: Float[Tensor, "tokens width"], temperature: Tensor, generator: torch.Generator) -> Quantized:
        """`temperature` of the Gumbel softmax, a scalar; its noise is drawn from `generator` in training alone."""
        logits = self.logits(tokens).float().unflatten(1, (self.groups, self.codes))
        plain = logits.softmax(-1)
        chosen = plain
        if self.training:
            uniform = torch.rand(logits.shape, generator=generator, device=logits.device, dtype=logits.dtype)
            tiny = torch.finfo(logits.dtype).tiny
            gumbel = -(-uniform.clamp(min=tiny).log()).clamp(min=tiny).log()
            chosen = ((logits + gumbel) / temperature).softmax(-1)
        codes = chosen.argmax(-1)
        hard = torch.zeros_like(chosen).scatter(-1, codes[..., None], 1.0)
        picked = hard + chosen - chosen.detach()
        vectors = torch.einsum("tgc,gco->tgo", picked.to(self.entries.dtype), self.entries).flatten(1)
        count = torch.full((), float(len(tokens)), device=tokens.device)
        probabilities = distributed.total(plain.sum(0)) / distributed.total(count).clamp(min=1.0)
        return Quantized(vectors, codes, probabilities)


def diversity(probabilities: Float[Tensor, "groups codes"]) -> Float[Tensor, ""]:
    """(G V - sum of perplexities) / (G V): 0 where all entries are used alike (equation 4, as the published code has it)."""
    perplexity = torch.special.entr(probabilities).sum(-1).exp()
    share: Tensor = 1 - perplexity.sum() / probabilities.numel()
    return share
