"""A Transformer encoder over flat ragged tokens.

Legend of the shape letters: H heads, C channels of a head, W width.

Where all samples have equally many tokens (columns, patches of one crop size) the dense path is a free reshape and
attention needs no mask. Otherwise tokens stay flat where a kernel for that is there (`nets/attend.py`), else samples are
padded and the padding is cut off again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.nets.attend import Attend, Padded, arranged

Norm = Literal["pre", "post"]


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise UserError(f"width {width} does not divide by {heads} heads; choose a width that is a multiple of heads")
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "*tokens W"], attend: Attend) -> Float[Tensor, "*tokens W"]:
        q, k, v = rearrange(self.qkv(x), "... (three H C) -> three ... H C", three=3, H=self.heads)
        y = attend(q, k, v, self.dropout if self.training else 0.0)
        return self.out(rearrange(y, "... H C -> ... (H C)"))  # type: ignore[no-any-return]

    def among(self, tokens: Float[Tensor, "tokens W"], lengths: Lengths) -> Float[Tensor, "tokens W"]:
        """The same of flat tokens, each sample's among themselves."""
        x, attend, back = arranged(tokens, lengths, self.dropout if self.training else 0.0)
        return back(self(x, attend))


class Block(nn.Module):
    """Attention and a feed-forward net, each with a residual; norms before (Xiong et al. 2020) or after them."""

    def __init__(self, width: int, heads: int, ff: int, norm: Norm, dropout: float) -> None:
        super().__init__()
        self.pre = norm == "pre"
        self.attention = Attention(width, heads, dropout)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, ff), nn.GELU(), nn.Dropout(dropout), nn.Linear(ff, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "*tokens W"], attend: Attend) -> Float[Tensor, "*tokens W"]:
        if self.pre:
            x = x + self.drop(self.attention(self.norm1(x), attend))
            return x + self.drop(self.feed(self.norm2(x)))  # type: ignore[no-any-return]
        x = self.norm1(x + self.drop(self.attention(x, attend)))
        return self.norm2(x + self.drop(self.feed(x)))  # type: ignore[no-any-return]


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
        self.causal, self.dropout = causal, dropout
        self.blocks = nn.ModuleList(Block(width, heads, ff or 4 * width, norm, dropout) for _ in range(depth))
        self.last = nn.LayerNorm(width) if norm == "pre" and depth else nn.Identity()
        self.apply(_initialise)

    def dense(
        self, x: Float[Tensor, "samples longest width"], real: Bool[Tensor, "samples longest"] | None = None
    ) -> Float[Tensor, "samples longest width"]:
        """Padded tokens; `real` says which are no padding (None: all)."""
        attend = Padded.of(real, self.causal)
        for block in self.blocks:
            x = block(x, attend)
        return self.last(x)  # type: ignore[no-any-return]

    def layers(
        self, tokens: Float[Tensor, "tokens width"], lengths: Lengths, seen: Bool[Tensor, "tokens"] | None = None
    ) -> tuple[Float[Tensor, "tokens width"], ...]:
        """What stands behind each block, first to last; behind the last one as `forward` gives it."""
        x, attend, back = self._arranged(tokens, lengths, seen)
        kept = []
        for block in self.blocks:
            x = block(x, attend)
            kept.append(x)
        kept = [*kept[:-1], self.last(x)]
        return tuple(back(layer) for layer in kept)

    def forward(
        self, tokens: Float[Tensor, "tokens width"], lengths: Lengths, seen: Bool[Tensor, "tokens"] | None = None
    ) -> Float[Tensor, "tokens width"]:
        """Flat tokens, samples back to back; `seen`: those that are looked at (None: all)."""
        x, attend, back = self._arranged(tokens, lengths, seen)
        for block in self.blocks:
            x = block(x, attend)
        return back(self.last(x))

    def _arranged(
        self, tokens: Tensor, lengths: Lengths, seen: Tensor | None
    ) -> tuple[Tensor, Attend, Callable[[Tensor], Tensor]]:
        return arranged(tokens, lengths, self.dropout if self.training else 0.0, self.causal, seen)


def _initialise(module: nn.Module) -> None:
    """Truncated normal of .02, zero biases: as ViT, MAE and I-JEPA start."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
