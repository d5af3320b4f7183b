"""A Conformer over frames of features (Gulati et al. 2020).

torchaudio's Conformer lets a convolution read what stands behind a clip's end, and takes statistics over the batch
with the padding in it; so blocks are built here on the core's attention and on convolutions that see zeros there.
"""

from __future__ import annotations

from typing import Annotated

from jaxtyping import Bool, Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews.lengths import Lengths
from manyviews.nets.transformer import Attention
from manyviews_speech.convolutions import RaggedConv
from manyviews_speech.encoder import Hide, Pool
from manyviews_speech.frame_encoder import FrameEncoder
from manyviews_speech.spec import AudioSpec


class ConvModule(nn.Module):
    """Gated pointwise convolution, depthwise convolution, norm, pointwise convolution (figure 2 of the paper).

    LayerNorm stands where the paper has BatchNorm: its statistics would depend on a clip's neighbours.
    """

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.gate = nn.LayerNorm(width), nn.Linear(width, 2 * width)
        self.depthwise, self.middle = RaggedConv(width, width, kernel, groups=width), nn.LayerNorm(width)
        self.out, self.drop = nn.Linear(width, width), nn.Dropout(dropout)

    def forward(self, tokens: Float[Tensor, "tokens width"], lengths: Lengths) -> Float[Tensor, "tokens width"]:
        gated = F.glu(self.gate(self.norm(tokens)), dim=-1)
        mixed: Tensor = self.drop(self.out(F.silu(self.middle(self.depthwise(gated, lengths)))))
        return mixed


class ConformerBlock(nn.Module):
    """Half a feed-forward net, attention, convolution, another half, norm (figure 1 of the paper)."""

    def __init__(self, width: int, heads: int, ff: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.first, self.second = _feed(width, ff, dropout), _feed(width, ff, dropout)
        self.norm, self.attention = nn.LayerNorm(width), Attention(width, heads, dropout)
        self.conv, self.last, self.drop = ConvModule(width, kernel, dropout), nn.LayerNorm(width), nn.Dropout(dropout)

    def forward(self, tokens: Float[Tensor, "tokens width"], lengths: Lengths) -> Float[Tensor, "tokens width"]:
        tokens = tokens + self.first(tokens) / 2
        tokens = tokens + self.drop(self.attention.among(self.norm(tokens), lengths))
        tokens = tokens + self.conv(tokens, lengths)
        out: Tensor = self.last(tokens + self.second(tokens) / 2)
        return out


def _feed(width: int, ff: int, dropout: float) -> nn.Module:
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, ff), nn.SiLU(), nn.Dropout(dropout), nn.Linear(ff, width), nn.Dropout(dropout)
    )


class ConformerStack(nn.Module):
    """Blocks over the tokens of each clip; in the place of a Transformer."""

    def __init__(self, width: int, depth: int, heads: int, ff: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ConformerBlock(width, heads, ff, kernel, dropout) for _ in range(depth))

    def forward(
        self, tokens: Float[Tensor, "tokens width"], lengths: Lengths, seen: Bool[Tensor, "tokens"] | None = None
    ) -> Float[Tensor, "tokens width"]:
        assert seen is None, "convolutions see their neighbours"
        for block in self.blocks:
            tokens = block(tokens, lengths)
        return tokens

    def layers(
        self, tokens: Float[Tensor, "tokens width"], lengths: Lengths, seen: Bool[Tensor, "tokens"] | None = None
    ) -> tuple[Float[Tensor, "tokens width"], ...]:
        """What stands behind each block."""
        assert seen is None, "convolutions see their neighbours"
        made = []
        for block in self.blocks:
            tokens = block(tokens, lengths)
            made.append(tokens)
        return tuple(made)


class Conformer(FrameEncoder):
    """Tokens are so many frames of features end to end; blocks of attention and convolution.

    Args:
        width: Width of a token.
        depth: Blocks.
        heads: Attention heads.
        ff: Width of the feed-forward nets; null: four times `width`.
        kernel: Tokens that a block's convolution sees: 31 in the paper.
        dropout: Dropout.
        stack: Frames of a token.
        hide: Hidden tokens are replaced by a learned vector, or dropped.
        pool: What stands for a clip: the mean of its tokens, mean and standard deviation, or the means of its four quarters.
    """

    def __init__(
        self,
        spec: AudioSpec,
        /,
        *,
        width: PositiveInt = 144,
        depth: PositiveInt = 4,
        heads: PositiveInt = 4,
        ff: PositiveInt | None = None,
        kernel: PositiveInt = 31,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        stack: PositiveInt = 4,
        hide: Hide = "replace",
        pool: Pool = "mean",
    ) -> None:
        context = ConformerStack(width, depth, heads, ff or 4 * width, kernel, dropout)
        super().__init__(spec, context, width=width, stack=stack, dropout=dropout, hide=hide, pool=pool)
