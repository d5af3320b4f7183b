"""A toy domain, whole in one file: short series of vectors that wander around one of a few centres.

The core's own tests train it, and it shows a plugin author the least that a domain is made of. Samples may differ in
length; the class of a sample is its centre, so that a probe has something to find.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.events import Decoding, Events, Stretches
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.moving import moved
from manyviews.nets.positions import sincos
from manyviews.nets.transformer import Transformer
from manyviews.renderer import Renderer, Shown
from manyviews.source import Labels, Source, Spec
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator

if TYPE_CHECKING:
    from matplotlib.axes import Axes


HIGH = 0.3
"""From which the first channel is called high; low below its negative."""


@dataclass(frozen=True)
class ToyBatch:
    """Series back to back."""

    steps: Float[Tensor, "tokens channels"]
    lengths: Lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def to(self, device: torch.device, non_blocking: bool = False) -> ToyBatch:
        return moved(self, device, non_blocking)


class ToySpec(Spec):
    """Number of channels of a step."""

    channels: int


class ToySource(Source):
    """Series drawn from a seed.

    Args:
        samples: Number of series.
        length: Steps of a series, or the range (shortest, longest).
        channels: Channels of a step.
        classes: Number of centres.
        noise: Standard deviation around the centre.
        seed: Of the draw.
    """

    def __init__(
        self,
        *,
        samples: PositiveInt = 64,
        length: PositiveInt | tuple[PositiveInt, PositiveInt] = 8,
        channels: PositiveInt = 4,
        classes: PositiveInt = 3,
        noise: Annotated[float, Field(ge=0)] = 0.5,
        seed: NonNegativeInt = 0,
        spec: ToySpec | None = None,
    ) -> None:
        self.spec = spec or ToySpec(channels=channels)
        rng = np.random.default_rng(seed)
        low, high = length if isinstance(length, tuple) else (length, length)
        self.lengths = rng.integers(low, high + 1, samples)
        self.classes = rng.integers(classes, size=samples)
        centres = np.random.default_rng(1).normal(size=(classes, self.spec.channels))
        self.series = [
            (centres[c] + noise * rng.normal(size=(n, self.spec.channels))).astype(np.float32)
            for c, n in zip(self.classes, self.lengths, strict=True)
        ]
        self.parameters = (samples, low, high, noise, seed)

    def __len__(self) -> int:
        return len(self.series)

    def batch(self, index: Int[np.ndarray, "samples"]) -> ToyBatch:
        steps = np.concatenate([self.series[i] for i in index])
        return ToyBatch(torch.from_numpy(steps), Lengths.of(self.lengths[index].tolist()))

    def sizes(self) -> Float[np.ndarray, "samples"]:
        return self.lengths.astype(np.float64)

    def splits(self) -> Shaped[np.ndarray, "samples"]:
        return np.array(["train", "train", "valid", "test"])[np.arange(len(self)) % 4]

    def labels(self) -> Labels:
        return Labels("centre", "classification", self.classes, tuple(f"centre {c}" for c in range(self.classes.max() + 1)))

    def events(self) -> Events:
        """When the first channel is high and when it is low; a step is a second."""
        rows = [
            (sample, start, stop, number)
            for sample, series in enumerate(self.series)
            for number, active in enumerate((series[:, 0] > HIGH, series[:, 0] < -HIGH))
            for start, stop in Decoding().runs(active, 1.0)
        ]
        samples, onsets, offsets, classes = np.array(rows).T
        found = Stretches(samples, onsets.astype(np.float64), offsets.astype(np.float64), classes)
        return Events("first channel", ("high", "low"), found, self.seconds(), np.ones(len(self), dtype=bool))

    def seconds(self) -> Float[np.ndarray, "samples"]:
        return self.lengths.astype(np.float64)

    def frame_features(
        self, index: Int[np.ndarray, "samples"]
    ) -> tuple[Float[np.ndarray, "frames features"], Int[np.ndarray, "samples"]]:
        return np.concatenate([self.series[i] for i in index]), self.lengths[index]

    def features(self, index: Int[np.ndarray, "samples"]) -> Float[np.ndarray, "samples features"]:
        return np.stack([self.series[i].mean(0) for i in index])

    def fingerprint(self) -> Mapping[str, Any]:
        return {"toy": list(self.parameters)}


class ToyEncoder(Encoder):
    """A small Transformer over steps.

    Args:
        width: Width of a token.
        depth: Transformer blocks.
        heads: Attention heads.
        dropout: Dropout.
        hide: Hidden steps are dropped, or replaced by a learned token.
        causal: A step sees only itself and those before it.
    """

    offers = frozenset(
        {
            Trait.HIDES_TOKENS,
            Trait.PLACED_TOKENS,
            Trait.UNPLACED,
            Trait.TOKEN_TARGETS,
            Trait.TOKEN_CLASSES,
            Trait.LAYERS,
            Trait.MOMENTS,
            Trait.CAUSAL,
        }
    )

    def __init__(
        self,
        spec: ToySpec,
        /,
        *,
        width: PositiveInt = 16,
        depth: PositiveInt = 1,
        heads: PositiveInt = 2,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        hide: Literal["drop", "replace"] = "drop",
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.width, self.hide, self.causal = width, hide, causal
        self.target_channels, self.target_classes = spec.channels, 2
        self.inwards = nn.Linear(spec.channels, width)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.transformer = Transformer(width, depth, heads, dropout=dropout, causal=causal)

    def layout(self, batch: ToyBatch) -> Layout:
        lengths = batch.lengths
        grid = None if lengths.each is None else (lengths.each,)
        return Layout(lengths, grid=grid, positions=lengths.places()[:, None].to(torch.float32))

    def forward(self, view: View) -> Encoding:
        layout = view.layout
        tokens = self.inwards(view.batch.steps.to(self.mask_token.dtype))
        present, lengths = None, layout.lengths
        assert layout.positions is not None
        positions = sincos(layout.positions, self.width).to(tokens.dtype)
        if view.hidden is not None and self.hide == "drop":
            shown = view.hidden.complement(lengths)
            present, lengths = shown.index(lengths), shown.lengths(lengths)
            tokens, positions = tokens[present], positions[present]
        elif view.hidden is not None:
            tokens = torch.where(view.hidden.where[0][:, None], self.mask_token.to(tokens.dtype), tokens)
        tokens = tokens + positions if view.placed else tokens
        layers: tuple[Tensor, ...] = ()
        seen = None if view.seen is None else view.seen.where[0]
        if view.layers:
            *_, tokens = layers = self.transformer.layers(tokens, lengths, seen)
        else:
            tokens = self.transformer(tokens, lengths, seen)
        return Encoding(tokens, present, lengths, lengths.mean(tokens), layers)

    def targets(self, batch: ToyBatch, tokens: Int[Tensor, "asked"]) -> Float[Tensor, "asked channels"]:
        return batch.steps[tokens]

    def classes(self, batch: ToyBatch) -> Int[Tensor, "tokens"]:
        return (batch.steps[:, 0] > 0).long()


class ToyNoise(ViewGenerator):
    """Copies of the series with noise added: the steps of all views stand for the same things.

    Args:
        views: Number of copies.
        scale: Standard deviation of the noise.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS, Trait.ALIGNED_TOKENS})

    def __init__(self, *, views: Annotated[PositiveInt, Field(ge=2)] = 2, scale: Annotated[float, Field(ge=0)] = 0.3) -> None:
        super().__init__()
        self.views, self.scale = views, scale

    def forward(self, batch: ToyBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        return tuple(View(replace(batch, steps=self._noisy(batch.steps, generator)), layout) for _ in range(self.views))

    def _noisy(self, steps: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(steps.shape, generator=generator, device=steps.device, dtype=steps.dtype)
        return steps + self.scale * noise


class ToyLines(Renderer):
    """A line for each channel, steps from left to right.

    Args:
        width: Of the lines, in points.
    """

    def __init__(self, *, width: Annotated[float, Field(gt=0)] = 1.0) -> None:
        self.width = width

    def draw(self, axes: Axes, shown: Shown) -> None:
        from manyviews.look.marks import mark_grid

        steps = shown.view.batch.steps[shown.tokens].numpy()
        axes.plot(np.arange(len(steps)) + 0.5, steps, linewidth=self.width)
        axes.set_xlim(0, len(steps))
        bottom, top = map(float, axes.get_ylim())
        mark_grid(axes, shown, (0, len(steps), bottom, top))

    def caption(self, source: ToySource, sample: int, token: int | None = None) -> str:
        return f"{source.lengths[sample]} steps" if token is None else f"step {token} of series {sample}"
