"""What an encoder makes of a view: tokens, flat and ragged, and one vector a sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    """By-products for objectives of the encoder's own domain; the core reads none."""
