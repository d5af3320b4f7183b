"""What a domain's data look like to people: in `show-views`, in the report of a run, as thumbnails of neighbours.

A renderer draws into matplotlib axes that the core has made, and knows nothing of figures, files or pages. One page of
contract serves them all: a view is drawn with what is withheld of it, a thumbnail is a view that shows everything.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from manyviews.view import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Shown:
    """One unit of a view: a sample, or a token of one. The view is on the CPU."""

    view: View
    sample: int
    """Its number in the view's batch."""
    token: int | None = None
    """Where the unit is the token: its place in the sample from 0, as in the batch that the views were made of. A view that
    cuts the batch anew (fewer nodes) may have it elsewhere or not at all."""
    data: View | None = None
    """The batch that the view was made of, with everything shown, to tell what was altered; None: this is it."""

    @property
    def tokens(self) -> slice:
        """Where the sample's tokens stand among those of the view."""
        lengths = self.view.layout.lengths.on_host()
        start = sum(lengths[: self.sample])
        return slice(start, start + lengths[self.sample])

    @property
    def original(self) -> Shown:
        """The same unit in the data."""
        return self if self.data is None else Shown(self.data, self.sample, self.token)

    @property
    def hidden(self) -> Bool[np.ndarray, "tokens"]:
        """Which of the sample's tokens are withheld from the encoder."""
        if self.view.hidden is None:
            return np.zeros(self.view.layout.lengths.on_host()[self.sample], dtype=bool)
        hidden: np.ndarray = self.view.hidden.where[0, self.tokens].numpy()
        return hidden

    @property
    def asked(self) -> Bool[np.ndarray, "sets tokens"]:
        """Which of them are to be predicted, set by set; no sets where the view asks for the hidden ones."""
        if self.view.asked is None:
            return np.zeros((0, len(self.hidden)), dtype=bool)
        asked: np.ndarray = self.view.asked.where[:, self.tokens].numpy()
        return asked

    @property
    def places(self) -> Float[np.ndarray, "tokens axes"] | None:
        """Where they lie: on the encoder's grid, or at its coordinates; None for sets and graphs."""
        coordinates = self.view.layout.coordinates()
        return None if coordinates is None else coordinates[self.tokens].numpy()


class Renderer(ABC):
    """Draws a domain's data. Constructor: `(self, spec, /, *, …)`; the keyword-only parameters are the recipe's (`renderer`).

    A renderer that needs no spec leaves the parameter out. Matplotlib is imported where it is used, never at the top.
    """

    size: tuple[float, float] = (1.8, 1.8)
    """Width and height of one picture, in inches."""
    legend: str = ""
    """What its pictures of views mark in ways of their own, beside what is withheld and what is asked for: a sentence."""

    @abstractmethod
    def draw(self, axes: Axes, shown: Shown) -> None:
        """Draw one unit as the encoder is shown it, with what is withheld and what is asked for marked.

        The batch is the view's own: noise, crops and other values are drawn as they are there. With `shown.token` that token
        in its surroundings (a node among its neighbours, a patch in its tile). `manyviews.look.marks` has what marks are drawn
        with, `manyviews.look.style` colours that can be read on light and on dark. The axes have no ticks and no frame.
        """

    def size_of(self, shown: Shown) -> tuple[float, float]:
        """Width and height of the picture of one unit in inches, where it is not that of all (`size`)."""
        return self.size

    def caption(self, source: Any, sample: int, token: int | None = None) -> str:
        """A few words that tell a unit of the source (its own class, the unit's number there) from others: a file's name, a
        date, a node's id. The core writes number and label itself; empty: nothing more is known."""
        return ""
