"""Prototypical probing (Rauch et al. 2025, Bird-MAE): classes by the tokens that look most like their prototypes.

A mean over tokens drowns what is short: a call in a minute of forest. Here each class has prototypes in the space of tokens;
the best match anywhere in the sample speaks for the class, and says where it was heard.
"""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.batch import Labelled
from manyviews.downstream import Net
from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.finetuning.units import ClassAnswers, Classification, share_right
from manyviews.lengths import Lengths
from manyviews.objective import Loss, Unit
from manyviews.objectives.shared import full

BIAS = -2.0


class PrototypeHead(nn.Module):
    """Cosines of every token with every prototype, the largest of each sample, a sum within each class.

    Args:
        width: Of a token.
        classes: Number of classes.
        each: Prototypes of a class.
    """

    def __init__(self, width: int, classes: int, each: int) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(classes, each, width))
        self.weights = nn.Parameter(torch.ones(classes, each))
        self.bias = nn.Parameter(torch.full((classes,), BIAS))

    def matches(self, tokens: Float[Tensor, "tokens width"], lengths: Lengths) -> Float[Tensor, "samples classes each"]:
        """ReLU of the best cosine in each sample."""
        directions = F.normalize(self.prototypes.flatten(0, 1), dim=1)
        cosines = (F.normalize(tokens, dim=1) @ directions.T).relu()
        best = cosines.new_zeros(len(lengths), cosines.shape[1])
        owners = lengths.owners()[:, None].expand_as(cosines)
        best = best.scatter_reduce(0, owners, cosines, reduce="amax", include_self=True)
        return best.unflatten(1, self.weights.shape)  # type: ignore[no-untyped-call,no-any-return]

    def forward(self, tokens: Float[Tensor, "tokens width"], lengths: Lengths) -> Float[Tensor, "samples classes"]:
        """Only a class's own prototypes speak for it, and never against it: weights are not negative."""
        return (self.matches(tokens, lengths) * self.weights.relu()).sum(2) + self.bias

    def crossness(self) -> Float[Tensor, ""]:
        """How far the prototypes of each class are from being orthogonal: mean squared cosine off the diagonal."""
        unit = F.normalize(self.prototypes, dim=2)
        gram = unit @ unit.transpose(1, 2) - torch.eye(unit.shape[1], device=unit.device, dtype=unit.dtype)
        return gram.square().mean()


def asymmetric(
    logits: Float[Tensor, "samples classes"], truth: Int[Tensor, "samples"], negative: float, positive: float, clip: float
) -> Float[Tensor, "samples"]:
    """Asymmetric loss of each sample, a sum over classes (Ridnik et al. 2021, equations 4 to 7); -1: no label, no loss."""
    own = F.one_hot(truth.clamp(min=0), logits.shape[1]).bool()
    probability = logits.sigmoid()
    shifted = (probability - clip).clamp(min=0)
    # log p by logsigmoid: exact where p is nearly 0
    right = -((1 - probability) ** positive) * F.logsigmoid(logits)
    wrong = -(shifted**negative) * (1 - shifted).clamp(min=1e-8).log()
    return torch.where(own, right, wrong).sum(1) * (truth >= 0)


class Prototypical(Classification):
    """Classification of samples by prototypes among their tokens; with `method: frozen` a probe.

    Args:
        prototypes: Of each class.
        orthogonality: Weight of the loss that keeps a class's prototypes apart.
        negative: Focusing exponent of the classes that a sample is not of.
        positive: The same of its own class.
        clip: Probability below which a wrong class costs nothing.
    """

    def __init__(
        self,
        *,
        prototypes: PositiveInt = 20,
        orthogonality: NonNegativeFloat = 0.05,
        negative: NonNegativeFloat = 4.0,
        positive: NonNegativeFloat = 1.0,
        clip: Annotated[float, Field(ge=0, lt=1)] = 0.05,
    ) -> None:
        super().__init__()
        self.frozen_rate = 4e-2  # as published
        self.prototypes, self.orthogonality = prototypes, orthogonality
        self.negative, self.positive, self.clip = negative, positive, clip

    def head(self, encoder: Encoder, answers: ClassAnswers, unit: Unit) -> nn.Module:
        if unit == "token":
            raise UserError("prototypical: the best token speaks for its sample, and the unit is the token: set `unit: sample`")
        return PrototypeHead(encoder.width, len(answers.classes), self.prototypes)

    def said(self, net: Net, encoding: Encoding) -> Float[Tensor, "samples classes"]:
        made: Tensor = net.head(encoding.tokens, encoding.lengths)
        return made

    def loss(self, net: Net, answers: ClassAnswers, batch: Labelled, generator: torch.Generator) -> Loss:
        assert isinstance(net.head, PrototypeHead)
        logits = full(self.outputs(net, batch))
        losses = asymmetric(logits, batch.truth, self.negative, self.positive, self.clip)
        value = distributed.mean(losses, batch.truth >= 0)
        return Loss(value + self.orthogonality * net.head.crossness(), {"accuracy": share_right(logits, batch.truth)})

    def finished(self, outputs: Float[Tensor, "samples classes"], answers: ClassAnswers) -> Float[Tensor, "samples classes"]:
        """Each class by itself, brought to a sum of one."""
        alone = outputs.double().sigmoid()
        return (alone / alone.sum(1, keepdim=True)).to(outputs.dtype)
