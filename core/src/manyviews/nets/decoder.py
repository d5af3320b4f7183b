"""The decoder of masked reconstruction and the predictor of JEPA: one net, since both answer the same question.

Given what the encoder made of the shown tokens, it says something about each asked one: a mask token with the asked
token's position joins the shown ones, a Transformer runs over both, and what stands at the asked places is read out
(MAE, He et al. 2022, section 3; I-JEPA, Assran et al. 2023, section 3). Several asked sets do not see one another.
"""

from __future__ import annotations

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor, nn

from manyviews.decoder import Decoder
from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.nets.positions import sincos
from manyviews.nets.transformer import Transformer
from manyviews.view import View


class TransformerDecoder(Decoder):
    """A narrow Transformer over shown and asked tokens.

    Args:
        encoder_width: Width of the encoder's tokens.
        width: Own width.
        depth: Blocks; 0 is a linear read-out of encoders that replace hidden tokens rather than drop them.
        heads: Attention heads.
        out: Channels of a prediction.
    """

    def __init__(self, encoder_width: int, *, width: int, depth: int, heads: int, out: int) -> None:
        super().__init__()
        self.depth = depth
        width = width if depth else encoder_width
        self.inwards = nn.Linear(encoder_width, width) if depth else nn.Identity()
        self.mask_token = nn.Parameter(torch.empty(width).normal_(std=0.02)) if depth else None
        self.transformer = Transformer(width, depth, heads)
        self.outwards = nn.Linear(width, out)

    def forward(self, encoding: Encoding, view: View, asked: Mask) -> Float[Tensor, "asked out"]:
        if encoding.present is None:
            return self._read(encoding, view, asked)
        if self.mask_token is None:
            raise UserError(
                "a decoder of depth 0 reads hidden tokens, but this encoder drops them: set the decoder's depth to 1 or more"
            )
        return self._predict(self.mask_token, encoding, view, asked)

    def _read(self, encoding: Encoding, view: View, asked: Mask) -> Float[Tensor, "asked out"]:
        """The encoder kept every token in place: run over all of them and read the asked ones."""
        tokens = self.inwards(encoding.tokens)
        if self.depth:
            tokens = self.transformer(tokens + _positions(view, tokens), encoding.lengths)
        return self.outwards(tokens[asked.index(view.layout.lengths) % encoding.lengths.total])  # type: ignore[no-any-return]

    def _predict(self, mask_token: Tensor, encoding: Encoding, view: View, asked: Mask) -> Float[Tensor, "asked out"]:
        """Hidden tokens were dropped: mask tokens take the asked places, each set beside a copy of the shown ones."""
        lengths = view.layout.lengths
        shown = self.inwards(encoding.tokens)
        places = _positions(view, shown)
        wanted = mask_token + places[asked.index(lengths) % lengths.total]
        wanted_lengths = asked.lengths(lengths)
        left = repeat(encoding.lengths.pad(shown + places[encoding.present]), "b l w -> (s b) l w", s=asked.sets)
        right = wanted_lengths.pad(wanted)
        both = self.transformer.dense(torch.cat([left, right], dim=1), _real(encoding.lengths, wanted_lengths, asked.sets))
        return self.outwards(wanted_lengths.unpad(both[:, left.shape[1] :]))  # type: ignore[no-any-return]


def _positions(view: View, like: Float[Tensor, "_ width"]) -> Float[Tensor, "tokens width"]:
    """Fixed positions of all tokens of the layout, in the width and type of `like`; zeros where tokens have no place."""
    places = view.layout.places()
    if places is None:
        return like.new_zeros(view.layout.lengths.total, like.shape[1])
    return sincos(places.float(), like.shape[1]).to(like.dtype).repeat(view.layout.copies, 1)


def _real(shown: Lengths, wanted: Lengths, sets: int) -> Tensor | None:
    """Where shown tokens, then asked ones, are no padding; None where none of them are."""
    if shown.each is not None and wanted.each is not None:
        return None
    return torch.cat([_always(shown).repeat(sets, 1), _always(wanted)], dim=1)


def _always(lengths: Lengths) -> Tensor:
    real = lengths.real()
    return lengths.tensor.new_ones(len(lengths), lengths.longest, dtype=torch.bool) if real is None else real
