"""DINO: self-distillation with no labels (Caron et al. 2021, equation 1 and algorithm 1).

Teacher and student each turn an embedding into a distribution over prototypes. The teacher's is centred, against one
prototype taking all, and sharpened by a low temperature, against all being alike. The centre is state and stands apart
from the equation; so does the number of batches seen, which warms the teacher's temperature up and is never read to
the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.nets.heads import DINOHead
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import embed, exact, pairs, refuse_few_views, taught
from manyviews.traits import Trait
from manyviews.view import View


def assignments(
    logits: Float[Tensor, "*units prototypes"],
    center: Float[Tensor, "prototypes"],
    temperature: float | Float[Tensor, ""],
) -> Float[Tensor, "*units prototypes"]:
    """The teacher's distribution: centred, sharpened softmax (Caron 2021, algorithm 1)."""
    return F.softmax((logits - center) / temperature, dim=-1)


def dino(
    logits: Float[Tensor, "views units prototypes"],
    targets: Float[Tensor, "targets units prototypes"],
    pairs: Sequence[tuple[int, int]],
    temperature: float,
) -> Float[Tensor, "units"]:
    """Cross-entropy of teacher and student, mean over pairs of different views (Caron 2021, equations 2 and 3).

    Args:
        logits: The student's, for every view.
        targets: The teacher's distributions of the views that it saw.
        pairs: (view, target) of different views.
        temperature: The student's.
    """
    predicted = F.log_softmax(logits / temperature, dim=-1)
    return torch.stack([-(targets[target] * predicted[view]).sum(-1) for view, target in pairs]).mean(0)


def entropy(probabilities: Float[Tensor, "*units prototypes"]) -> Float[Tensor, "*units"]:
    """In nats."""
    pointwise: Tensor = torch.special.entr(probabilities)
    return pointwise.sum(-1)


@torch.no_grad()
def follow(center: Float[Tensor, "prototypes"], answers: Float[Tensor, "*units prototypes"], momentum: float) -> None:
    """The centre follows the mean of all processes' teacher logits, in place (Caron 2021, equation 4)."""
    flat = answers.reshape(-1, answers.shape[-1])
    count = distributed.total(flat.new_full((), len(flat)))
    mean = distributed.total(flat.sum(0)) / count
    center.lerp_(mean.to(center.dtype), 1 - momentum)


class DINO(Objective):
    """Self-distillation over prototypes: the student's local and global views match the teacher's global ones.

    Args:
        out: Number of prototypes; 65,536 in the paper, for ImageNet.
        hidden: Width of the head's hidden layers; null: 4 times the width of a unit.
        bottleneck: Width of the normalised embedding before the prototypes.
        layers: Linear layers before the prototypes.
        student_temperature: Of the student's softmax.
        teacher_temperature: Of the teacher's softmax, once warmed up.
        warmup_teacher_temperature: Of the teacher's softmax at the start.
        warmup_batches: Batches over which it rises linearly to `teacher_temperature`; 0: at once.
        center_momentum: Of the running mean of the teacher's logits.
    """

    needs = frozenset({Trait.SEVERAL_VIEWS, Trait.TEACHER})
    across = "mean over the units of all processes, which share one centre"
    center: Tensor
    batches: Tensor

    def __init__(
        self,
        *,
        out: PositiveInt = 4096,
        hidden: PositiveInt | None = None,
        bottleneck: PositiveInt = 256,
        layers: PositiveInt = 3,
        student_temperature: PositiveFloat = 0.1,
        teacher_temperature: PositiveFloat = 0.04,
        warmup_teacher_temperature: PositiveFloat = 0.04,
        warmup_batches: NonNegativeInt = 0,
        center_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    ) -> None:
        super().__init__()
        self.out, self.hidden, self.bottleneck, self.layers = out, hidden, bottleneck, layers
        self.student_temperature, self.center_momentum = student_temperature, center_momentum
        self.teacher_temperature, self.warmup_teacher_temperature = teacher_temperature, warmup_teacher_temperature
        self.warmup_batches = warmup_batches
        self.register_buffer("center", torch.zeros(out))
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    def head(self, encoder: Encoder, width: int) -> nn.Module:
        hidden = self.hidden or 4 * width
        return DINOHead(width, hidden=hidden, bottleneck=self.bottleneck, out=self.out, layers=self.layers)

    def temperature(self) -> Float[Tensor, ""]:
        """The teacher's, at this batch: a tensor, so that no device is waited for."""
        share = (self.batches / max(self.warmup_batches, 1)).clamp(max=1) if self.warmup_batches else self.batches * 0 + 1
        return self.warmup_teacher_temperature + share * (self.teacher_temperature - self.warmup_teacher_temperature)

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        assert teacher is not None
        refuse_few_views(views, "dino")
        seen = taught(views, "dino")
        logits = embed(views, student, "dino")
        with torch.no_grad():
            answers = embed([views[view] for view in seen], teacher, "dino")
        with exact(logits):
            targets = assignments(answers, self.center, self.temperature())
            value = distributed.mean(dino(logits, targets, pairs(len(views), seen), self.student_temperature))
        if self.training:
            follow(self.center, answers, self.center_momentum)
            self.batches.add_(1)
        # Entropies of single assignments and of their mean: log(out) for both, or 0 for both, is collapse.
        mean = targets.mean((0, 1))
        return Loss(value, {"teacher_entropy": entropy(targets).mean(), "mean_entropy": entropy(mean)})
