"""The two parts of radar's complex numbers, one to predict from and one to score on (MERLIN, Dalsasso et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews_satellite.batch import TileBatch
from manyviews_satellite.spec import TileSpec


@dataclass(frozen=True)
class OtherPart:
    """What the encoder is not shown of an image."""

    own: Float[Tensor, "pixels"]
    """The part that it is shown."""
    other: Float[Tensor, "pixels"]
    valid: Bool[Tensor, "pixels"] | None


def centred(real: Float[Tensor, "images rows cols"], imaginary: Float[Tensor, "images rows cols"]) -> tuple[Tensor, Tensor]:
    """An image whose spectrum is centred at zero everywhere: only then are its parts independent (Dalsasso 2021, section II).

    The centre is told by the mean turn of the phase from one pixel to the next, along rows and along columns. It may wander
    across the image, evenly, as it does in bursts whose antenna is swept (Sentinel-1's TOPS: by more than the sampled band
    within 256 lines): how much, the mean change of that turn tells.
    """
    z = torch.complex(real, imaginary)
    for axis, size in ((1, z.shape[1]), (2, z.shape[2])):
        place = torch.arange(size, device=z.device, dtype=real.dtype) - (size - 1) / 2
        turns = _turns(z, axis)
        bend = (turns[:, 1:] * turns[:, :-1].conj()).sum(1).angle()
        z = _turned(z, axis, bend[:, None] / 2 * place.square())
        z = _turned(z, axis, _turns(z, axis).sum(1).angle()[:, None] * place)
    return z.real.contiguous(), z.imag.contiguous()


def _turns(z: Complex[Tensor, "images rows cols"], axis: int) -> Complex[Tensor, "images steps"]:
    """From each line to the next, summed along it: its angle is the turn of the phase."""
    size = z.shape[axis]
    steps = z.narrow(axis, 1, size - 1) * z.narrow(axis, 0, size - 1).conj()
    return steps.sum(3 - axis)


def _turned(
    z: Complex[Tensor, "images rows cols"], axis: int, angle: Float[Tensor, "images size"]
) -> Complex[Tensor, "images rows cols"]:
    """Each line turned back."""
    back = torch.polar(torch.ones_like(angle), -angle)
    return z * (back[:, :, None] if axis == 1 else back[:, None, :])


class MerlinParts(ViewGenerator):
    """Two views of each image: its real part, of which the imaginary one is the answer, and the other way round.

    Args:
        centre: Centre the spectrum of each tile first; without, where the files' spectra are centred already.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS, Trait.PRETEXT_TARGET})
    needs = frozenset({Trait.OWN_TOKENS})
    target = OtherPart

    def __init__(self, spec: TileSpec, /, *, centre: bool = True) -> None:
        super().__init__()
        if not spec.complex:
            raise UserError(
                "satellite/merlin_parts needs single-look complex images (SLC), whose parts are independent; these bands are "
                f"{', '.join(band.label for band in spec.bands[:6])}"
            )
        self.centre = centre

    def forward(self, batch: TileBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        parts = separated(batch, self.centre)
        views = []
        for own, other, band in ((parts[0], parts[1], 0), (parts[1], parts[0], 1)):
            shown = _images(batch, own, band)
            valid = None if shown.valid is None else shown.valid.flatten()
            views.append(View(shown, self.cut(shown), target=OtherPart(own.flatten(), other.flatten(), valid)))
        return tuple(views)


def separated(batch: TileBatch, centre: bool) -> tuple[Float[Tensor, "images rows cols"], Float[Tensor, "images rows cols"]]:
    """Real and imaginary parts of each tile, date and polarisation, in physical units; 0 where nothing was seen."""
    pixels = batch.pixels.float() * batch.scale[..., None, None]
    if batch.valid is not None:
        pixels = torch.where(batch.valid[:, :, None], pixels, pixels.new_zeros(()))
    real, imaginary = rearrange(pixels, "b d (p two) h w -> two (b d p) h w", two=2)
    return centred(real, imaginary) if centre else (real, imaginary)


def _images(batch: TileBatch, part: Float[Tensor, "images rows cols"], band: int) -> TileBatch:
    """One part of each image as a tile of one date and band."""
    count = len(part)
    copies = count // (len(batch) * batch.dates)
    flat = batch.pixels.new_ones(count, 1, 1, dtype=torch.float32)
    valid = batch.valid
    return replace(
        batch,
        pixels=part[:, None, None],
        scale=flat,
        offset=torch.zeros_like(flat),
        time=repeat(batch.time, "b d three -> (b d p) 1 three", p=copies),
        metres=repeat(batch.metres, "b -> (b copies)", copies=count // len(batch)),
        bands=(band,),
        valid=None if valid is None else repeat(valid, "b d h w -> (b d p) 1 h w", p=copies),
    )
