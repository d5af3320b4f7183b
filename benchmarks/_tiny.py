"""A domain whose training step does next to nothing: what is left is what the engine itself costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews.domain import Domain
from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.hookspecs import hookimpl
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.objective import Branch, Loss, Objective
from manyviews.source import Source, Spec
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator

WIDTH = 8


@hookimpl
def manyviews_domain() -> Domain:
    """Its components stand below."""
    return Domain(
        name="tiny",
        summary="Next to nothing, for benchmarks.",
        core=">=0",
        components={
            "source": {"vectors": "_tiny:Vectors"},
            "encoder": {"linear": "_tiny:Linear"},
            "views": {"noise": "_tiny:Noise"},
            "objective": {"follow": "_tiny:Follow"},
        },
    )


def install(folder: Path) -> None:
    """Write the metadata of an installed plugin into `folder`, which must be on `sys.path`."""
    info = folder / "manyviews_tiny-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: manyviews-tiny\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[manyviews]\ntiny = _tiny\n")


@dataclass(frozen=True)
class Batch:
    """One token a sample."""

    x: Float[Tensor, "samples width"]

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        return Batch(self.x.to(device, non_blocking=non_blocking))


class Vectors(Source):
    """A thousand random vectors."""

    def __init__(self, *, spec: Spec | None = None) -> None:
        self.spec = spec or Spec()
        self.x = torch.randn(1024, WIDTH, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index: Int[np.ndarray, "samples"]) -> Batch:
        return Batch(self.x[torch.from_numpy(index)])

    def fingerprint(self) -> Mapping[str, Any]:
        return {"rows": len(self)}


class Linear(Encoder):
    """One linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.width = WIDTH
        self.layer = nn.Linear(WIDTH, WIDTH)

    def layout(self, batch: Batch) -> Layout:
        return Layout(Lengths.equal(len(batch), 1))

    def forward(self, view: View) -> Encoding:
        y = self.layer(view.batch.x)
        return Encoding(y, None, view.layout.lengths, y)


class Noise(ViewGenerator):
    """The vectors with noise added, twice."""

    gives = frozenset({Trait.SEVERAL_VIEWS})

    def forward(self, batch: Batch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        return tuple(View(Batch(batch.x + torch.randn(batch.x.shape, generator=generator)), layout) for _ in range(2))


class Follow(Objective):
    """Squared distance to the teacher's embedding of the other view."""

    needs = frozenset({Trait.SEVERAL_VIEWS, Trait.TEACHER})

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        assert teacher is not None
        one, two = views
        with torch.no_grad():
            wanted = teacher.embed(two)
        value = F.mse_loss(student.embed(one), wanted)
        return Loss(value, {"distance": value.detach()})
