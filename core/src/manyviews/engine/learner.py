"""What the loop trains: an encoder with all that learns beside it, whose forward is the whole step.

Pretraining (`model.py`) and finetuning (`manyviews.finetuning.learner`) are two of them. One module, since data parallelism
and mixed precision wrap a forward.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from manyviews.batch import Batch
from manyviews.encoder import Encoder

Note = Callable[[Mapping[str, Float[Tensor, ""]]], None]
"""Takes the metrics of a step: detached scalars on the device, `loss` among them."""


class Step:
    """What a step is made from, and who takes what it reports.

    A plain class, since wrappers rebuild dataclasses and containers field by field. For the same reason the metrics go by
    `note` and not by what the model returns: wrappers convert and hook each returned tensor, for the loss alone with a use.
    """

    def __init__(self, batch: Batch, generator: torch.Generator, note: Note) -> None:
        self.batch, self.generator, self.note = batch, generator, note
        self.losses: Sequence[Float[Tensor, ""]] = ()
        """Of several terms, for who weighs their gradients: returned, a data-parallel wrapper would tie them together."""


class Learner(nn.Module, ABC):
    """An encoder and what learns with it."""

    encoder: Encoder
    watched: bool = False
    """Whether the batches are the encoder's, for the collapse watch to look at."""

    @abstractmethod
    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The loss of a batch; its metrics are noted."""

    def begin(self, share: float) -> None:
        """Tell what changes as the run goes on (a curriculum of views), before the step at this share of the run."""

    def follow(self, share: float) -> None:
        """Move what follows the learning weights (an EMA teacher), after the step at this share of the run."""

    def rates(self) -> Mapping[nn.Parameter, float]:
        """Parameter -> factor of its learning rate, where it is not 1."""
        return {}
