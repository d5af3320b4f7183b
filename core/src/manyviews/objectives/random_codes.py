"""Masked prediction of random codes: BEST-RQ (Chiu et al. 2022), on any layout.

A token's code is the nearest of a frozen random codebook to a frozen random projection of its raw content. Nothing is
learned or fitted to label it, so there is no clustering before the run and no second round.
"""

from __future__ import annotations

from typing import Annotated

import torch
from einops import rearrange
from jaxtyping import Float, Int
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import asking, average, exact, full, perplexity, question
from manyviews.traits import Trait
from manyviews.view import View


def normalized_by_sample(
    content: Float[Tensor, "tokens channels"], lengths: Lengths, eps: float = 1e-5
) -> Float[Tensor, "tokens channels"]:
    """Every channel of each sample at mean 0 and variance 1: without it few codes are ever the nearest (Chiu 2022, 3.1)."""
    owners = lengths.owners()
    centred = content - lengths.mean(content)[owners]
    return centred / (lengths.mean(centred.square())[owners] + eps).sqrt()


def random_codes(
    content: Float[Tensor, "tokens channels"],
    projection: Float[Tensor, "channels code_width"],
    codebook: Float[Tensor, "codes code_width"],
) -> Int[Tensor, "tokens"]:
    """argmin over codes of ‖norm(c) - norm(A x)‖ (Chiu 2022, equation 1). Between unit vectors that is the largest product,
    and the length of A x changes no order."""
    return (content @ projection @ F.normalize(codebook, dim=-1).T).argmax(1)


class RandomCodes(Objective):
    """Cross-entropy over the random-projection codes of withheld tokens (BEST-RQ).

    Args:
        codes: Size of each codebook: 8,192 in the paper.
        code_width: Width in which the nearest code is found: 16.
        codebooks: Independent codebooks, each with its own prediction; their losses are averaged (Zhang et al. 2023, USM).
        normalize: Bring every channel of each sample to mean 0 and variance 1 first. Samples of a single token have none.
        seed: Of projections and codebooks, which are drawn once and never learned.
        width: Width of the decoder.
        depth: Blocks of the decoder; 0 reads withheld tokens off encoders that replace them, as the paper does.
        heads: Attention heads of the decoder.
    """

    needs = frozenset({Trait.ASKED_TOKENS, Trait.TOKEN_TARGETS})
    across = "mean over the asked tokens of all processes, however many each has"

    def __init__(
        self,
        *,
        codes: Annotated[PositiveInt, Field(ge=2)] = 8192,
        code_width: PositiveInt = 16,
        codebooks: PositiveInt = 1,
        normalize: bool = True,
        seed: NonNegativeInt = 0,
        width: PositiveInt = 64,
        depth: NonNegativeInt = 1,
        heads: PositiveInt = 4,
    ) -> None:
        super().__init__()
        self.codes, self.code_width, self.codebooks, self.normalize, self.seed = codes, code_width, codebooks, normalize, seed
        self.width, self.depth, self.heads = width, depth, heads
        self.projections: Tensor
        self.books: Tensor

    def predictor(self, encoder: Encoder, width: int) -> nn.Module:
        channels = encoder.target_channels
        if not channels:
            raise UserError(f"random_codes needs raw content of tokens; {type(encoder).__name__} has none of these data")
        generator = torch.Generator().manual_seed(self.seed)
        # Xavier's uniform for the projection, a normal for the codes, as the paper's.
        bound = (6 / (channels + self.code_width)) ** 0.5
        projections = torch.rand(self.codebooks, channels, self.code_width, generator=generator)
        self.register_buffer("projections", (2 * projections - 1) * bound)
        self.register_buffer("books", torch.randn(self.codebooks, self.codes, self.code_width, generator=generator))
        return encoder.decoder(self.width, self.depth, self.heads, self.codebooks * self.codes)

    @torch.no_grad()
    def labels(self, encoder: Encoder, view: View, tokens: Int[Tensor, "asked"]) -> Int[Tensor, "codebooks asked"]:
        """The codes of these tokens in each codebook. What is missing (NaN) counts as the mean, or as 0 without `normalize`."""
        lengths = view.layout.lengths
        kind = self.projections.dtype
        if self.normalize:
            every = torch.arange(lengths.total, device=tokens.device)
            content = encoder.targets(view.batch, every).to(kind)
            means = content.nanmean(0).nan_to_num()
            content = normalized_by_sample(torch.where(content.isnan(), means, content), lengths)[tokens]
        else:
            content = encoder.targets(view.batch, tokens).to(kind).nan_to_num()
        with exact(content):
            pairs = zip(self.projections, self.books, strict=True)
            return torch.stack([random_codes(content, projection, book) for projection, book in pairs])

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        return average([self._one(view, student) for view in asking(views, "random_codes")])

    def _one(self, view: View, student: Branch) -> Loss:
        assert student.predictor is not None
        asked = question(view)
        codes = self.labels(student.encoder, view, asked.index(view.layout.lengths) % view.layout.lengths.total)
        logits = full(student.predictor(student.encoder(view), view, asked)).reshape(-1, self.codes)
        flat = rearrange(codes, "codebooks asked -> (asked codebooks)")
        right = logits.detach().argmax(-1) == flat
        value = distributed.mean(F.cross_entropy(logits, flat, reduction="none"))
        metrics = {"accuracy": distributed.mean(right.to(logits.dtype)), "perplexity": perplexity(codes[0], self.codes)}
        return Loss(value, metrics)
