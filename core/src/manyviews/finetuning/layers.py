"""A weighted sum of an encoder's layers, as SUPERB reads off speech encoders (Yang et al. 2021, section 3.2).

What a task needs stands in the middle of many encoders rather than at their end; the weights, which are learnt with the
head, say where.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from manyviews.downstream import Net
from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.finetuning.units import ClassAnswers, Classification
from manyviews.objective import Unit
from manyviews.traits import Trait

MOST = 128
"""Layers that there are weights for; the first so many are used as the encoder has layers."""


class LayerSum(nn.Module):
    """A linear head on the weighted sum of layers."""

    def __init__(self, width: int, out: int, dropout: float) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(MOST))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, out))

    def forward(self, layers: Float[Tensor, "layers units width"]) -> Float[Tensor, "units out"]:
        made: Tensor = self.head(torch.einsum("l,luw->uw", self.weights[: len(layers)].softmax(0), layers))
        return made


class WeightedLayers(Classification):
    """Classification by a linear head on a weighted sum of the encoder's layers; clips by the mean of their tokens.

    With `method: frozen` this is SUPERB's way to compare encoders.

    Args:
        dropout: Before the linear layer.
        normalize: Bring each token of each layer to mean 0 and variance 1 first, so that weights compare layers alike.
        balanced: Weigh each class by the inverse of its frequency among the labels given.
        smoothing: Label smoothing.
    """

    layers = True
    needs = frozenset({Trait.LAYERS})

    def __init__(self, *, dropout: float = 0.0, normalize: bool = True, balanced: bool = False, smoothing: float = 0.0) -> None:
        super().__init__(dropout=dropout, balanced=balanced, smoothing=smoothing)
        self.normalize = normalize

    def head(self, encoder: Encoder, answers: ClassAnswers, unit: Unit) -> nn.Module:
        return LayerSum(encoder.width, len(answers.classes), self.dropout)

    def said(self, net: Net, encoding: Encoding) -> Float[Tensor, "units out"]:
        layers = encoding.layers
        if self.normalize:
            layers = tuple(nn.functional.layer_norm(layer, layer.shape[1:]) for layer in layers)
        if net.unit == "sample":
            layers = tuple(encoding.lengths.mean(layer) for layer in layers)
        made: Tensor = net.head(torch.stack(layers))
        return made
