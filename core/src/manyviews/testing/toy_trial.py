"""What the toy domain is tried on, series of one length and of several, and what it shows of itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from manyviews.testing.trial import Trial

if TYPE_CHECKING:
    from manyviews.demo import Demo


def equal(folder: Path) -> dict[str, Any]:
    """Series of eight steps; drawn, not read."""
    return {"data": {"source": "series", "samples": 48}}


def ragged(folder: Path) -> dict[str, Any]:
    """Series of three to nine steps."""
    return {"data": {"source": "series", "samples": 48, "length": [3, 9]}}


TRIAL = Trial(
    data={"equal": equal, "ragged": ragged},
    variants={"toy/transformer": {"replace": {"hide": "replace"}, "dropout": {"dropout": 0.2}}},
)


RECIPE = """\
domain: toy
data: {source: series, samples: 96}
encoder: {name: transformer}
views: {name: random_mask}
objective: {name: masked_reconstruction, width: 16, depth: 1, heads: 2}
train: {steps: 40, batch_size: 16, device: cpu}
evaluate: [{task: linear_probe}, {task: effective_rank}]
"""


def demo(folder: Path) -> Demo:
    """The domain's demo: its recipe is written where its data would be."""
    from manyviews.demo import Demo

    (folder / "toy.yaml").write_text(RECIPE, encoding="utf-8")
    return Demo(str(folder / "toy.yaml"), "Series that wander around three centres, drawn from a seed", {"track": None})
