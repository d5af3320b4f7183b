"""The encoder of a finished run, asked by what trains after it: the clusters, codes or places of a second round."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import BaseModel

from manyviews.batch import OwnBatch
from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.source import Spec
from manyviews.view import View

LONGEST = 80
"""Characters of what is said of a spec."""


@dataclass(frozen=True, eq=False)
class Frozen:
    """An encoder that is never trained.

    No module, so that none registers it: it is in no optimiser and has no EMA copy, and its weights stay in its own checkpoint.
    """

    run: str
    """Where it is from."""
    domain: str
    spec: Spec
    """Of the data that it was trained on."""
    encoder: Encoder
    weights: str
    """Their hash, by which a resumed run knows them again."""

    def check(self, domain: str, spec: Spec) -> None:
        """See that it can read data of this domain and this spec. By the core, before a run begins.

        Raises:
            UserError: It was trained on other data; says what is not alike.
        """
        if self.domain != domain or type(self.spec) is not type(spec):
            raise UserError(f"{self.run} is a run of {self.domain}, and these data are of {domain}; give one on such data")
        for name in self.spec.unlike(spec):
            theirs, own = (_said(getattr(one, name)) for one in (self.spec, spec))
            raise UserError(
                f"{self.run} was trained on data of {name} {theirs}, and these are of {name} {own}; "
                "give a run on data that are read alike"
            )

    @torch.no_grad()
    def __call__(self, batch: OwnBatch, *, layers: bool = False) -> tuple[Layout, Encoding]:
        """How it cuts a batch into tokens and what it makes of them, all shown, where the batch is.

        Args:
            batch: Whole samples, in the form that the run's own source gives.
            layers: What each of its layers makes of them too, of an encoder that offers that.
        """
        layout = self.encoder.layout(batch)
        device = layout.lengths.tensor.device
        if any(parameter.device != device for parameter in self.encoder.parameters()):
            self.encoder.to(device)
            layout = self.encoder.layout(batch)
        return layout, self.encoder(View(batch, layout, layers=layers))


def _said(value: object) -> str:
    """As a recipe has it, cut where it is long."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    text = "not given" if value is None else str(plain)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
