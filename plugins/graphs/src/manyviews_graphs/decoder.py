"""GraphMAE's decoder: a linear map, zeros where nodes are withheld, message passing (Hou et al. 2022, section 3.2)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from manyviews.decoder import Decoder
from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.mask import Mask
from manyviews.view import View
from manyviews_graphs.nets.products import product


class GraphDecoder(Decoder):
    """Says something of each asked node from what reaches it over the edges; nodes not present send zeros ("re-mask").

    Args:
        encoder_width: Width of the encoder's tokens.
        width: Width that they are mapped to.
        trunk: From (rows of `width`, batch, wanted nodes, present nodes) to predictions for the wanted.
    """

    def __init__(self, encoder_width: int, width: int, trunk: nn.Module) -> None:
        super().__init__()
        self.inwards = nn.Linear(encoder_width, width, bias=False)
        self.trunk = trunk

    def forward(self, encoding: Encoding, view: View, asked: Mask) -> Float[Tensor, "asked out"]:
        lengths = view.layout.lengths
        wanted = asked.any().index(lengths)
        predictions = self.trunk(product(encoding.tokens, self.inwards.weight.t()), view.batch, wanted, encoding.present)
        if asked.sets == 1:
            return predictions
        # what is asked for in one set is as hidden from the others: all of it is zero
        return predictions[torch.searchsorted(wanted, asked.index(lengths) % lengths.total)]


class NodeReadout(Decoder):
    """A decoder of depth 0: a linear map of each asked node, for encodings in which all are present.

    Args:
        encoder_width: Width of the encoder's tokens.
        out: Channels of a prediction.
    """

    def __init__(self, encoder_width: int, out: int) -> None:
        super().__init__()
        self.outwards = nn.Linear(encoder_width, out)

    def forward(self, encoding: Encoding, view: View, asked: Mask) -> Float[Tensor, "asked out"]:
        if encoding.present is not None:
            raise UserError("a decoder of depth 0 reads withheld nodes, which encoders of graphs do not give: set `depth` to 1")
        lengths = view.layout.lengths
        return self.outwards(encoding.tokens[asked.index(lengths) % lengths.total])
