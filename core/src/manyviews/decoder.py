"""What fills in withheld tokens: the decoder of masked reconstruction and the predictor of JEPA alike."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from manyviews.encoding import Encoding
from manyviews.mask import Mask
from manyviews.view import View


class Decoder(nn.Module, ABC):
    """Predicts something for each asked token from what the encoder made of the others."""

    @abstractmethod
    def forward(self, encoding: Encoding, view: View, asked: Mask) -> Float[Tensor, "asked out"]:
        """Predictions in the order of `asked.index(view.layout.lengths)`: set by set, samples back to back."""
