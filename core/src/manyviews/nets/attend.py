"""Who looks at whom: attention among the tokens of each sample, padded or flat.

Legend of the shape suffixes: B samples, L tokens of the longest sample, T tokens of all samples, H heads, C channels of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from manyviews.lengths import Lengths

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # before torch 2.10
    varlen_attn = None  # type: ignore[assignment]


@runtime_checkable
class Attend(Protocol):
    """Attention on queries, keys and values that stand as (…, H, C)."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, dropout: float) -> Tensor: ...


@dataclass(frozen=True)
class Padded:
    """Samples side by side, padded to the longest."""

    real: Bool[Tensor, "B 1 1 L"] | None
    causal: bool

    @classmethod
    def of(cls, real: Bool[Tensor, "B L"] | None, causal: bool) -> Padded:
        """`real` says which tokens are no padding; None: all. `causal`: a token sees itself and those before it alone."""
        if real is None or causal:  # padding stands behind a sample's tokens: where none of them looks, nothing is masked
            return cls(None, causal)
        # A sample without any token would have nothing to attend to, and softmax over nothing is NaN.
        return cls((real | ~real.any(1, keepdim=True))[:, None, None, :], causal)

    def __call__(
        self, q: Float[Tensor, "B L H C"], k: Float[Tensor, "B L H C"], v: Float[Tensor, "B L H C"], dropout: float
    ) -> Float[Tensor, "B L H C"]:
        q_BHLC, k_BHLC, v_BHLC = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        y_BHLC = F.scaled_dot_product_attention(
            q_BHLC, k_BHLC, v_BHLC, attn_mask=self.real, dropout_p=dropout, is_causal=self.causal
        )
        return y_BHLC.transpose(1, 2)


@dataclass(frozen=True)
class Flat:
    """Samples back to back, by FlashAttention's kernel for sequences of several lengths (Dao 2023): no padding at all."""

    cuts: Int[Tensor, "B_plus_1"]
    """Where samples begin, and where the last one ends."""
    longest: int

    @classmethod
    def of(cls, lengths: Lengths) -> Flat:
        """Without waiting for the device."""
        return cls(F.pad(lengths.tensor.cumsum(0), (1, 0)).to(torch.int32), lengths.longest)

    def __call__(
        self, q: Float[Tensor, "T H C"], k: Float[Tensor, "T H C"], v: Float[Tensor, "T H C"], dropout: float
    ) -> Float[Tensor, "T H C"]:
        assert not dropout, "the kernel has none"
        return varlen_attn(q, k, v, self.cuts, self.cuts, self.longest, self.longest)  # type: ignore[return-value]


def arranged(
    tokens: Float[Tensor, "tokens width"],
    lengths: Lengths,
    dropout: float,
    causal: bool = False,
    seen: Bool[Tensor, "tokens"] | None = None,
) -> tuple[Tensor, Attend, Callable[[Tensor], Tensor]]:
    """Flat tokens as attention best takes them, how it attends, and how what stands in their places is made flat again.

    Args:
        tokens: Samples back to back.
        lengths: Tokens of each sample.
        dropout: Of attention weights, as it is to be applied now.
        causal: A token sees itself and those before it in its sample.
        seen: The tokens that others look at; None: all.
    """
    if seen is not None:
        assert not causal, "causal attention says itself who is seen"
        return lengths.pad(tokens), Padded.of(lengths.pad(seen), causal), lengths.unpad
    if lengths.each is None and not causal and not dropout and _has_flat_kernel(tokens):
        return tokens, Flat.of(lengths), lambda x: x
    return lengths.pad(tokens), Padded.of(lengths.real(), causal), lengths.unpad


def _has_flat_kernel(tokens: Float[Tensor, "tokens width"]) -> bool:
    """On CUDA from Ampere on, in half precision."""
    if varlen_attn is None or not tokens.is_cuda:
        return False
    kind = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else tokens.dtype
    return kind in (torch.bfloat16, torch.float16) and torch.cuda.get_device_capability(tokens.device) >= (8, 0)
