"""A Transformer encoder over flat ragged tokens.

Legend of the shape suffixes: B samples, L tokens of the longest sample, H heads, C channels of a head, W width.

Where all samples have equally many tokens (columns, patches of one crop size) the dense path is a free reshape and
attention needs no mask; otherwise samples are padded for attention alone and the padding is cut off again.
"""

from __future__ import annotations

from typing import Literal

from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews.errors import UserError
from manyviews.lengths import Lengths

Norm = Literal["pre", "post"]


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2); `causal`: a token looks at itself and those before it."""

    def __init__(self, width: int, heads: int, dropout: float, causal: bool = False) -> None:
        super().__init__()
        if width % heads:
            raise UserError(f"width {width} does not divide by {heads} heads; choose a width that is a multiple of heads")
        self.heads, self.dropout, self.causal = heads, dropout, causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_BLW: Float[Tensor, "B L W"], real_BL: Bool[Tensor, "B L"] | None) -> Float[Tensor, "B L W"]:
        q_BHLC, k_BHLC, v_BHLC = rearrange(self.qkv(x_BLW), "B L (three H C) -> three B H L C", three=3, H=self.heads)
        # Padding stands behind a sample's tokens: where none of them looks, there is nothing to mask.
        mask = None if real_BL is None or self.causal else real_BL[:, None, None, :]
        dropout = self.dropout if self.training else 0.0
        y_BHLC = F.scaled_dot_product_attention(
            q_BHLC, k_BHLC, v_BHLC, attn_mask=mask, dropout_p=dropout, is_causal=self.causal
        )
        return self.out(rearrange(y_BHLC, "B H L C -> B L (H C)"))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention and a feed-forward net, each with a residual; norms before (Xiong et al. 2020) or after them."""

    def __init__(self, width: int, heads: int, ff: int, norm: Norm, dropout: float, causal: bool) -> None:
        super().__init__()
        self.pre = norm == "pre"
        self.attention = Attention(width, heads, dropout, causal)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, ff), nn.GELU(), nn.Dropout(dropout), nn.Linear(ff, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, x_BLW: Float[Tensor, "B L W"], real_BL: Bool[Tensor, "B L"] | None) -> Float[Tensor, "B L W"]:
        if self.pre:
            x_BLW = x_BLW + self.drop(self.attention(self.norm1(x_BLW), real_BL))
            return x_BLW + self.drop(self.feed(self.norm2(x_BLW)))  # type: ignore[no-any-return]
        x_BLW = self.norm1(x_BLW + self.drop(self.attention(x_BLW, real_BL)))
        return self.norm2(x_BLW + self.drop(self.feed(x_BLW)))  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """A stack of blocks over the tokens of each sample.

    Args:
        width: Width of a token.
        depth: Number of blocks; 0 is the identity.
        heads: Attention heads; divides `width`.
        ff: Width of the feed-forward net; None: four times `width`.
        norm: `pre` (with a last norm behind the stack) or `post`.
        dropout: Of attention weights, feed-forward nets and residual branches.
        causal: A token sees itself and those before it in its sample.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        *,
        ff: int | None = None,
        norm: Norm = "pre",
        dropout: float = 0.0,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, ff or 4 * width, norm, dropout, causal) for _ in range(depth))
        self.last = nn.LayerNorm(width) if norm == "pre" and depth else nn.Identity()
        self.apply(_initialise)

    def dense(
        self, x: Float[Tensor, "samples longest width"], real: Bool[Tensor, "samples longest"] | None = None
    ) -> Float[Tensor, "samples longest width"]:
        """Padded tokens; `real` says which are no padding (None: all)."""
        if real is not None:
            # A sample without any token would have nothing to attend to, and softmax over nothing is NaN.
            real = real | ~real.any(1, keepdim=True)
        for block in self.blocks:
            x = block(x, real)
        return self.last(x)  # type: ignore[no-any-return]

    def layers(self, tokens: Float[Tensor, "tokens width"], lengths: Lengths) -> tuple[Float[Tensor, "tokens width"], ...]:
        """What stands behind each block, first to last; behind the last one as `forward` gives it."""
        x, real, kept = lengths.pad(tokens), lengths.real(), []
        if real is not None:
            real = real | ~real.any(1, keepdim=True)
        for block in self.blocks:
            x = block(x, real)
            kept.append(x)
        kept = [*kept[:-1], self.last(x)]
        return tuple(lengths.unpad(layer) for layer in kept)

    def forward(self, tokens: Float[Tensor, "tokens width"], lengths: Lengths) -> Float[Tensor, "tokens width"]:
        """Flat tokens, samples back to back."""
        return lengths.unpad(self.dense(lengths.pad(tokens), lengths.real()))


def _initialise(module: nn.Module) -> None:
    """Truncated normal of .02, zero biases: as ViT, MAE and I-JEPA start."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
