"""What an encoder is shown of a batch, and who makes it.

A view generator works on a whole batch at once, on the device that the batch is on, and draws from an explicit
generator, so that a seeded run repeats exactly and views cost no per-sample Python.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from manyviews.batch import OwnBatch
from manyviews.layout import Layout
from manyviews.mask import Mask
from manyviews.traits import Trait


@dataclass(frozen=True)
class View:
    """What an encoder is shown of a batch."""

    batch: OwnBatch
    layout: Layout
    hidden: Mask | None = None
    """One set: the tokens withheld. None: all tokens are shown."""
    asked: Mask | None = None
    """Tokens to be predicted, in one or more sets. None: the hidden ones."""
    target: Any = None
    """What a pretext task asks about this view: a rotation, a fusion map, a corruption mask."""
    layers: bool = False
    """Whether the encoder is to give what each of its layers made of the tokens too. With LAYERS only."""
    placed: bool = True
    """Whether the encoder is told where tokens lie. False with UNPLACED only."""
    seen: Mask | None = None
    """One set: the tokens that all tokens may look at. None: every token. With UNPLACED only."""
    role: str = "global"
    """`global` views may be a teacher's input; `local` views are seen by the student alone."""


class ViewGenerator(nn.Module, ABC):
    """Makes the views of a batch.

    The recipe's parameters are the constructor's keyword-only ones. A constructor with a positional-only parameter
    is given the spec of the data (`Source.spec`) there.
    """

    gives: frozenset[Trait] = frozenset()
    needs: frozenset[Trait] = frozenset()
    """What it asks of the encoder."""
    target: type | None = None
    """Class of `View.target`, where `gives` has PRETEXT_TARGET: only an objective that asks for this class is answered."""

    frozen: Any = None
    """The encoder of a finished run (`manyviews.frozen.Frozen`, which is shown views), where the generator asks one."""

    _cut: Callable[[OwnBatch], Layout] | None = None

    def bind(self, cut: Callable[[OwnBatch], Layout]) -> None:
        """Called by the core before the first views: `cut` says how the encoder cuts a batch into tokens."""
        self._cut = cut

    def cut(self, batch: OwnBatch) -> Layout:
        """The layout of a batch that is another one than `forward` was given: crops, other clips, fewer nodes."""
        assert self._cut is not None, "the core binds view generators to an encoder before it uses them"
        return self._cut(batch)

    turns: Sequence[float] = ()
    """Shares of the run from which views are of another kind, and must be tried before it begins."""

    def progress(self, share: float) -> None:
        """Called by the core before each step with the share of the run that is done, for views that begin easily. What it sets
        is a function of `share` alone, so that a resumed run goes on as it was. Never called: as at the end of a run."""

    @abstractmethod
    def forward(self, batch: OwnBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        """The views of `batch`, each with its layout, drawn from `generator` (on the batch's device).

        A view that falls into the same tokens as the batch has the layout given; any other has that of `cut`.
        """
