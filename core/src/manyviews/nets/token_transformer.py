"""A Transformer encoder of which a domain writes two things: how a batch falls into tokens, and what each of them holds.

Embedding, positions, hiding, layers and pooling are the same for patches of pings, of tiles and of volumes (ViT, Dosovitskiy
et al. 2021; shown tokens alone are encoded, as in MAE, He et al. 2022), so a new modality gets them from here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from manyviews.batch import OwnBatch
from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.nets.positions import sincos
from manyviews.nets.transformer import Transformer
from manyviews.traits import Trait
from manyviews.view import View

Hide = Literal["drop", "replace"]


class TokenTransformer(Encoder, ABC):
    """Each token's content embedded by itself, its place added, and a Transformer over those that are shown.

    A subclass gives `layout` and `content`; its constructor passes on what its tokens hold and how large the net is.
    """

    offers = frozenset({Trait.HIDES_TOKENS, Trait.PLACED_TOKENS, Trait.TOKEN_TARGETS, Trait.LAYERS, Trait.CAUSAL})

    def __init__(
        self,
        channels: int,
        *,
        width: int,
        depth: int,
        heads: int,
        dropout: float = 0.0,
        hide: Hide = "drop",
        causal: bool = False,
    ) -> None:
        """
        Args:
            channels: Numbers that a token holds.
            width: Width of a token's embedding; a multiple of `heads`.
            depth: Transformer blocks.
            heads: Attention heads.
            dropout: Of attention weights, feed-forward nets and residuals.
            hide: Hidden tokens are dropped, or replaced by a learned vector.
            causal: A token sees itself and those before it in its sample.
        """
        super().__init__()
        self.width, self.target_channels, self.hide, self.causal = width, channels, hide, causal
        self.inwards = nn.Linear(channels, width)
        self.mask_token = nn.Parameter(torch.empty(width).normal_(std=0.02)) if hide == "replace" else None
        self.transformer = Transformer(width, depth, heads, dropout=dropout, causal=causal)

    @abstractmethod
    def content(self, batch: OwnBatch, layout: Layout) -> Float[Tensor, "tokens channels"]:
        """What each token holds, scaled for a net; NaN where a token reaches beyond the data, which nothing is asked about."""

    def forward(self, view: View) -> Encoding:
        content = self.content(view.batch, view.layout).to(self.inwards.weight.dtype).nan_to_num()
        places, lengths, present = view.layout.coordinates(), view.layout.lengths, None
        if view.hidden is not None and self.hide == "drop":
            shown = view.hidden.complement(lengths)
            present, lengths = shown.index(lengths), shown.lengths(lengths)
            content, places = content[present], None if places is None else places[present]
        tokens = self.inwards(content)
        if view.hidden is not None and self.mask_token is not None:
            tokens = torch.where(view.hidden.where[0][:, None], self.mask_token.to(tokens.dtype), tokens)
        if places is not None:
            tokens = tokens + sincos(places, self.width).to(tokens.dtype)
        return self._encoded(tokens, present, lengths, view)

    def targets(self, batch: OwnBatch, tokens: Int[Tensor, "asked"]) -> Float[Tensor, "asked channels"]:
        return self.content(batch, self.layout(batch))[tokens]

    def _encoded(self, tokens: Tensor, present: Int[Tensor, "present"] | None, lengths: Lengths, view: View) -> Encoding:
        layers: tuple[Tensor, ...] = ()
        if view.layers:
            *_, tokens = layers = self.transformer.layers(tokens, lengths)
        else:
            tokens = self.transformer(tokens, lengths)
        return Encoding(tokens, present, lengths, lengths.mean(tokens), layers)
