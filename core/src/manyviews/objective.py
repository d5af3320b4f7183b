"""What a training step minimises, written once for every domain.

An objective is an equation (pure functions of tensors) and, kept apart from it, its state (queue, centre,
prototypes). It never owns the encoder, the teacher's update, a schedule or a step: the core builds the branches and
hands them in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from manyviews.batch import Batch, OwnBatch
from manyviews.encoder import Encoder
from manyviews.frozen import Frozen
from manyviews.layout import Layout
from manyviews.traits import Trait
from manyviews.view import View

Unit = Literal["sample", "token"]
"""What joint embeddings compare and probes classify: whole samples (pooled) or tokens (nodes, frames, patches)."""


@dataclass(frozen=True)
class Loss:
    """What a step minimises and what it reports."""

    value: Float[Tensor, ""]
    metrics: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)
    """Detached scalars. Never call `.item()` in a step: it makes the device wait."""


class Branch(nn.Module):
    """An encoder with an objective's head; the teacher is an EMA copy of it without the predictor."""

    def __init__(self, encoder: Encoder, head: nn.Module, predictor: nn.Module | None, unit: Unit) -> None:
        super().__init__()
        self.encoder, self.head, self.predictor, self.unit = encoder, head, predictor, unit

    def embed(self, view: View) -> Float[Tensor, "units out"]:
        """Encode the view and send its units through the head."""
        encoding = self.encoder(view)
        units: Tensor = encoding.pooled if self.unit == "sample" else encoding.tokens
        return self.head(units)  # type: ignore[no-any-return]


class Objective(nn.Module, ABC):
    """A loss over views. Its constructor's keyword-only parameters are the recipe's.

    `needs` as a class attribute speaks for the default parameters; an instance may set its own.
    `across` says how it behaves across processes, for the reader and the reference docs.
    """

    needs: frozenset[Trait] = frozenset()
    forms: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Name -> parameters with which it asks for something else than by default: numbers in the place of classes. The matrix
    and the conformance kit try them as well."""
    target: type | None = None
    """Class of the `View.target` that it asks for, where `needs` has PRETEXT_TARGET."""
    across: str = "mean over samples: the processes' gradients are averaged"
    unit: Unit = "sample"
    """The recipe's; set by the core before it asks for a head."""
    frozen: Frozen | None = None
    """The encoder of a finished run, where the objective asks one."""

    def head(self, encoder: Encoder, width: int) -> nn.Module:
        """What belongs to a branch and so has an EMA copy (a projector); `width` is that of a unit."""
        return nn.Identity()

    def predictor(self, encoder: Encoder, width: int) -> nn.Module | None:
        """What the student alone has: BYOL's and JEPA's predictor, MAE's decoder; `width` is that of a unit, as for `head`."""
        return None

    def prepare(self, encoder: Encoder, batches: Iterator[Batch]) -> None:
        """Fit, before the first step of a run, what must be known of the data: the clusters that codes are of.

        What is fitted belongs into buffers, so that a resumed run goes on with the same. `encoder` is untrained; `batches`
        are the run's own of one epoch, read anew and on the CPU.
        """

    def answer(self, encoder: Encoder, batch: OwnBatch, layout: Layout) -> Any:
        """What is to be said of the units of a batch, told by the batch as it is: it becomes the `target` of each of its views.

        None: the views bring their own, or nothing is asked. In every step, without gradient.
        """
        return None

    @abstractmethod
    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        """The loss of these views. `teacher` is there where `needs` has TEACHER, in eval mode and without gradients."""
