"""Several views of each tile: crops, colours, noise, bands left out, other dates, another style."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.nets.fourier import low_frequencies, styled
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews.views.draws import host_uniform
from manyviews.views.ranges import refuse_descending
from manyviews_satellite.batch import TileBatch
from manyviews_satellite.spec import TileSpec
from manyviews_satellite.views.crops import cropped

Share = Annotated[float, Field(gt=0, le=1)]
Chance = Annotated[float, Field(ge=0, lt=1)]
Deviation = Annotated[float, Field(ge=0)]


class Augment(ViewGenerator):
    """Global and local views of each tile, each with augmentations of its own, drawn for all tiles at once.

    Args:
        globals: Views of role `global`, which a teacher sees too.
        locals: Views of role `local`, for the student alone.
        size: Rows and columns of a global view; null: the tile's.
        local_size: Of a local one; null: half of `size`.
        crop: Range of a global crop's side, as a share of the tile's.
        local_crop: Of a local one.
        metres: Range of a global crop's side on the ground, in place of `crop`, for tiles of several resolutions.
        turn: Turn by quarters and mirror: there is no up in what is seen from above.
        jitter: Deviation of each band's gain and offset, in deviations of the training data.
        noise: Deviation of noise added to each pixel.
        drop_bands: Chance that a band is left out of a view.
        dates: Where a sample has several: `all` in each view, or `one` each, another for each view (seasonal pairs).
        style: Range of the share of the spectrum whose amplitudes are taken from one tile for all, another one for each view
            (batch styles standardisation, Scalbert et al. 2023); null: each tile's own.
        frequencies: Show global views by their low frequencies alone, on so many rows and columns (EfficientTrain, Wang et al.
            2023); a list: on ever more, one number for each stage of the run; null: all.
        stages: Shares of the run at which another stage of `frequencies` begins.
        growing: Let `jitter` and `noise` grow from 0 over the run, EfficientTrain's other half.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS})

    def __init__(
        self,
        spec: TileSpec,
        /,
        *,
        globals: Annotated[PositiveInt, Field(ge=2)] = 2,  # noqa: A002 - the field's own word for these views
        locals: NonNegativeInt = 0,  # noqa: A002
        size: PositiveInt | None = None,
        local_size: PositiveInt | None = None,
        crop: tuple[Share, Share] = (0.4, 1.0),
        local_crop: tuple[Share, Share] = (0.2, 0.5),
        metres: tuple[PositiveFloat, PositiveFloat] | None = None,
        turn: bool = True,
        jitter: Deviation = 0.2,
        noise: Deviation = 0.05,
        drop_bands: Chance = 0.0,
        dates: Literal["all", "one"] = "all",
        style: tuple[Share, Share] | None = None,
        frequencies: PositiveInt | tuple[PositiveInt, ...] | None = None,
        stages: tuple[Share, ...] = (0.6, 0.8),
        growing: bool = False,
    ) -> None:
        super().__init__()
        refuse_descending(crop=crop, local_crop=local_crop)
        if metres is not None:
            refuse_descending(metres=metres)
            if spec.metres is None:
                raise UserError(
                    "views.metres: these images have no place on the ground, so a pixel's size is not known; use `crop`"
                )
        self.spec, self.metres, self.turn, self.jitter, self.noise = spec, metres, turn, jitter, noise
        self.drop_bands, self.dates, self.style, self.growing = drop_bands, dates, style, growing
        self.curriculum = _curriculum(frequencies, stages)
        self.turns = tuple(start for start, _ in self.curriculum[1:])
        self.share = 1.0
        whole = size or spec.windows.tile
        self.plan = [("global", whole, crop)] * globals
        self.plan += [("local", local_size or max(whole // 2, 1), local_crop)] * locals

    def progress(self, share: float) -> None:
        self.share = share

    def forward(self, batch: TileBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        standard = batch.standardised(self.spec)
        alone = self.dates == "one" and batch.dates > 1
        first = int(host_uniform(generator) * batch.dates) if alone else 0
        views = []
        for number, (role, size, share) in enumerate(self.plan):
            # Another date for each view, as long as there are any.
            seen = standard.at_dates([(first + number) % batch.dates]) if alone else standard
            shown = self._augmented(seen, role, size, share, generator)
            views.append(View(shown, self.cut(shown), role=role))
        return tuple(views)

    def _augmented(
        self, batch: TileBatch, role: str, size: int, share: tuple[float, float], generator: torch.Generator
    ) -> TileBatch:
        batch = cropped(batch, size, self._sides(batch, role, share, generator), self.turn, generator)
        pixels = batch.pixels
        if self.style is not None:
            pixels = self._one_style(pixels, generator)
        strength = self.share if self.growing else 1.0
        pixels = jittered(pixels, strength * self.jitter, strength * self.noise, generator)
        if batch.valid is not None:
            pixels = torch.where(batch.valid[:, :, None], pixels, pixels.new_zeros(()))
        batch = replace(batch, pixels=pixels)
        side = self._frequencies(size) if role == "global" else size
        if side < size:
            batch = _reduced(batch, side)
        return batch if not self.drop_bands else batch.with_bands(self._kept(len(batch.bands), generator))

    def _frequencies(self, size: int) -> int:
        """Rows and columns that a view of `size` is shown on now."""
        chosen = [side for start, side in self.curriculum if start <= self.share]
        return min(chosen[-1], size) if chosen else size

    def _sides(
        self, batch: TileBatch, role: str, share: tuple[float, float], generator: torch.Generator
    ) -> Float[Tensor, "tiles"]:
        """Sides of crops, as shares of the tiles'."""
        uniform = torch.rand(len(batch), generator=generator, device=batch.pixels.device)
        if self.metres is None or role == "local":
            return share[0] + (share[1] - share[0]) * uniform
        low, high = self.metres
        ground = low * (high / low) ** uniform  # evenly over scales
        return (ground / (batch.metres * batch.pixels.shape[-1])).nan_to_num(nan=1.0).clamp(max=1.0)

    def _one_style(
        self, pixels: Float[Tensor, "tiles dates bands rows cols"], generator: torch.Generator
    ) -> Float[Tensor, "tiles dates bands rows cols"]:
        assert self.style is not None
        share = host_uniform(generator, *self.style)
        chosen = int(host_uniform(generator) * len(pixels))
        images = rearrange(pixels, "b d c h w -> b (d c) h w")
        return styled(images, images[chosen : chosen + 1], share).reshape(pixels.shape)

    def _kept(self, bands: int, generator: torch.Generator) -> list[int]:
        """Bands of a view, one at least."""
        chances = [host_uniform(generator) for _ in range(bands)]
        kept = [band for band, chance in enumerate(chances) if chance >= self.drop_bands]
        return kept or [chances.index(max(chances))]


def _curriculum(frequencies: int | tuple[int, ...] | None, stages: tuple[float, ...]) -> tuple[tuple[float, int], ...]:
    """From which share of the run how many pixels are shown; nothing: all of them.

    Raises:
        UserError: Stages that do not ascend, or another number of them.
    """
    if frequencies is None:
        return ()
    if isinstance(frequencies, int):
        return ((0.0, frequencies),)
    if len(frequencies) != len(stages) + 1 or list(stages) != sorted(set(stages)):
        raise UserError(
            f"views.frequencies: {len(frequencies)} sizes need {len(frequencies) - 1} ascending shares of the run as "
            f"views.stages, at which the next begins; given: {', '.join(f'{stage:g}' for stage in stages) or 'none'}"
        )
    return tuple(zip((0.0, *stages), frequencies, strict=True))


def _reduced(batch: TileBatch, side: int) -> TileBatch:
    """By its low frequencies on `side` x `side` pixels; valid where half of what a pixel covers was."""
    images = low_frequencies(rearrange(batch.pixels, "b d c h w -> (b d) c h w"), (side, side))
    pixels, valid = rearrange(images, "(b d) c h w -> b d c h w", d=batch.dates), None
    if batch.valid is not None:
        valid = F.interpolate(batch.valid.float(), size=(side, side), mode="area") > 0.5
        pixels = torch.where(valid[:, :, None], pixels, pixels.new_zeros(()))
    return replace(batch, pixels=pixels, valid=valid, metres=batch.metres * (batch.pixels.shape[-1] / side))


def jittered(
    pixels: Float[Tensor, "tiles dates bands rows cols"], jitter: float, noise: float, generator: torch.Generator
) -> Float[Tensor, "tiles dates bands rows cols"]:
    """Gain and offset of each band of each image, and noise of each pixel."""
    shape = (*pixels.shape[:3], 1, 1)
    if jitter:
        gain, offset = torch.randn(2, *shape, generator=generator, device=pixels.device, dtype=pixels.dtype) * jitter
        pixels = pixels * (1 + gain) + offset
    if noise:
        pixels = pixels + noise * torch.randn(pixels.shape, generator=generator, device=pixels.device, dtype=pixels.dtype)
    return pixels
