"""What an encoder makes of a view: tokens, flat and ragged, and one vector a sample."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from manyviews.lengths import Lengths


@dataclass(frozen=True)
class Encoding:
    """The output of an encoder for one view."""

    tokens: Float[Tensor, "present width"]
    """Samples back to back, no padding. Helper tokens of the encoder (REG, CLS) are not among them."""
    present: Int[Tensor, "present"] | None
    """Where these tokens stand in the layout's full list; None: all of them are here (none dropped)."""
    lengths: Lengths
    """Present tokens of each sample."""
    pooled: Float[Tensor, "samples pooled_width"]
    layers: tuple[Float[Tensor, "present layer_width"], ...] = ()
    """The tokens behind each layer, first to last, where the view asked for them."""
    local: Float[Tensor, "tokens local_width"] | None = None
    """Every token of the layout by itself, before any was withheld and before they saw one another; with `layers`, of an
    encoder that offers LOCAL_TOKENS."""
